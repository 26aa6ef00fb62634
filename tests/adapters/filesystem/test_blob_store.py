"""Blobs on the disk: altered, cut, exchanged, swollen or abandoned files are told apart and refused."""

import asyncio
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dre.adapters.filesystem.blob_store import INCOMING, FileBlobStore
from dre.errors import BlobAltered, BlobMissing, DREError, LedgerError
from dre.ledger.blob import HEADER_BYTES, NO_COMPRESSION, ZSTD, BlobHeader
from dre.ports.blob_store import Blob

TEXT = b"a line of output that compresses well\n" * 2000
NOISE = os.urandom(50_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def blobs(folder: Path) -> FileBlobStore:
    return FileBlobStore(str(folder))


def file_of(folder: Path, blob: Blob) -> Path:
    return folder / blob.address[:2] / blob.address[2:]


def plant(folder: Path, stored: bytes) -> str:
    """An object under its own true address, whatever it holds."""
    address = sha256(stored).hexdigest()
    (folder / address[:2]).mkdir(parents=True, exist_ok=True)
    (folder / address[:2] / address[2:]).write_bytes(stored)
    return address


async def read_in_every_way(blobs: FileBlobStore, address: str) -> list[type[Exception] | None]:
    """What reading in pieces, reading at once and checking say."""
    said: list[type[Exception] | None] = []
    for way in (
        lambda: drain(blobs, address),
        lambda: blobs.read_all(address, 1 << 30),
        lambda: blobs.check(address),
    ):
        try:
            await way()
            said.append(None)
        except DREError as error:
            said.append(type(error))
    return said


async def drain(blobs: FileBlobStore, address: str) -> bytes:
    return b"".join([piece async for piece in blobs.read(address)])


async def test_a_blob_lies_under_the_hash_of_its_file(folder: Path, blobs: FileBlobStore) -> None:
    for content in (TEXT, NOISE, b""):
        blob = await blobs.put([content])
        stored = file_of(folder, blob).read_bytes()
        assert sha256(stored).hexdigest() == blob.address
        assert len(stored) == blob.stored_bytes


async def test_files_and_folders_are_private(folder: Path, blobs: FileBlobStore) -> None:
    before = os.umask(0)
    try:
        blob = await blobs.put([TEXT])
    finally:
        os.umask(before)
    assert stat.S_IMODE(file_of(folder, blob).stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / INCOMING, folder / blob.address[:2])} == {
        0o700
    }


async def test_what_compresses_is_compressed_and_nothing_else(folder: Path, blobs: FileBlobStore) -> None:
    text, noise = await blobs.put([TEXT]), await blobs.put([NOISE])

    assert text.stored_bytes < len(TEXT) / 10
    assert noise.stored_bytes == HEADER_BYTES + len(NOISE)
    assert file_of(folder, text).read_bytes()[5] == ZSTD
    assert file_of(folder, noise).read_bytes()[HEADER_BYTES:] == NOISE


async def test_nothing_is_left_in_incoming(folder: Path, blobs: FileBlobStore) -> None:
    await blobs.put([TEXT])
    await blobs.put([NOISE])
    await blobs.put([NOISE])

    assert os.listdir(folder / INCOMING) == []


@pytest.mark.parametrize("content", [TEXT, NOISE], ids=["compressed", "as it is"])
async def test_a_flipped_byte_anywhere_is_altered(folder: Path, blobs: FileBlobStore, content: bytes) -> None:
    blob = await blobs.put([content])
    file = file_of(folder, blob)
    whole = file.read_bytes()
    for place in [*range(HEADER_BYTES + 8), len(whole) // 2, len(whole) - 1]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert set(await read_in_every_way(blobs, blob.address)) == {BlobAltered}, place
    file.write_bytes(whole)
    assert set(await read_in_every_way(blobs, blob.address)) == {None}


@pytest.mark.parametrize("content", [TEXT, NOISE, b""], ids=["compressed", "as it is", "empty"])
async def test_a_cut_or_longer_file_is_altered(folder: Path, blobs: FileBlobStore, content: bytes) -> None:
    blob = await blobs.put([content])
    whole = file_of(folder, blob).read_bytes()
    for wrong in (b"", whole[:20], whole[:-1], whole + b"\0", whole * 2):
        file_of(folder, blob).write_bytes(wrong)
        assert set(await read_in_every_way(blobs, blob.address)) == {BlobAltered}, len(wrong)


async def test_missing_and_altered_are_two_errors(folder: Path, blobs: FileBlobStore) -> None:
    kept, other = await blobs.put([TEXT]), await blobs.put([NOISE])
    file_of(folder, kept).write_bytes(file_of(folder, other).read_bytes())
    file_of(folder, other).unlink()

    assert set(await read_in_every_way(blobs, kept.address)) == {BlobAltered}
    assert set(await read_in_every_way(blobs, other.address)) == {BlobMissing}


async def test_bytes_are_withheld_until_the_address_is_proved(folder: Path, blobs: FileBlobStore) -> None:
    """Who writes a small blob on as it is read never writes a wrong one."""
    blob = await blobs.put([b"the truth"])
    stored = bytearray(file_of(folder, blob).read_bytes())
    stored[-5:] = b"false"
    file_of(folder, blob).write_bytes(stored)

    reading = aiter(blobs.read(blob.address))
    with pytest.raises(BlobAltered):
        await anext(reading)


@pytest.mark.parametrize("place", ["file", "prefix"])
async def test_a_link_is_not_followed(folder: Path, blobs: FileBlobStore, tmp_path: Path, place: str) -> None:
    blob = await blobs.put([TEXT])
    what = file_of(folder, blob) if place == "file" else file_of(folder, blob).parent
    what.rename(tmp_path / "elsewhere")
    what.symlink_to(tmp_path / "elsewhere")

    assert set(await read_in_every_way(blobs, blob.address)) == {BlobAltered}


async def test_a_pipe_or_folder_in_a_blobs_place_holds_nobody_up(folder: Path, blobs: FileBlobStore) -> None:
    make: list[Callable[[Path], None]] = [os.mkfifo, os.mkdir]
    for number, plant_it in enumerate(make):
        blob = await blobs.put([b"%d" % number])
        file_of(folder, blob).unlink()
        plant_it(file_of(folder, blob))
        async with asyncio.timeout(20):
            assert set(await read_in_every_way(blobs, blob.address)) == {BlobAltered}


@pytest.mark.parametrize("names", [10, 3_000_000_000, 2**64 - 1])
async def test_a_frame_that_holds_more_than_its_header_says_is_stopped_there(
    folder: Path, blobs: FileBlobStore, names: int
) -> None:
    bomb = zstandard.ZstdCompressor(level=19).compress(bytes(200_000_000))
    header = BlobHeader(ZSTD, names, len(bomb)).pack()
    address = plant(folder, header + bomb)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(BlobAltered):
        await blobs.read_all(address, 1_000_000 if names > 10 else 10)
    with pytest.raises(BlobAltered):
        await asyncio.to_thread(lambda: [None for _ in blobs._pieces(address)])

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


async def test_a_frame_that_asks_for_a_huge_window_is_refused(folder: Path, blobs: FileBlobStore) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, enable_ldm=True)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    payload = frame.compress(b"x" * 100) + frame.flush()
    address = plant(folder, BlobHeader(ZSTD, 100, len(payload)).pack() + payload)

    with pytest.raises(BlobAltered, match="cannot be read"):
        await blobs.read_all(address, 100)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x28\xb5\x2f\xfd", zstandard.ZstdCompressor().compress(b"0123456789")[:-3], b"no frame at all"],
    ids=["nothing", "a magic number alone", "a cut frame", "no frame"],
)
async def test_a_payload_that_does_not_decompress_is_altered(
    folder: Path, blobs: FileBlobStore, payload: bytes
) -> None:
    address = plant(folder, BlobHeader(ZSTD, 10, len(payload)).pack() + payload)

    with pytest.raises(BlobAltered):
        await drain(blobs, address)


async def test_an_encrypted_blob_is_not_taken_for_plaintext(folder: Path, blobs: FileBlobStore) -> None:
    address = plant(folder, BlobHeader(NO_COMPRESSION, 4, 20, 1, b"k" * 16).pack() + bytes(20))

    with pytest.raises(BlobAltered, match="encrypted"):
        await drain(blobs, address)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=120))
async def test_any_bytes_under_their_true_address_are_a_blob_or_refused(
    folder: Path, blobs: FileBlobStore, stored: bytes
) -> None:
    said = await read_in_every_way(blobs, plant(folder, stored))

    assert said[0] == said[1]
    assert set(said) <= {None, BlobAltered}


async def test_a_damaged_object_is_replaced_when_its_content_is_put_again(folder: Path, blobs: FileBlobStore) -> None:
    blob = await blobs.put([TEXT])
    file_of(folder, blob).write_bytes(b"damaged")

    assert await blobs.put([TEXT]) == blob

    assert await drain(blobs, blob.address) == TEXT
    assert os.listdir(folder / INCOMING) == []


async def test_an_equal_object_that_is_there_is_kept(folder: Path, blobs: FileBlobStore) -> None:
    blob = await blobs.put([TEXT])
    before = file_of(folder, blob).stat()

    await FileBlobStore(str(folder)).put([TEXT])

    after = file_of(folder, blob).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


async def test_many_put_the_same_at_once(folder: Path) -> None:
    stores = [FileBlobStore(str(folder)) for _ in range(4)]

    kept = await asyncio.gather(*(stores[n % 4].put([TEXT if n % 2 else NOISE]) for n in range(16)))

    assert len(set(kept)) == 2
    assert os.listdir(folder / INCOMING) == []


async def test_what_a_killed_writer_left_is_swept_after_a_day(folder: Path) -> None:
    (folder / INCOMING).mkdir(parents=True)
    for name, age in (("old", 25 * 3600), ("young", 3600)):
        (folder / INCOMING / name).write_bytes(b"half")
        os.utime(folder / INCOMING / name, (time.time() - age,) * 2)

    await FileBlobStore(str(folder)).put([b"x"])

    assert os.listdir(folder / INCOMING) == ["young"]


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_bytes(b"a file in the folder's place")

    with pytest.raises(LedgerError, match="cannot be written"):
        await FileBlobStore(str(tmp_path / "evidence")).put([b"x"])


PUTTER = """
import asyncio, sys
from dre.adapters.filesystem.blob_store import FileBlobStore

def pieces():
    for number in range(400):
        yield (b"%d " % number) * 8192

async def main():
    blobs = FileBlobStore(sys.argv[1])
    print("ready", flush=True)
    while True:
        print((await blobs.put(pieces())).address, flush=True)

asyncio.run(main())
"""


def acknowledged_until_killed(folder: Path, after_s: float) -> list[str]:
    with subprocess.Popen([sys.executable, "-c", PUTTER, str(folder)], stdout=subprocess.PIPE, text=True) as putter:
        assert putter.stdout is not None
        assert putter.stdout.readline() == "ready\n"
        time.sleep(after_s)
        putter.kill()
        return [line.strip() for line in putter.stdout if line.endswith("\n")]


async def test_a_killed_writer_leaves_no_half_blob_under_an_address(folder: Path, blobs: FileBlobStore) -> None:
    for kill in range(8):
        for address in acknowledged_until_killed(folder, after_s=0.012 * kill):
            await blobs.check(address)
        for prefix in folder.glob("[0-9a-f][0-9a-f]"):
            for file in prefix.iterdir():
                await blobs.check(prefix.name + file.name)


MEASURE = """
import asyncio, resource, sys
from dre.adapters.filesystem.blob_store import FileBlobStore

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main():
    blobs = FileBlobStore(sys.argv[1])
    await blobs.put([b"warm"])
    before = peak()
    block = bytes(range(256)) * 4096
    blob = await blobs.put(block for _ in range(200))
    async for piece in blobs.read(blob.address):
        pass
    await blobs.check(blob.address)
    print(peak() - before)

asyncio.run(main())
"""


def test_two_hundred_megabytes_pass_through_a_bounded_memory(folder: Path) -> None:
    measured = subprocess.run([sys.executable, "-c", MEASURE, str(folder)], capture_output=True, check=True, text=True)

    assert int(measured.stdout) < 24 * 1024
