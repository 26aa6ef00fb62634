"""Tables held against history: whether what they say is what the folds make of it."""

from collections.abc import Sequence
from typing import Any

from dre.application.follow import Following
from dre.ports.event_store import EventStore
from dre.ports.table_store import Query, TableStore
from dre.projections.projection import Projecting, Projection

_ALL = 1 << 31


async def altered_tables(
    store: EventStore, tables: TableStore, scratch: TableStore, projections: Sequence[Projection[Any]]
) -> list[str]:
    """
    The names of those whose rows are not what history gives. `scratch`: an empty table store, which is filled anew.

    A table that another process moves on meanwhile is not compared.
    """
    await Following(store, scratch, [Projecting(projection, scratch) for projection in projections]).catch_up()
    found = []
    for projection in projections:
        kept, made = await _rows(tables, projection), await _rows(scratch, projection)
        same_place = (await tables.places()).get(projection.name) == (await scratch.places()).get(projection.name)
        if same_place and kept != made:
            found.append(projection.name)
    return found


async def _rows(tables: TableStore, projection: Projection[Any]) -> dict[Any, Any]:
    rows = await tables.query(projection.row, Query(limit=_ALL))
    return {getattr(row, projection.row.primary_key): row for row in rows}
