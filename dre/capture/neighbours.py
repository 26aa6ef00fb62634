"""Neighbours: other recordings in the same work tree, whose changes must not be taken for this one's."""

import asyncio
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

LOOKED_AT = 32
"""Spools on each side of one: of hundreds that wait, no single ingest opens more."""
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


class Neighbours(msgspec.Struct, frozen=True):
    """`more`: how many others wait and were not looked at."""

    found: tuple[Neighbour, ...] = ()
    more: int = 0


async def find_neighbours(
    spools: Spools, spool: Spool, recording: Recording, store: EventStore, boot_id: str
) -> Neighbours:
    """Those that wait in spools, and those that were recorded lately."""
    if recording.before is None:
        return Neighbours()
    top = recording.before.top
    found = {one.id: one for one in await _recorded(store, top)}
    waiting = await asyncio.to_thread(_waiting, spools, spool.id, top, ended_wall_ns(recording), boot_id)
    found.update((one.id, one) for one in waiting.found)
    found.pop(spool.id, None)
    return Neighbours(tuple(found.values()), waiting.more)


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
    older = [id for id in spools.ids() if id < spool.id and now_ms - _began_ms(id) < _WAITED_FOR_MS]
    if any(_ended_before(spools, id, before, boot_id) for id in older[-LOOKED_AT:]):
        return True
    return (
        len(older) > LOOKED_AT
    )  # it may be that of one of these: what is kept too long costs room, and only for an hour


def _ended_before(spools: Spools, id: UUID, before: Before, boot_id: str) -> bool:
    try:
        other = spools.open(id)
        if other is None:
            return False
        with closing(other):
            opening = read_opening(other)[1]
            if opening is None or opening.top != before.top:
                return False
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


def _waiting(spools: Spools, than: UUID, top: bytes, until_ns: int, boot_id: str) -> Neighbours:
    """
    The nearest on each side: those that began before it; while it ran; and after its end, the latter in their order up
    to the first whose tree is of any use to it.
    """
    ids = [id for id in spools.ids() if id != than]
    before = [id for id in ids if id < than]
    beside = [id for id in ids if id > than and _began_ms(id) * 1_000_000 <= until_ns]
    behind = ids[len(before) + len(beside) :]
    found: list[Neighbour] = []
    more = max(0, len(before) - LOOKED_AT) + max(0, len(beside) - LOOKED_AT)
    for id in (*before[-LOOKED_AT:], *beside[:LOOKED_AT]):
        found += _read(spools, id, top, boot_id if id < than else None)
    for id in behind[:LOOKED_AT]:
        found += (one := _read(spools, id, top, None))
        if one and one[0].tree and one[0].tree_ns >= until_ns:
            return Neighbours(tuple(found), more)
    return Neighbours(tuple(found), more + max(0, len(behind) - LOOKED_AT))


def _read(spools: Spools, id: UUID, top: bytes, boot_id: str | None) -> list[Neighbour]:
    """Nothing for one in another work tree, or that nobody can read. `boot_id`: where it matters when it ended."""
    try:
        other = spools.open(id)
    except SpoolRefused:
        return []
    if other is None:
        return []
    with closing(other), suppress(SpoolRefused):
        start, before = read_opening(other)
        if start and before and before.top == top:
            ended_ns = _ended_ns(other, boot_id) if boot_id else 0
            return [Neighbour(id, start.parent, start.wall_ns, ended_ns, before.tree, before.wall_ns)]
    return []


def _began_ms(id: UUID) -> int:
    return id.int >> 80


def _ended_ns(spool: Spool, boot_id: str) -> int:
    try:
        recording = read_recording(spool, boot_id)
    except NothingRan:
        return 1
    return 0 if recording is None or recording.state == "running" else ended_wall_ns(recording)
