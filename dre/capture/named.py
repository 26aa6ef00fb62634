"""Frames that hold names and values: the start of a recording, its environment, the work tree before it."""

import math
import os
import struct
from uuid import UUID

from dre.capture.recording import Before, Exit, Seen, Start
from dre.shim.command import UNKNOWN, Report
from dre.shim.descriptors import FILE, INNER, OUTPUT_ONLY, PIPE, UNTOUCHED
from dre.shim.journal import pairs

_ENDS = (PIPE, FILE, INNER, OUTPUT_ONLY, UNTOUCHED)
_WORKSPACE: dict[str, Seen] = {"yes": "yes", "no": "no", "no git": "no git", "failed": "failed"}
_DAY_NS = 24 * 3600 * 10**9
_LARGEST = 2**53 - 1
_LONGEST_NUMBER = 19
_HEX = frozenset("0123456789abcdef")


class _Named:
    """Each name stands there once, or as often as it likes: the reader says which."""

    def __init__(self, payload: bytes) -> None:
        self._found: dict[str, list[bytes]] = {}
        for name, value in read_pairs(payload):
            self._found.setdefault(name, []).append(value)

    def all(self, name: str) -> tuple[bytes, ...]:
        return tuple(self._found.get(name, ()))

    def one(self, name: str) -> bytes:
        values = self.all(name)
        if len(values) != 1:
            raise ValueError(f"{name} stands in it {len(values)} times")
        return values[0]

    def maybe(self, name: str) -> bytes:
        return self.one(name) if name in self._found else b""

    def word(self, name: str) -> str:
        return self.one(name).decode("ascii", "backslashreplace")

    def among(self, name: str, *allowed: str) -> str:
        word = self.word(name)
        if word not in allowed:
            raise ValueError(f"{name} is {word[:40]!r}")
        return word

    def number(self, name: str) -> int:
        text = self.one(name)
        if not text.isdigit() or len(text) > _LONGEST_NUMBER:
            raise ValueError(f"{name} is {text[:40]!r}, no number")
        return int(text)


def read_pairs(payload: bytes) -> list[tuple[str, bytes]]:
    """Raises ValueError."""
    try:
        return pairs(payload)
    except struct.error as error:
        raise ValueError("its names and values do not fill it") from error


def read_start(payload: bytes, operation_id: UUID) -> Start:
    """Raises ValueError."""
    named = _Named(payload)
    if named.one("operation") != str(operation_id).encode():
        raise ValueError("it belongs to another operation")
    wall_ns = named.number("wall_ns")
    if abs(wall_ns - (operation_id.int >> 80) * 1_000_000) > _DAY_NS:
        raise ValueError("its time is not that of the operation's id")
    start = Start(
        argv=named.all("argv"),
        cwd=_absolute(named.one("cwd")),
        wall_ns=wall_ns,
        boot=named.word("boot"),
        ends=(named.among("fd0", *_ENDS), named.among("fd1", *_ENDS), named.among("fd2", *_ENDS)),
        order="approximate" if named.among("order", "exact", "approximate") == "approximate" else "exact",
        umask=named.word("umask"),
        limits=tuple(map(_limit, named.all("limit"))),
        labels=named.all("label"),
        writes=named.all("writes"),
        parent=_parent(named.maybe("parent")),
        uid=named.number("uid"),
        host=named.one("host"),
        system=named.one("system"),
        timeout_us=named.number("timeout_us"),
        workspace=_WORKSPACE[named.among("workspace", *_WORKSPACE)],
        ci=named.maybe("ci") == b"1",
        id_file=_absolute(named.one("id_file")) if named.all("id_file") else b"",
    )
    return _checked(start)


def read_before(payload: bytes) -> Before:
    """Raises ValueError."""
    named = _Named(payload)
    return Before(
        top=_absolute(named.one("top")),
        commit=_object_id(named.word("head")),
        branch=named.one("branch"),
        tree=_object_id(named.word("tree")),
        wall_ns=named.number("wall_ns"),
        why=named.maybe("why"),
    )


def read_exit(payload: bytes, at_ns: int) -> Exit:
    """Raises ValueError."""
    report = Report.decode(payload)
    ended = report.status == UNKNOWN or os.WIFEXITED(report.status) or os.WIFSIGNALED(report.status)
    if not ended or report.failure < 0:
        raise ValueError("this is no end of a process")
    if not all(math.isfinite(value) and 0 <= value <= _LARGEST / 1e6 for value in report.usage[:2]) or not all(
        value <= _LARGEST for value in report.usage[2:]
    ):
        raise ValueError("no process can have used that much")
    return Exit(at_ns, report.status, report.failure, report.usage)


def _checked(start: Start) -> Start:
    if not start.argv:
        raise ValueError("there is no command in it")
    if max(start.timeout_us, start.uid) > _LARGEST:
        raise ValueError("a number in it is too large")
    return start


def _absolute(path: bytes) -> bytes:
    if not path.startswith(b"/") or b"\0" in path:
        raise ValueError(f"{path[:80]!r} is no absolute path")
    return path


def _limit(text: bytes) -> tuple[int, int, int]:
    which, soft, hard = (int(word) for word in text[:80].split(b" "))
    return which, soft, hard


def _object_id(text: str) -> str:
    if text and not (len(text) in (40, 64) and _HEX.issuperset(text)):
        raise ValueError(f"{text[:80]!r} is no id of a git object")
    return text


def _parent(text: bytes) -> UUID | None:
    """Whatever the caller's environment said: only an id counts."""
    try:
        return UUID(text.decode("ascii"))
    except ValueError:
        return None
