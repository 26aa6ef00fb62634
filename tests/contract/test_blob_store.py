"""What every blob store promises."""

import errno
import os
from collections.abc import Iterator
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dre.errors import BlobAltered, BlobMissing, LedgerError
from dre.ports.blob_store import BlobStore

CONTENTS = {
    "nothing": b"",
    "a byte": b"\x00",
    "text that compresses": b"the same line again\n" * 50_000,
    "noise that does not": os.urandom(700_001),
    "exactly one piece": bytes(256 * 1024),
    "a blob inside a blob": b"DREB\x01\x01" + bytes(34) + b"\x28\xb5\x2f\xfd",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
async def test_what_was_put_is_read(blobs: BlobStore, content: bytes) -> None:
    blob = await blobs.put([content])

    assert b"".join([piece async for piece in blobs.read(blob.address)]) == content
    assert await blobs.read_all(blob.address, len(content)) == content
    assert await blobs.check(blob.address) == blob.stored_bytes
    assert (blob.size_bytes, blob.digest) == (len(content), sha256(content).hexdigest())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.binary(max_size=3000), max_size=8), st.integers(1, 5000))
async def test_the_same_bytes_are_one_object_however_they_are_cut(
    blobs: BlobStore, chunks: list[bytes], cut: int
) -> None:
    whole = b"".join(chunks)

    assert await blobs.put(chunks) == await blobs.put(whole[at : at + cut] for at in range(0, len(whole), cut))


async def test_a_failing_source_leaves_no_blob(blobs: BlobStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of it"
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        await blobs.put(chunks())

    blob = await blobs.put([b"half of it"])
    assert await blobs.read_all(blob.address, 100) == b"half of it"


async def test_a_source_that_cannot_be_read_is_named_as_that(blobs: BlobStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"half of it"
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(LedgerError, match=r"^what was to be stored cannot be read: .*Input/output error$"):
        await blobs.put(chunks())


async def test_a_stored_object_s_length_is_told_without_reading_it(blobs: BlobStore) -> None:
    blob = await blobs.put([b"some content"])

    assert await blobs.stored_size(blob.address) == blob.stored_bytes
    with pytest.raises(BlobMissing):
        await blobs.stored_size("ab" * 32)


async def test_a_blob_that_is_not_there_is_missing(blobs: BlobStore) -> None:
    with pytest.raises(BlobMissing):
        await blobs.check("ab" * 32)
    with pytest.raises(BlobMissing):
        await blobs.read_all("ab" * 32, 100)
    with pytest.raises(BlobMissing):
        [piece async for piece in blobs.read("ab" * 32)]


@pytest.mark.parametrize(
    "address",
    ["", "..", "ab", "AB" * 32, "../" * 21 + "a", "/etc/passwd", "ab" * 32 + "\n", "ab/" + "c" * 61, "é" * 64],
)
async def test_what_is_no_address_names_nothing(blobs: BlobStore, address: str) -> None:
    with pytest.raises(BlobMissing, match="address"):
        await blobs.read_all(address, 100)
    with pytest.raises(BlobMissing, match="address"):
        await blobs.check(address)


async def test_a_blob_beyond_the_limit_is_not_read(blobs: BlobStore) -> None:
    blob = await blobs.put([bytes(1_000_000)])

    with pytest.raises(BlobAltered, match="1000000 bytes"):
        await blobs.read_all(blob.address, 999_999)


async def test_a_reader_may_stop_early(blobs: BlobStore) -> None:
    blob = await blobs.put([os.urandom(2_000_000)])

    async for piece in blobs.read(blob.address):
        assert len(piece) <= 1 << 20
        break
    assert await blobs.check(blob.address) == blob.stored_bytes
