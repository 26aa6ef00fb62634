"""A workspace with its doors open, as the tests reach it: from outside, and at its parts."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from dre.adapters.filesystem import begin
from dre.adapters.filesystem.state_home import StateHome
from dre.application.execute import new_events
from dre.composition import Engine, open_engine, read_settings, state_home
from dre.composition.serving import Serving, serving, workspace_of
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import stream_name
from dre.domain.ids import uuid7
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append, Receipt
from dre.server.live import LIVE, Live
from dre.server.workspace import Workspace

ORIGIN_OF_THE_PAST = 1_763_726_580_000


def make_workspace(folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder, check=True)
    begin.begin(str(folder), StateHome(state_home(os.environ)), ci_mode=False)
    return folder


def tasks() -> int:
    """How many there are, apart from those in which the server waits for the next commit: they come and go."""
    return sum(getattr(task.get_coro(), "__qualname__", "") != "Event.wait" for task in asyncio.all_tasks())


class Served:
    """`http`: a client that shows the token. `bare`: one that shows nothing."""

    def __init__(
        self,
        engine: Engine,
        workspace: Workspace,
        served: Serving,
        http: aiohttp.ClientSession,
        bare: aiohttp.ClientSession,
    ) -> None:
        self.engine, self.workspace, self.served, self.http, self.bare = engine, workspace, served, http, bare
        self.base = served.base

    @property
    def folder(self) -> Path:
        return Path(self.engine.dot_dre.path).parent

    @property
    def token(self) -> str:
        return Path(self.engine.dot_dre.within("token")).read_text().strip()

    @property
    def api(self) -> str:
        return f"{self.base}/api/v1"

    @property
    def live(self) -> Live:
        return self.served.app[LIVE]

    async def get(self, path: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON under `/api/v1` + path."""
        async with self.http.get(self.api + path, headers=headers) as response:
            body = await response.json(content_type=None)
            assert response.status == status, body
            return body

    async def append(self, count: int = 1, filler: int = 0, value: str = "1d") -> list[int]:
        """So many events by this process, each in an append of its own; their positions."""
        positions = []
        for _ in range(count):
            id = uuid7(ORIGIN_OF_THE_PAST)
            event = ConfigurationChanged("evidence.retention", "x" * filler or value, None, "workspace")
            stream = stream_name("default", "configuration", self.engine.ledger_id)
            answer = await self.engine.appender.append(
                Append(self.engine.actor, new_events(stream, [event], [derived_id("test", str(id), 0)]))
            )
            assert isinstance(answer, Receipt)
            positions.append(answer.entries[0].position)
        return positions

    async def append_all(self, count: int, at_once: int = 20, pause_s: float = 0.0, filler: int = 0) -> None:
        """So many events in appends of several."""
        for start in range(0, count, at_once):
            events = [
                ConfigurationChanged("evidence.retention", "x" * filler or f"{n}d", None, "workspace")
                for n in range(at_once)
            ]
            ids = [derived_id("test", str(uuid7(ORIGIN_OF_THE_PAST)), n) for n in range(at_once)]
            stream = stream_name("default", "configuration", self.engine.ledger_id)
            few = min(at_once, count - start)
            await self.engine.appender.append(Append(self.engine.actor, new_events(stream, events[:few], ids[:few])))
            await asyncio.sleep(pause_s)


@asynccontextmanager
async def serve(folder: Path) -> AsyncIterator[Served]:
    """A server in this process, on a free port of the loopback."""
    async with open_engine(read_settings(str(folder), os.environ)) as engine:
        workspace = workspace_of(engine, os.environ)
        async with serving(engine, workspace, host="127.0.0.1", port=0) as served:
            token = Path(engine.dot_dre.within("token")).read_text().strip()
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
                aiohttp.ClientSession() as bare,
            ):
                yield Served(engine, workspace, served, http, bare)
