"""The blob header: forty bytes before every payload, so that a stored object says how it is to be read."""

import struct

import msgspec

from dre.errors import BlobAltered

MAGIC = b"DREB"
VERSION = 1
NO_COMPRESSION, ZSTD = 0, 1
NO_CIPHER, CHUNKED_AES_256_GCM = 0, 1
NO_KEY = bytes(16)

_LAYOUT = struct.Struct(">4sBBBB16sQQ")
HEADER_BYTES = _LAYOUT.size


class BlobHeader(msgspec.Struct, frozen=True):
    """`size_bytes`: of the plaintext. `payload_bytes`: of what follows the header."""

    compression: int
    size_bytes: int
    payload_bytes: int
    cipher: int = NO_CIPHER
    key_id: bytes = NO_KEY

    def pack(self) -> bytes:
        return _LAYOUT.pack(
            MAGIC, VERSION, self.compression, self.cipher, 0, self.key_id, self.size_bytes, self.payload_bytes
        )


def unpack(header: bytes) -> BlobHeader:
    """Raises BlobAltered for bytes that are no header of version 1."""
    if len(header) != HEADER_BYTES:
        raise BlobAltered(f"a blob header has {HEADER_BYTES} bytes, this one {len(header)}")
    magic, version, compression, cipher, reserved, key_id, size_bytes, payload_bytes = _LAYOUT.unpack(header)
    if magic != MAGIC or reserved != 0:
        raise BlobAltered("this does not begin with a blob header")
    if version != VERSION:
        raise BlobAltered(f"blob header version {version}; this DRE reads version {VERSION}", hint="use a newer DRE")
    if compression not in (NO_COMPRESSION, ZSTD):
        raise BlobAltered(f"compression {compression} is unknown")
    if cipher not in (NO_CIPHER, CHUNKED_AES_256_GCM):
        raise BlobAltered(f"cipher {cipher} is unknown")
    if (cipher == NO_CIPHER) != (key_id == NO_KEY):
        raise BlobAltered("a key id belongs to a cipher, and a cipher to a key id")
    if compression == NO_COMPRESSION and cipher == NO_CIPHER and size_bytes != payload_bytes:
        raise BlobAltered(f"{payload_bytes} bytes stored as they are cannot be {size_bytes} bytes of plaintext")
    return BlobHeader(compression, size_bytes, payload_bytes, cipher, key_id)
