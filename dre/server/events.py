"""`/events`: history, replayed: from a position, of a stream, of a type, of somebody, of a time."""

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated
from uuid import UUID

import msgspec
from aiohttp import web

from dre.domain.account import actor_id
from dre.domain.events import stream_id
from dre.errors import RequestRefused
from dre.ports.event_store import StoredEvent
from dre.ports.table_store import Query
from dre.projections.audit_trail import AuditRow
from dre.projections.history import Shown, encoded
from dre.server import answers, paging
from dre.server.access import PRINCIPAL, may_see
from dre.server.incoming import parameters, shown
from dre.server.kept import KEPT
from dre.server.live import LIVE
from dre.server.paging import Cursor, EventType, Limit, Moment, Page, Position
from dre.server.routes import Route, api
from dre.server.workspace import WORKSPACE, Workspace

_LARGEST_PAGE = 8 << 20
_AT_ONCE = 32
"""How many events are looked up in one go: their bodies are as much as a page holds, at most."""
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Stream = Annotated[
    str,
    msgspec.Meta(
        max_length=200, pattern="^[^/]+/[a-z]+-.+$", description="as events name it: default/operation-<uuid>"
    ),
]


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`since` and `until` bound `recordedAt`. `proofs`: with the hashed entry, the salt and the exact body of each."""

    limit: Limit = 100
    cursor: Cursor | None = None
    after: Position = -1
    stream: Stream | None = None
    type: EventType | None = None
    actor: Name | None = None
    since: Moment | None = None
    until: Moment | None = None
    proofs: bool = False


class After(msgspec.Struct, frozen=True):
    """History goes on behind this position."""

    position: Position


async def list_events(request: web.Request) -> web.Response:
    kept = request.app[KEPT]
    before = kept.versions()
    asked = (list_events, request.rel_url.raw_query_string, request[PRINCIPAL].projects)
    found = kept.get(asked, before)
    if found is None:
        found = kept.put(asked, before, await _page(request, parameters(request, Which)))
    return answers.encoded(request, found.body, tag=found.tag)


async def _page(request: web.Request, which: Which) -> bytes:
    place = paging.place(which.cursor, After)
    found, goes_on = await _found(request, which, place.position if place else which.after)
    principal = request[PRINCIPAL]
    items = b",".join([encoded(one, proofs=which.proofs) for one in found if may_see(principal, one)])
    following = f'"{paging.cursor(After(found[-1].entry.position))}"' if goes_on and found else "null"
    return b'{"items":[' + items + b'],"next":' + following.encode() + b"}"


async def _found(request: web.Request, which: Which, after: int) -> tuple[Sequence[StoredEvent], bool]:
    """The page, and whether the list goes on."""
    if _is_filtered(which):
        return await _filtered(request, which, after)
    store = request.app[WORKSPACE].store
    size = (await store.head()).size
    async for found in store.read(after, size, page=which.limit):  # fewer where their bodies are big
        return found, found[-1].entry.position < size - 1
    return (), False


def _is_filtered(which: Which) -> bool:
    return any(value is not None for value in (which.stream, which.type, which.actor, which.since, which.until))


async def _filtered(request: web.Request, which: Which, after: int) -> tuple[Sequence[StoredEvent], bool]:
    """It goes on where one more is there than the page holds."""
    await request.app[LIVE].settled()
    found: list[StoredEvent] = []
    size = 0
    async with contextlib.aclosing(_picked(request.app[WORKSPACE], which, after)) as events:
        async for event in events:
            if len(found) == which.limit or size > _LARGEST_PAGE:
                return found, True
            found.append(event)
            size += len(event.body or b"")
    return found, False


async def _picked(workspace: Workspace, which: Which, after: int) -> AsyncGenerator[StoredEvent, None]:
    """The audit trail knows of every event who did what to what and when, and has an index for each question."""
    where = _where(which)
    while True:
        ranges = {"created_at": (which.since, which.until), "position": (after + 1, None)}
        query = Query(where=where, ranges=ranges, order_by="position", limit=_AT_ONCE)
        rows = await workspace.tables.query(AuditRow, query)
        events = await workspace.store.find([row.id for row in rows])
        for row in rows:
            if (event := events.get(row.id)) is not None and _is_asked_for(which, event):
                yield event
        if len(rows) < _AT_ONCE:
            return
        after = rows[-1].position


def _is_asked_for(which: Which, stored: StoredEvent) -> bool:
    """A table is only a hint: what stands in history decides."""
    entry = stored.entry
    at = entry.recorded_at_us // 1000
    return (
        which.stream in (None, entry.stream)
        and which.type in (None, entry.type)
        and which.actor in (None, entry.actor)
        and (which.since is None or at >= which.since)
        and (which.until is None or at < which.until)
    )


def _where(which: Which) -> dict[str, object]:
    where: dict[str, object] = {}
    if which.stream is not None:
        _, where["entity_type"], where["entity_id"] = stream_id(which.stream)
    if which.type is not None:
        where["action"] = which.type
    if which.actor is not None:
        where["user_id"] = _user(which.actor)
    return where


def _user(actor: str) -> UUID:
    """Raises RequestRefused for any but the one form in which entries name somebody."""
    try:
        found = actor_id(actor)
    except ValueError:
        found = None
    if found is None or actor not in (f"local-{found}", f"account-{found}"):
        raise RequestRefused(f"actor: {shown(actor)} is no actor: local-<uuid> is expected")
    return found


ROUTES: tuple[Route, ...] = (
    api("GET", "/events", list_events, "History, oldest first", takes=Which, answers={200: Page[Shown]}),
)
