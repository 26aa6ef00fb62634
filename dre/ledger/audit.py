"""
The audit: all of history recomputed from the stored columns and bytes, believing none of the stored hashes.

It proves that the ledger agrees with itself. Who could rewrite everything could make that so: only a head that
was kept elsewhere (or a witness's) shows a history that was replaced or cut as a whole.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Literal, Protocol
from uuid import UUID

import msgspec

from dre.errors import BodyRefused
from dre.ledger.body import check_body
from dre.ledger.chain import Head
from dre.ledger.commitment import SALT_BYTES, commitment
from dre.ledger.entry import GENESIS, MAX_NUMBER, Entry, flaw

Part = Literal["position", "entry", "leaf", "version", "body", "erasure", "head"]

ERASING = frozenset({"body.erased", "evidence.erased"})
CONTINUED = "ledger.continued"


class Finding(msgspec.Struct, frozen=True):
    """
    One thing that is wrong, and where.

    `position`: this row is missing, or one too many. `entry`: its columns do not hash to its leaf. `leaf`: they hash
    to what the next entry is linked to, and the stored leaf is another. `version`: not the next in its stream.
    `body`: body or salt are not what the entry commits to, or are no body of format v1. `erasure`: a body is gone and
    no later event says so, or is still there although one does. `head`: the head row does not fit the last event.
    """

    position: int
    part: Part
    detail: str


class StoredRow(Protocol):
    """A row as the event store reads it. The audit takes nothing from `entry.prev`, which is no column."""

    @property
    def entry(self) -> Entry: ...
    @property
    def leaf(self) -> bytes: ...
    @property
    def salt(self) -> bytes | None: ...
    @property
    def body(self) -> bytes | None: ...


class Log(Protocol):
    """What is read of an event store."""

    async def head(self) -> Head: ...
    def read(self, after: int = -1, upto: int | None = None) -> AsyncIterator[Sequence[StoredRow]]: ...


async def audit(log: Log) -> AsyncIterator[Finding]:
    """
    Every finding, nearly in the order of positions: what is said only at the end (the head, missing bodies) comes last.

    Appends may go on meanwhile; they are audited too.
    """
    trail = Trail()
    while True:
        known = trail.size
        async for page in log.read(trail.last, MAX_NUMBER):
            for row in page:
                for finding in trail.follow(row):
                    yield finding
        head = await log.head()  # after the rows: an honest head is then never behind them
        if head.size <= trail.size or trail.size == known:  # else: appended since, look again
            break
    for finding in trail.close(head):
        yield finding


class _Erasure(msgspec.Struct):
    """What an erasing event names."""

    position: int
    event: UUID


class Trail:
    """Follows the rows in the order of their positions, remembering one number a stream."""

    def __init__(self) -> None:
        self.size = 0
        self.last = -MAX_NUMBER - 1  # rows before position 0 are seen too
        self._prevs: tuple[bytes, ...] = (GENESIS,)  # what the next entry may be linked to; empty: unknown
        self._suspect: int | None = None  # the row before, when its two leaves, computed and stored, differ
        self._generation = 0
        self._lengths: dict[str, int] = {}
        self._missing: dict[int, UUID] = {}
        self._erased: set[int] = set()

    def follow(self, row: StoredRow) -> list[Finding]:
        position = self.last = row.entry.position
        if position < self.size:
            return [Finding(position, "position", "one event too many")]
        found = []
        if position > self.size:
            found.append(Finding(self.size, "position", f"missing: the next event has position {position}"))
            self._prevs = ()
        self.size = position + 1

        computed = [_leaf(row.entry, prev) for prev in self._prevs]
        found += self._settle_suspect(self._prevs[computed.index(row.leaf)] if row.leaf in computed else None)
        if computed and row.leaf not in computed:
            self._prevs = (computed[-1], row.leaf)
            self._suspect = position
            if row.body is None:
                self._missing[position] = row.entry.event_id
            if row.entry.version == self._lengths.get(row.entry.stream, 0):
                self._lengths[row.entry.stream] = row.entry.version + 1
            return found  # nothing more that it says is believed
        self._prevs = (row.leaf,)
        return found + self._names(row.entry) + self._body(row)

    def close(self, head: Head) -> list[Finding]:
        """What can be said only when all rows are known."""
        found = self._settle_suspect(head.prev)
        if head.size != self.size:
            detail = f"the head counts {head.size} events, the rows reach to {self.size}"
            found.append(Finding(max(min(head.size, self.size), 0), "head", detail))
        elif self._prevs and head.prev not in self._prevs:
            found.append(Finding(max(self.size - 1, 0), "head", "the head does not hold the leaf of the last event"))
        if head.generation != self._generation:
            detail = f"the head says generation {head.generation}, the events {self._generation}"
            found.append(Finding(max(self.size - 1, 0), "head", detail))
        for position, event in self._missing.items():
            detail = f"the body of {event} is missing, and no later event says that it was erased"
            found.append(Finding(position, "erasure", detail))
        return found

    def _settle_suspect(self, witness: bytes | None) -> list[Finding]:
        """
        Which of the suspect's two leaves is altered, its columns' or the stored one? What came after it was linked
        to the true one; so one flipped byte is one finding, at its own place.
        """
        suspect, self._suspect = self._suspect, None
        if suspect is None:
            return []
        if witness is not None and witness == self._prevs[0]:
            return [
                Finding(
                    suspect, "leaf", "the stored leaf is not what the columns hash to, and the chain goes on from those"
                )
            ]
        return [Finding(suspect, "entry", "the columns do not hash to the leaf")]

    def _names(self, entry: Entry) -> list[Finding]:
        """That an entry with the right hash is one of format v1, and the next in its stream."""
        if problem := flaw(entry):
            return [Finding(entry.position, "entry", problem)]
        if entry.type == CONTINUED:
            self._generation += 1
        expected = self._lengths.get(entry.stream, 0)
        self._lengths[entry.stream] = entry.version + 1
        if entry.version == expected:
            return []
        return [Finding(entry.position, "version", f"version {entry.version} of {entry.stream}, expected {expected}")]

    def _body(self, row: StoredRow) -> list[Finding]:
        entry, salt, body = row.entry, row.salt, row.body
        if body is None:
            self._missing[entry.position] = entry.event_id
            return []
        if salt is None or len(salt) != SALT_BYTES or commitment(salt, body) != entry.commitment:
            return [Finding(entry.position, "body", "body and salt are not what the entry commits to")]
        if entry.body_len != len(body):
            return [Finding(entry.position, "body", f"{len(body)} bytes; the entry says {entry.body_len}")]
        try:
            check_body(body)
            return self._erase(entry, msgspec.json.decode(body, type=_Erasure)) if entry.type in ERASING else []
        except (BodyRefused, msgspec.MsgspecError) as error:
            return [Finding(entry.position, "body", str(error))]

    def _erase(self, entry: Entry, erasure: _Erasure) -> list[Finding]:
        """A body may be missing only where a later event names it, and must be missing where one does."""
        if erasure.position in self._erased:
            return []
        if self._missing.get(erasure.position) != erasure.event:
            detail = f"event {entry.position} says that this body was erased, and it was not"
            return [Finding(erasure.position, "erasure", detail)]
        self._erased.add(erasure.position)
        del self._missing[erasure.position]
        return []


def _leaf(entry: Entry, prev: bytes) -> bytes:
    """What the columns hash to after `prev`; nothing when they cannot even be written as an entry."""
    try:
        return msgspec.structs.replace(entry, prev=prev).leaf()
    except (UnicodeError, AttributeError):
        return b""
