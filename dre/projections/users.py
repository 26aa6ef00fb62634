"""Users: who stands behind the actors that entries name."""

from collections.abc import Sequence
from uuid import UUID

from dre.domain.account import AccountRegistered
from dre.domain.events import Millis, Recorded
from dre.ports.table_store import Row
from dre.projections.projection import Projection


class UserRow(Row, frozen=True):
    table = "users"
    indexes = (("actor",),)

    id: UUID
    actor: str
    kind: str
    name: str
    host: str
    created_at: Millis


def keys(recorded: Recorded) -> Sequence[UUID]:
    return (recorded.event.id,) if isinstance(recorded.event, AccountRegistered) else ()


def fold(row: UserRow | None, recorded: Recorded) -> UserRow | None:
    match recorded.event:
        case AccountRegistered() as account:
            return UserRow(account.id, account.actor, account.kind, account.name, account.host, account.registered_at)
        case _:
            return row


USERS = Projection(UserRow, version=1, keys=keys, fold=fold)
