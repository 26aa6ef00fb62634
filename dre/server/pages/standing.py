"""Where history stood when a page was made: what the live stream goes on behind, so that nothing is missed."""

import msgspec
from aiohttp import web

from dre.server.live import LIVE
from dre.server.workspace import WORKSPACE


class Standing(msgspec.Struct, frozen=True):
    """`workspace`: its name, for titles. `position`: of the newest event, -1 where there is none."""

    workspace: str
    position: int
    generation: int


async def standing(request: web.Request) -> Standing:
    """Asked before anything else of a page is read; the tables show at least this much afterwards."""
    workspace = request.app[WORKSPACE]
    head = await workspace.store.head()
    await request.app[LIVE].settled()
    return Standing(workspace.name, head.size - 1, head.generation)
