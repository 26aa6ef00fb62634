"""The ring: the newest messages, encoded once, in the one order in which every listener gets them."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from dre.domain.events import stream_id
from dre.ports.event_store import StoredEvent
from dre.projections.history import encoded

MOST_ENTRIES = 10_000
MOST_BYTES = 16 << 20

_CHANNEL_OF = {
    "operation": "operations",
    "documentation": "operations",
    "evidence": "evidence",
    "verification": "verification",
    "claim": "claims",
    "alert": "alerts",
    "account": "audit",
    "access": "audit",
    "session": "audit",
    "configuration": "audit",
}


class _OfOperation(msgspec.Struct):
    operation_id: UUID | None = msgspec.field(name="operationId", default=None)


_OPERATION = msgspec.json.Decoder(_OfOperation)


class Entry(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """
    A message on its way out. `position`: of a stored event, None for what only passes. `stored`: the event itself, for
    whoever wants proofs. Thousands are kept, and none is part of a cycle: the garbage collector need not look at them.
    """

    message: bytes
    type: str
    channel: str
    project: str
    operation: str | None
    position: int | None = None
    stored: StoredEvent | None = None


def event_entry(stored: StoredEvent) -> Entry:
    entry = stored.entry
    project, kind, id = stream_id(entry.stream)
    return Entry(
        message=encoded(stored),
        type=entry.type,
        channel=_CHANNEL_OF.get(entry.type.partition(".")[0], "ledger"),
        project=project,
        operation=id if kind == "operation" else _operation_in(stored.body),
        position=entry.position,
        stored=stored,
    )


def _operation_in(body: bytes | None) -> str | None:
    """What an event of another stream says of the operation that it is about."""
    if body is None or b'"operationId"' not in body:
        return None
    try:
        found = _OPERATION.decode(body).operation_id
    except msgspec.MsgspecError:
        return None
    return None if found is None else str(found)


class Ring:
    """
    Entries have numbers that only grow: `first` is the oldest one kept, `end` the next one to come. `position` is the
    newest event's. Bounded by count and by bytes.
    """

    def __init__(self, most_entries: int = MOST_ENTRIES, most_bytes: int = MOST_BYTES) -> None:
        self._entries: list[Entry] = []
        self._most_entries, self._most_bytes = most_entries, most_bytes
        self.first = self.size_bytes = 0
        self.position = self._first_position = -1

    def begin(self, position: int) -> None:
        """Everything up to this position is history's to tell."""
        self.position = self._first_position = position

    @property
    def end(self) -> int:
        return self.first + len(self._entries)

    def add(self, entry: Entry) -> None:
        self._entries.append(entry)
        self.size_bytes += len(entry.message)
        if entry.position is not None:
            self.position = entry.position
        if len(self._entries) > self._most_entries or self.size_bytes > self._most_bytes:
            self._drop(max(1, len(self._entries) // 10))

    def joins(self, position: int) -> bool:
        """Whether every event behind this position is here, or still to come: then history has nothing to add."""
        return position >= self._first_position

    def after(self, position: int) -> int:
        """
        The number of the first event behind this position, `end` when there is none: where somebody begins who comes
        only now. What has passed before it has passed.
        """
        index = self.end
        if position >= self.position:
            return index
        for number, entry in zip(range(self.end - 1, self.first - 1, -1), reversed(self._entries), strict=True):
            if entry.position is not None:
                if entry.position <= position:
                    break
                index = number
        return index

    def between(self, start: int, end: int) -> Sequence[Entry]:
        return self._entries[start - self.first : end - self.first]

    def _drop(self, count: int) -> None:
        """Several at once, so that it is rarely done."""
        dropped = self._entries[:count]
        del self._entries[:count]
        self.first += count
        self.size_bytes -= sum(len(entry.message) for entry in dropped)
        positions = [entry.position for entry in dropped if entry.position is not None]
        self._first_position = max([self._first_position, *positions])
