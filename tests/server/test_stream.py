"""The live stream, from outside: what a listener is told, in which order, and from where on."""

from uuid import uuid4

import pytest
from server.listening import sent, socket
from server.served import Served

from dre.server.stream.ring import Entry


async def test_the_answer_to_subscribe_names_the_ledger_its_generation_and_its_head(served: Served) -> None:
    [newest] = await served.append()
    head = await served.engine.store.head()

    async with socket(served) as listener:
        answer = await listener.subscribe()

    assert answer == {
        "type": "subscribed",
        "ledger": str(served.engine.ledger_id),
        "generation": 0,
        "head": {"position": newest, "leaf": head.prev.hex()},
    }


async def test_without_a_position_only_what_happens_from_now_on_is_told(served: Served) -> None:
    await served.append(3)
    async with socket(served) as listener:
        await listener.subscribe()
        [position] = await served.append()
        assert await listener.positions(1) == [position]


async def test_it_goes_on_behind_every_position_there_is(served: Served) -> None:
    await served.append(8)
    for after in range(-1, 10):
        async with socket(served) as listener:
            await listener.subscribe(after=after)
            assert await listener.positions(9 - after) == list(range(after + 1, 10))
            assert await listener.is_quiet(0.05)


async def test_an_event_is_told_as_rest_shows_it(served: Served) -> None:
    await served.append(3)
    shown, proved = await served.get("/events"), await served.get("/events?proofs=true")
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        assert await listener.events(5) == shown["items"]
        await listener.subscribe(after=-1, proofs=True)
        assert await listener.events(5) == proved["items"]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"channels": ["audit"]}, ["account.registered", "configuration.changed", "configuration.changed"]),
        ({"channels": ["ledger"]}, ["ledger.created"]),
        ({"channels": ["operations", "ledger"]}, ["ledger.created"]),
        ({"types": ["configuration.changed"]}, ["configuration.changed", "configuration.changed"]),
        ({"channels": ["audit"], "types": ["ledger.created"]}, []),
        ({"projects": ["default"], "types": ["ledger.created"]}, ["ledger.created"]),
        ({"projects": ["other"]}, []),
        ({"operations": [str(uuid4())]}, []),
        ({"channels": []}, []),
    ],
)
async def test_filters_let_through_what_all_of_them_let_through(
    served: Served, asked: dict[str, list[str]], expected: list[str]
) -> None:
    await served.append(2)
    async with socket(served) as listener:
        await listener.subscribe(after=-1, **asked)
        assert sorted(event["type"] for event in await listener.events(len(expected))) == sorted(expected)
        assert await listener.is_quiet(0.1)
    query = "&".join(f"{name}={value}" for name, values in asked.items() for value in values)
    if asked != {"channels": []}:  # which a query string cannot say
        async with sent(served, f"?after=-1&{query}") as events:
            told = [(await events.next()) for _ in range(len(expected) + 1)]
            assert sorted(one.data["type"] for one in told[1:]) == sorted(expected)


async def test_what_only_passed_before_somebody_listened_is_not_told(served: Served) -> None:
    [position] = await served.append()
    live = served.live
    live.broadcast.say(passing("before"))
    async with socket(served) as listener:
        await listener.subscribe(channels=["logs"], after=position)
        live.broadcast.say(passing("after"))
        assert (await listener.next())["data"]["output"] == "after"


def passing(output: str, type: str = "operation.output", channel: str = "logs") -> Entry:
    message = b'{"type":"%s","data":{"output":"%s"}}' % (type.encode(), output.encode())
    return Entry(message=message, type=type, channel=channel, project="default", operation=None)


async def test_server_sent_events_say_the_same(served: Served) -> None:
    await served.append(3)
    shown = await served.get("/events")
    async with sent(served, "?after=-1") as events:
        answer = await events.next()
        told = [await events.next() for _ in range(5)]
        [position] = await served.append()
        newest = await events.next()

    assert (answer.name, answer.data["type"], answer.data["head"]["position"]) == ("subscribed", "subscribed", 4)
    assert [one.data for one in told] == shown["items"]
    assert [one.id for one in told] == ["0", "1", "2", "3", "4"]
    assert newest.data["position"] == position


@pytest.mark.parametrize("last", range(-1, 6))
async def test_server_sent_events_go_on_behind_the_last_event_id(served: Served, last: int) -> None:
    await served.append(4)
    async with sent(served, "?after=2", last=str(last)) as events:  # what a browser says when it comes back
        await served.append()
        assert await events.positions(6 - last) == list(range(last + 1, 7))


async def test_before_anything_was_told_the_last_event_id_is_the_position_that_was_asked_for(served: Served) -> None:
    """What a browser that lost its connection then sends must be understood."""
    async with sent(served, "?after=-1&types=no.such") as events:
        await events.next()
        line = (await events.response.content.readuntil(b"\n")).decode()
    assert line == "id: -1\n"
