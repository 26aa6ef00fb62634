"""The page that describes the stream is enough: a client written from it alone loses nothing and repeats nothing."""

import asyncio
import random
from typing import Any

from server.served import Served
from server.stranger import Stranger
from server.tunnel import tunnel

EVENTS = 5000
CUTS = 50
MOST_BYTES = 120_000  # on one connection, of about 5 MB in all


async def test_a_strangers_client_cut_fifty_times_ends_with_the_exact_history(served: Served) -> None:
    dice = random.Random(2026)  # noqa: S311 - no secret

    def allowance() -> int | None:
        return dice.randrange(100, MOST_BYTES) if way.cuts < CUTS else None

    async with tunnel(served.base, allowance) as way:
        stranger = Stranger(way.base, lambda: served.token, host=served.base.removeprefix("http://"), wait_s=0.01)
        appending = asyncio.create_task(served.append_all(EVENTS - 2))
        told: list[Any] = []
        async with asyncio.timeout(30):
            async for event in stranger.listen():
                told.append(event)
                if len(told) == EVENTS:
                    break
        await appending

    head = await served.engine.store.head()
    assert [event["position"] for event in told] == list(range(EVENTS))
    assert (stranger.position, stranger.leaf) == (head.size - 1, head.prev)
    assert way.cuts == CUTS
