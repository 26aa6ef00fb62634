"""An operation's output as one JSON object: `text` where it is UTF-8, else `bytes` in base64; never held as a whole."""

import base64
import codecs
from collections.abc import AsyncIterator, Callable
from uuid import UUID

import msgspec

from dre.documentation import safe
from dre.ports.blob_store import BlobStore
from dre.projections.operation_detail import Item

_Coder = Callable[[bytes, bool], str]


async def json_output(blobs: BlobStore, operation_id: UUID, item: Item) -> AsyncIterator[str]:
    """In pieces of one line. Read twice: what is altered is known before the first piece, and so is what it holds."""
    is_text = await _is_utf8(blobs.read(item.hash))
    known = {"id": operation_id, "evidenceId": item.id, "sizeBytes": item.size_bytes}
    yield msgspec.json.encode(known)[:-1].decode() + f',"{"text" if is_text else "bytes"}":"'
    coder = _text() if is_text else _base64()
    async for piece in blobs.read(item.hash):
        yield coder(piece, False)
    yield coder(b"", True) + '"}\n'


async def _is_utf8(pieces: AsyncIterator[bytes]) -> bool:
    decode, is_text = codecs.getincrementaldecoder("utf-8")().decode, True
    async for piece in pieces:
        try:
            is_text = is_text and decode(piece) is not None
        except UnicodeDecodeError:
            is_text = False
    try:
        return is_text and decode(b"", True) == ""
    except UnicodeDecodeError:
        return False


def _text() -> _Coder:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    return lambda piece, last: safe.json_line(msgspec.json.encode(decode(piece, last))[1:-1])


def _base64() -> _Coder:
    held = bytearray()

    def encode(piece: bytes, last: bool) -> str:  # noqa: FBT001 - as a codec takes it
        held.extend(piece)
        whole = len(held) if last else len(held) // 3 * 3
        encoded = base64.b64encode(held[:whole]).decode()
        del held[:whole]
        return encoded

    return encode
