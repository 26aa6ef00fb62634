"""A projection: a table, the pure fold that fills it, and the keys that an event touches."""

from collections.abc import Callable, Sequence
from typing import Any, Generic

from dre.application.follow import Handled
from dre.domain.events import Recorded
from dre.ports.table_store import AnyRow, Row, TableStore


class Projection(Generic[AnyRow]):
    """
    `keys` names the rows that an event may change, `fold` makes each of them anew (None: no such row).

    Raise `version` whenever `row`, `keys` or `fold` changes: the table is then filled again from position 0.
    """

    def __init__(
        self,
        row: type[AnyRow],
        *,
        version: int,
        keys: Callable[[Recorded], Sequence[Any]],
        fold: Callable[[AnyRow | None, Recorded], AnyRow | None],
    ) -> None:
        self.row, self.version, self.keys, self.fold = row, version, keys, fold
        self.name = row.table


class Projecting(Generic[AnyRow]):
    """The follower that keeps one projection's table: reads the rows of a page, folds in memory, hands them back."""

    def __init__(self, projection: Projection[AnyRow], tables: TableStore) -> None:
        self._projection, self._tables = projection, tables
        self.name, self.version = projection.name, projection.version
        self.row: type[Row] | None = projection.row

    async def handle(self, events: Sequence[Recorded]) -> Handled:
        touched = [(event, self._projection.keys(event)) for event in events]
        keys = list({key for _, keys in touched for key in keys})
        before = await self._tables.rows(self._projection.row, keys) if keys else {}
        rows: dict[Any, AnyRow | None] = {**before}
        for count, (event, event_keys) in enumerate(touched):
            try:
                rows |= {key: self._projection.fold(rows.get(key), event) for key in event_keys}
            except Exception as error:  # noqa: BLE001 - whatever a fold trips over, it stops at the event before
                return self._handled(count, before, rows, f"{event.type}: {type(error).__name__}: {error}")
        return self._handled(len(events), before, rows, None)

    def _handled(
        self, events: int, before: dict[Any, AnyRow], rows: dict[Any, AnyRow | None], error: str | None
    ) -> Handled:
        upserts = [row for key, row in rows.items() if row is not None and row != before.get(key)]
        deletes = [(self._projection.row, key) for key, row in rows.items() if row is None and key in before]
        return Handled(events, upserts, deletes, error)
