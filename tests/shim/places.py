"""
A place to record in, and a reader of what was left there.

The reader is written from docs/reference/spool-format.md alone: it shares no line with the recorder.
"""

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import termios
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any, NamedTuple
from uuid import uuid4

DRE = str(Path(sys.executable).with_name("dre"))
NAMES = ("start", "env", "pre", "output", "signal", "winsize", "stopped", "continued", "proc", "exit", "end")
KINDS = dict(enumerate(NAMES, 1))
PATIENCE_S = 60.0  # for what must happen, on however busy a machine


class Frame(NamedTuple):
    kind: str
    at_ns: int
    payload: bytes

    def pairs(self) -> dict[str, list[bytes]]:
        parts, rest = [], self.payload
        while rest:
            length = int.from_bytes(rest[:4], "little")
            parts.append(rest[4 : 4 + length])
            rest = rest[4 + length :]
        found: dict[str, list[bytes]] = {}
        for name, value in zip(parts[::2], parts[1::2], strict=True):
            found.setdefault(name.decode(), []).append(value)
        return found


class Exit(NamedTuple):
    pid: int
    status: int
    failure: int
    user_s: float
    system_s: float
    peak_kib: int
    minor_faults: int
    major_faults: int
    blocks_in: int
    blocks_out: int
    switches_voluntary: int
    switches_forced: int


class Spool:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def frames(self, journal: str = "journal") -> list[Frame]:
        return list(frames((self.folder / journal).read_bytes()))

    def kinds(self, journal: str = "journal") -> list[str]:
        return [frame.kind for frame in self.frames(journal)]

    def one(self, kind: str) -> Frame:
        [found] = [frame for frame in self.frames() if frame.kind == kind]
        return found

    @property
    def start(self) -> dict[str, list[bytes]]:
        return self.one("start").pairs()

    @property
    def pre(self) -> dict[str, list[bytes]]:
        return self.one("pre").pairs()

    @property
    def exit(self) -> Exit:
        return Exit(*struct.unpack("<iiidd7Q", self.one("exit").payload))

    @property
    def kept_and_lost(self) -> tuple[int, int]:
        kept, lost = struct.unpack("<QQ", self.one("end").payload)
        return kept, lost

    @property
    def needles(self) -> list[bytes]:
        rest, found = (self.folder / "needles").read_bytes(), []
        while rest:
            length = int.from_bytes(rest[:4], "little")
            found.append(rest[4 : 4 + length])
            rest = rest[4 + length :]
        return found

    def output(self, *, late: bool = False) -> list[tuple[int, bytes]]:
        """In the order in which it was read: which descriptor, which bytes."""
        raw, at, found = (self.folder / ("late.raw" if late else "out.raw")).read_bytes(), 0, []
        for frame in self.frames("late.journal" if late else "journal"):
            if frame.kind == "output":
                number, length = struct.unpack("<BI", frame.payload)
                found.append((number, raw[at : at + length]))
                at += length
        return found

    def printed(self, number: int | None = None, *, late: bool = False) -> bytes:
        return b"".join(data for fd, data in self.output(late=late) if number in (None, fd))

    def held(self) -> bool:
        with (self.folder / "alive").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def state(self) -> str:
        kinds = self.kinds()
        if "end" in kinds and self.exit.status >= 0:
            return "complete"
        if "end" in kinds:
            return "interrupted, its end not seen"
        if self.held():
            return "running"
        return "interrupted, its exit known" if "exit" in kinds else "interrupted"

    def late_state(self) -> str:
        if not (self.folder / "late.journal").exists():
            return "none"
        if "end" in self.kinds("late.journal"):
            return "complete"
        return "open" if self.held() else "lost"


def frames(journal: bytes) -> Iterator[Frame]:
    """Up to the first that is not whole: a cut, or the zeros of what was allocated ahead."""
    at = 0
    while at + 9 <= len(journal):
        length, checksum, kind = struct.unpack_from("<IIB", journal, at)
        payload = journal[at + 9 : at + 9 + length]
        if kind not in KINDS or len(payload) < length or zlib.crc32(journal[at + 8 : at + 9] + payload) != checksum:
            return
        yield Frame(KINDS[kind], int.from_bytes(payload[:8], "little"), payload[8:])
        at += 9 + length


class Place:
    """
    A folder with a `.dre/` that this machine knows, in which spools stay: its ledger cannot be opened,
    so whoever ingests leaves them for later.
    """

    def __init__(self, folder: Path, state_home: Path) -> None:
        self.folder, self.dre = folder, folder / ".dre"
        folder.mkdir(parents=True, exist_ok=True)
        self.ledger = str(uuid4())
        for path in (self.dre, self.dre / "spool", state_home / "dre", state_home / "dre" / self.ledger):
            path.mkdir(0o700, parents=True, exist_ok=True)
        state_home.joinpath("dre").chmod(0o700)
        (self.dre / ".gitignore").write_text("*\n")
        (self.dre / "ledger-id").write_text(self.ledger + "\n")
        (self.dre / "ledger.db").mkdir()
        self.kept = state_home / "dre" / self.ledger
        (self.kept / "path").write_bytes(os.fsencode(self.dre))
        (self.kept / "head").write_text(json.dumps({"size": 1_000_000, "leaf": "00" * 32}))

    @property
    def spools(self) -> list[Spool]:
        return [Spool(folder) for folder in sorted((self.dre / "spool").iterdir())]

    @property
    def spool(self) -> Spool:
        [found] = self.spools
        return found

    def wrap(self, *words: str | bytes, **more: Any) -> "subprocess.CompletedProcess[bytes]":
        """`dre wrap WORDS`, without looking at a work tree unless asked to."""
        return run([DRE, "wrap", "--no-workspace", *words], cwd=more.pop("cwd", self.folder), **more)

    def start(self, *words: str | bytes, **more: Any) -> "subprocess.Popen[bytes]":
        given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "cwd": self.folder, **more}
        return subprocess.Popen([DRE, "wrap", "--no-workspace", *words], **given)


def run(argv: Sequence[str | bytes], **more: Any) -> "subprocess.CompletedProcess[bytes]":
    """With a deadline for all that it starts: nobody who holds a pipe keeps a failing test waiting."""
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": PIPE, "stderr": PIPE, **more}
    with subprocess.Popen(argv, start_new_session=True, **given) as process:
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def pending(pipe: int) -> int:
    """How many bytes wait in it."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def with_variables(**variables: str) -> Mapping[str, str]:
    return {**os.environ, **variables}
