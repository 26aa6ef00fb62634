"""The blob store: evidence payloads, found by the hash of what is stored."""

from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

import msgspec


class Blob(msgspec.Struct, frozen=True):
    """
    `address`: SHA-256 (hex) of the stored object, header included. `digest`: SHA-256 (hex) of the plaintext.
    Sizes in bytes.
    """

    address: str
    size_bytes: int
    stored_bytes: int
    digest: str


class BlobStore(Protocol):
    """
    Content-addressed payloads. What `put` returned is durable, and nothing may refer to a blob before.

    A reader gets the bytes that were put or an error: BlobMissing, BlobAltered.
    """

    async def put(self, chunks: Iterable[bytes]) -> Blob:
        """Stores the concatenation of the chunks with bounded memory. The same bytes twice are one object."""
        ...

    def read(self, address: str) -> AsyncGenerator[bytes, None]:
        """
        The plaintext in pieces. The address is proved by the time the last piece is handed out. Who may stop before
        that closes it, or the object stays open.
        """
        ...

    async def read_all(self, address: str, limit_bytes: int) -> bytes:
        """The whole plaintext, proved before it is returned; BlobAltered when it is longer than the limit."""
        ...

    async def check(self, address: str) -> int:
        """Reads and re-hashes the stored object; returns its size in bytes. Raises BlobMissing, BlobAltered."""
        ...

    async def stored_size(self, address: str) -> int:
        """How long the stored object is, in bytes; nothing of it is read. Raises BlobMissing, BlobAltered."""
        ...
