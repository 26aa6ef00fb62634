"""Accounts: who stands behind an actor, in a body that can be erased."""

from typing import ClassVar, Literal
from uuid import UUID

from dre.domain.events import DomainEvent, Millis


class AccountRegistered(DomainEvent, frozen=True):
    """`actor` is what entries name; people's own names stand only here."""

    type: ClassVar[str] = "account.registered"
    id: UUID
    actor: str
    kind: Literal["local"]
    name: str
    host: str
    registered_at: Millis


def actor_id(actor: str) -> UUID:
    """The UUID inside `local-<uuid>` or `account-<uuid>`."""
    return UUID(actor.partition("-")[2])
