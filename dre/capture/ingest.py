"""Ingest: from spools to history. Killed at any point it goes on where it was; two at once record once."""

import asyncio
import os
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import closing
from typing import Literal
from uuid import UUID

import msgspec

from dre.application.execute import Appender, execute, read_stream
from dre.capture import needles, observed
from dre.capture.evidence import Kept, gather, keep, late_output
from dre.capture.facts import SPOILED, Described, describe, ended_fact, ended_wall_ns, unrecorded_end
from dre.capture.fitting import fitting_observations
from dre.capture.journal import read_late, read_recording, this_boot
from dre.capture.neighbours import beside, find_neighbours, is_needed, later_tree
from dre.capture.recording import Late, NothingRan, Recording
from dre.capture.redaction import Redactor
from dre.capture.spool import NEEDLES, OUTPUT, Spool, Spools, read_pieces
from dre.capture.waiting import Waiting
from dre.domain import operation
from dre.domain.events import DomainEvent, Recorded, stream_name
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, Observation
from dre.domain.ledger import DEFAULT_PROJECT
from dre.errors import SpoolRefused
from dre.ledger.event_id import operation_event_id
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import EventStore, Receipt

LATE_PATIENCE_S = 2.0
PATIENCE_S = 60.0
_PAUSE_S = 0.05
_ABANDONED_S = 600
_MOST_OBSERVATIONS = 100
_MOST_NEEDLES = 32 << 20

_WAITS = ("running", "refused")
"""What becomes of a recording in these states is decided by what it holds, and by whether anybody writes it."""

State = Literal["recorded", "late output open", "running", "busy", "nothing ran", "gone", "refused", "failed"]


class Into(msgspec.Struct, frozen=True):
    """Where history is written, and in whose name."""

    store: EventStore
    appender: Appender
    blobs: BlobStore
    actor: str
    project: str = DEFAULT_PROJECT


class Rules(msgspec.Struct, frozen=True):
    """What was configured: where test reports lie, and what else is a secret."""

    report_globs: Sequence[str] = ()
    secret_patterns: Sequence[str] = ()


class Ingested(msgspec.Struct, frozen=True):
    """
    What became of one spool. `position`: of the operation's newest event. `error`: why it was `refused` (it can never
    become history as it is) or `failed` (it may the next time).
    """

    operation_id: UUID
    state: State
    position: int | None = None
    error: Exception | None = None


async def ingest_pending(
    spools: str, into: Into, rules: Rules, waiting: Waiting[Ingested] | None = None
) -> list[Ingested]:
    """
    Every spool there is, the oldest first. What is wrong with one of them keeps no other from being recorded.
    `waiting`: for whoever asks again and again.
    """
    waiting = Waiting() if waiting is None else waiting
    try:
        home = Spools(spools)
    except FileNotFoundError:
        return []
    try:
        home.sweep()
        found: dict[UUID, Ingested] = {}
        while new := [id for id in home.ids() if id not in found]:  # more may have come meanwhile
            for id in new:
                found[id] = await _ingest(home, id, into, rules, waiting)
        waiting.forget_others(found)
        return list(found.values())
    finally:
        home.close()


async def ingest_one(
    spools: str, operation_id: UUID, into: Into, rules: Rules, *, patience_s: float = PATIENCE_S
) -> Ingested:
    """This one, even if another ingest is at it: then it is waited for."""
    home = Spools(spools)
    deadline = time.monotonic() + patience_s
    try:
        while True:
            ingested = await _ingest(home, operation_id, into, rules, Waiting())
            if ingested.state != "busy" or time.monotonic() > deadline:
                return ingested
            await asyncio.sleep(_PAUSE_S)
    finally:
        home.close()


async def _ingest(home: Spools, id: UUID, into: Into, rules: Rules, waiting: Waiting[Ingested]) -> Ingested:
    is_over = not home.is_alive(id)  # asked first: what a recorder leaves that ends in between is read the next time
    try:
        spool = home.open(id)
        if spool is None:
            return await _gone(id, into)
        with closing(spool):
            fingerprint = _fingerprint(spool, is_over=is_over)
            found = waiting.found(id, fingerprint)
            if found is None:
                found = await _read(home, spool, into, rules, is_over=is_over)
                if found.state in _WAITS:
                    waiting.remember(id, fingerprint, found)
            return found
    except SpoolRefused as error:
        return await _refused(id, into, error, is_over=is_over)
    except Exception as error:  # noqa: BLE001 - no spool may keep the others, or those who only read, from going on
        return Ingested(id, "failed", error=error)


async def _read(home: Spools, spool: Spool, into: Into, rules: Rules, *, is_over: bool) -> Ingested:
    try:
        return await _Ingest(home, spool, into, rules).run() if spool.lock() else Ingested(spool.id, "busy")
    except SpoolRefused as error:
        return await _refused(spool.id, into, error, is_over=is_over)


async def _refused(id: UUID, into: Into, error: SpoolRefused, *, is_over: bool) -> Ingested:
    """Without the frames that the error came through and all that they hold: it may be kept for long."""
    position = None
    if is_over:
        await end_unrecorded(id, into, SPOILED)
        known = await into.store.stream(stream_name(into.project, "operation", id))
        position = known[-1].entry.position if known else None
    error.__traceback__ = error.__context__ = None
    return Ingested(id, "refused", position, error)


async def end_unrecorded(id: UUID, into: Into, why: str) -> bool:
    """
    An operation that history has begun does not run for ever there because its recording was spoiled; whether that had
    to be said. An error's own words are no part of it: they may quote what was not redacted.
    """

    def decide(known: Sequence[Recorded]) -> list[DomainEvent]:
        state = _state(known)
        if state is None or state.outcome is not None or not isinstance(known[0].event, operation.OperationStarted):
            return []
        return operation.end(state, unrecorded_end(known[0].event, why))

    return await _append(id, into, decide) is not None


def _fingerprint(spool: Spool, *, is_over: bool) -> Hashable | None:
    """With its age and its recorder's end, as far as they matter: what never ran is given up after a while."""
    found = spool.fingerprint()
    return None if found is None else (found, is_over, _is_abandoned(spool.id))


async def _gone(id: UUID, into: Into) -> Ingested:
    known = await read_stream(into.store, stream_name(into.project, "operation", id))
    complete = any(isinstance(recorded.event, EvidenceComplete) for recorded in known)
    return Ingested(id, "recorded" if complete else "gone", known[-1].position if known else None)


class _Ingest:
    """One spool, under its lock."""

    def __init__(self, home: Spools, spool: Spool, into: Into, rules: Rules) -> None:
        self._home, self._spool, self._into, self._rules = home, spool, into, rules
        self._id = spool.id
        self._stream = stream_name(into.project, "operation", spool.id)

    async def run(self) -> Ingested:
        known = await read_stream(self._into.store, self._stream)
        complete = next((one.event for one in known if isinstance(one.event, EvidenceComplete)), None)
        if complete is not None:
            return await self._what_came_late(complete, known)
        boot_id = this_boot()
        try:
            recording = await asyncio.to_thread(read_recording, self._spool, boot_id)
        except NothingRan:
            return self._nothing_ran()
        if recording is None or _is_beginning(recording) or not self._spool.holds(NEEDLES):
            return Ingested(self._id, "running")
        redactor = self._redactor()
        described = describe(self._id, recording, redactor)
        if not known:
            await self._append(lambda known: [] if known else [described.started])
        if recording.state == "running":
            return await self._told("running")
        return await self._record(recording, described, redactor, boot_id)

    async def _record(self, recording: Recording, described: Described, redactor: Redactor, boot_id: str) -> Ingested:
        late = await self._late()
        others = await find_neighbours(self._home, self._spool, recording, self._into.store, boot_id)
        later = later_tree(self._home, others.found, ended_wall_ns(recording))
        globs, count = self._rules.report_globs, beside(others.found, self._spool, recording)
        gathered = await asyncio.to_thread(
            gather, self._spool, recording, described, late, redactor, later, globs, alone=not count
        )
        try:
            kept, reports = await keep(self._into.blobs, gathered.items)
        finally:
            gathered.close()
        said = [*gathered.observations, *reports, *observed.of_late(late)]
        if count:
            ran = "1 other recorded command" if count == 1 else f"{count} other recorded commands"
            detail = f"{ran} ran in this work tree at the same time: changes may be theirs"
            said.append(Observation("workspace", "partial", detail))
        if others.more:
            detail = f"{others.more} other recordings wait and were not looked at: changes may be theirs"
            said.append(Observation("workspace", "partial", detail))
        ended = ended_fact(self._id, recording, gathered.tree_after)
        await self._append(lambda known: self._whole(known, kept, ended, late, said))
        return await self._done(still_open=late.state == "open")

    def _whole(
        self,
        known: Sequence[Recorded],
        kept: Sequence[Kept],
        ended: operation.OperationCompleted | operation.OperationInterrupted,
        late: Late,
        said: Sequence[Observation],
    ) -> list[DomainEvent]:
        """All that is left to say, decided by the rules of the domain, for one append."""
        state = _state(known)
        if state is not None and state.complete:
            return []
        facts: list[DomainEvent] = []
        for item in kept:
            collected = item.collected(operation_event_id(self._id, len(known) + len(facts)), self._id)
            facts += operation.collect(state, collected)
            state = operation.evolve(state, facts[-1])
        if state is None or state.outcome is None:  # else it was refused once, and mended since: it stays interrupted
            facts += operation.end(state, ended)
            state = operation.evolve(state, facts[-1])
        return facts + operation.finish(state, late.state, fitting_observations(said, _MOST_OBSERVATIONS))

    async def _late(self) -> Late:
        """A moment for descendants that are about to end; who stays longer is not waited for."""
        for _ in range(round(LATE_PATIENCE_S / _PAUSE_S)):
            late = read_late(self._spool)
            if late.state != "open":
                return late
            await asyncio.sleep(_PAUSE_S)
        return read_late(self._spool)

    async def _what_came_late(self, complete: EvidenceComplete, known: Sequence[Recorded]) -> Ingested:
        """The operation is history; what its descendants wrote since is one more item of evidence."""
        told = any(isinstance(one.event, EvidenceCollected) and one.event.kind == "late_output" for one in known)
        if complete.late_output != "open" or told:
            return await self._done(still_open=False)
        late = read_late(self._spool)
        if late.state == "open":
            return await self._told("late output open")
        kept, _ = await keep(self._into.blobs, list(late_output(self._spool, late, self._redactor())))
        await self._append(
            lambda known: [item.collected(operation_event_id(self._id, len(known)), self._id) for item in kept]
        )
        return await self._done(still_open=False)

    async def _done(self, *, still_open: bool) -> Ingested:
        """The raw output goes as soon as what was made of it is history."""
        now_ms = time.time_ns() // 1_000_000
        needed = await asyncio.to_thread(is_needed, self._home, self._spool, this_boot(), now_ms)
        if not still_open and not needed:
            self._spool.discard()
            return await self._told("recorded")
        self._spool.drop(OUTPUT, f"{OUTPUT}.timing", "index", "index.after", *([] if needed else ["objects"]))
        return await self._told("late output open" if still_open else "recorded")

    def _nothing_ran(self) -> Ingested:
        """A recorder that is only just beginning looks the same, for a moment."""
        if not _is_abandoned(self._id):
            return Ingested(self._id, "running")
        self._spool.discard()
        return Ingested(self._id, "nothing ran")

    def _redactor(self) -> Redactor:
        try:
            fd = self._spool.open_file(NEEDLES)
        except FileNotFoundError:
            raise self._spool.refused("is missing: nobody can tell what has to be redacted", file=NEEDLES) from None
        try:
            values = needles.unpack(b"".join(read_pieces(fd, min(os.fstat(fd).st_size, _MOST_NEEDLES))))
        except ValueError as error:
            raise self._spool.refused(str(error), file=NEEDLES) from None
        finally:
            os.close(fd)
        return Redactor(values, self._rules.secret_patterns)

    async def _append(self, decide: Callable[[Sequence[Recorded]], Sequence[DomainEvent]]) -> None:
        await _append(self._id, self._into, decide)

    async def _told(self, state: State) -> Ingested:
        known = await self._into.store.stream(self._stream)
        return Ingested(self._id, state, known[-1].entry.position if known else None)


async def _append(
    id: UUID, into: Into, decide: Callable[[Sequence[Recorded]], Sequence[DomainEvent]]
) -> Receipt | None:
    """To an operation's stream. An event's id follows from its place there, so nothing can be recorded twice."""

    def placed(known: list[Recorded]) -> list[tuple[UUID, DomainEvent]]:
        return [(operation_event_id(id, at), fact) for at, fact in enumerate(decide(known), len(known))]

    stream = stream_name(into.project, "operation", id)
    return await execute(into.store, into.appender, actor=into.actor, stream=stream, decide=placed)


def _state(known: Sequence[Recorded]) -> operation.Operation | None:
    state: operation.Operation | None = None
    for recorded in known:
        state = operation.evolve(state, recorded.event)
    return state


def _is_abandoned(id: UUID) -> bool:
    """Whether it began so long ago that a recorder would have started its command since."""
    return time.time() - (id.int >> 80) / 1000 >= _ABANDONED_S


def _is_beginning(recording: Recording) -> bool:
    """The start is one fact: it waits until the work tree was looked at."""
    waits = recording.state == "running" and recording.start.workspace == "yes"
    return waits and recording.before is None and not recording.ran
