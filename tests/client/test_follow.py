"""The client follows a real server: whatever happens to its connections, it hands out each event once, in order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from server.served import Served, make_workspace, serve

from dre.client import Client, Event


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(make_workspace(tmp_path / "shop")) as opened:
        yield opened


async def take(events: AsyncIterator[Event], count: int) -> list[Event]:
    taken: list[Event] = []
    async with asyncio.timeout(20):
        while len(taken) < count:
            taken.append(await anext(events))
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

    assert [event.position for event in first + rest] == list(range(37))
