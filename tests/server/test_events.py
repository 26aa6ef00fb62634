"""History over REST."""

from uuid import uuid4

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
