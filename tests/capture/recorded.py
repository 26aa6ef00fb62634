"""Recordings by the real recorder, and a history of their own to take them into."""

import dataclasses
import fcntl
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.event_store import open_event_store
from dre.application.execute import Appender, read_stream
from dre.capture.ingest import Ingested, Into, Rules, ingest_pending
from dre.domain import codec
from dre.domain.events import DomainEvent, stream_name
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, Observation
from dre.shim.journal import encode, frames, named, pairs

Fact = TypeVar("Fact", bound=DomainEvent)
DRE = os.path.join(os.path.dirname(sys.executable), "dre")
PROGRAM = Path(__file__).parent / "programs" / "ingest.py"
WAITING = "while ! [ -e go ]; do sleep .02; done; echo done"
PATIENCE_S = 60.0


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)


@dataclasses.dataclass(frozen=True)
class Place:
    """
    A folder in which commands are recorded. This machine has seen a longer history there, so no ingest of the
    recorder's own making touches the spools: they wait for the test.
    """

    top: Path

    @property
    def spools(self) -> Path:
        return self.top / ".dre" / "spool"

    def ids(self) -> list[UUID]:
        return sorted(UUID(path.name) for path in self.spools.iterdir() if not path.name.startswith("."))

    def spool(self) -> Path:
        [id] = self.ids()
        return self.spools / str(id)

    def start(self, *words: str | bytes, **more: object) -> "subprocess.Popen[bytes]":
        settings = {"cwd": self.top, "stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([DRE, "wrap", *words], **(settings | more))  # type: ignore[call-overload, no-any-return]

    def wrap(self, *words: str | bytes, environment: dict[str, str] | None = None, **more: object) -> UUID:
        """Runs it, and waits until nobody writes to the recording any more; its id."""
        before = set(self.ids())
        with self.start(*words, env=os.environ | (environment or {}), **more) as process:
            said = process.communicate(timeout=PATIENCE_S)
        new = set(self.ids()) - before
        assert len(new) == 1, said
        self.quiet(*new)
        return new.pop()

    def quiet(self, id: UUID) -> Path:
        """The spool, when shim, keeper and drainer have gone."""
        spool = self.spools / str(id)
        until(lambda: nobody_holds(spool), "the lock")
        return spool

    def git(self, *words: str) -> str:
        return subprocess.run(["git", *words], cwd=self.top, check=True, capture_output=True, text=True).stdout.strip()


@dataclasses.dataclass(frozen=True)
class History:
    """What was recorded, asked the way a test wants to know it."""

    into: Into
    folder: Path

    async def take(self, place: Place, rules: Rules | None = None) -> list[Ingested]:
        return await ingest_pending(str(place.spools), self.into, rules or Rules())

    async def begun(self, place: Place) -> Path:
        """The recording of a command that waits (`WAITING`), and that history knows to run."""
        until(lambda: place.ids() and (place.spool() / "journal").exists(), "the journal")
        until(lambda: len(JournalFile(place.spool() / "journal").frames) >= 3, "the tree before")
        assert states(await self.take(place)) == ["running"]
        return place.spool()

    async def facts(self, id: UUID) -> list[DomainEvent]:
        known = await read_stream(self.into.store, stream_name("default", "operation", id))
        return [recorded.event for recorded in known]

    async def one(self, id: UUID, kind: type[Fact]) -> Fact:
        [fact] = [fact for fact in await self.facts(id) if isinstance(fact, kind)]
        return fact

    async def items(self, id: UUID) -> dict[str, EvidenceCollected]:
        return {fact.kind: fact for fact in await self.facts(id) if isinstance(fact, EvidenceCollected)}

    async def items_of_all(self) -> list[EvidenceCollected]:
        found = [codec.recorded(one.entry, one.body) async for page in self.into.store.read() for one in page]
        return [one.event for one in found if isinstance(one.event, EvidenceCollected)]

    async def content(self, id: UUID, kind: str) -> bytes:
        item = (await self.items(id))[kind]
        return await self.into.blobs.read_all(item.hash, 1 << 30)

    async def observations(self, id: UUID, subject: str) -> list[Observation]:
        [complete] = [fact for fact in await self.facts(id) if isinstance(fact, EvidenceComplete)]
        return [one for one in complete.observations if one.subject == subject]


@asynccontextmanager
async def open_history(folder: Path) -> AsyncIterator[History]:
    async with open_event_store(str(folder / "ledger.db")) as store:
        appender = Appender(store)
        yield History(Into(store, appender, FileBlobStore(str(folder / "evidence")), "local-test"), folder)
        await appender.close()


def nobody_holds(spool: Path) -> bool:
    """Also not a process on its way to be another, which keeps what it has inherited for a moment longer."""
    with (spool / "alive").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


class JournalFile:
    """A journal as its bytes, to be read and to be tampered with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        whole = frames(path.read_bytes())
        starts = [0, *(end for end, _, _ in whole)]
        self.frames = [(kind, payload) for _, kind, payload in whole]
        self.spans = list(itertools.pairwise(starts))

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.frames]

    def write(self, frames: Sequence[tuple[int, bytes]]) -> None:
        self.path.write_bytes(b"".join(encode(kind, payload) for kind, payload in frames))

    def with_pairs(self, **changed: bytes | None) -> None:
        """The first frame with other values; None takes a name away."""
        kind, payload = self.frames[0]
        found = [(name, changed.get(name, value)) for name, value in pairs(payload[8:])]
        kept = [(name, value) for name, value in found if value is not None]
        self.write([(kind, payload[:8] + named(*kept)), *self.frames[1:]])


def in_bash(command: str) -> bytes:
    return subprocess.run(["bash", "-c", command], capture_output=True, check=True).stdout


def states(ingested: Sequence[Ingested]) -> list[str]:
    for one in ingested:
        if one.state == "failed" and one.error is not None:
            raise one.error
    return [one.state for one in ingested]
