"""The ledger about itself: its identity, what it has lost on purpose."""

from typing import ClassVar
from uuid import UUID

from dre.domain.events import DomainEvent

DEFAULT_PROJECT = "default"
DEFAULT_NAME = "dre.local"


class LedgerCreated(DomainEvent, frozen=True):
    """
    Position 0. `origin` is the first line of every checkpoint. `verifier_keys`: C2SP verifier keys of signer and
    cosigner. `format_digest`: SHA-256 of the format's test vectors, so the ledger says by which rules it was made.
    """

    type: ClassVar[str] = "ledger.created"
    ledger_id: UUID
    origin: str
    verifier_keys: list[str]
    format_digest: str


class BodyErased(DomainEvent, frozen=True):
    """The body and salt at `position` were destroyed; the entry stands."""

    type: ClassVar[str] = "body.erased"
    position: int
    event: UUID
    reason: str
    by: str


def origin_of(ledger_id: UUID, generation: int = 0, name: str = DEFAULT_NAME) -> str:
    return f"{name}/{ledger_id}/g{generation}"
