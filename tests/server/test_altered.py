"""A history that somebody has altered: it is said so, by position, and what can still be shown is shown."""

import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest
from server.listening import socket
from server.served import Served

from dre.client import Client
from dre.errors import ChainBroken
from dre.ports.event_store import Append, NewEvent

ALTERING = """
import sqlite3, sys
path, table, column, position, value = sys.argv[1:]
database = sqlite3.connect(path)
for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
    database.execute(f"drop trigger {trigger}")
value = bytes.fromhex(value)
shown = "cast(? as text)" if table == "event" else "?"
assert database.execute(f"update {table} set {column} = {shown} where position = ?", [value, position]).rowcount == 1
database.commit()
"""


def alter(served: Served, position: int, column: str, value: bytes) -> None:
    """As somebody with the file in their hands does it: in a process of theirs, since locks belong to processes."""
    table = "body" if column == "body" else "event"
    words = [served.engine.dot_dre.ledger, table, column, str(position), value.hex()]
    subprocess.run([sys.executable, "-c", ALTERING, *words], check=True)
    served.is_altered = True


async def asked(served: Served, method: str, path: str) -> tuple[int, Any]:
    async with served.http.request(method, served.api + path) as response:
        return response.status, await response.json(content_type=None)


async def item(served: Served) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (await served.get("/evidence?kind=output"))["items"][0]
    return found


NO_BODIES = [
    b"{not json",
    b"[]",
    b'{"meta":{"schema":1}}',
    b'{"meta":{"schema":1},"id":"\xff"}',
    b'{"a":' + b"[" * 9999,
]


@pytest.mark.parametrize("body", NO_BODIES)
async def test_what_reads_an_event_that_is_no_fact_any_more_says_that_it_was_altered(
    recorded: Served, body: bytes
) -> None:
    found = await item(recorded)
    alter(recorded, found["position"], "body", body)

    for path in (
        f"/evidence/{found['id']}",
        f"/evidence/{found['id']}/content",
        f"/operations/{recorded.operation}",
        f"/operations/{recorded.operation}/evidence",
    ):
        status, problem = await asked(recorded, "GET", path)
        assert (status, problem["code"]) == (500, "ledger_altered"), path
        assert f"event {found['position']} is not what was recorded" in problem["detail"]


@pytest.mark.parametrize(("column", "value"), [("body", b"{not json"), ("type", b"evidence.corrected")])
async def test_an_item_whose_event_was_altered_is_examined_and_it_is_said(
    recorded: Served, column: str, value: bytes
) -> None:
    found = await item(recorded)
    alter(recorded, found["position"], column, value)

    status, examined = await asked(recorded, "POST", f"/evidence/{found['id']}/verify")

    assert status == 200
    assert (examined["intact"], examined["event"], examined["blob"]) == (False, "altered", "unknown")
    assert (examined["position"], len(examined["details"])) == (found["position"], 1)


async def test_an_event_that_is_as_a_newer_dre_recorded_it_was_not_altered(recorded: Served) -> None:
    stream = f"default/operation-{recorded.operation}"
    event = NewEvent(uuid4(), stream, "operation.completed", b'{"meta":{"schema":99}}')
    await recorded.engine.appender.append(Append(recorded.engine.actor, (event,)))

    status, problem = await asked(recorded, "GET", f"/operations/{recorded.operation}")

    assert (status, problem["code"], problem["hint"]) == (503, "ledger_newer", "use a newer DRE")


@pytest.mark.parametrize("body", [*NO_BODIES, b'{"meta":{"schema":1},"key":"\xff\xfe"}', b"\xff"])
async def test_of_a_body_that_is_no_json_any_more_no_data_is_shown(served: Served, body: bytes) -> None:
    [position] = await served.append()
    alter(served, position, "body", body)
    keeps_data = body == b'{"meta":{"schema":1}}'

    page = await served.get("/events")
    assert page["items"][position]["data"] == ({} if keeps_data else None)
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        assert await listener.events(position + 1) == page["items"]


@pytest.mark.parametrize(
    ("column", "name"), [("type", b"conf\xff.changed"), ("stream", b"d\xc3\xa9fault/x-1"), ("actor", b"local-\x80")]
)
async def test_a_name_that_was_altered_is_shown_as_far_as_it_is_one(served: Served, column: str, name: bytes) -> None:
    position, newest = await served.append(2)
    alter(served, position, column, name)
    told = name.decode("ascii", "backslashreplace")

    page, proved = await served.get("/events"), await served.get("/events?proofs=true")

    for items in (page["items"], proved["items"]):
        assert items[position][column] == told
    assert told in proved["items"][position]["entry"].splitlines()
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        assert await listener.events(newest + 1) == page["items"]
        await listener.subscribe(after=-1, proofs=True)
        assert await listener.events(newest + 1) == proved["items"]
    async with Client(served.base, served.token) as client:
        with pytest.raises(ChainBroken, match=f"event ({position}|{newest}) "):
            async for _ in client.events(proofs=True):
                pass
