"""The seat belt: whoever works on the file with our settings on is stopped from changing what is recorded."""

from collections.abc import Callable

import apsw
import pytest

from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.errors import LedgerAltered
from dre.ports.event_store import Append

CHANGES = [
    "update event set actor = 'local-2'",
    "update event set leaf = zeroblob(32) where position = 1",
    "update body set body = x'7b7d'",
    "update body set salt = zeroblob(32)",
    "delete from event",
    "delete from event where position = 2",
    "delete from head",
    "update head set size = 1",
    "update head set size = -1",
    "insert or replace into event select * from event where position = 1",
    "insert or replace into event select 99, id, 's', 0, 't', 0, 'a', leaf, 2, leaf from event where position = 1",
    "replace into event select position, zeroblob(16), 's', 0, 't', 0, 'a', zeroblob(32), 2, zeroblob(32) from event",
    "update or replace event set position = 0 where position = 1",
    "insert or replace into head values (1, 0, 0, zeroblob(32))",
    "insert into head values (2, 0, 0, zeroblob(32))",
    "insert or replace into body select position, zeroblob(32), x'7b7d' from body",
]


async def attempt(store: SQLiteEventStore, change: str) -> None:
    await store._database.run(lambda connection: connection.execute(change))


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_recorded_cannot_be_changed_by_a_statement(
    path: str, append: Callable[..., Append], change: str
) -> None:
    async with open_event_store(path) as store:
        await store.append([append(3)])
        before = [page async for page in store.read()]

        with pytest.raises(LedgerAltered, match=r"append-only|constraint"):
            await attempt(store, change)

        assert [page async for page in store.read()] == before


async def test_the_guards_are_all_there(path: str) -> None:
    async with open_event_store(path):
        pass
    connection = apsw.Connection(path)
    triggers = connection.execute("select name from sqlite_schema where type = 'trigger' order by name").get
    connection.close()
    assert triggers == ["body_insert", "body_update", "event_delete", "event_update", "head_back", "head_delete"]


async def test_the_schema_cannot_be_rewritten(path: str, append: Callable[..., Append]) -> None:
    async with open_event_store(path) as store:
        await store.append([append()])
        await attempt(store, "pragma writable_schema = 1")
        with pytest.raises(LedgerAltered, match="may not be modified"):
            await attempt(store, "delete from sqlite_schema where type = 'trigger'")

        mode = await store._database.run(lambda connection: connection.execute("pragma journal_mode = off").get)
        assert mode == "wal"
