"""`/operations`: what ran, newest first; one operation whole; its evidence."""

from typing import Annotated
from uuid import UUID

import msgspec
from aiohttp import web

from dre.domain.ids import typed_short
from dre.domain.verification import Result
from dre.errors import RequestRefused
from dre.projections.operation_detail import Item, OperationDetail, read_operation
from dre.projections.operations import Asked, OperationRow, OperationSummary, Status, newest, summary
from dre.server import answers, paging
from dre.server.incoming import parameters, shown, uuid_in_path
from dre.server.kept import KEPT
from dre.server.live import LIVE
from dre.server.paging import Cursor, Limit, Moment, Page
from dre.server.routes import Route, api
from dre.server.workspace import WORKSPACE

Short = Annotated[str, msgspec.Meta(min_length=4, max_length=12, description="an operation's short id: FY9J")]


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """
    `since` and `until` bound the start; `command`: words that stand in the command, ASCII letters in whatever case;
    `short`: the end of an id, as people type it.
    """

    limit: Limit = 50
    cursor: Cursor | None = None
    since: Moment | None = None
    until: Moment | None = None
    command: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    status: Status | None = None
    result: Result | None = None
    short: Short | None = None


class Begun(msgspec.Struct, frozen=True):
    """Where a list of operations goes on."""

    at: Moment
    id: UUID


async def list_operations(request: web.Request) -> web.Response:
    which = parameters(request, Which)
    begun = paging.place(which.cursor, Begun)
    await request.app[LIVE].settled()
    rows = await newest(
        request.app[WORKSPACE].tables,
        limit=which.limit + 1,
        asked=Asked(which.since, which.until, which.command, which.status, which.result, _short(which.short)),
        after=(begun.at, begun.id) if begun else None,
    )
    return answers.as_json(request, paging.page(rows, which.limit, summary, _place))


async def one_operation(request: web.Request) -> web.Response:
    kept = request.app[KEPT]
    before = kept.versions()
    asked = (one_operation, request.match_info["id"])
    found = kept.get(asked, before)
    if found is None:
        body = msgspec.json.encode(await operation_detail(request, uuid_in_path(request)))
        found = kept.put(asked, before, body)
    return answers.encoded(request, found.body, tag=found.tag)


async def evidence_of_operation(request: web.Request) -> web.Response:
    detail = await operation_detail(request, uuid_in_path(request))
    return answers.as_json(request, Page(detail.evidence, None))


async def wrap_is_off(_request: web.Request) -> web.Response:
    """As where it is switched off: 404. That the address is known is no secret, `Allow` of other methods names it."""
    raise web.HTTPNotFound


async def operation_detail(request: web.Request, id: UUID) -> OperationDetail:
    """Raises NotFound."""
    await request.app[LIVE].settled()
    workspace = request.app[WORKSPACE]
    return await read_operation(workspace.store, workspace.tables, id)


def _short(typed: str | None) -> str | None:
    found = None if typed is None else typed_short(typed)
    if typed is not None and found is None:
        raise RequestRefused(f"short: {shown(typed)} is no short id", hint="dre log shows them")
    return found


def _place(row: OperationRow) -> Begun:
    return Begun(row.started_at, row.id)


ROUTES: tuple[Route, ...] = (
    api(
        "GET",
        "/operations",
        list_operations,
        "Operations, newest first",
        takes=Which,
        answers={200: Page[OperationSummary]},
    ),
    api("POST", "/operations/wrap", wrap_is_off, "Run a command (switched off)", answers={}, is_told=False),
    api("GET", "/operations/{id}", one_operation, "One operation, whole", answers={200: OperationDetail}),
    api(
        "GET",
        "/operations/{id}/evidence",
        evidence_of_operation,
        "The evidence of one operation",
        answers={200: Page[Item]},
    ),
)
