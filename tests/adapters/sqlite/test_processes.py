"""
Several processes on one ledger, and processes that are killed: what was acknowledged is there, once, in one chain.

A whole campaign: `DRE_TEST_CAMPAIGN=10000 pytest -m campaign tests/adapters/sqlite --timeout 0`; the number is that of
the kills.
"""

import os
import random
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import apsw
import pytest

from dre.adapters.sqlite.event_store import open_event_store
from dre.ledger.audit import audit

KILLS = int(os.environ.get("DRE_TEST_CAMPAIGN", "12"))
WRITERS = 4
ROUNDS = 25

WRITER = """
import asyncio, random, sys
from uuid import uuid4
from dre.adapters.sqlite.event_store import open_event_store
from dre.ports.event_store import Append, NewEvent, Receipt

async def main(path, seed, rounds):
    chosen = random.Random(seed)
    async with open_event_store(path) as store:
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(rounds):
            batch = []
            for _ in range(chosen.randrange(1, 5)):
                count = chosen.randrange(1, 4)
                streams = [f"default/operation-{chosen.choice(['shared', seed])}" for _ in range(count)]
                events = tuple(NewEvent(uuid4(), stream, "operation.started", b'{"n":1}') for stream in streams)
                known = len(await store.stream(streams[0]))
                batch.append(Append("local-1", events, {streams[0]: known} if chosen.random() < 0.5 else {}))
            for append, answer in zip(batch, await store.append(batch)):
                if isinstance(answer, Receipt):
                    print(*(f"{entry.position}:{entry.event_id}" for entry in answer.entries), flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def acknowledged(lines: list[str]) -> dict[int, UUID]:
    """Positions and ids of whole lines: a line that the kill cut was never heard."""
    said = [word.split(":") for line in lines if line.endswith("\n") for word in line.split()]
    return {int(position): UUID(id) for position, id in said}


async def stored_ids(path: str) -> dict[int, UUID]:
    """Everything in the ledger, after its audit."""
    async with open_event_store(path) as store:
        assert [finding async for finding in audit(store)] == []
        return {s.entry.position: s.entry.event_id async for page in store.read() for s in page}


async def test_processes_that_append_at_once_share_one_gapless_chain(path: str, script: Callable[..., Any]) -> None:
    writers = [script(WRITER, path, f"w{number}", ROUNDS) for number in range(WRITERS)]
    for writer in writers:
        assert writer.output.readline() == "ready\n"
    for writer in writers:
        writer.say("go")

    heard: dict[int, UUID] = {}
    for writer in writers:
        said = acknowledged([f"{line}\n" for line in writer.finish()])
        assert not heard.keys() & said.keys()
        heard |= said

    assert heard == await stored_ids(path)
    assert sorted(heard) == list(range(len(heard)))
    assert len(heard) >= WRITERS * ROUNDS


@pytest.mark.campaign
async def test_a_writer_killed_at_any_moment_loses_nothing_it_acknowledged(
    path: str, script: Callable[..., Any]
) -> None:
    heard: dict[int, UUID] = {}
    for kill in range(KILLS):
        writers = [script(WRITER, path, f"k{kill}w{number}", 1_000_000) for number in range(2)]
        for writer in writers:
            assert writer.output.readline() == "ready\n"
            writer.say("go")
        time.sleep(random.random() * 0.1)  # noqa: ASYNC251, S311 - nothing else runs here; a moment is no secret
        for writer in writers:
            writer.process.kill()
        for writer in writers:
            heard |= acknowledged(writer.output.readlines())
            writer.process.wait()

        if kill % 10 == 0 or kill == KILLS - 1:
            there = await stored_ids(path)
            assert heard.items() <= there.items()
            connection = apsw.Connection(path)
            assert connection.execute("pragma integrity_check").get == "ok"
            connection.close()
    assert heard


async def test_a_process_killed_while_it_makes_the_ledger_leaves_one_that_opens(
    path: str, script: Callable[..., Any]
) -> None:
    for kill in range(KILLS):
        fresh = f"{path}.{kill}"
        writer = script(WRITER, fresh, "w", 0)
        while not os.path.lexists(fresh):
            time.sleep(0.001)  # noqa: ASYNC251 - nothing else happens in this process meanwhile
        time.sleep(0.0005 * kill)  # noqa: ASYNC251 - as above
        writer.process.kill()
        writer.process.wait()

        assert await stored_ids(fresh) == {}
