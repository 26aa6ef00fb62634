"""Evidence: one collected item of an operation, what it is, and where its bytes lie."""

from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from dre.domain.events import DomainEvent

EvidenceType = Literal["visual", "programmatic", "behavioral", "structural", "environment"]
LateOutput = Literal["none", "complete", "open", "lost"]


class Observation(msgspec.Struct, frozen=True, rename="camel"):
    """
    Something that was looked for, and how that went.

    `subject`: `output`, `workspace`, `report`, `late output`, ... `state`: `seen`, `not observed`, `stale`, `partial`.
    `detail` is a sentence for people.
    """

    subject: str
    state: Literal["seen", "partial", "stale", "not observed"]
    detail: str = ""


class EvidenceCollected(DomainEvent, frozen=True):
    """
    One item. `id` is this event's own id. `hash` is the blob's address, `digest` that of the plaintext (SHA-256, hex);
    sizes in bytes. `seal` is null: nothing is sealed yet, and says so.
    """

    type: ClassVar[str] = "evidence.collected"
    id: UUID
    operation_id: UUID
    evidence_type: EvidenceType
    name: str
    path: str
    kind: str
    media_type: str
    hash: str
    digest: str
    size_bytes: int
    stored_bytes: int
    seal: None
    metadata: dict[str, str | int | bool | None]


class EvidenceComplete(DomainEvent, frozen=True):
    """All items are in; verification starts here. After an interruption too, with what is left."""

    type: ClassVar[str] = "evidence.complete"
    operation_id: UUID
    items: int
    late_output: LateOutput
    observations: list[Observation]


class EvidenceErased(DomainEvent, frozen=True):
    """The payload of one item was destroyed: its blob's key and the body of its `evidence.collected`."""

    type: ClassVar[str] = "evidence.erased"
    position: int
    event: UUID
    operation_id: UUID
    reason: str
    by: str


def path_of(operation_id: UUID, evidence_type: EvidenceType, name: str) -> str:
    """Where the item is served, for ever."""
    return f"/evidence/{operation_id}/{evidence_type}/{name}"
