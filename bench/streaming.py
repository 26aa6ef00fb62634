"""
Our server in a process of its own, with somebody in it who appends; or only somebody who appends, from outside.

    python -m bench.streaming FOLDER [elsewhere]

Told `{"rate", "seconds"}`, it appends so many facts a second, each in an append of its own, and answers their
positions and how long each commit took.
"""

import asyncio
import gc
import json
import os
import sys
import time
from uuid import uuid4

from bench.clients import quantiles
from bench.rivals import lines, ticks
from dre.adapters.sqlite.event_store import open_event_store
from dre.application.execute import Appender, new_events
from dre.composition import open_engine, read_settings
from dre.composition.serving import serving, workspace_of
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent
from dre.domain.operation import OperationInterrupted
from dre.ports.event_store import Append, Receipt

MESSAGE_BYTES = 500
_OF_AN_ENTRY = 265  # what is not filler, about; positions grow


class Facts:
    """Two kinds by turns, so that filters have something to choose from. Each says when it was made."""

    def __init__(self, appender: Appender, actor: str) -> None:
        self._appender, self._actor = appender, actor
        self._stream, self._run = uuid4(), uuid4()
        self._made = 0

    async def append(self) -> tuple[int, int]:
        """The position, and how many nanoseconds it took until it was durable."""
        began = time.monotonic_ns()
        said = f"@{began:020}".ljust(MESSAGE_BYTES - _OF_AN_ENTRY, "x")
        self._made += 1
        if self._made % 2:
            stream = f"default/configuration-{self._stream}"
            fact: DomainEvent = ConfigurationChanged("evidence.retention", said, None, "workspace")
        else:
            stream = f"default/operation-{self._run}"
            fact = OperationInterrupted(self._run, said[:-60], 1_763_726_580_000, None, None, None, None)
        answer = await self._appender.append(Append(self._actor, new_events(stream, [fact], [uuid4()])))
        assert isinstance(answer, Receipt)
        return answer.entries[0].position, time.monotonic_ns() - began

    async def answer_lines(self) -> None:
        async for asked in lines():
            found: list[tuple[int, int]] = []
            async with asyncio.TaskGroup() as tasks:
                appending = [
                    tasks.create_task(self.append())
                    async for due in ticks(asked["rate"], asked["seconds"])
                    for _ in range(due)
                ]
            found = [one.result() for one in appending]
            positions, took = sorted(one for one, _ in found), sorted(one for _, one in found)
            print(
                json.dumps({"sent": len(found), "first": positions[0], "last": positions[-1], **quantiles(took)}),
                flush=True,
            )


async def serve(folder: str) -> None:
    async with open_engine(read_settings(folder, os.environ)) as engine:
        workspace = workspace_of(engine, os.environ)
        async with serving(engine, workspace, host="127.0.0.1", port=0) as served:
            gc.freeze()
            port = int(served.base.rpartition(":")[2])
            print(json.dumps({"port": port, "actor": engine.actor}), flush=True)
            await Facts(engine.appender, engine.actor).answer_lines()


async def elsewhere(folder: str, actor: str) -> None:
    async with open_event_store(os.path.join(folder, ".dre", "ledger.db")) as store:
        appender = Appender(store)
        await Facts(appender, actor).answer_lines()
        await appender.close()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:]) if len(sys.argv) == 2 else elsewhere(*sys.argv[1:]))
