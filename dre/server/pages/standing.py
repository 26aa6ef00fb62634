"""Where history stood when a page was made: what the live stream goes on behind, so that nothing is missed."""

from collections.abc import Sequence

import msgspec
from aiohttp import web

from dre.server.live import LIVE, Live
from dre.server.workspace import WORKSPACE, Workspace


class PageState(msgspec.Struct, frozen=True):
    """
    `workspace`: its name, for titles. `position`: of the newest event, -1 where there is none. `notes`: what a reader
    should know of the workspace as it is now, such as that nothing is recorded.
    """

    workspace: str
    position: int
    generation: int
    notes: Sequence[str]


async def standing(request: web.Request) -> PageState:
    """Asked before anything else of a page is read; the tables show at least this much afterwards."""
    workspace, live = request.app[WORKSPACE], request.app[LIVE]
    head = await workspace.store.head()
    await live.settled()
    return PageState(workspace.name, head.size - 1, head.generation, _notes(workspace, live))


def _notes(workspace: Workspace, live: Live) -> list[str]:
    blocked = workspace.blocked
    said = [] if blocked is None else [f"nothing is recorded here: {blocked.message}", blocked.hint or ""]
    said += [
        f"{one.name}: {one.state} ({one.error}); what is shown may be behind"
        for one in live.standings.values()
        if one.state != "ok" and not (blocked and one.name in ("workspace", "recording"))
    ]
    return [note for note in said if note]
