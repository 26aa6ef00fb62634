"""The first page: operations, newest first, and a form that says which."""

from typing import Annotated, Literal
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from dre.domain.verification import Result
from dre.projections.operations import Asked, Status, newest
from dre.server import paging
from dre.server.incoming import parameters
from dre.server.operations import Begun
from dre.server.pages.rendering import render
from dre.server.pages.standing import standing
from dre.server.paging import Cursor
from dre.server.workspace import WORKSPACE

_ROWS = 50
STATUSES: dict[Status, str] = {
    "running": "running",
    "succeeded": "succeeded",
    "failed": "failed",
    "signaled": "killed by a signal",
    "timed_out": "timed out",
    "interrupted": "recording interrupted",
}
RESULTS: dict[Result, str] = {"passed": "passed", "failed": "failed", "inconclusive": "inconclusive"}


class Which(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As the form sends it: what was left alone is empty."""

    command: Annotated[str, msgspec.Meta(max_length=500)] = ""
    status: Status | Literal[""] = ""
    result: Result | Literal[""] = ""
    cursor: Cursor | None = None


async def operations(request: web.Request) -> web.Response:
    which = parameters(request, Which)
    begun = paging.place(which.cursor, Begun)
    stood = await standing(request)
    rows = await newest(
        request.app[WORKSPACE].tables,
        limit=_ROWS + 1,
        asked=Asked(None, None, which.command.strip() or None, which.status or None, which.result or None),
        after=(begun.at, begun.id) if begun else None,
    )
    shown = rows[:_ROWS]
    older = _address(which, paging.cursor(Begun(shown[-1].started_at, shown[-1].id))) if len(rows) > _ROWS else None
    return render(
        request,
        "operations.html",
        stood=stood,
        operations=shown,
        which=which,
        is_filtered=bool(which.command.strip() or which.status or which.result),
        newest=_address(which, None),
        older=older,
        statuses=STATUSES,
        results=RESULTS,
    )


def _address(which: Which, cursor: str | None) -> str:
    asked = {"command": which.command, "status": which.status, "result": which.result, "cursor": cursor}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/?{query}" if query else "/"
