"""Evidence: one row an item, where it lies and what it is."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from dre.application.execute import read_fact
from dre.domain.events import Millis, Recorded
from dre.domain.evidence import EvidenceCollected, EvidenceErased
from dre.errors import BlobMissing, NotFound
from dre.ports.event_store import EventStore
from dre.ports.table_store import Query, Row, TableStore
from dre.projections.projection import Projection


class EvidenceRow(Row, frozen=True):
    """`format`: the media type. `storage_path`: where the blob store has the object. `erased`: its payload is gone."""

    table = "evidence"
    indexes = (("operation_id",), ("hash",))

    id: UUID
    operation_id: UUID
    type: str
    format: str
    storage_path: str
    hash: str
    size_bytes: int
    metadata: dict[str, str | int | bool | None]
    created_at: Millis
    name: str
    path: str
    kind: str
    digest: str
    stored_bytes: int
    position: int
    erased: bool = False


def keys(recorded: Recorded) -> Sequence[UUID]:
    match recorded.event:
        case EvidenceCollected(id=id):
            return (id,)
        case EvidenceErased(event=id):
            return (id,)
        case _:
            return ()


def fold(row: EvidenceRow | None, recorded: Recorded) -> EvidenceRow | None:
    match recorded.event:
        case EvidenceCollected() as item:
            return EvidenceRow(
                id=item.id,
                operation_id=item.operation_id,
                type=item.evidence_type,
                format=item.media_type,
                storage_path=f"{item.hash[:2]}/{item.hash[2:]}",
                hash=item.hash,
                size_bytes=item.size_bytes,
                metadata=item.metadata,
                created_at=recorded.recorded_at,
                name=item.name,
                path=item.path,
                kind=item.kind,
                digest=item.digest,
                stored_bytes=item.stored_bytes,
                position=recorded.position,
            )
        case EvidenceErased() if row is not None:
            return msgspec.structs.replace(row, erased=True)
        case _:
            return row


EVIDENCE = Projection(EvidenceRow, version=1, keys=keys, fold=fold)


async def of_operation(tables: TableStore, operation_id: UUID, limit: int = 1000) -> list[EvidenceRow]:
    """In the order they were collected."""
    return await tables.query(
        EvidenceRow, Query(where={"operation_id": operation_id}, order_by="position", limit=limit)
    )


class EvidenceDetail(msgspec.Struct, frozen=True, rename="camel"):
    """One item as REST shows it. `hash`: of the stored object, where it lies; `digest`: of what it holds (SHA-256)."""

    id: UUID
    operation_id: UUID
    type: str
    kind: str
    name: str
    path: str
    media_type: str
    hash: str
    digest: str
    size_bytes: int
    stored_bytes: int
    metadata: dict[str, str | int | bool | None]
    created_at: Millis
    position: int
    erased: bool = False


def detail(row: EvidenceRow) -> EvidenceDetail:
    return EvidenceDetail(
        id=row.id,
        operation_id=row.operation_id,
        type=row.type,
        kind=row.kind,
        name=row.name,
        path=row.path,
        media_type=row.format,
        hash=row.hash,
        digest=row.digest,
        size_bytes=row.size_bytes,
        stored_bytes=row.stored_bytes,
        metadata=row.metadata,
        created_at=row.created_at,
        position=row.position,
        erased=row.erased,
    )


async def read_evidence(store: EventStore, id: UUID) -> EvidenceDetail:
    """
    From the event itself, whose id is the item's: a table is only a hint. Raises NotFound, BlobMissing if erased,
    and what `read_fact` raises.
    """
    stored = (await store.find([id])).get(id)
    if stored is None or stored.entry.type != EvidenceCollected.type:
        raise NotFound(f"there is no evidence {id}")
    if stored.body is None:
        raise BlobMissing(f"evidence {id} was erased: its entry at {stored.entry.position} is all that is left")
    row = fold(None, read_fact(stored))
    if row is None:
        raise NotFound(f"there is no evidence {id}")
    return detail(row)
