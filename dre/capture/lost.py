"""Recordings that were deleted before they could become history: what it has begun of them does not run for ever."""

import asyncio
import os
from collections.abc import Sequence
from uuid import UUID

from dre.application.execute import read_stream
from dre.capture.facts import DELETED
from dre.capture.ingest import Into, end_unrecorded
from dre.capture.spool import ALIVE
from dre.domain.events import stream_name
from dre.domain.operation import OperationStarted

_PROCESSES = "/proc"


async def end_lost(spools: str, begun: Sequence[UUID], into: Into) -> list[UUID]:
    """
    `begun`: operations that history may have begun and not ended, and of which no recording is there. Those of this
    machine that nobody records any more end as interrupted; answers which. A recorder whose spool was deleted writes it
    again in the end, so as long as one lives there is nothing to say. What another machine records is not seen here.
    """
    lost = [id for id in begun if await _began_here(id, into)]
    recorded = await asyncio.to_thread(_still_recorded, lost) if lost else set()
    lost = [id for id in lost if id not in recorded and not _is_there(spools, id)]  # it may be written again by now
    return [id for id in lost if await end_unrecorded(id, into, DELETED)]


async def _began_here(id: UUID, into: Into) -> bool:
    known = await read_stream(into.store, stream_name(into.project, "operation", id))
    started = known[0].event if known else None
    return isinstance(started, OperationStarted) and started.host.name == os.uname().nodename


def _is_there(spools: str, id: UUID) -> bool:
    return os.path.lexists(os.path.join(spools, str(id)))


def _still_recorded(ids: Sequence[UUID]) -> set[UUID]:
    """Whose lock a process still holds open, though it has no name any more (proc_pid_fd(5))."""
    ends = {f"/{id}/{ALIVE} (deleted)": id for id in ids}
    found: set[UUID] = set()
    for process in filter(str.isdigit, os.listdir(_PROCESSES)):
        folder = os.path.join(_PROCESSES, process, "fd")
        try:
            numbers = os.listdir(folder)
        except OSError:  # another user's, or it has ended
            continue
        for number in numbers:
            try:
                path = os.readlink(os.path.join(folder, number))
            except OSError:
                continue
            found.update(id for end, id in ends.items() if path.endswith(end))
    return found
