"""History over REST."""

import tracemalloc
from uuid import uuid4

import pytest
from server.served import Served

from dre.adapters.sqlite.event_store import open_event_store
from dre.ports.event_store import Append, NewEvent


async def test_history_is_served_from_a_position_on_page_by_page(served: Served) -> None:
    await served.append(5)

    first = await served.get("/events?limit=3")
    second = await served.get(f"/events?limit=100&cursor={first['next']}")

    assert [event["position"] for event in first["items"] + second["items"]] == list(range(7))
    assert second["next"] is None


async def test_a_page_that_was_asked_for_before_shows_what_was_committed_since(served: Served) -> None:
    before = await served.get("/events?limit=100")
    async with open_event_store(served.engine.dot_dre.ledger) as another:
        event = NewEvent(uuid4(), "default/bench-1", "bench.noted", b'{"meta":{"schema":1},"seen":true}')
        await another.append([Append(served.engine.actor, (event,))])

    after = await served.get("/events?limit=100")

    assert after["items"][:-1] == before["items"]
    assert after["items"][-1]["data"] == {"seen": True}
    assert after == await served.get("/events?limit=100")


async def test_a_stream_of_another_project_is_not_ours_however_long_ours_is(served: Served) -> None:
    await served.append_all(1200, at_once=200)
    ours = f"configuration-{served.engine.ledger_id}"

    assert (await served.get(f"/events?stream=other/{ours}&limit=1")) == {"items": [], "next": None}
    assert len((await served.get(f"/events?stream=default/{ours}&limit=1000"))["items"]) == 1000


async def test_a_page_behind_which_nothing_is_picked_promises_no_other(served: Served) -> None:
    ours = f"configuration-{served.engine.ledger_id}"
    positions = await served.append(6)
    theirs = NewEvent(uuid4(), f"other/{ours}", "bench.noted", b'{"meta":{"schema":1}}')
    await served.engine.appender.append(Append(served.engine.actor, (theirs,)))

    first = await served.get(f"/events?stream=default/{ours}&limit=3")
    second = await served.get(f"/events?stream=default/{ours}&limit=3&cursor={first['next']}")

    assert [event["position"] for event in first["items"] + second["items"]] == positions
    assert second["next"] is None


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("/events?stream=operation-1", "default/operation-<uuid>"),
        ("/events?stream=default/operation", "default/operation-<uuid>"),
        ("/events?type=operation.*", "operation.started"),
        ("/audit?action=Operation", "operation.started"),
    ],
)
async def test_a_name_that_no_event_can_have_is_refused_with_one_that_it_can_have(
    served: Served, asked: str, hint: str
) -> None:
    problem = await served.get(asked, status=400)
    assert asked.rpartition("=")[2] in problem["detail"]
    assert hint in problem["hint"]


async def test_a_page_of_big_events_is_cut_before_all_of_them_are_read(served: Served) -> None:
    size, count = 200_000, 400
    await served.append_all(count, filler=size)
    asked = f"/events?stream=default/configuration-{served.engine.ledger_id}&limit=1000"
    await served.get("/events?type=ledger.created")  # by then the tables know them all

    tracemalloc.start()
    page = await served.get(asked)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    seen = len(page["items"])
    assert seen < count
    assert most < count * size
    while page["next"]:
        page = await served.get(f"{asked}&cursor={page['next']}")
        seen += len(page["items"])
    assert seen == count
