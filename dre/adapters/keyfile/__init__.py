"""
Key files: the ledger's two Ed25519 keys, private to this user and kept apart from what they sign.

They are made with the ledger, so that `ledger.created` can name them; nothing has to be signed yet. Importing this
room costs nothing: cryptography is loaded when a key is.
"""

import contextlib
import os
import stat
from typing import TYPE_CHECKING
from uuid import uuid4

from dre.errors import KeyRefused

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNER = "signer.key"
COSIGNER = "cosigner.key"
_MAX_BYTES = 4096
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def public_keys(folder: str) -> tuple[bytes, bytes]:
    """The raw public keys of signer and cosigner; both are made where they are missing. Raises KeyRefused."""
    signer, cosigner = (load_or_make(os.path.join(folder, name)) for name in (SIGNER, COSIGNER))
    return signer.public_key().public_bytes_raw(), cosigner.public_key().public_bytes_raw()


def load_or_make(path: str) -> "Ed25519PrivateKey":
    """Of two processes that make it at once, both get the one that was named first. Raises KeyRefused."""
    if not os.path.lexists(path):
        _make(path)
    return load(path)


def load(path: str) -> "Ed25519PrivateKey":
    """Raises KeyRefused unless the file is this user's alone and holds an Ed25519 key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - 40 ms
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - 40 ms

    pem = _read_private(path)
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise KeyRefused(f"{path} holds no private key: {error}", hint="restore it from a copy") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyRefused(f"{path} holds a key that is not Ed25519", hint="restore it from a copy")
    return key


def _make(path: str) -> None:
    """Complete and on the disk before it has its name, for it cannot be made a second time."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - 40 ms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - 40 ms

    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    fresh = f"{path}.{uuid4().hex}"
    with os.fdopen(os.open(fresh, _NEW, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path, follow_symlinks=False)
    finally:
        os.unlink(fresh)
    folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _read_private(path: str) -> bytes:
    try:
        fd = os.open(path, _READ)
    except OSError as error:
        raise KeyRefused(f"{path} cannot be opened: {error.strerror}", hint="a key is a file, never a link") from error
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise KeyRefused(f"{path} is not a file", hint="restore it from a copy")
        if found.st_uid != os.geteuid():
            raise KeyRefused(f"{path} belongs to user {found.st_uid}, not to you", hint="restore it from a copy")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise KeyRefused(
                f"{path} has mode {stat.S_IMODE(found.st_mode):04o}: others could have read or changed it",
                hint="trust this key no longer, if others use this machine; else chmod 600",
            )
        return file.read(_MAX_BYTES)
