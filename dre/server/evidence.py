"""
`/evidence`: what was collected, and its bytes exactly as they were recorded.

Nothing is handed out whole that was not proved: the store keeps the last piece back until the object hashes to its
address, so whoever was given a damaged one sees an answer that ends too soon, never a complete one.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from aiohttp import web

from dre.domain.evidence import EvidenceType
from dre.errors import BlobAltered, BlobMissing, DREError, LedgerAltered, NotFound, RangeRefused
from dre.ports.table_store import Query
from dre.projections.evidence import EvidenceDetail, EvidenceRow, detail, read_evidence
from dre.server import answers, paging
from dre.server.incoming import parameters, uuid_in_path
from dre.server.live import LIVE
from dre.server.operations import operation_detail
from dre.server.paging import Cursor, Limit, Page, Position
from dre.server.routes import Media, Route, api
from dre.server.workspace import WORKSPACE
from dre.verification import intact

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_RANGE = re.compile(r"bytes=([0-9]{0,40})-([0-9]{0,40})", re.ASCII | re.IGNORECASE)
_SAFE = re.compile(r"[^A-Za-z0-9._-]")


Blob = Literal["intact", "altered", "missing", "erased", "unknown"]


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    limit: Limit = 100
    cursor: Cursor | None = None
    operation_id: UUID | None = None
    type: EvidenceType | None = None
    kind: Name | None = None


class After(msgspec.Struct, frozen=True):
    position: Position
    id: UUID


class Examined(msgspec.Struct, frozen=True, rename="camel"):
    """
    Whether an item is what was recorded: `blob` says of the stored bytes (`unknown`: the event cannot say any more
    which they are), `event` of the entry that names them. `checkedBytes`: how many were read and hashed. That the
    history around it is whole is for a ledger's audit to prove.
    """

    id: UUID
    intact: bool
    event: Literal["intact", "altered"]
    blob: Blob
    checked_bytes: int
    position: int
    details: list[str]


async def list_evidence(request: web.Request) -> web.Response:
    which = parameters(request, Which)
    after = paging.place(which.cursor, After)
    await request.app[LIVE].settled()
    asked = {name: getattr(which, name) for name in ("operation_id", "type", "kind")}
    rows = await request.app[WORKSPACE].tables.query(
        EvidenceRow,
        Query(
            where={name: value for name, value in asked.items() if value is not None},
            order_by="position",
            after=(after.position, after.id) if after else None,
            limit=which.limit + 1,
        ),
    )
    return answers.as_json(request, paging.page(rows, which.limit, detail, lambda row: After(row.position, row.id)))


async def one_item(request: web.Request) -> web.Response:
    return answers.as_json(request, await read_evidence(request.app[WORKSPACE].store, uuid_in_path(request)))


async def content(request: web.Request) -> web.StreamResponse:
    return await serve(request, await read_evidence(request.app[WORKSPACE].store, uuid_in_path(request)))


async def content_at_path(request: web.Request) -> web.StreamResponse:
    """The address that `evidence.collected` names."""
    found = await operation_detail(request, uuid_in_path(request, "operation"))
    item = next((one for one in found.evidence if one.path == request.path), None)
    if item is None:
        raise NotFound("there is no such item of evidence")
    return await serve(request, await read_evidence(request.app[WORKSPACE].store, item.id))


async def examine(request: web.Request) -> web.Response:
    workspace = request.app[WORKSPACE]
    id = uuid_in_path(request)
    stored = (await workspace.store.find([id])).get(id)
    if stored is None:
        raise NotFound(f"there is no evidence {id}")
    altered = await intact.altered_events(workspace.store, workspace.ledger_id, [stored], alone=True)
    details = [one.detail for one in altered]
    event: Literal["intact", "altered"] = "altered" if details else "intact"
    blob, size = await _examined_blob(request, id, details)
    is_intact = event == "intact" and blob == "intact"
    return answers.as_json(request, Examined(id, is_intact, event, blob, size, stored.entry.position, details))


async def _examined_blob(request: web.Request, id: UUID, details: list[str]) -> tuple[Blob, int]:
    """`details`: what is wrong with the event; what is wrong with the blob is added."""
    workspace = request.app[WORKSPACE]
    try:
        item = await read_evidence(workspace.store, id)
    except BlobMissing as error:
        details.append(error.message)
        return "erased", 0
    except (LedgerAltered, NotFound):  # not found: what it is was altered
        if not details:
            raise
        return "unknown", 0
    try:
        return "intact", await workspace.blobs.check(item.hash)
    except BlobMissing as error:
        details.append(error.message)
        return "missing", 0
    except BlobAltered as error:
        details.append(error.message)
        return "altered", 0


async def serve(request: web.Request, item: EvidenceDetail) -> web.StreamResponse:
    """The bytes, or those that were asked for (RFC 9110, 14)."""
    tag = f'"{item.hash}"'
    if answers.is_known(request, tag):
        return web.Response(status=304, headers={"ETag": tag})
    wanted = _wanted(request, item, tag)
    start, end = wanted or (0, item.size_bytes)
    response = web.StreamResponse(status=206 if wanted else 200, headers=_headers(item, tag))
    if wanted:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{item.size_bytes}"
    response.content_length = end - start
    blobs = request.app[WORKSPACE].blobs
    if request.method == "HEAD":  # there is no answer that could end too soon
        await blobs.check(item.hash)
        await response.prepare(request)
        return response
    async with aclosing(blobs.read(item.hash)) as whole, aclosing(_between(whole, start, end)) as pieces:
        first = await anext(pieces, b"")  # what is missing is said before anything was promised
        await response.prepare(request)
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
        except DREError:
            if request.transport is not None:
                request.transport.abort()  # an answer that ends too soon: it must not look complete
            raise
    await response.write_eof()
    return response


def _headers(item: EvidenceDetail, tag: str) -> dict[str, str]:
    return {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Type": item.media_type,
        "Content-Disposition": f'attachment; filename="{_SAFE.sub("_", item.name)}"',
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    }


def _wanted(request: web.Request, item: EvidenceDetail, tag: str) -> tuple[int, int] | None:
    """
    From and up to which byte. None, for all of them, where no one range is asked for: RFC 9110 has a range that is none
    ignored, and any range of HEAD. Raises RangeRefused beyond the end.
    """
    match = _RANGE.fullmatch(", ".join(request.headers.getall("Range", [])))
    if match is None or not (match[1] or match[2]) or request.method != "GET":
        return None
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None
    if request.headers.get("If-Range", tag) != tag:
        return None
    first, last = match[1], match[2]
    if not first:
        start, end = max(0, item.size_bytes - int(last)), item.size_bytes
    else:
        start, end = int(first), min(item.size_bytes, int(last) + 1 if last else item.size_bytes)
    if start >= end:
        raise RangeRefused(
            f"the evidence has {item.size_bytes} bytes; {match[0]} is none of them", size_bytes=item.size_bytes
        )
    return start, end


async def _between(pieces: AsyncIterator[bytes], start: int, end: int) -> AsyncGenerator[bytes, None]:
    """Those bytes; the last of them only when all was read, since only then the object is proved."""
    held, at = b"", 0
    async for piece in pieces:
        part = piece[max(0, start - at) : max(0, end - at)]
        at += len(piece)
        if part:
            if held:
                yield held
            held = part
    yield held


_BYTES = Media("*/*", "The bytes that were recorded, in their own media type")

ROUTES: tuple[Route, ...] = (
    api("GET", "/evidence", list_evidence, "Evidence, oldest first", takes=Which, answers={200: Page[EvidenceDetail]}),
    api("GET", "/evidence/{id}", one_item, "One item", answers={200: EvidenceDetail}, refuses=(410,)),
    api(
        "GET",
        "/evidence/{id}/content",
        content,
        "The bytes of one item",
        answers={200: _BYTES, 206: _BYTES},
        headers=("Range",),
    ),
    api("POST", "/evidence/{id}/verify", examine, "Whether an item is what was recorded", answers={200: Examined}),
    Route(
        "GET",
        "/evidence/{operation}/{type}/{name}",
        content_at_path,
        "owner",
        "The bytes of one item, at the path that its event names",
        {200: _BYTES, 206: _BYTES},
        headers=("Range",),
        ids=("operation",),
    ),
)
