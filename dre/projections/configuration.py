"""Configuration: the value that history last gave each key, and who gave it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dre.domain.account import actor_id
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import Millis, Recorded
from dre.ports.table_store import Row
from dre.projections.projection import Projection


class ConfigurationRow(Row, frozen=True):
    table = "configuration"
    primary_key = "key"

    key: str
    value: Any
    scope: str
    changed_at: Millis
    changed_by: UUID


def keys(recorded: Recorded) -> Sequence[str]:
    return (recorded.event.key,) if isinstance(recorded.event, ConfigurationChanged) else ()


def fold(row: ConfigurationRow | None, recorded: Recorded) -> ConfigurationRow | None:
    match recorded.event:
        case ConfigurationChanged(value=None):
            return None
        case ConfigurationChanged(key=key, value=value, scope=scope):
            return ConfigurationRow(key, value, scope, recorded.recorded_at, actor_id(recorded.actor))
        case _:
            return row


CONFIGURATION = Projection(ConfigurationRow, version=1, keys=keys, fold=fold)
