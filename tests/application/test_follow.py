"""Catching up ends, whatever the history says of itself."""

import asyncio
from pathlib import Path
from uuid import uuid4

import apsw
import pytest

from dre.adapters.sqlite.event_store import open_event_store
from dre.adapters.sqlite.table_store import open_table_store
from dre.application.execute import new_events
from dre.application.follow import Following
from dre.domain.account import AccountRegistered, actor_id
from dre.domain.events import stream_name
from dre.errors import LedgerAltered
from dre.ports.event_store import Append
from dre.projections import PROJECTIONS
from dre.projections.projection import Projecting

ACTOR = "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960"


async def test_a_head_that_counts_more_than_there_is_ends_in_an_error_and_not_in_waiting(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger.db")
    async with open_event_store(path) as store, open_table_store(str(tmp_path / "cache" / "tables.db")) as tables:
        account = AccountRegistered(
            id=actor_id(ACTOR), actor=ACTOR, kind="local", name="me", host="here", registered_at=1
        )
        [event] = new_events(stream_name("default", "account", account.id), [account], [uuid4()])
        await store.append([Append(ACTOR, (event,))])
        with apsw.Connection(path) as connection:
            connection.execute("update head set size = size + 1")
        connection.close()
        following = Following(store, tables, [Projecting(projection, tables) for projection in PROJECTIONS])

        with pytest.raises(LedgerAltered, match="event 1 is not there") as error:
            await asyncio.wait_for(following.catch_up(), 30)

    assert error.value.position == 1


@pytest.mark.parametrize("taken", [0, 1, 4])
async def test_an_event_that_was_taken_away_ends_in_an_error_wherever_it_stood(tmp_path: Path, taken: int) -> None:
    path = str(tmp_path / "ledger.db")
    async with open_event_store(path) as store, open_table_store(str(tmp_path / "cache" / "tables.db")) as tables:
        account = AccountRegistered(
            id=actor_id(ACTOR), actor=ACTOR, kind="local", name="me", host="here", registered_at=1
        )
        stream = stream_name("default", "account", account.id)
        await store.append([Append(ACTOR, new_events(stream, [account] * 5, [uuid4() for _ in range(5)]))])
        with apsw.Connection(path) as connection:
            connection.execute("drop trigger event_delete")
            connection.execute("delete from event where position = ?", [taken])
        connection.close()
        following = Following(store, tables, [Projecting(projection, tables) for projection in PROJECTIONS])

        with pytest.raises(LedgerAltered, match=f"event {taken} is not there") as error:
            await asyncio.wait_for(following.catch_up(), 30)

        assert error.value.position == taken
        assert {place.position for place in (await tables.places()).values()} == {taken - 1}
