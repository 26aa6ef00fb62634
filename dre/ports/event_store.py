"""The event store: append-only streams, and one total order over all of them, linked by hashes."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec

from dre.ledger.chain import Head
from dre.ledger.entry import Entry


class NewEvent(msgspec.Struct, frozen=True):
    """A fact on its way in: `body` is the exact bytes that will be hashed, stored and served."""

    id: UUID
    stream: str
    type: str
    body: bytes


class Append(msgspec.Struct, frozen=True):
    """
    Events that are recorded together or not at all.

    `expected` says how many events each named stream must hold before; a stream that is
    not named is appended to whatever it holds.
    """

    actor: str
    events: tuple[NewEvent, ...]
    expected: Mapping[str, int] = {}


class Receipt(msgspec.Struct, frozen=True):
    """One entry an event, in the order of the append; `repeated` when they had been recorded before."""

    entries: tuple[Entry, ...]
    repeated: bool = False


class Refused(msgspec.Struct, frozen=True):
    """
    Why nothing of an append was recorded.

    `conflict`: a stream does not hold the expected number of events.
    `reused_id`: an event id is known, with another stream, type or body.
    """

    reason: str
    stream: str
    expected: int | None = None
    actual: int | None = None
    event_id: UUID | None = None


class StoredEvent(msgspec.Struct, frozen=True, gc=False):
    """
    A row as it lies in the store. `salt` and `body` are None once the body was erased.

    `leaf` is the stored hash; that it is the entry's is for a verifier to find out.
    """

    entry: Entry
    leaf: bytes
    salt: bytes | None
    body: bytes | None


class EventStore(Protocol):
    """
    Append-only streams, and one total order over all of them.

    Each append is atomic and, once it returns, durable and linked into the hash chain. Of two appends that
    expect the same number of events of a stream, at most one succeeds, and a refused one harms no other.
    A repeated event id with the same stream, type and body (`meta` aside) returns the first receipt.
    A reader never sees position n while n-1 is still to come.
    """

    async def head(self) -> Head:
        """The newest committed head; its size is the number of events."""
        ...

    async def append(self, appends: Sequence[Append]) -> list[Receipt | Refused]:
        """Records what can be recorded; answers in the order of `appends`. Raises StoreBusy, StoreFull."""
        ...

    def read(
        self, after: int = -1, upto: int | None = None, *, page: int = 2000
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        """Pages in the order of positions: greater than `after`, less than `upto` (default: the head's size)."""
        ...

    async def stream(self, stream: str, after: int = -1) -> list[StoredEvent]:
        """The events of one stream whose version is greater than `after`, oldest first."""
        ...

    async def find(self, ids: Sequence[UUID]) -> dict[UUID, StoredEvent]:
        """The events among these ids that are recorded."""
        ...

    def commits(self) -> object:
        """
        Equal to what it was as long as nobody has committed, as far as can be known without waiting. Costs
        microseconds, so that an answer may be kept for as long as it is true.
        """
        ...

    async def changed(self, known: int, timeout_s: float) -> int:
        """Waits until the head's size is not `known` (other processes count) or time is over; returns the size."""
        ...
