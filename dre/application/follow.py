"""Followers: everything that reacts to history catches up behind a cursor, then stays awake."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from dre.domain import codec
from dre.domain.events import Recorded
from dre.errors import DREError, LedgerAltered
from dre.ports.event_store import EventStore, StoredEvent
from dre.ports.table_store import Parked, Place, Row, TableStore

PAGE = 2000
SAFETY_POLL_S = 1.0


class Handled(msgspec.Struct, frozen=True):
    """
    What a page led to: rows to write together with the cursor, and how many events of the page were handled.

    Fewer than all means that the next one cannot be: `error` says why.
    """

    events: int
    upserts: Sequence[Row] = ()
    deletes: Sequence[tuple[type[Row], object]] = ()
    error: str | None = None


class Follower(Protocol):
    """
    A reaction to history. `handle` may be called again with the same events after a crash: what it appends has
    ids derived from its name and the causing event, what it writes as rows goes with the cursor.
    """

    name: str
    version: int
    row: type[Row] | None

    async def handle(self, events: Sequence[Recorded]) -> Handled: ...


class Following:
    """Drives followers over one store: catches up (`catch_up`), or stays awake (`run`)."""

    def __init__(self, store: EventStore, tables: TableStore, followers: Sequence[Follower]) -> None:
        self._store, self._tables, self._followers = store, tables, followers
        self._places: dict[str, Place] = {}
        self._stopped: set[str] = set()

    async def catch_up(self) -> list[Parked]:
        """Until every follower has seen all history, including what others appended because of it; who could not."""
        self._stopped.clear()  # what stopped them may have been mended, or was a full disk
        await self._prepare()
        while not await self._one_round():
            pass
        return [parked for parked in await self._tables.parked() if parked.name in self._stopped]

    async def run(self) -> None:
        """Never returns: whatever is committed, by this process or another, is handled soon after."""
        while True:
            size = (await self._store.head()).size
            await self.catch_up()
            await self._store.changed(size, SAFETY_POLL_S)

    async def _prepare(self) -> None:
        for follower in self._followers:
            if follower.name in self._places:
                continue
            place = await self._tables.prepare(follower.name, follower.version, follower.row)
            if not await self._is_ours(place):
                await self._tables.clear(follower.name, follower.row)
                place = Place()
            self._places[follower.name] = place

    async def _is_ours(self, place: Place) -> bool:
        """Tables that saw another history (a ledger that was put back, or begun anew) are worth nothing."""
        if place.position < 0:
            return True
        async for page in self._store.read(place.position - 1, place.position + 1):
            return page[0].leaf == place.leaf
        return False

    async def _one_round(self) -> bool:
        """
        One page, decoded once, for everybody who has not seen it; True when nobody is behind.

        Raises LedgerAltered where the next event is not there: nobody would ever catch up with the head.
        """
        size = (await self._store.head()).size
        behind = [f for f in self._followers if f.name not in self._stopped and self._at(f) < size - 1]
        if not behind:
            return True
        low = min(map(self._at, behind))
        async for whole in self._store.read(low, size, page=PAGE):
            page = _up_to_a_hole(whole, low + 1)
            if not page:
                break
            readable, error = _decode(page)
            for follower in behind:
                await self._feed(follower, page, readable, error)
            return False
        raise LedgerAltered(
            f"the history says that it holds {size} events, but event {low + 1} is not there",
            position=low + 1,
            hint="dre ledger verify says what is wrong",
        )

    def _at(self, follower: Follower) -> int:
        return self._places[follower.name].position

    async def _feed(
        self, follower: Follower, page: Sequence[StoredEvent], readable: Sequence[Recorded], error: str | None
    ) -> None:
        place = self._places[follower.name]
        skip = place.position + 1 - page[0].entry.position
        if skip < 0 or skip >= len(page):
            return
        handled = await follower.handle(readable[skip:]) if readable[skip:] else Handled(0)
        last = skip + handled.events - 1
        if handled.events:
            there = page[last]
            await self._advance(follower, place, Place(there.entry.position, there.leaf), handled)
        if handled.error or skip + handled.events < len(page):
            self._stopped.add(follower.name)
            why = handled.error or error or "stopped without a reason"
            await self._tables.park(Parked(follower.name, page[last + 1].entry.position, why))

    async def _advance(self, follower: Follower, old: Place, new: Place, handled: Handled) -> None:
        if await self._tables.advance(follower.name, old, new, handled.upserts, handled.deletes):
            self._places[follower.name] = new
        else:  # another process was faster: its rows stand, ours were not written
            self._places[follower.name] = await self._tables.prepare(follower.name, follower.version, follower.row)


def _up_to_a_hole(page: Sequence[StoredEvent], first: int) -> Sequence[StoredEvent]:
    """What follows `first` without a gap. Where an event is missing, the page after this one begins with the hole."""
    there = next((at for at, stored in enumerate(page) if stored.entry.position != first + at), len(page))
    return page[:there]


def _decode(page: Sequence[StoredEvent]) -> tuple[list[Recorded], str | None]:
    """Everything up to the first event that cannot be read, and why that one cannot."""
    found: list[Recorded] = []
    for stored in page:
        entry = stored.entry
        if not (entry.stream.isascii() and entry.type.isascii() and entry.actor.isascii()):
            return found, "ledger_altered: a name of it is no ASCII any more"
        try:
            found.append(codec.recorded(entry, stored.body))
        except DREError as error:
            return found, f"{error.code}: {error.message}"
    return found, None
