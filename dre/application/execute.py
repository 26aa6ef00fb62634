"""The one write path: read a stream, decide, append; whoever waits together is committed together."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from uuid import UUID

from dre.domain import codec
from dre.domain.events import DomainEvent, Door, Recorded
from dre.errors import BodyRefused, CommandRefused, LedgerAltered, LedgerNewer, StoreBusy
from dre.ledger.commitment import SALT_BYTES, commitment
from dre.ledger.entry import Entry
from dre.ports.event_store import Append, EventStore, NewEvent, Receipt, Refused, StoredEvent

MAX_EVENTS = 512
MAX_BYTES = 1 << 20
MAX_WAITING = 4096
ATTEMPTS = 16


class Appender:
    """
    Group commit without a timer: what gathers while the last batch is being written is the next batch.

    A batch holds at most 512 events and 1 MiB (one append may be larger, and then goes alone).
    """

    def __init__(self, store: EventStore, committed: Callable[[Entry], None] = lambda _newest: None) -> None:
        """
        `committed` hears of the newest entry of each batch, once it is durable. What it raises undoes nothing and
        stops nobody: it is told to the event loop, as every error is that no caller waits for.
        """
        self._store, self._committed = store, committed
        self._waiting: deque[tuple[Append, asyncio.Future[Receipt | Refused]]] = deque()
        self._writer: asyncio.Task[None] | None = None

    async def append(self, append: Append) -> Receipt | Refused:
        """
        Returns once the events are durable, or refused. Raises what the store raises, and StoreBusy when too
        many wait. The caller's cancellation does not cancel the append: its outcome must not be hidden.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise StoreBusy(f"{MAX_WAITING} appends are waiting already", hint="try again in a moment")
        done: asyncio.Future[Receipt | Refused] = asyncio.get_running_loop().create_future()
        self._waiting.append((append, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return await asyncio.shield(done)

    async def close(self) -> None:
        """Waits until everything that was asked for is written."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        try:
            while batch := self._take():
                await self._commit(batch)
        finally:
            self._writer = None

    async def _commit(self, batch: Sequence[tuple[Append, "asyncio.Future[Receipt | Refused]"]]) -> None:
        try:
            answers = await self._store.append([append for append, _ in batch])
        except BaseException as error:  # every caller learns of it, whatever it is
            for _, done in batch:
                if not done.done():
                    done.set_exception(error)
                    done.exception()  # a caller that was cancelled no longer asks
            if not isinstance(error, Exception):
                raise
            return
        for (_, done), answer in zip(batch, answers, strict=True):  # first: it is durable, whatever the telling meets
            if not done.done():
                done.set_result(answer)
        self._tell(answers)

    def _tell(self, answers: Sequence[Receipt | Refused]) -> None:
        new = [
            entry
            for answer in answers
            if isinstance(answer, Receipt) and not answer.repeated
            for entry in answer.entries
        ]
        if not new:
            return
        try:
            self._committed(max(new, key=lambda entry: entry.position))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait for the next batch are not its audience
            said = {"message": "a commit is durable, but who should hear of it failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(said)

    def _take(self) -> list[tuple[Append, "asyncio.Future[Receipt | Refused]"]]:
        batch: list[tuple[Append, asyncio.Future[Receipt | Refused]]] = []
        events = size = 0
        while self._waiting:
            append = self._waiting[0][0]
            events += len(append.events)
            size += sum(len(event.body) for event in append.events)
            if batch and (events > MAX_EVENTS or size > MAX_BYTES):
                break
            batch.append(self._waiting.popleft())
        return batch


async def read_stream(store: EventStore, stream: str) -> list[Recorded]:
    """Raises LedgerAltered, LedgerNewer."""
    return [read_fact(stored) for stored in await store.stream(stream)]


def read_fact(stored: StoredEvent) -> Recorded:
    """
    A stored event as a fact in its place. Raises LedgerAltered where its body is not one any more, and LedgerNewer
    where it is what was recorded, and by somebody who knew more.
    """
    try:
        return codec.recorded(stored.entry, stored.body)
    except BodyRefused as error:
        at = stored.entry.position
        if _is_as_recorded(stored):
            raise LedgerNewer(f"event {at} cannot be read: {error.message}", hint=error.hint) from None
        said = f"event {at} is not what was recorded: {error.message}"
        raise LedgerAltered(said, position=at, hint="dre ledger verify says more") from None


def _is_as_recorded(stored: StoredEvent) -> bool:
    salt, body = stored.salt, stored.body
    if salt is None or body is None or len(salt) != SALT_BYTES:
        return False
    return commitment(salt, body) == stored.entry.commitment


def new_events(
    stream: str,
    events: Sequence[DomainEvent],
    ids: Sequence[UUID],
    causation: UUID | None = None,
    door: Door | None = None,
) -> tuple[NewEvent, ...]:
    """Facts on their way into one stream. Raises BodyRefused."""
    return tuple(
        NewEvent(id, stream, event.type, codec.encode(event, causation, door))
        for event, id in zip(events, ids, strict=True)
    )


async def execute(
    store: EventStore,
    appender: Appender,
    *,
    actor: str,
    stream: str,
    decide: Callable[[list[Recorded]], Sequence[tuple[UUID, DomainEvent]]],
    causation: UUID | None = None,
    door: Door | None = None,
) -> Receipt | None:
    """
    Reads the stream, decides, appends, expecting what was read. A lost race decides again.

    `decide` returns ids and facts, nothing when there is nothing to do; it may raise CommandRefused.
    """
    for _ in range(ATTEMPTS):
        known = await read_stream(store, stream)
        decided = decide(known)
        if not decided:
            return None
        events = new_events(stream, [event for _, event in decided], [id for id, _ in decided], causation, door)
        answer = await appender.append(Append(actor, events, {stream: len(known)}))
        if isinstance(answer, Receipt):
            return answer
        if answer.reason != "conflict":
            raise CommandRefused(f"{answer.reason}: event {answer.event_id} is recorded with other content")
    raise StoreBusy(f"{stream} changed {ATTEMPTS} times while it was being decided on", hint="try again")
