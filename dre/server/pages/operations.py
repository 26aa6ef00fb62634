"""The first page: operations, newest first."""

from aiohttp import web

from dre.projections.operations import newest
from dre.server.live import LIVE
from dre.server.pages.rendering import render
from dre.server.workspace import WORKSPACE


async def operations(request: web.Request) -> web.Response:
    await request.app[LIVE].settled()
    rows = await newest(request.app[WORKSPACE].tables, limit=50)
    return render(request, "operations.html", operations=rows)
