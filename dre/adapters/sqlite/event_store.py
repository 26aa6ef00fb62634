"""The event store on SQLite: one file, several processes, every acknowledged event on the disk."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any, TypeVar
from uuid import UUID

import apsw
import msgspec

from dre.adapters.sqlite.connection import Database, Glance, transaction
from dre.adapters.sqlite.schema import make_schema
from dre.adapters.sqlite.settle import settle, streams_of
from dre.errors import LedgerAltered, StoreBusy
from dre.ledger.chain import Head, Linked, link_all
from dre.ledger.commitment import SALT_BYTES
from dre.ledger.entry import GENESIS, MAX_NUMBER, Entry
from dre.ports.event_store import Append, Receipt, Refused, StoredEvent

POLL_S = 0.05
_FIRST_PAUSE_S = 0.001
PAGE_BYTES = 8 << 20


class _Row(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The columns of `_OWN` and the leaf before, as they may be; a damaged file may hold anything anywhere."""

    position: int
    id: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    stream: bytes
    version: int
    type: bytes
    recorded_at_us: int
    actor: bytes
    commitment: bytes
    body_len: int
    leaf: bytes
    salt: bytes | None
    body: bytes | None
    before: bytes | None


T = TypeVar("T")

# names are read as bytes: a flipped byte may have made them no text at all, and an audit must see that row
_OWN = (
    "select e.position, e.id, cast(e.stream as blob), e.version, cast(e.type as blob), e.recorded_at_us,"
    " cast(e.actor as blob), e.commitment, e.body_len, e.leaf, b.salt, b.body"
)
_ROWS = "from event e left join body b on b.position = e.position"
_COLUMNS = f"{_OWN}, before.leaf {_ROWS} left join event before on before.position = e.position - 1"
_PAGE = f"{_OWN} {_ROWS} where e.position > ? and e.position < ? order by e.position limit ?"
_STREAM = f"{_COLUMNS} where e.stream = ? and e.version > ? order by e.version"
_FIND = f"{_COLUMNS} where e.id = ?"


@asynccontextmanager
async def open_event_store(
    path: str,
    *,
    create: bool = True,
    busy_timeout_s: float = 10,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
    random: Callable[[int], bytes] = os.urandom,
) -> AsyncIterator["SQLiteEventStore"]:
    """
    The ledger in this file, made if it is missing (without `create`: LedgerMissing). Its folder must exist.

    Raises LedgerNewer, LedgerAltered, StoreBusy, StoreFull.
    """
    database = Database(path, create=create, synchronous="full", busy_timeout_s=busy_timeout_s)
    glance = Glance(path)
    try:
        await database.run(make_schema)
        yield SQLiteEventStore(database, glance, now_us, random, busy_timeout_s)
    finally:
        glance.close()
        await database.close()


class SQLiteEventStore:
    def __init__(
        self,
        database: Database,
        glance: Glance,
        now_us: Callable[[], int],
        random: Callable[[int], bytes],
        patience_s: float,
    ) -> None:
        self._database, self._glance = database, glance
        self._now_us = now_us
        self._random = random
        self._patience_s = patience_s
        self._moved = asyncio.Event()
        self._appended = 0
        self._known: tuple[object, Head] | None = None
        self._waiting = 0
        self._looking: asyncio.TimerHandle | None = None
        self._looked: int | None = None

    async def head(self) -> Head:
        commits = self.commits()  # before the look: what is committed during it makes it be looked at again
        if self._known is not None and self._known[0] == commits:
            await asyncio.sleep(0)  # whoever asks again and again lets others work
            return self._known[1]
        head = await self._database.run(_head)
        self._known = commits, head
        return head

    async def append(self, appends: Sequence[Append]) -> list[Receipt | Refused]:
        answers = await self._in_turn(partial(self._append_now, appends=appends))
        self._appended += 1
        self._wake()
        return answers

    async def read(
        self, after: int = -1, upto: int | None = None, *, page: int = 2000
    ) -> AsyncIterator[Sequence[StoredEvent]]:
        end = (await self.head()).size if upto is None else upto
        while after < end - 1 and (rows := await self._database.run(partial(_page, after=after, end=end, page=page))):
            yield rows
            after = rows[-1].entry.position

    async def stream(self, stream: str, after: int = -1) -> list[StoredEvent]:
        return await self._database.run(lambda c: [_stored(row) for row in c.execute(_STREAM, (stream, after))])

    async def find(self, ids: Sequence[UUID]) -> dict[UUID, StoredEvent]:
        return await self._database.run(lambda connection: _find(connection, ids))

    def commits(self) -> tuple[int, int]:
        return self._glance.version(), self._appended

    async def changed(self, known: int, timeout_s: float) -> int:
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout_s
        while True:
            moved = self._moved  # taken before the look: what is committed after it will set this one
            version, _ = self.commits()
            size = (await self.head()).size
            left = end - loop.time()
            if size != known or left <= 0:
                return size
            self._look_now_and_then(version)
            self._waiting += 1
            try:
                async with asyncio.timeout(left):
                    await moved.wait()
            except TimeoutError:
                pass
            finally:
                self._waiting -= 1

    def _look_now_and_then(self, version: int) -> None:
        """For commits of other processes, as long as anybody waits: one glance for all of them."""
        if self._looking is None:
            self._looked = version
            self._looking = asyncio.get_running_loop().call_later(POLL_S, self._look)
        elif version != self._looked:
            self._looked = None  # whoever began this looked at another time: the next look wakes all

    def _look(self) -> None:
        self._looking = None
        if self._waiting == 0:
            return
        version = self._glance.version()
        if version != self._looked:
            self._wake()
        self._looked = version
        self._looking = asyncio.get_running_loop().call_later(POLL_S, self._look)

    def _wake(self) -> None:
        """Who waits in `changed` looks for itself."""
        self._moved.set()
        self._moved = asyncio.Event()

    async def _in_turn(self, write: Callable[[apsw.Connection], T]) -> T:
        """Waits for other processes outside the database's thread, so that reads go on meanwhile. Raises StoreBusy."""
        loop = asyncio.get_running_loop()
        end, pause = loop.time() + self._patience_s, _FIRST_PAUSE_S
        while True:
            try:
                return await self._database.run(write)
            except StoreBusy:
                if loop.time() > end:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, POLL_S)

    def _append_now(self, connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt | Refused]:
        connection.set_busy_timeout(0)
        try:
            return self._append(connection, appends)
        finally:
            connection.set_busy_timeout(int(self._patience_s * 1000))

    def _append(self, connection: apsw.Connection, appends: Sequence[Append]) -> list[Receipt | Refused]:
        with transaction(connection):
            head = _head(connection)
            known = _find(connection, _recorded(connection, (event.id for one in appends for event in one.events)))
            settled = settle(appends, known, _lengths(connection, streams_of(appends)))
            entries = {id: found.entry for id, found in known.items()}
            if settled.drafts:
                _check_tail(connection, head)
                salts = _split(self._random(SALT_BYTES * len(settled.drafts)))
                linked, moved = link_all(settled.drafts, head, salts, self._now_us())
                _insert(connection, linked)
                _move(connection, head, moved)
                entries.update((link.entry.event_id, link.entry) for link in linked)
        return settled.answers(appends, entries)


def _head(connection: apsw.Connection) -> Head:
    row = connection.execute("select generation, size, prev from head where id = 1").get
    if row is None:
        raise LedgerAltered("the head row is missing")
    return Head(*row)


def _page(connection: apsw.Connection, after: int, end: int, page: int) -> list[StoredEvent]:
    """As many rows as were asked for, fewer where their bodies are big."""
    found: list[StoredEvent] = []
    size = 0
    after = max(after, -MAX_NUMBER)
    last, leaf = after, connection.execute("select leaf from event where position = ?", (after,)).get
    cursor = connection.execute(_PAGE, (after, min(end, MAX_NUMBER), page))
    for row in cursor:
        stored = _stored((*row, leaf if row[0] == last + 1 else None))  # what stands before it was read just before it
        found.append(stored)
        last, leaf = row[0], stored.leaf
        size += len(stored.body or b"")
        if size >= PAGE_BYTES:
            break
    cursor.close()  # one that was left half-read would keep the journal from being emptied
    return found


def _find(connection: apsw.Connection, ids: Iterable[UUID]) -> dict[UUID, StoredEvent]:
    rows = connection.executemany(_FIND, ((id.bytes,) for id in ids))
    return {found.entry.event_id: found for found in map(_stored, rows)}


def _recorded(connection: apsw.Connection, ids: Iterable[UUID]) -> list[UUID]:
    """Which of these are recorded. Almost none ever is, and asking for the id alone costs a fourth of `_find`."""
    rows = connection.executemany("select id from event where id = ?", [(id.bytes,) for id in ids])
    return [UUID(bytes=id) for (id,) in rows]


def _lengths(connection: apsw.Connection, streams: Iterable[str]) -> dict[str, int]:
    query = "select stream, max(version) + 1 from event where stream = ?"
    return {stream: length for stream, length in connection.executemany(query, ((s,) for s in streams)) if stream}


def _check_tail(connection: apsw.Connection, head: Head) -> None:
    """Nothing is built on a head that does not fit the events: the damage would become part of history."""
    row = connection.execute("select position, leaf from event order by position desc limit 1").get
    if (row or (-1, GENESIS)) != (head.size - 1, head.prev):
        raise LedgerAltered("the head row does not fit the last event", position=max(head.size - 1, 0))


def _insert(connection: apsw.Connection, linked: Sequence[Linked]) -> None:
    connection.executemany(
        "insert into event values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [_values(link.entry, link.leaf) for link in linked]
    )
    connection.executemany(
        "insert into body values (?, ?, ?)", [(link.entry.position, link.salt, link.body) for link in linked]
    )


def _move(connection: apsw.Connection, old: Head, new: Head) -> None:
    connection.execute(
        "update head set size = ?, prev = ? where id = 1 and size = ? and prev = ?",
        (new.size, new.prev, old.size, old.prev),
    )
    if connection.changes() != 1:
        raise LedgerAltered("the head row moved under a writer that held the lock")


def _values(entry: Entry, leaf: bytes) -> tuple[int | str | bytes, ...]:
    return (
        entry.position,
        entry.event_id.bytes,
        entry.stream,
        entry.version,
        entry.type,
        entry.recorded_at_us,
        entry.actor,
        entry.commitment,
        entry.body_len,
        leaf,
    )


def _stored(values: tuple[Any, ...]) -> StoredEvent:
    try:
        row = msgspec.convert(values, _Row, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise LedgerAltered(f"event {values[0]} cannot be read: {error}", position=values[0]) from None
    if (row.salt is None) != (row.body is None):
        raise LedgerAltered(f"event {row.position} cannot be read: half of its body is missing", position=row.position)
    entry = Entry(
        position=row.position,
        prev=row.before or (b"" if row.position else GENESIS),
        event_id=msgspec.convert(row.id, UUID),
        stream=_name(row.stream),
        version=row.version,
        type=_name(row.type),
        recorded_at_us=row.recorded_at_us,
        actor=_name(row.actor),
        commitment=row.commitment,
        body_len=row.body_len,
    )
    return StoredEvent(entry, row.leaf, row.salt, row.body)


def _name(stored: bytes) -> str:
    return stored.decode("ascii", "surrogateescape")


def _split(salts: bytes) -> list[bytes]:
    return [salts[start : start + SALT_BYTES] for start in range(0, len(salts), SALT_BYTES)]
