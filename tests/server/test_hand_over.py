"""From history to what is live: whoever comes in the middle of it, from wherever, is told each event once."""

import asyncio
import os
import random
import sys
from pathlib import Path
from typing import Any

import pytest
from server import another_process
from server.listening import sent, socket
from server.served import Served
from server.test_stream import passing

from dre.server import websocket
from dre.server.stream import session
from dre.server.stream.session import MOST_AT_ONCE, MOST_UNSENT

OURS, THEIRS = 300, 100


async def listen(served: Served, dice: random.Random, upto: int) -> tuple[int, list[int]]:
    """Comes at some moment, begins somewhere, and is told up to the end; from where on, and the positions."""
    await asyncio.sleep(dice.uniform(0, 0.8))
    size = (await served.engine.store.head()).size
    after = dice.choice((-1, size - 1, dice.randrange(-1, size)))
    if dice.random() < 0.5:
        async with socket(served) as listener:
            await listener.subscribe(after=after, proofs=dice.random() < 0.3)
            return after, await listener.positions(upto - after)
    async with sent(served, f"?after={after}") as events:
        return after, await events.positions(upto - after)


@pytest.mark.parametrize("ring", [10_000, 40, 3])
@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_missing_and_nothing_comes_twice_while_two_processes_append(
    served: Served, ring: int, seed: int
) -> None:
    served.live.ring._most_entries = ring
    dice = random.Random(seed)  # noqa: S311 - no secret
    last = OURS + THEIRS + 1
    listening = [asyncio.create_task(listen(served, dice, last)) for _ in range(12)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, another_process.__file__, str(served.folder), str(THEIRS), env=os.environ
    )
    await served.append_all(OURS, at_once=3, pause_s=0.004)
    assert await process.wait() == 0

    for after, positions in await asyncio.gather(*listening):
        assert positions == list(range(after + 1, last + 1))
        assert len(positions) == last - after


async def test_a_reader_that_takes_nothing_is_cut_with_its_position_and_complete_after_it_came_back(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "STALLED_S", 0.5)
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        [told_to] = served.live.broadcast._catching_up
        transport = listener.transport()
        transport.pause_reading()
        for _ in range(10):
            await served.append_all(20, filler=60_000)
        await asyncio.sleep(1)
        assert not told_to.link.is_open()
        assert told_to.link.unsent() <= MOST_UNSENT + MOST_AT_ONCE + 2 * 62_000
        assert told_to.position * 60_000 < 1 << 20  # with what the system keeps for both of them
        transport.resume_reading()
        said, code = await listener.until_closed()

    *told, cut = said
    positions = [message["position"] for message in told]
    assert (cut["type"], cut["code"], code) == ("cut", "too_slow", 4408)
    assert positions == list(range(cut["position"] + 1))
    assert await rest_of(served, cut["position"]) == list(range(cut["position"] + 1, 202))


async def test_one_that_was_cut_and_then_took_everything_ends_without_trouble(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    monkeypatch.setattr(websocket, "GRACE_S", 0.5)
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        [told_to] = served.live.broadcast._catching_up
        transport = listener.transport()
        transport.pause_reading()
        await served.append_all(200, filler=60_000)
        [connected] = served.live.listeners
        connected.leave()
        assert told_to.link.unsent() > 0
        transport.resume_reading()
        said, code = await listener.until_closed()
        await asyncio.sleep(1)
    assert (said[-1]["code"], code) == ("going_away", 1001)
    assert troubles == []


async def test_a_reader_for_whom_too_much_happened_at_once_is_told_the_rest_from_history(served: Served) -> None:
    served.live.ring._most_entries = 50
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        await listener.positions(2)
        transport = listener.transport()
        transport.pause_reading()
        await served.append_all(200, filler=60_000)
        transport.resume_reading()
        assert await listener.positions(200) == list(range(2, 202))
    assert served.live.ring.end - served.live.ring.first <= 50


async def test_a_reader_that_takes_nothing_of_what_only_passes_is_cut_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "STALLED_S", 0.5)
    served.live.ring._most_entries = 3
    async with socket(served) as listener:
        await listener.subscribe(channels=["logs"])
        [told_to] = served.live.broadcast.sessions
        listener.transport().pause_reading()
        async with asyncio.timeout(10):
            while told_to.link.is_open():
                served.live.broadcast.say(passing("x" * 200_000))
                assert told_to.link.unsent() <= MOST_UNSENT + MOST_AT_ONCE + 2 * 201_000
                await asyncio.sleep(0.002)
        listener.transport().resume_reading()
        said, code = await listener.until_closed()
    assert (said[-1]["code"], said[-1]["position"], code) == ("too_slow", 1, 4408)


async def rest_of(served: Served, position: int) -> list[int]:
    head = await served.engine.store.head()
    async with socket(served) as listener:
        await listener.subscribe(after=position)
        return await listener.positions(head.size - 1 - position)


async def test_a_hole_in_history_is_said_and_is_the_end(served: Served, folder: Path) -> None:
    await served.append(6)
    served.live.ring._most_entries = 1
    await served.append(2)
    real = served.engine.store.read

    async def holed(*positions: int, **more: int):  # type: ignore[no-untyped-def] # noqa: ANN202
        async for page in real(*positions, **more):
            yield [stored for stored in page if stored.entry.position != 4]

    served.live.broadcast._store = Holed(served.workspace.store, holed)  # type: ignore[assignment]
    async with socket(served) as listener:
        await listener.subscribe(after=-1)
        said, code = await listener.until_closed()
    assert [message.get("position") for message in said] == [0, 1, 2, 3, None, 3]
    assert (said[-2]["code"], said[-1]["code"], code) == ("ledger_altered", "failed", 1011)


class Holed:
    """A store that has lost an event."""

    def __init__(self, store: object, read: object) -> None:
        self._store, self.read = store, read

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)
