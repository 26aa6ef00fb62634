"""The client follows a real server: whatever happens to its connections, it hands out each event once, in order."""

import asyncio
import contextlib
import gc
import os
import random
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from server.served import Served, make_workspace, serve, tasks
from server.tunnel import tunnel

from dre.client import Client, Event, following
from dre.errors import HistoryDiffers, ServerUnreachable, Unauthenticated
from dre.server.access import ACCESS

Events = AsyncGenerator[Event, None]


async def take(events: Events, count: int) -> list[int]:
    taken: list[int] = []
    async with asyncio.timeout(30):
        while len(taken) < count:
            taken.append((await anext(events)).position)
    return taken


async def test_history_then_what_happens_comes_once_and_in_order_with_its_chain_checked(served: Served) -> None:
    await served.append(30)
    async with (
        Client(served.base, served.token) as client,
        contextlib.aclosing(client.follow(after=-1, proofs=True)) as events,
    ):
        first = await take(events, 20)
        await served.append(5)
        rest = await take(events, 17)

    assert first + rest == list(range(37))


@pytest.mark.parametrize("wanted", [{"proofs": True}, {}, {"channels": ["audit"]}, {"types": ["ledger.created"]}])
async def test_it_loses_nothing_over_connections_that_break_anywhere(
    served: Served, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FIRST_WAIT_S", 0.01)
    dice = random.Random(str(wanted))  # noqa: S311 - no secret
    expected = list(range(1002))
    if wanted.get("channels"):
        expected.remove(0)
    if wanted.get("types"):
        expected = [0]

    async with tunnel(served.base, lambda: dice.randrange(1, 60_000) if way.cuts < 15 else None) as way:
        doors(served).hosts |= {way.base.removeprefix("http://")}
        async with (
            Client(way.base, served.token) as client,
            contextlib.aclosing(client.follow(after=-1, **wanted)) as events,
        ):
            appending = asyncio.create_task(served.append_all(1000, at_once=10, pause_s=0.005))
            assert await take(events, len(expected)) == expected
            await appending
    assert wanted.get("types") or way.cuts >= 10


def doors(served: Served) -> Any:
    return served.served.app[ACCESS]


async def test_a_filtered_follower_resumes_behind_what_was_not_for_it(served: Served) -> None:
    await served.append(20)
    async with (
        Client(served.base, served.token) as client,
        contextlib.aclosing(client.follow(after=-1, types=["account.registered"])) as events,
    ):
        assert await take(events, 1) == [1]
        waiting = asyncio.create_task(anext(events))
        await until_told(served, 21)
        served.live.pulse()
        await asyncio.sleep(0.1)
        for listener in list(served.live.listeners):
            listener.leave()
        await until_told(served, 21)
        [session] = served.live.broadcast.sessions
        assert session.position == 21
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting


async def until_told(served: Served, position: int) -> None:
    async with asyncio.timeout(10):
        while [one.position for one in served.live.broadcast.sessions if one.link.is_open()] != [position]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_follower_that_is_given_up_leaves_nothing_behind(served: Served) -> None:
    before = await at_rest()
    for moment in (0.0, 0.001, 0.01, 0.1):
        async with Client(served.base, served.token) as client:

            async def follow(client: Client = client) -> None:
                async for _ in client.follow(after=-1):
                    await served.append()

            task = asyncio.create_task(follow())
            await asyncio.sleep(moment)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    assert await at_rest() == before
    assert not served.live.listeners


async def at_rest() -> tuple[int, int]:
    """How many tasks and open descriptors there are, once nothing ends any more."""
    found = None
    async with asyncio.timeout(20):
        while found != (found := (tasks(), len(os.listdir("/proc/self/fd")))):
            gc.collect()
            await asyncio.sleep(1.2)  # longer than a server takes to see that somebody has gone
    return found


async def test_what_can_never_succeed_is_said_at_once(served: Served) -> None:
    async def first(client: Client, **more: Any) -> Event:
        async with client, asyncio.timeout(10):
            return await anext(client.follow(**more))

    with pytest.raises(Unauthenticated):
        await first(Client(served.base, "wrong"))
    with pytest.raises(HistoryDiffers):
        await first(Client(served.base, served.token), after=99)
    with pytest.raises(ServerUnreachable, match=r"127\.0\.0\.1:1"):
        await first(Client("http://127.0.0.1:1", "token"))
    with pytest.raises(ServerUnreachable, match="nonsense"):
        await first(Client("nonsense", "token"))


async def test_a_server_that_was_started_anew_on_a_history_that_is_not_the_same_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "FIRST_WAIT_S", 0.01)
    folders = [make_workspace(tmp_path / name) for name in ("shop", "another")]
    async with contextlib.AsyncExitStack() as servers:
        first = await servers.enter_async_context(serve(folders[0]))
        second = await servers.enter_async_context(serve(folders[1]))
        bases = [first.base]
        tokens = {first.base: first.token, second.base: second.token}
        async with Client(first.base, lambda: tokens[bases[-1]]) as client:
            events = client.follow(after=-1, proofs=True)
            assert await take(events, 2) == [0, 1]
            bases.append(second.base)
            client.base = second.base
            for listener in list(first.live.listeners):
                listener.leave()
            with pytest.raises(HistoryDiffers):
                await take(events, 1)
