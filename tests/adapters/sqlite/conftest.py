"""What these tests share: a ledger on the disk, a way around the store to its file, and a writer process."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import apsw
import pytest

from dre.ports.event_store import Append, NewEvent

ACTOR = "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960"
MakeAppend = Callable[..., Append]
Behind = Callable[[str], apsw.Connection]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ledger.db")


@pytest.fixture
def append() -> MakeAppend:
    """One append of so many events of a stream, each of a body of its own."""

    def make(count: int = 1, stream: str = "default/operation-a", size: int = 0) -> Append:
        body = b'{"s":"' + b"x" * size + b'"}'
        return Append(ACTOR, tuple(NewEvent(uuid4(), stream, "operation.started", body) for _ in range(count)))

    return make


@pytest.fixture
def behind() -> Iterator[Behind]:
    """The file opened as any program could, with neither our settings nor the triggers in the way."""
    opened: list[apsw.Connection] = []

    def open_plainly(path: str) -> apsw.Connection:
        connection = apsw.Connection(path)
        connection.config(apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, 0)
        opened.append(connection)
        return connection

    yield open_plainly
    for connection in opened:
        connection.close()


class Script:
    """A Python program in a process of its own: nothing of this one is inherited."""

    def __init__(self, source: str, *arguments: Any) -> None:
        command = [sys.executable, "-c", source, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def finish(self) -> list[str]:
        """What it still has to say, once it has ended well."""
        rest, _ = self.process.communicate(timeout=120)
        assert self.process.returncode == 0
        return rest.splitlines()


@pytest.fixture
def script() -> Iterator[Callable[..., Script]]:
    started: list[Script] = []

    def start(source: str, *arguments: Any) -> Script:
        started.append(Script(source, *arguments))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()
