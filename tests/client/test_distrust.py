"""The client believes nothing that it can check: what does not hang together is named by its position."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from client.liar import lying
from server.served import Served

from dre.client import Client, Proved
from dre.errors import ChainBroken, DREError, HistoryDiffers, ServerUnreachable

Events = list[Any]


async def history(served: Served, count: int = 6) -> Events:
    await served.append(count - 2)
    items: Events = (await served.get("/events?proofs=true"))["items"]
    return items


def subscribed(events: Events, *, upto: int | None = None, leaf: str | None = None, **more: Any) -> Any:
    """As if the event at `upto` were the newest; its leaf is the next one's line 3."""
    position = len(events) - 1 if upto is None else upto
    known = events[position + 1]["entry"].split("\n")[2] if position + 1 < len(events) else "00" * 32
    head = {"position": position, "leaf": leaf or known}
    return {
        "type": "subscribed",
        "ledger": "019b8f3a-5c00-7abc-8def-0123456789ab",
        "generation": 0,
        "head": head,
    } | more


async def told(base: str, count: int, *, after: int | None = -1, proofs: bool = True) -> list[int]:
    found: list[int] = []
    async with asyncio.timeout(20), Client(base, "token") as client:
        async for event in client.follow(after=after, proofs=proofs):
            found.append(event.position)
            if len(found) == count:
                break
    return found


def replaced(name: str, old: str, new: str) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        events[3][name] = events[3][name].replace(old, new, 1)
        return events

    return change


def given(name: str, value: Any) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        events[3][name] = value
        return events

    return change


def line(number: int, value: str) -> Callable[[Events], Events]:
    def change(events: Events) -> Events:
        lines = events[3]["entry"].split("\n")
        lines[number - 1] = value
        events[3]["entry"] = "\n".join(lines)
        return events

    return change


@pytest.mark.parametrize(
    ("change", "position"),
    [
        (lambda events: events[:3] + events[4:], 3),
        (lambda events: [*events[:4], events[3], *events[4:]], 4),
        (lambda events: [*events[:2], events[3], events[2], *events[4:]], 2),
        (lambda events: [*events[:3], {"type": "heartbeat", "position": 4}, *events[3:]], 3),
        (replaced("body", "1d", "2d"), 3),
        (replaced("salt", "0", "1"), 3),
        (given("salt", None), 3),
        (given("salt", "zz"), 3),
        (given("body", None), 3),
        (given("data", {"key": "another"}), 3),
        (given("data", None), 3),
        (given("actor", "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960"), 3),
        (given("recordedAt", 1), 3),
        (given("version", 77), 3),
        (given("type", "ledger.created"), 3),
        (given("id", "6e5d51bb-565e-8cff-9fb6-ed34e4960859"), 3),
        (given("entry", ""), 3),
        (given("entry", "dre.event.v1\n3\n"), 3),
        (line(3, "00" * 32), 3),
        (line(11, "1"), 3),
    ],
)
async def test_a_history_that_does_not_hang_together_is_refused_where_it_breaks(
    served: Served, change: Callable[[Events], Events], position: int
) -> None:
    events = await history(served)
    script = [subscribed(events), *change(json.loads(json.dumps(events)))]
    async with lying(script) as liar:
        with pytest.raises(ChainBroken) as caught:
            await told(liar.base, len(script))
    assert caught.value.position == position


async def test_a_changed_event_that_hangs_together_is_found_by_the_one_behind_it(served: Served) -> None:
    events = await history(served)
    changed = line(8, events[3]["entry"].split("\n")[7][:-1] + "0")(json.loads(json.dumps(events)))
    if changed == events:
        changed = line(8, events[3]["entry"].split("\n")[7][:-1] + "1")(changed)
    async with lying([subscribed(events), *changed]) as liar:
        with pytest.raises(ChainBroken) as caught:
            await told(liar.base, 6)
    assert caught.value.position == 4


@pytest.mark.parametrize(("order", "position"), [((1, 0), 0), ((2, 2), 2), ((0, 3, 1), 1)])
async def test_pages_of_a_picked_history_that_go_back_are_refused(
    served: Served, order: tuple[int, ...], position: int
) -> None:
    events = await history(served)
    *first, last = [events[place] for place in order]
    pages = [{"items": first, "next": "more"}, {"items": [last], "next": None}]
    async with lying(pages=pages) as liar, Client(liar.base, "token") as client:
        with pytest.raises(ChainBroken) as caught:
            [event async for event in client.events(type="ledger.created")]
    assert caught.value.position == position


async def test_it_comes_back_after_each_event_and_the_chain_goes_on(served: Served) -> None:
    events = await history(served)
    scripts = [[subscribed(events), event] for event in events]
    async with lying(*scripts) as liar:
        assert await told(liar.base, 6) == list(range(6))
    assert [asked["after"] for asked in liar.asked] == list(range(-1, 5))
    assert [asked.get("generation") for asked in liar.asked] == [None, 0, 0, 0, 0, 0]


async def test_another_history_behind_the_same_address_is_refused(served: Served) -> None:
    events = await history(served)
    again = [subscribed(events, ledger="019b8f3a-5c00-7abc-8def-0123456789ac"), *events[3:]]
    async with lying([subscribed(events), *events[:3]], again) as liar:
        with pytest.raises(HistoryDiffers):
            await told(liar.base, 6)


async def test_a_history_that_was_changed_between_two_connections_is_refused(served: Served) -> None:
    events = await history(served)
    again = [subscribed(events, upto=2, leaf="11" * 32)]
    async with lying([subscribed(events, upto=2), *events[:3]], again) as liar:
        with pytest.raises(ChainBroken) as caught:
            await told(liar.base, 6)
    assert caught.value.position == 2


async def test_what_comes_from_now_on_must_hang_on_the_head(served: Served) -> None:
    events = await history(served)
    async with lying([subscribed(events, upto=2), *events[3:]]) as liar:
        assert await told(liar.base, 3, after=None) == [3, 4, 5]
    async with lying([subscribed(events, upto=2, leaf="11" * 32), *events[3:]]) as liar:
        with pytest.raises(ChainBroken) as caught:
            await told(liar.base, 3, after=None)
    assert caught.value.position == 3


@pytest.mark.parametrize(
    "answer",
    [
        "nonsense",
        "[]",
        {"type": "welcome"},
        {"type": "subscribed"},
        {"type": "subscribed", "ledger": "x", "generation": 0, "head": {"position": 0, "leaf": ""}},
        {
            "type": "subscribed",
            "ledger": "019b8f3a-5c00-7abc-8def-0123456789ab",
            "generation": 0,
            "head": {"position": 0, "leaf": "zz"},
        },
    ],
)
async def test_what_does_not_answer_as_a_dre_server_is_none(answer: Any) -> None:
    async with lying([answer], []) as liar:
        with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1"):
            await told(liar.base, 1)


@pytest.mark.parametrize("nonsense", ["nonsense", "[]", {"type": 1}, {"type": "ledger.created", "id": "x"}])
async def test_nonsense_is_said_wherever_a_stream_tells_it(served: Served, nonsense: Any) -> None:
    events = await history(served)
    for script in ([subscribed(events), *events[1:3], nonsense], [nonsense]):
        async with lying([subscribed(events), events[0]], script, []) as liar:
            with pytest.raises(ServerUnreachable, match="does not answer as a DRE server does"):
                await told(liar.base, 6)


async def test_an_error_of_the_stream_is_raised_by_its_code() -> None:
    problem = {"type": "error", "code": "history_differs", "detail": "not here", "hint": "begin again"}
    async with lying([problem]) as liar:
        with pytest.raises(HistoryDiffers) as caught:
            await told(liar.base, 1)
    assert (caught.value.message, caught.value.hint) == ("not here", "begin again")


async def test_an_error_that_a_newer_server_knows_is_told_all_the_same() -> None:
    async with lying([{"type": "error", "code": "of_tomorrow", "detail": "something", "hint": None}]) as liar:
        with pytest.raises(DREError, match="of_tomorrow: something"):
            await told(liar.base, 1)


async def test_what_a_newer_server_adds_is_passed_over(served: Served) -> None:
    events = await history(served)
    added = [{"type": "weather", "sunny": True}, {"type": "metrics", "data": {}}, events[0] | {"more": 1}, *events[1:]]
    async with lying([subscribed(events, more=[1]), *added]) as liar:
        assert await told(liar.base, 6) == list(range(6))


async def test_an_erased_event_is_followed_and_shows_nothing(served: Served) -> None:
    """Only its entry is left, and the chain goes on over it."""
    events = await history(served)
    events[3] |= {"data": None, "salt": None, "body": None}
    async with lying([subscribed(events), *events]) as liar, Client(liar.base, "token") as client:
        found: list[Proved] = []
        async for event in client.follow(after=-1, proofs=True):
            found.append(event)
            if len(found) == 6:
                break
    assert (found[3].body, found[3].fields) == (None, None)
