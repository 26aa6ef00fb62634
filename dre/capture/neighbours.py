"""Neighbours: other recordings in the same work tree, whose changes must not be taken for this one's."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from uuid import UUID

import msgspec

from dre.capture.facts import ended_wall_ns
from dre.capture.journal import read_opening, read_recording
from dre.capture.recording import Before, NothingRan, Recording
from dre.capture.spool import Spool, Spools
from dre.capture.workspace import Later
from dre.domain import codec
from dre.domain.events import raw
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.errors import DREError, SpoolRefused
from dre.ports.event_store import EventStore

_LOOKED_BACK = 500
_WAITED_FOR_MS = 3600 * 1000
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
    found.update((one.id, one) for one in _waiting(spools, spool.id, top, ended_wall_ns(recording), boot_id))
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


def later_tree(spools: Spools, neighbours: Sequence[Neighbour], ended_ns: int) -> Later | None:
    """
    The first tree that another recording took after our end: from then on the work tree may be that one's doing.

    Its objects stay as long as we are not recorded (`is_needed`).
    """
    after = [one for one in neighbours if one.tree and one.tree_ns >= ended_ns]
    if not after:
        return None
    first = min(after, key=lambda one: one.tree_ns)
    return Later(first.tree, first.tree_ns, os.path.join(spools.path, str(first.id), "objects"))


def is_needed(spools: Spools, spool: Spool, boot_id: str, now_ms: int) -> bool:
    """Whether an older recording that is not yet history ended before this one took its tree: it is its tree after."""
    try:
        before = read_opening(spool)[1]
    except SpoolRefused:
        return False  # it is history already, and of no use to another
    if before is None or not before.tree:
        return False
    older = [id for id in spools.ids() if id < spool.id and now_ms - (id.int >> 80) < _WAITED_FOR_MS]
    return any(_ended_before(spools, id, before, boot_id) for id in older)


def _ended_before(spools: Spools, id: UUID, before: Before, boot_id: str) -> bool:
    try:
        other = spools.open(id)
        if other is None:
            return False
        with closing(other):
            recording = read_recording(other, boot_id)
    except (SpoolRefused, NothingRan):
        return False  # it will never be history
    if recording is None or recording.state == "running" or recording.before is None:
        return False
    return recording.before.top == before.top and ended_wall_ns(recording) <= before.wall_ns


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


def _waiting(spools: Spools, than: UUID, top: bytes, until_ns: int, boot_id: str) -> Iterator[Neighbour]:
    """In the order of their beginnings, up to the first whose tree is of any use to who ended at `until_ns`."""
    for id in spools.ids():
        try:
            other = spools.open(id)
        except SpoolRefused:
            continue
        if other is None:
            continue
        with closing(other), suppress(SpoolRefused):
            start, before = read_opening(other)
            if start and before and before.top == top:
                ended_ns = _ended_ns(other, boot_id) if id < than else 0
                yield Neighbour(id, start.parent, start.wall_ns, ended_ns, before.tree, before.wall_ns)
                if id > than and before.tree and before.wall_ns >= until_ns:
                    return


def _ended_ns(spool: Spool, boot_id: str) -> int:
    try:
        recording = read_recording(spool, boot_id)
    except NothingRan:
        return 1
    return 0 if recording is None or recording.state == "running" else ended_wall_ns(recording)
