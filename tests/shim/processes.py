"""Watching processes from outside: who is whose child, and waiting for what must come."""

import os
import signal
import time
from collections.abc import Callable

from shim.places import PATIENCE_S


def wait_for(what: Callable[[], object], named: str = "") -> None:
    """By condition, with a deadline that no machine is too slow for."""
    deadline = time.monotonic() + PATIENCE_S
    while not what():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {PATIENCE_S:.0f} s: {named or what}")
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return [each for each in _all() if parent(each) == pid]


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    for each in children(pid):
        found += [each, *descendants(each)]
    return found


def child(pid: int) -> int:
    """The only one; waits for it."""
    wait_for(lambda: children(pid), f"a child of {pid}")
    [found] = children(pid)
    return found


def state(pid: int) -> str:
    """R, S, D, T, Z, ...; empty when there is no such process."""
    return _stat(pid)[0]


def parent(pid: int) -> int:
    return int(_stat(pid)[1])


def words(pid: int) -> list[bytes]:
    """What it was started with."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            return line.read().split(b"\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def alive(pid: int) -> bool:
    return state(pid) not in ("", "Z", "X")


def end_all_in(folder: str) -> None:
    """Whoever works there, or below, and was left behind."""
    for pid in _all():
        try:
            if f"{os.readlink(f'/proc/{pid}/cwd')}/".startswith(folder + "/"):
                os.kill(pid, signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue


def _all() -> list[int]:
    return sorted(int(each) for each in os.listdir("/proc") if each.isdigit())


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as stat:
            return stat.read().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["", "0"]
