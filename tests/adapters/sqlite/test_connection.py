"""A connection and its thread end together, whoever closes them and however often."""

import asyncio
from pathlib import Path

import apsw
import pytest

from dre.adapters.sqlite.connection import Database


def a_database(tmp_path: Path) -> Database:
    return Database(str(tmp_path / "a.db"), create=True, synchronous="full", busy_timeout_s=5)


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    database = a_database(tmp_path)
    await database.run(lambda connection: connection.execute("create table t (a)"))

    await database.close()
    await database.close()
    await asyncio.gather(database.close(), database.close())

    assert not (tmp_path / "a.db-wal").exists()
    with pytest.raises(RuntimeError, match="shutdown"):
        await database.run(lambda connection: connection.execute("select 1"))


async def test_closing_what_was_never_opened_is_nothing(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    await database.close()
    await database.close()

    assert list(tmp_path.iterdir()) == []


async def test_what_was_asked_before_is_done_before_it_closes(tmp_path: Path) -> None:
    database = a_database(tmp_path)

    def insert(connection: apsw.Connection) -> None:
        connection.execute("create table if not exists t (a)")
        connection.execute("insert into t values (1)")

    asked = [asyncio.ensure_future(database.run(insert)) for _ in range(20)]
    await asyncio.sleep(0)  # they stand in line now
    await database.close()
    await asyncio.gather(*asked)

    assert apsw.Connection(str(tmp_path / "a.db")).execute("select count(*) from t").get == 20
    assert not (tmp_path / "a.db-shm").exists()


async def test_a_value_that_cannot_be_asked_for_says_nothing_about_the_file(tmp_path: Path) -> None:
    database = Database(
        str(tmp_path / "tables.db"), create=True, synchronous="normal", busy_timeout_s=1, rebuildable=True
    )
    try:
        with pytest.raises(UnicodeEncodeError):
            await database.run(lambda c: c.execute("select ?", ("\udcff",)).get)
    finally:
        await database.close()
