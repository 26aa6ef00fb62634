"""Tables made anew beside those that stand: these answer until the new ones take their place, all at once."""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from dre.adapters.sqlite.table_store import open_table_store
from dre.application.follow import Following
from dre.composition import CACHE, TABLES, Engine
from dre.ports.table_store import Parked, Place, TableStore
from dre.projections.projection import Projecting, Projection


class Rebuilding:
    def __init__(self, engine: Engine, path: str, aside: TableStore, projections: Sequence[Projection[Any]]) -> None:
        self._engine, self._path, self._aside = engine, path, aside
        self._rows = {projection.name: projection.row for projection in projections}
        self._following = Following(engine.store, aside, [Projecting(one, aside) for one in projections])

    async def slowest(self) -> int:
        """How many events the table that is furthest behind has seen."""
        places = await self._aside.places()
        return min((places[name].position + 1 for name in self._rows if name in places), default=0)

    async def run(self) -> list[Parked]:
        """Until they have taken their place; else who cannot get to the end of history, and everything is as it was."""
        while True:
            if parked := await self._following.catch_up():
                return parked
            standing = await self._engine.tables.places()
            if not await self._is_behind(standing) and await self._engine.tables.replace(
                self._path, self._rows, {name: standing[name] for name in self._rows if name in standing}
            ):
                return []

    async def _is_behind(self, standing: Mapping[str, Place]) -> bool:
        """Others follow meanwhile and may have seen more. Who saw more than there is saw another history."""
        size = (await self._engine.store.head()).size
        ours = await self._aside.places()
        return any(ours[name].position < standing[name].position < size for name in self._rows if name in standing)


@contextlib.asynccontextmanager
async def rebuilding(engine: Engine, projections: Sequence[Projection[Any]]) -> AsyncIterator[Rebuilding]:
    """Needs as much room again as these tables take. Raises StoreFull, StoreBusy."""
    with TemporaryDirectory(prefix="rebuild-", dir=engine.dot_dre.within(CACHE)) as folder:
        path = os.path.join(folder, TABLES)
        async with open_table_store(path) as aside:
            yield Rebuilding(engine, path, aside, projections)
