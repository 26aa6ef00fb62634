"""What stands beside a benchmark of the server: a workspace of its own, processes that answer lines, and their CPU."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from dre.adapters.filesystem import begin
from dre.adapters.filesystem.state_home import StateHome
from dre.composition import state_home

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DRE = os.path.join(os.path.dirname(sys.executable), "dre")


class Place:
    """A workspace under a HOME of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "project")
        home = os.path.join(folder, "home")
        os.makedirs(self.folder)
        os.makedirs(home, mode=0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DRE_", "GIT_", "XDG_"))}
        self.environment: Mapping[str, str] = {**kept, "HOME": home, "GIT_CONFIG_NOSYSTEM": "1"}
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=self.folder, env=self.environment, check=True)
        begin.begin(self.folder, StateHome(state_home(self.environment)), ci_mode=False)

    def within(self, name: str) -> str:
        return os.path.join(self.folder, ".dre", name)

    def token(self) -> str:
        """What the running server is shown."""
        with open(self.within("token"), encoding="ascii") as file:
            return file.read().strip()


class Child:
    """A process that is told a line of JSON and answers one; it ends when nobody can tell it anything any more."""

    def __init__(self, *words: str, environment: Mapping[str, str] = os.environ) -> None:
        self._process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def hear(self) -> dict[str, Any]:
        line = self.line()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self._process.args!r} ended with {self._process.wait()}"
        return line.strip()

    def tell(self, **message: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def ask(self, **message: Any) -> dict[str, Any]:
        self.tell(**message)
        return self.hear()

    def cpu_s(self) -> float:
        """User and system time of all its threads, to the nanosecond: the clock of clock_getcpuclockid(3)."""
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def rss_kib(self) -> int:
        with open(f"/proc/{self._process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024

    def end(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def child(*words: str, environment: Mapping[str, str] = os.environ) -> Iterator[Child]:
    """A module of ours as a process of its own."""
    started = Child(sys.executable, "-m", *words, environment=environment)
    try:
        yield started
    finally:
        started.end()


@contextlib.contextmanager
def dre_serve(place: Place) -> Iterator[tuple[Child, int, str, str]]:
    """`dre serve` as people start it; its port, its token, and the path that opens a browser's session."""
    started = Child(DRE, "-C", place.folder, "serve", "--port", "0", environment=place.environment)
    try:
        base, once = started.line(), started.line()
        yield started, int(base.rpartition(":")[2]), place.token(), urlsplit(once).path
    finally:
        started.end()
