"""
Appends to a workspace from a process of its own, as `dre wrap` does while a server runs.

    python another_process.py FOLDER COUNT
"""

import asyncio
import os
import sys

from dre.application.execute import new_events
from dre.composition import open_engine, read_settings
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import stream_name
from dre.domain.ids import uuid7
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append


async def append(folder: str, count: int) -> None:
    async with open_engine(read_settings(folder, os.environ)) as engine:
        for number in range(count):
            event = ConfigurationChanged("evidence.retention", f"{number}d", None, "workspace")
            id = derived_id("another", str(uuid7(1_763_726_580_000)), 0)
            stream = stream_name("default", "configuration", engine.ledger_id)
            await engine.appender.append(Append(engine.actor, new_events(stream, [event], [id])))


if __name__ == "__main__":
    asyncio.run(append(sys.argv[1], int(sys.argv[2])))
