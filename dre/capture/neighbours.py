"""Neighbours: other recordings in the same work tree, whose changes must not be taken for this one's."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import msgspec

from dre.capture.facts import ended_wall_ns
from dre.capture.journal import read_opening, read_recording
from dre.capture.recording import NothingRan, Recording
from dre.capture.spool import Spool, Spools
from dre.capture.workspace import Later
from dre.domain import codec
from dre.domain.events import raw
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.errors import DREError, SpoolRefused
from dre.ports.event_store import EventStore

_LOOKED_BACK = 500
_PATIENCE_S = 10.0
_PAUSE_S = 0.05
_TYPES = {OperationStarted.type, OperationCompleted.type, OperationInterrupted.type}


class Neighbour(msgspec.Struct, frozen=True):
    """Another operation in the same work tree. `tree`: the one before it, or empty. `ended_ns`: 0 while it runs."""

    id: UUID
    parent: UUID | None
    began_ns: int
    ended_ns: int
    tree: str
    tree_ns: int


async def find_neighbours(
    spools: Spools, spool: Spool, recording: Recording, store: EventStore, boot_id: str
) -> list[Neighbour]:
    """Those that wait in spools, and those that were recorded lately."""
    if recording.before is None:
        return []
    top = recording.before.top
    found = {one.id: one for one in await _recorded(store, top)}
    found.update((one.id, one) for one in _waiting(spools, spool.id, top, boot_id))
    found.pop(spool.id, None)
    return list(found.values())


def beside(neighbours: Sequence[Neighbour], spool: Spool, recording: Recording) -> int:
    """How many ran at the same time, those not counted that ran this one or were run by it."""
    began, ended = recording.start.wall_ns, ended_wall_ns(recording)
    parents = {one.id: one.parent for one in neighbours} | {spool.id: recording.start.parent}
    return sum(
        one.began_ns <= ended
        and (one.ended_ns == 0 or one.ended_ns >= began)
        and spool.id not in _line(one.id, parents)
        and one.id not in _line(spool.id, parents)
        for one in neighbours
    )


@asynccontextmanager
async def later_tree(spools: Spools, neighbours: Sequence[Neighbour], ended_ns: int) -> AsyncIterator[Later | None]:
    """
    The first tree that another recording took after our end: from then on the work tree may be that one's doing.

    Its objects stay where they are meanwhile, because its lock is held. Locks are always taken from the older
    recording to the younger, so nobody waits in a circle.
    """
    after = [one for one in neighbours if one.tree and one.tree_ns >= ended_ns]
    if not after:
        yield None
        return
    first = min(after, key=lambda one: one.tree_ns)
    spool = await _locked(spools, first.id)
    try:
        yield Later(first.tree, first.tree_ns, f"{spool.path}/objects" if spool else None)
    finally:
        if spool is not None:
            spool.close()


async def _locked(spools: Spools, id: UUID) -> Spool | None:
    for _ in range(round(_PATIENCE_S / _PAUSE_S)):
        try:
            spool = spools.open(id)
            if spool is None or spool.lock():
                return spool
        except SpoolRefused:
            return None
        spool.close()
        await asyncio.sleep(_PAUSE_S)
    return None


def _line(id: UUID | None, parents: dict[UUID, UUID | None]) -> Iterator[UUID]:
    """Who ran it, and who ran that; an environment variable says so, and may say anything."""
    seen: set[UUID] = set()
    while (id := parents.get(id) if id else None) is not None and id not in seen:
        seen.add(id)
        yield id


async def _recorded(store: EventStore, top: bytes) -> list[Neighbour]:
    size = (await store.head()).size
    started: dict[UUID, OperationStarted] = {}
    ended: dict[UUID, int] = {}
    async for page in store.read(max(-1, size - 1 - _LOOKED_BACK)):
        for stored in page:
            if stored.entry.type not in _TYPES:
                continue
            try:
                fact = codec.recorded(stored.entry, stored.body).event
            except DREError:
                continue  # that it cannot be read is for a verifier to say
            if isinstance(fact, OperationStarted):
                started[fact.id] = fact
            elif isinstance(fact, OperationCompleted):
                ended[fact.operation_id] = fact.completed_at * 1_000_000
            elif isinstance(fact, OperationInterrupted):
                ended[fact.operation_id] = fact.last_seen_at * 1_000_000
    return [_of_fact(fact, ended.get(id, 0)) for id, fact in started.items() if fact.git and raw(fact.git.top) == top]


def _of_fact(fact: OperationStarted, ended_ns: int) -> Neighbour:
    tree, taken_at = (fact.git.tree or "", fact.git.taken_at) if fact.git else ("", 0)
    return Neighbour(fact.id, fact.parent, fact.timestamp * 1_000_000, ended_ns, tree, taken_at * 1_000_000)


def _waiting(spools: Spools, than: UUID, top: bytes, boot_id: str) -> Iterator[Neighbour]:
    for id in spools.ids():
        try:
            other = spools.open(id)
        except SpoolRefused:
            continue
        if other is None:
            continue
        try:
            start, before = read_opening(other)
            if start and before and before.top == top:
                ended_ns = _ended_ns(other, boot_id) if id < than else 0
                yield Neighbour(id, start.parent, start.wall_ns, ended_ns, before.tree, before.wall_ns)
        except SpoolRefused:
            continue
        finally:
            other.close()


def _ended_ns(spool: Spool, boot_id: str) -> int:
    try:
        recording = read_recording(spool, boot_id)
    except NothingRan:
        return 1
    return 0 if recording is None or recording.state == "running" else ended_wall_ns(recording)
