"""Somebody at a terminal: an interactive bash in a pty, typed at and read from by condition, never by the clock."""

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

from shim.places import PATIENCE_S
from shim.processes import descendants, parent, state, wait_for, words

PROMPT = "PROMPT>"
CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH, ESCAPE = "\x03", "\x04", "\x1a", "\x1c", "\x1b"
# Makes its terminal the controlling one and becomes the shell.
_LEAD = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def _sleeps_in_cat(pid: int) -> bool:
    return words(pid) == [b"cat", b"go"] and state(pid) == state(parent(pid)) == "S"


class Terminal:
    """What was printed is searched from where the last search ended, so each `see` waits for something new."""

    def __init__(self, folder: Path, argv: tuple[str, ...] = ("bash", "--norc", "-i")) -> None:
        self.folder = folder
        self.master, slave = pty.openpty()
        self.resize(30, 100)
        environment = {**os.environ, "PS1": PROMPT + " ", "TERM": "xterm", "HISTFILE": "/dev/null"}
        self._leader = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LEAD, *argv],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
        os.close(slave)
        self.pid = self._leader.pid
        self.seen = b""
        self._mark = 0
        self._open = True

    def see(self, *wanted: str) -> None:
        for text in wanted:
            self._see(text.encode())

    def prompt(self) -> None:
        self.see(PROMPT)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def run(self, line: str, *wanted: str) -> None:
        """A line typed at the shell's prompt, and what comes of it."""
        self.type(line + "\n")
        self.see(*wanted)

    def run_to_prompt(self, line: str, *wanted: str) -> None:
        self.run(line, *wanted, PROMPT)

    def code_is(self, code: int) -> None:
        self.run("echo code''=$?", f"code={code}\r\n", PROMPT)

    def repeat(self, line: str, wanted: str) -> None:
        """Asks the shell until it says so."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            before = len(self.seen)
            self.run_to_prompt(line)
            if wanted.encode() in self.seen[before:]:
                return
            assert time.monotonic() < deadline, f"{line!r} never said {wanted!r}: {self.tail!r}"
            time.sleep(0.05)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shut_gate(self) -> None:
        """A command that does `cat go` waits there."""
        os.mkfifo(self.folder / "go")

    def at_gate(self) -> None:
        """
        The command has come to its `cat go`. A key typed while a shell is about to start it would be natively
        lost on some kernels: the signal meets a shell that waits for its child's exec.
        """
        self.until(lambda: any(map(_sleeps_in_cat, descendants(self.pid))), "a command at the gate")

    def open_gate(self) -> None:
        """Lets one `cat go` end, now or as soon as it comes."""
        opened: list[int] = []

        def somebody_waits() -> bool:
            try:
                opened.append(os.open(self.folder / "go", os.O_WRONLY | os.O_NONBLOCK))
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
            return bool(opened)

        (self.until if self._open else wait_for)(somebody_waits, "somebody at the gate")
        os.close(opened[0])

    def job_in_front(self) -> None:
        """After `fg` was typed: the shell has handed the terminal over, and has continued the job."""

        def in_front() -> bool:
            leader = os.tcgetpgrp(self.master)
            return leader != self.pid and state(leader) != "T"

        self.until(in_front, "a job in front of the terminal")

    def insist(self, key: str, wanted: str) -> None:
        """Types it until it works: a key that sends a signal may natively meet a program that is not ready for it."""
        self.type(key)
        deadline, again = time.monotonic() + PATIENCE_S, time.monotonic() + 3
        while wanted.encode() not in self.seen[self._mark :]:
            assert time.monotonic() < deadline, f"{key!r} never led to {wanted!r}: {self.tail!r}"
            self._read(0.05)
            if time.monotonic() > again:
                self.type(key)
                again += 3
        self.see(wanted)

    def until(self, what: Callable[[], object], named: str = "") -> None:
        """As `wait_for`, and goes on reading: nobody blocks on a full terminal."""
        deadline = time.monotonic() + PATIENCE_S
        while not what():
            assert time.monotonic() < deadline, f"{named or what}: {self.tail!r}"
            self._read(0.02)

    @property
    def tail(self) -> bytes:
        return self.seen[-400:]

    def close(self) -> None:
        """Pulls the plug: the session is hung up."""
        if not self._open:
            return
        self._open = False
        os.close(self.master)
        self._leader.kill()
        self._leader.wait()

    def _see(self, wanted: bytes) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (at := self.seen.find(wanted, self._mark)) < 0:
            assert time.monotonic() < deadline, f"never saw {wanted!r} behind {self.seen[self._mark :]!r}"
            if not self._read(0.1):
                assert wanted in self.seen[self._mark :], f"ended before {wanted!r}: {self.tail!r}"
        self._mark = at + len(wanted)

    def _read(self, wait_s: float) -> bool:
        """False once everybody has left the terminal."""
        if select.select([self.master], [], [], wait_s)[0]:
            try:
                self.seen += os.read(self.master, 65536)
            except OSError:
                return False
        return True
