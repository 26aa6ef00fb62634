"""
Blobs as files: `ab/cdef…`, named by the SHA-256 of what the file holds, header included.

A blob is complete and on the disk before its name exists. A kill leaves at most a nameless file in `incoming/`.
"""

import asyncio
import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import AsyncGenerator, Iterable, Iterator
from hashlib import sha256
from typing import IO, BinaryIO, cast
from uuid import uuid4

import zstandard

from dre.errors import BlobAltered, BlobMissing, LedgerError, StoreFull
from dre.ledger.blob import HEADER_BYTES, NO_CIPHER, NO_COMPRESSION, ZSTD, BlobHeader, unpack
from dre.ports.blob_store import Blob

INCOMING = "incoming"
ABANDONED_S = 24 * 3600
_LEVEL = 3
_PIECE_BYTES = 256 * 1024
_MAX_WINDOW_BYTES = 8 << 20  # what a frame may ask a reader to remember; ours ask for 2 MiB
_ADDRESS = re.compile(r"[0-9a-f]{64}", re.ASCII)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # a pipe in a blob's place must not hold us up
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FileBlobStore:
    """`folder` is made when it is missing; the one it lies in must be there."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._ready = False

    async def put(self, chunks: Iterable[bytes]) -> Blob:
        return await asyncio.to_thread(self._put, chunks)

    async def read(self, address: str) -> AsyncGenerator[bytes, None]:
        pieces = self._pieces(address)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    async def read_all(self, address: str, limit_bytes: int) -> bytes:
        return await asyncio.to_thread(self._read_all, address, limit_bytes)

    async def check(self, address: str) -> int:
        return await asyncio.to_thread(self._check, address)

    async def stored_size(self, address: str) -> int:
        return await asyncio.to_thread(self._stored_size, address)

    def _put(self, chunks: Iterable[bytes]) -> Blob:
        with _trouble_named(self.folder):
            incoming = self._incoming()
            with _fresh(incoming) as (file, path):
                digest, size = _compress(_source_named(chunks), file)
                if file.tell() - HEADER_BYTES < size:
                    return self._keep(file, path, ZSTD, size, digest)
                with _fresh(incoming) as (plain, plain_path):  # compressing made it no smaller
                    _decompress(file, plain)
                    return self._keep(plain, plain_path, NO_COMPRESSION, size, digest)

    def _keep(self, file: BinaryIO, path: str, compression: int, size: int, digest: str) -> Blob:
        """Header, address, disk, name: in this order, so that the name is the last thing to appear."""
        payload = file.tell() - HEADER_BYTES
        file.seek(0)
        file.write(BlobHeader(compression, size, payload).pack())
        file.seek(0)
        address = _digest_of(file)
        os.fsync(file.fileno())
        folder = os.path.join(self.folder, address[:2])
        _make_folder(folder)
        self._name(path, address)
        _sync_folder(folder)
        _sync_folder(self.folder)  # the prefix folder may be new, and not by us
        return Blob(address, size, HEADER_BYTES + payload, digest)

    def _name(self, path: str, address: str) -> None:
        """An equal object that is there already stays; one that has been damaged is replaced by this one."""
        target = self._path(address)
        try:
            os.link(path, target, follow_symlinks=False)
        except FileExistsError:
            try:
                self._check(address)
            except (BlobAltered, BlobMissing):
                os.replace(path, target)

    def _incoming(self) -> str:
        incoming = os.path.join(self.folder, INCOMING)
        if not self._ready:
            _make_folder(self.folder)
            _sync_folder(os.path.dirname(os.path.abspath(self.folder)))
            _make_folder(incoming)
            _sweep(incoming)
            self._ready = True
        return incoming

    def _path(self, address: str) -> str:
        if not _ADDRESS.fullmatch(address):
            raise BlobMissing(f"{address[:80]!r} is not the address of a blob (64 lower-case hexadecimal digits)")
        return os.path.join(self.folder, address[:2], address[2:])

    def _open(self, address: str) -> BinaryIO:
        path = self._path(address)
        try:
            folder = os.open(os.path.dirname(path), _FOLDER)
            try:
                fd = os.open(os.path.basename(path), _READ, dir_fd=folder)
            finally:
                os.close(folder)
        except FileNotFoundError as error:
            raise BlobMissing(f"blob {address} is missing: {path} does not exist") from error
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise BlobAltered(f"blob {address}: {path} is a symbolic link, not what was stored") from error
            raise BlobMissing(f"blob {address} cannot be opened: {path}: {error.strerror}") from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise BlobAltered(f"blob {address}: {path} is not a file")
        return os.fdopen(fd, "rb", buffering=0)

    def _check(self, address: str) -> int:
        with self._open(address) as file, _errors_named(address):
            stored = _Stored(file, address)
            while stored.read(_PIECE_BYTES):
                pass
            stored.prove()
            return HEADER_BYTES + stored.header.payload_bytes

    def _stored_size(self, address: str) -> int:
        with self._open(address) as file:
            return os.fstat(file.fileno()).st_size

    def _read_all(self, address: str, limit_bytes: int) -> bytes:
        with self._open(address) as file, _errors_named(address):
            size = _Stored(file, address).header.size_bytes
        if size > limit_bytes:
            raise BlobAltered(f"blob {address} says it holds {size} bytes, more than the {limit_bytes} expected")
        return b"".join(self._pieces(address))

    def _pieces(self, address: str) -> Iterator[bytes]:
        """Plaintext; the last piece is held back until the address is proved. Never more than the header says."""
        with self._open(address) as file, _errors_named(address):
            stored = _Stored(file, address)
            held, total = b"", 0
            for piece in _plaintext(stored):
                total += len(piece)
                if total > stored.header.size_bytes:
                    raise BlobAltered(f"blob {address} holds more than the {stored.header.size_bytes} bytes it names")
                if held:
                    yield held
                held = piece
            stored.prove()
            if total != stored.header.size_bytes:
                raise BlobAltered(f"blob {address} holds {total} bytes, its header says {stored.header.size_bytes}")
            if held:
                yield held


class _Stored:
    """A stored object being read: what passes is hashed, and must be as long as the header says."""

    def __init__(self, file: BinaryIO, address: str) -> None:
        self._file, self._address = file, address
        header = _read_exactly(file, HEADER_BYTES)
        self._hash = sha256(header)
        self.header = unpack(header)
        if self.header.cipher != NO_CIPHER:
            raise BlobAltered(f"blob {address} is encrypted; this DRE reads none that are", hint="use a newer DRE")
        self._left = self.header.payload_bytes

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(chunk)
        self._hash.update(chunk)
        return chunk

    def prove(self) -> None:
        """Everything was read, nothing follows, and it hashes to the address."""
        if self._left or self._file.read(1):
            raise BlobAltered(f"blob {self._address} is not as long as its header says")
        if self._hash.hexdigest() != self._address:
            raise BlobAltered(f"blob {self._address} does not hash to its address")


def _plaintext(stored: _Stored) -> Iterator[bytes]:
    read = stored.read
    if stored.header.compression == ZSTD:
        source = cast("IO[bytes]", stored)
        read = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).stream_reader(source).read
    while piece := read(_PIECE_BYTES):  # bounded also where a few bytes stand for gigabytes
        yield piece


def _compress(chunks: Iterable[bytes], file: BinaryIO) -> tuple[str, int]:
    """Leaves room for the header; returns digest and size of what came in."""
    digest, size = sha256(), 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
    file.write(bytes(HEADER_BYTES))
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
        file.write(compressor.compress(chunk))
    file.write(compressor.flush())
    return digest.hexdigest(), size


def _decompress(compressed: BinaryIO, plain: BinaryIO) -> None:
    compressed.seek(HEADER_BYTES)
    plain.write(bytes(HEADER_BYTES))
    zstandard.ZstdDecompressor().copy_stream(compressed, plain)


def _digest_of(file: BinaryIO) -> str:
    digest = sha256()
    while piece := file.read(_PIECE_BYTES):
        digest.update(piece)
    return digest.hexdigest()


def _read_exactly(file: BinaryIO, size: int) -> bytes:
    found = b""
    while len(found) < size and (chunk := file.read(size - len(found))):
        found += chunk
    return found


@contextlib.contextmanager
def _fresh(folder: str) -> Iterator[tuple[BinaryIO, str]]:
    """A new file; its name in `folder` is gone afterwards, whatever other name it has been given."""
    path = os.path.join(folder, uuid4().hex)
    with os.fdopen(os.open(path, _NEW, 0o600), "w+b") as file:
        try:
            yield file, path
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _sweep(incoming: str) -> None:
    """What a killed writer left behind, a day ago or more."""
    with os.scandir(incoming) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.stat(follow_symlinks=False).st_mtime < time.time() - ABANDONED_S:
                    os.unlink(entry.path)


def _make_folder(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _sync_folder(path: str) -> None:
    folder = os.open(path, _FOLDER)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _source_named(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """What goes wrong while they are read is no trouble of the folder that they are written to."""
    try:
        yield from chunks
    except OSError as error:
        raise LedgerError(f"what was to be stored cannot be read: {error}") from error


@contextlib.contextmanager
def _trouble_named(folder: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StoreFull(f"{folder}: no room on the disk") from error
        raise LedgerError(f"{folder} cannot be written: {error}") from error


@contextlib.contextmanager
def _errors_named(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, zstandard.ZstdError) as error:
        raise BlobAltered(f"blob {address} cannot be read: {error}") from error
