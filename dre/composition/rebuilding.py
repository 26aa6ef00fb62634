"""Tables made anew beside those that stand: these answer until the new ones take their place, all at once."""

import contextlib
import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from glob import escape, glob
from tempfile import TemporaryDirectory
from typing import Any

from dre.adapters.sqlite.connection import Damaged
from dre.adapters.sqlite.table_store import open_table_store
from dre.application.follow import Following
from dre.composition import CACHE, TABLES, Engine
from dre.ports.table_store import Parked, Place, TableStore
from dre.projections import PROJECTIONS
from dre.projections.projection import Projecting, Projection

_PREFIX = "rebuild-"


class Rebuilding:
    def __init__(self, engine: Engine, path: str, aside: TableStore, projections: Sequence[Projection[Any]]) -> None:
        self._engine, self._path, self._aside = engine, path, aside
        self._may_empty = len(projections) == len(PROJECTIONS)  # of what it does not make anew it takes nothing away
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
            try:
                if await self._took_place():
                    return []
            except Damaged:
                if not self._may_empty:
                    raise
                self._may_empty = False  # what is damaged still is not mended by doing it again
                await self._engine.tables.empty()

    async def _took_place(self) -> bool:
        standing = await self._engine.tables.places()
        return not await self._is_behind(standing) and await self._engine.tables.replace(
            self._path, self._rows, {name: standing[name] for name in self._rows if name in standing}
        )

    async def _is_behind(self, standing: Mapping[str, Place]) -> bool:
        """Others follow meanwhile and may have seen more. Who saw more than there is saw another history."""
        size = (await self._engine.store.head()).size
        ours = await self._aside.places()
        return any(ours[name].position < standing[name].position < size for name in self._rows if name in standing)


@contextlib.asynccontextmanager
async def rebuilding(engine: Engine, projections: Sequence[Projection[Any]]) -> AsyncIterator[Rebuilding]:
    """Needs as much room again as these tables take. Raises StoreFull, StoreBusy."""
    with _folder(engine.dot_dre.within(CACHE)) as folder:
        path = os.path.join(folder, TABLES)
        async with open_table_store(path) as aside:
            yield Rebuilding(engine, path, aside, projections)


@contextlib.contextmanager
def _folder(cache: str) -> Iterator[str]:
    with contextlib.ExitStack() as ours:
        with _held(cache, fcntl.LOCK_EX):  # nobody sweeps between the making of a folder and the holding of it
            _sweep(cache)
            folder = ours.enter_context(TemporaryDirectory(prefix=_PREFIX, dir=cache))
            ours.enter_context(_held(folder))
        yield folder


def _sweep(cache: str) -> None:
    """What was left by one that was killed: nobody holds it."""
    for left in glob(os.path.join(escape(cache), f"{_PREFIX}*")):
        with contextlib.suppress(OSError), _held(left):
            shutil.rmtree(left)


@contextlib.contextmanager
def _held(folder: str, how: int = fcntl.LOCK_EX | fcntl.LOCK_NB) -> Iterator[None]:
    """Raises BlockingIOError where another process holds it and `how` does not wait."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, how)
        yield
    finally:
        os.close(fd)
