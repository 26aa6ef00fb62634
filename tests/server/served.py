"""A workspace with its doors open, as the tests reach it: from outside, and at its parts."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
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

PATIENCE_S = 60
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
    """
    `http`: a client that shows the token. `bare`: one that shows nothing. `page`: where a browser looks. `is_altered`:
    a test has tampered with the history, which is no whole one then.
    """

    def __init__(
        self,
        engine: Engine,
        workspace: Workspace,
        served: Serving,
        http: aiohttp.ClientSession,
        bare: aiohttp.ClientSession,
    ) -> None:
        self.engine, self.workspace, self.served, self.http, self.bare = engine, workspace, served, http, bare
        self.base, self.page = served.base, served.once.partition("/open/")[0]
        self.is_altered = False
        self.operation = ""

    async def record(self, *command: str) -> str:
        """Runs a command under the recorder, and waits until the server has its verdict; the operation's id."""
        kept = self.folder.parent / "operation.id"
        words = [sys.executable, "-P", "-m", "dre", "wrap", "--id-file", str(kept), *command]
        running = await asyncio.create_subprocess_exec(
            *words, cwd=self.folder, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        await running.communicate()
        self.operation = kept.read_text().strip()
        async with asyncio.timeout(PATIENCE_S):
            while not await self._is_judged():  # noqa: ASYNC110 - the server tells a stream, not this test
                await asyncio.sleep(0.02)
        return self.operation

    async def _is_judged(self) -> bool:
        async with self.http.get(f"{self.api}/operations/{self.operation}") as response:
            return response.status == 200 and (await response.json())["verdict"] is not None

    async def raw(self, sent: bytes) -> bytes:
        """Everything that comes back for these bytes until the server ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(sent)
            found = b""
            with contextlib.suppress(ConnectionError):
                while part := await reader.read(1 << 16):
                    found += part
            writer.close()
            return found

    @property
    def port(self) -> int:
        return int(self.base.rpartition(":")[2])

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
async def serve(folder: Path, *, host: str = "127.0.0.1", names: Sequence[str] = ()) -> AsyncIterator[Served]:
    """A server in this process, on a free port."""
    async with open_engine(read_settings(str(folder), os.environ)) as engine:
        workspace = workspace_of(engine, os.environ)
        async with serving(engine, workspace, host=host, port=0, names=names) as served:
            token = Path(engine.dot_dre.within("token")).read_text().strip()
            async with (
                aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http,
                aiohttp.ClientSession() as bare,
            ):
                yield Served(engine, workspace, served, http, bare)
