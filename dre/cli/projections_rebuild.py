"""`dre projections rebuild`: tables are worth nothing by themselves; here they are made anew from history."""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import click
import msgspec

from dre.cli.asked import Asked
from dre.cli.command import command as a_command
from dre.cli.opened import opened, run
from dre.cli.progress import Progress
from dre.composition.rebuilding import Rebuilding, rebuilding
from dre.documentation import words
from dre.errors import LedgerError, NotFound
from dre.projections import PROJECTIONS
from dre.projections.projection import Projection

_LOOK_S = 0.1


@a_command(
    "rebuild",
    short_help="make the tables anew from history",
    examples=["dre projections rebuild", "dre projections rebuild operations"],
)
@click.argument("name", metavar="[NAME]", required=False)
@click.pass_obj
def command(asked: Asked, name: str | None) -> None:
    """Makes the tables anew from the events: all of them, or the one named. The old ones answer until that is done."""
    chosen = [projection for projection in PROJECTIONS if name in (None, projection.name)]
    if not chosen:
        names = ", ".join(projection.name for projection in PROJECTIONS)
        raise NotFound(f"there is no projection {name}", hint=f"one of: {names}")
    run(_rebuild(asked, chosen))


async def _rebuild(asked: Asked, chosen: Sequence[Projection[Any]]) -> None:
    async with opened(asked, caught_up=False) as engine:
        size = (await engine.store.head()).size
        async with rebuilding(engine, chosen) as work:
            await _run(asked, work, size)
    names = [projection.name for projection in chosen]
    if asked.json:
        asked.answer(msgspec.json.encode({"rebuilt": names, "events": size}))
    else:
        asked.screen().say(f"{', '.join(names)}: made anew from {words.counted(size, 'event')}")


async def _run(asked: Asked, work: Rebuilding, size: int) -> None:
    progress = Progress(asked, "events", size)
    watching = asyncio.create_task(_watch(work, progress))
    try:
        parked = await work.run()
    except asyncio.CancelledError:
        asked.note(f"stopped at event {progress.done}; the tables are as they were")
        raise
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        progress.end()
    if parked:
        stuck = parked[0]
        raise LedgerError(f"{stuck.name} is stuck at event {stuck.position}: {stuck.error}", hint="dre doctor")


async def _watch(work: Rebuilding, progress: Progress) -> None:
    while True:
        progress.advance(await work.slowest() - progress.done)
        await asyncio.sleep(_LOOK_S)
