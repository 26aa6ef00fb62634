"""Verify here: whether one operation's events and evidence are what was recorded, examined now."""

import time

from aiohttp import web

from dre.documentation import telling
from dre.server.incoming import uuid_in_path
from dre.server.pages.rendering import render
from dre.server.pages.standing import standing
from dre.server.workspace import WORKSPACE
from dre.verification import intact


async def check(request: web.Request) -> web.Response:
    stood = await standing(request)
    workspace = request.app[WORKSPACE]
    began = time.perf_counter()
    examined = await intact.examine(
        workspace.store, workspace.tables, workspace.blobs, workspace.ledger_id, uuid_in_path(request)
    )
    took_us = round((time.perf_counter() - began) * 1e6)
    return render(
        request,
        "check.html",
        stood=stood,
        examined=examined,
        detail=examined.detail,
        reasons=telling.reasons(examined.detail),
        took_us=took_us,
    )
