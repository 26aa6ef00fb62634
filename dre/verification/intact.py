"""
Whether what is recorded of one operation is what was recorded: its events and its evidence, from stored bytes alone.

Each event is recomputed from its columns and body and compared with its stored leaf and with the link that the next
event holds. That the history around it is whole is what `dre ledger verify` proves.
"""

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from dre.domain.events import stream_name
from dre.domain.ledger import DEFAULT_PROJECT
from dre.errors import BlobAltered, BlobMissing, DREError, LedgerAltered
from dre.ledger.audit import ERASING
from dre.ledger.commitment import SALT_BYTES, commitment
from dre.ledger.entry import flaw
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import EventStore, StoredEvent
from dre.ports.table_store import TableStore
from dre.projections.operation_detail import Item, OperationDetail, read_operation
from dre.projections.operations import OperationRow

EXAMINED_BYTES = 8 << 20
"""So much is read again in milliseconds."""


class Altered(msgspec.Struct, frozen=True):
    """`part`: `event` or `evidence`. `position`: of the event that is wrong or that recorded the item."""

    position: int
    part: Literal["event", "evidence"]
    detail: str


class Place(msgspec.Struct, frozen=True):
    """
    The operation's place in the record: its first and last event, how many there are in all, and what is wrong.
    `evidence`: whether that was examined too.
    """

    first: int
    last: int
    events: int
    altered: Sequence[Altered] = ()
    evidence: Literal["none", "examined", "not examined"] = "none"


class Examined(msgspec.Struct, frozen=True):
    """`events` and `items`: how many were examined."""

    detail: OperationDetail
    events: int
    items: int
    altered: Sequence[Altered]


async def place(
    store: EventStore, blobs: BlobStore, ledger_id: UUID, detail: OperationDetail, events: Sequence[StoredEvent]
) -> Place:
    """With its events examined, and as a rule its evidence: what takes long to read is left to whoever asks for it."""
    last = max(event.entry.position for event in events)
    altered = await altered_events(store, ledger_id, events)
    evidence: Literal["none", "examined", "not examined"] = "none"
    if detail.evidence:
        size = sum(item.size_bytes for item in detail.evidence)
        evidence = "examined" if size <= EXAMINED_BYTES else "not examined"
    if evidence == "examined":
        altered += [found async for found in altered_evidence(detail.evidence, blobs)]
    return Place(detail.positions[0], last, (await store.head()).size, altered, evidence)


async def examine(store: EventStore, tables: TableStore, blobs: BlobStore, ledger_id: UUID, id: UUID) -> Examined:
    """
    Recomputes what the operation's own events and evidence hold. Raises NotFound, and LedgerAltered for what cannot be
    read.
    """
    rows = await tables.rows(OperationRow, [id])
    events = await events_of(store, id, rows[id].verification_id if id in rows else None)
    altered = await altered_events(store, ledger_id, events)
    try:
        detail = await read_operation(store, tables, id)
    except DREError:
        if not altered:
            raise
        first = altered[0]
        raise LedgerAltered(f"event {first.position}: {first.detail}", position=first.position) from None
    altered += [found async for found in altered_evidence(detail.evidence, blobs)]
    return Examined(detail, len(events), len(detail.evidence), altered)


async def events_of(store: EventStore, operation_id: UUID, verification_id: UUID | None) -> list[StoredEvent]:
    """Those of the operation's own stream, then those of its verdict's."""
    streams = [stream_name(DEFAULT_PROJECT, "operation", operation_id)]
    if verification_id is not None:
        streams.append(stream_name(DEFAULT_PROJECT, "verification", verification_id))
    return [event for stream in streams for event in await store.stream(stream)]


async def altered_events(
    store: EventStore, ledger_id: UUID, events: Sequence[StoredEvent], *, alone: bool = False
) -> list[Altered]:
    """Those that are not what their entries and their streams say. `alone`: they are not whole streams."""
    if any(event.body is None for event in events):  # an erasure is said where evidence was, or by the ledger itself
        erased = _erased([*events, *await store.stream(stream_name(DEFAULT_PROJECT, "ledger", ledger_id))])
    else:
        erased = set()
    problems = [(event.entry.position, _problem(event, erased)) for event in events]
    return [Altered(position, "event", problem) for position, problem in problems if problem] + (
        [] if alone else _gaps(events)
    )


async def altered_evidence(items: Iterable[Item], blobs: BlobStore) -> AsyncIterator[Altered]:
    for item in items:
        if item.erased:
            continue
        try:
            await blobs.check(item.hash)
        except BlobMissing:
            yield Altered(item.position, "evidence", f"evidence {item.name} is missing")
        except BlobAltered as error:
            yield Altered(item.position, "evidence", f"evidence {item.name} is not what was recorded: {error.message}")


def _problem(event: StoredEvent, erased: set[int]) -> str | None:
    entry = event.entry
    if (wrong := flaw(entry)) is not None:
        return wrong
    if entry.leaf() != event.leaf:
        return "its columns, or its link to the event before, are not what its hash says"
    if event.body is None:
        return None if entry.position in erased else "its body is missing, and no event says that it was erased"
    if event.salt is None or len(event.salt) != SALT_BYTES:
        return "its salt is missing"
    if len(event.body) != entry.body_len or commitment(event.salt, event.body) != entry.commitment:
        return "its body is not what its entry commits to"
    return None


def _erased(events: Iterable[StoredEvent]) -> set[int]:
    """The positions whose bodies were destroyed on purpose."""
    found = set()
    for event in events:
        if event.entry.type in ERASING and event.body is not None:
            with contextlib.suppress(msgspec.MsgspecError):
                found.add(msgspec.json.decode(event.body, type=_Erasure).position)
    return found


class _Erasure(msgspec.Struct):
    position: int


def _gaps(events: Sequence[StoredEvent]) -> list[Altered]:
    """Versions are gapless from 0: what is missing shows."""
    found, expected = [], dict[str, int]()
    for event in events:
        entry = event.entry
        due = expected.get(entry.stream, 0)
        expected[entry.stream] = entry.version + 1
        if entry.version != due:
            found.append(Altered(entry.position, "event", f"event {due} of its stream is missing before it"))
    return found
