"""The audit trail: who did what to which entity, one row an event."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from dre.domain.account import AccountRegistered, actor_id
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import Millis, Recorded, stream_id
from dre.domain.ledger import LedgerCreated
from dre.ports.table_store import Row
from dre.projections.projection import Projection


class AuditRow(Row, frozen=True):
    """
    `entity_type` and `entity_id` come from the stream, `action` is the event's type. `changes` holds the fact itself
    where it is a change of settings or identity. Address and agent say through which door it came; they are null for
    the command line.
    """

    table = "audit_trail"
    indexes = (
        ("entity_type", "entity_id", "position"),
        ("user_id", "position"),
        ("action", "position"),
        ("created_at",),
        ("position",),
    )

    id: UUID
    entity_type: str
    action: str
    entity_id: str
    user_id: UUID
    changes: dict[str, Any] | None
    created_at: Millis
    position: int
    ip_address: str | None = None
    user_agent: str | None = None


def keys(recorded: Recorded) -> Sequence[UUID]:
    return (recorded.id,)


def fold(_row: AuditRow | None, recorded: Recorded) -> AuditRow:
    _, kind, id = stream_id(recorded.stream)
    event = recorded.event
    told = isinstance(event, ConfigurationChanged | AccountRegistered | LedgerCreated)
    return AuditRow(
        id=recorded.id,
        entity_type=kind,
        action=recorded.type,
        entity_id=id,
        user_id=actor_id(recorded.actor),
        changes=msgspec.to_builtins(event) if told else None,
        created_at=recorded.recorded_at,
        position=recorded.position,
        ip_address=recorded.meta.address,
        user_agent=recorded.meta.agent,
    )


AUDIT_TRAIL = Projection(AuditRow, version=3, keys=keys, fold=fold)
