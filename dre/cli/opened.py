"""
A workspace opened to be read: what still waits in the spool is recorded first, then everything has caught up.

What cannot be recorded now keeps nobody from reading what was: it is said, and it waits.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, TypeVar

from dre.adapters.filesystem.begin import CI_MARKER
from dre.cli.asked import Asked
from dre.composition import Engine, end_lost, look_at_history, open_engine, read_settings, record_pending
from dre.domain.ids import short
from dre.errors import DREError

if TYPE_CHECKING:
    from dre.capture.ingest import Ingested

Value = TypeVar("Value")
PATIENCE_S = 5.0
"""How long a reader waits for an ingest that is at work."""


def run(work: Coroutine[object, object, Value]) -> Value:
    return asyncio.run(work)


@contextlib.asynccontextmanager
async def opened(asked: Asked, *, caught_up: bool = True, to_append: bool = False) -> AsyncIterator[Engine]:
    """
    The engine of this workspace, with nothing pending. `caught_up` False: without the tables and verdicts.
    `to_append`: raises what blocks it, which a reader is only told.

    Raises what `open_engine` raises.
    """
    async with open_engine(read_settings(asked.directory, os.environ)) as engine:
        asked.color = asked.color and not _in_ci(engine)
        for note in engine.notes:
            asked.note(note)
        if engine.blocked is not None and to_append:
            raise engine.blocked
        if engine.blocked is not None:
            asked.note(f"{engine.blocked.message} ({engine.blocked.hint})")
        else:
            await _record_pending(asked, engine)
        if caught_up:
            await _catch_up(asked, engine)
            await _end_lost(asked, engine)
        yield engine


def say_trouble_with_history(asked: Asked) -> None:
    """For commands that need no history: whoever uses any of them hears that it is not what it was."""
    if (error := run(look_at_history(asked.directory, os.environ))) is not None:
        asked.note(f"{error.message} ({error.hint})")


def _in_ci(engine: Engine) -> bool:
    return os.path.lexists(engine.dot_dre.within(CI_MARKER))


async def _record_pending(asked: Asked, engine: Engine) -> None:
    """Whatever keeps a recording from becoming history keeps nobody from reading."""
    try:
        found = await record_pending(engine, patience_s=PATIENCE_S)
    except (DREError, OSError) as error:
        asked.note(f"what was captured waits: {error}")
        return
    for ingested in found:
        if (waits := why_it_waits(ingested)) is not None:
            asked.note(f"{short(ingested.operation_id)} {waits}")


def why_it_waits(ingested: "Ingested") -> str | None:
    """None for what is history, or needs no words."""
    match ingested.state:
        case "busy":
            return "captured, being recorded"
        case "refused" | "failed":
            return f"captured, not recorded: {ingested.error}"
        case _:
            return None


async def _end_lost(asked: Asked, engine: Engine) -> None:
    try:
        lost = await end_lost(engine)
    except DREError as error:
        asked.note(f"what was begun and is lost is not ended: {error.message}")
        return
    for id in lost:
        asked.note(f"{short(id)} its recording was deleted before it could become history")
    if lost:
        await _catch_up(asked, engine)


async def _catch_up(asked: Asked, engine: Engine) -> None:
    """A follower that is stuck is said; its tables are as old as the place it is stuck at."""
    try:
        parked = await engine.following.catch_up()
    except DREError as error:
        asked.note(f"the tables are behind: {error.message}")
        return
    for stuck in parked:
        asked.note(f"{stuck.name} is stuck at event {stuck.position}: {stuck.error}")
