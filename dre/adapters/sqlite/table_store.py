"""The table store on SQLite: a file of tables that can be deleted at any time, since history makes them again."""

import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import apsw

from dre.adapters.sqlite.connection import IN_MEMORY, Damaged, Database, Glance, transaction
from dre.adapters.sqlite.row_table import RowTable, table_of
from dre.ports.table_store import AnyRow, Parked, Place, Query, Row

FORMAT = 1
_FILES = ("", "-wal", "-shm")
_TABLES = """
create table cursor (
    name text primary key,
    version integer not null,
    build integer not null,
    position integer not null,
    leaf blob not null
) strict;
create table parked (name text primary key, position integer not null, error text not null) strict;
"""

_BETWEEN_GLANCES_S = 0.01  # each takes and gives back a lock; tables are behind history by as much anyway
T = TypeVar("T")


@asynccontextmanager
async def open_table_store(path: str, *, busy_timeout_s: float = 10) -> AsyncIterator["SQLiteTableStore"]:
    """
    The tables in this file; it and its folder are made if missing. A file that is damaged, or of another format, is
    replaced by an empty one. Raises StoreBusy, StoreFull.
    """
    _make_folder(path)
    database, glance = _database(path, busy_timeout_s), Glance(path)
    try:
        try:
            await database.run(_make_schema)
        except Damaged:
            await database.close()
            _remove(path)
            database = _database(path, busy_timeout_s)
            await database.run(_make_schema)
        yield SQLiteTableStore(database, glance)
    finally:
        glance.close()
        await database.close()


def _make_folder(path: str) -> None:
    if path != IN_MEMORY:
        with contextlib.suppress(FileExistsError):
            os.mkdir(os.path.dirname(os.path.abspath(path)), 0o700)


def _remove(path: str) -> None:
    for suffix in _FILES:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + suffix)


def _database(path: str, busy_timeout_s: float) -> Database:
    # NORMAL: after a power cut a cursor may be older than its last commit, never newer than its rows
    return Database(path, create=True, synchronous="normal", busy_timeout_s=busy_timeout_s, rebuildable=True)


class SQLiteTableStore:
    """
    Each follower's tables have a build number, one higher each time they begin anew. A writer that was prepared
    for another build cannot advance, also where the position happens to be the same.
    """

    def __init__(self, database: Database, glance: Glance) -> None:
        self._database, self._glance = database, glance
        self._builds: dict[str, int] = {}
        self._written = self._seen = 0
        self._look_at = 0.0

    async def prepare(self, name: str, version: int, row: type[Row] | None) -> Place:
        table = None if row is None else table_of(row)
        self._builds[name], place = await self._write(lambda c: _prepare(c, name, version, table))
        return place

    async def clear(self, name: str, row: type[Row] | None) -> None:
        table = None if row is None else table_of(row)
        self._builds[name] = await self._write(lambda c: _clear(c, name, table))

    async def rows(self, row: type[AnyRow], keys: Sequence[Any]) -> dict[Any, AnyRow]:
        table = table_of(row)
        asked = [(table.value(table.key, key),) for key in keys]
        found = await self._database.run(lambda c: [table.load(r) for r in c.executemany(table.by_key, asked)])
        return {getattr(one, table.key): one for one in found}

    async def advance(
        self,
        name: str,
        old: Place,
        new: Place,
        upserts: Sequence[Row] = (),
        deletes: Sequence[tuple[type[Row], Any]] = (),
    ) -> bool:
        build = self._builds.get(name)
        return await self._write(lambda c: _advance(c, name, build, old, new, upserts, deletes))

    async def park(self, parked: Parked) -> None:
        values = (parked.name, parked.position, parked.error)
        await self._write(lambda c: c.execute("insert or replace into parked values (?, ?, ?)", values))

    async def parked(self) -> list[Parked]:
        query = "select name, position, error from parked order by name"
        return await self._database.run(lambda c: [Parked(*row) for row in c.execute(query)])

    async def places(self) -> dict[str, Place]:
        query = "select name, position, leaf from cursor order by name"
        return await self._database.run(lambda c: {row[0]: Place(*row[1:]) for row in c.execute(query)})

    async def replace(self, aside: str, rows: Mapping[str, type[Row]], old: Mapping[str, Place]) -> bool:
        tables = {name: table_of(row) for name, row in rows.items()}
        builds = await self._write(lambda c: _replace(c, aside, tables, old))
        self._builds |= builds
        return bool(builds)

    async def empty(self) -> None:
        await self._write(_empty)

    async def query(self, row: type[AnyRow], query: Query) -> list[AnyRow]:
        table = table_of(row)
        statement, values = table.query(query)
        return await self._database.run(lambda c: [table.load(found) for found in c.execute(statement, values)])

    def commits(self) -> tuple[int, int]:
        now = time.monotonic()
        if now >= self._look_at:
            self._seen, self._look_at = self._glance.version(), now + _BETWEEN_GLANCES_S
        return self._seen, self._written

    async def _write(self, call: Callable[[apsw.Connection], T]) -> T:
        try:
            return await self._database.run(call)
        finally:
            self._written += 1


def _make_schema(connection: apsw.Connection) -> None:
    with transaction(connection):
        found = connection.execute("pragma user_version").get
        if found == FORMAT:
            return
        if found != 0 or connection.execute("select 1 from sqlite_schema").get is not None:
            raise Damaged("tables of another format")
        connection.execute(_TABLES)
        connection.execute(f"pragma user_version = {FORMAT}")


def _empty(connection: apsw.Connection) -> None:
    """Not by a new file: who has this one open would go on with it (https://sqlite.org/c3ref/c_dbconfig_defensive.html)."""
    connection.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 1)
    try:
        connection.execute("vacuum")
    finally:
        connection.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 0)
    _make_schema(connection)


def _prepare(connection: apsw.Connection, name: str, version: int, table: RowTable[Any] | None) -> tuple[int, Place]:
    if standing := _standing(connection, name, version, table):
        return standing
    with transaction(connection):
        if standing := _standing(connection, name, version, table):  # another process was faster
            return standing
        build = connection.execute("select build + 1 from cursor where name = ?", (name,)).get or 1
        _begin_anew(connection, name, version, build, table)
        return build, Place()


def _standing(
    connection: apsw.Connection, name: str, version: int, table: RowTable[Any] | None
) -> tuple[int, Place] | None:
    """Build and place of a follower of this version whose table, if it has one, has the columns of its row type."""
    query = "select build, position, leaf from cursor where name = ? and version = ?"
    found = connection.execute(query, (name, version)).get
    if found is None or (table is not None and _shape(connection, table) != table.shape()):
        return None
    return found[0], Place(*found[1:])


def _clear(connection: apsw.Connection, name: str, table: RowTable[Any] | None) -> int:
    with transaction(connection):
        found = connection.execute("select version, build from cursor where name = ?", (name,)).get
        version, build = found or (0, 0)
        _begin_anew(connection, name, version, build + 1, table)
        return int(build) + 1


def _replace(
    connection: apsw.Connection, aside: str, tables: Mapping[str, RowTable[Any]], old: Mapping[str, Place]
) -> dict[str, int]:
    """The new builds; empty where one has moved. Readers see the old rows until all of the new ones are there."""
    connection.execute("attach ? as aside", (aside,))
    try:
        with transaction(connection):
            found = {row[0]: row[1:] for row in connection.execute("select name, build, position, leaf from cursor")}
            if {name: Place(*found[name][1:]) for name in tables if name in found} != old:
                return {}
            builds = {name: found[name][0] + 1 if name in found else 1 for name in tables}
            for name, table in tables.items():
                _copy(connection, name, builds[name], table)
            return builds
    finally:
        connection.execute("detach aside")


def _copy(connection: apsw.Connection, name: str, build: int, table: RowTable[Any]) -> None:
    version, *place = connection.execute("select version, position, leaf from aside.cursor where name = ?", (name,)).get
    _begin_anew(connection, name, version, build, table)
    connection.execute(table.copy_from("aside"))
    connection.execute("update cursor set position = ?, leaf = ? where name = ?", (*place, name))


def _begin_anew(connection: apsw.Connection, name: str, version: int, build: int, table: RowTable[Any] | None) -> None:
    if table is not None:
        connection.execute(f'drop table if exists main."{table.name}"')
        for statement in table.definition():
            connection.execute(statement)
    place = Place()
    values = (name, version, build, place.position, place.leaf)
    connection.execute("insert or replace into cursor values (?, ?, ?, ?, ?)", values)
    connection.execute("delete from parked where name = ?", (name,))


def _shape(connection: apsw.Connection, table: RowTable[Any]) -> list[tuple[str, str]]:
    """The columns that the table has; a row type that changed without a new version is seen so."""
    return [
        (name, kind.lower())
        for name, kind in connection.execute("select name, type from pragma_table_info(?)", (table.name,))
    ]


def _advance(
    connection: apsw.Connection,
    name: str,
    build: int | None,
    old: Place,
    new: Place,
    upserts: Sequence[Row],
    deletes: Sequence[tuple[type[Row], Any]],
) -> bool:
    with transaction(connection):
        connection.execute(
            "update cursor set position = ?, leaf = ? where name = ? and build = ? and position = ? and leaf = ?",
            (new.position, new.leaf, name, build, old.position, old.leaf),
        )
        if connection.changes() == 0:
            return False
        for kind in dict.fromkeys(map(type, upserts)):
            table = table_of(kind)
            connection.executemany(table.upsert, [table.values(row) for row in upserts if type(row) is kind])
        for kind, key in deletes:
            table = table_of(kind)
            connection.execute(table.delete, (table.value(table.key, key),))
        connection.execute("delete from parked where name = ?", (name,))
    return True
