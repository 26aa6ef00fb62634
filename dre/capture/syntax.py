"""Whether a changed file parses: asked of a process that may die over it."""

import contextlib
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Mapping

import msgspec

from dre.capture import regular
from dre.domain.workspace import Syntax

LARGEST = 1 << 20
PATIENCE_S = 10.0
ALL_PATIENCE_S = 60.0
_PARSER = os.path.join(os.path.dirname(__file__), "parse.py")
_KINDS = {b".py": b"p", b".pyi": b"p", b".json": b"j", b".toml": b"t"}
_WITH_COMMENTS = (b"tsconfig", b"jsconfig", b"devcontainer", b".eslintrc", b".jshintrc", b"api-extractor")
_COMMENTED_FOLDERS = (b".vscode", b".devcontainer")
_LONGEST_ANSWER = 1 << 10
_HEAD = struct.Struct("<cI")
_WORDS: dict[str, Syntax] = {"parses": "parses", "broken": "broken"}
_Version = tuple[int, int]


class Finding(msgspec.Struct, frozen=True):
    syntax: Syntax
    detail: str = ""
    line: int | None = None


class Parser:
    """Starts its process with the first file that needs one. `close` ends it."""

    def __init__(self, python: _Version | None) -> None:
        """`python`: the version that the project runs on, where it is known."""
        self._newer = python if python and python > sys.version_info[:2] else None
        self._process: subprocess.Popen[bytes] | None = None
        self._left_s = ALL_PATIENCE_S

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(BrokenPipeError), self._process:
                self._process = None

    def look(self, path: bytes, content: bytes) -> Finding:
        kind = kind_of(path)
        if not kind:
            return Finding("not checked")
        if self._left_s <= 0:
            return Finding("unknown", "not looked at: parsing took too long already")
        found = self._ask(kind, content)
        if found.syntax == "broken" and (why := self._excuse(kind, path)):
            return Finding("unknown", f"{found.detail} ({why})", found.line)
        return found

    def _excuse(self, kind: bytes, path: bytes) -> str:
        """Where the fault may lie with us."""
        if kind == b"p" and self._newer:
            return "read as Python {}.{}, the project's is {}.{}".format(*sys.version_info[:2], *self._newer)
        folders, name = os.path.split(path)
        if kind == b"j" and (name.startswith(_WITH_COMMENTS) or os.path.basename(folders) in _COMMENTED_FOLDERS):
            return "such files may hold comments"
        return ""

    def _ask(self, kind: bytes, content: bytes) -> Finding:
        began = time.monotonic()
        try:
            process = self._started()
            if process.stdin is None or process.stdout is None:
                return Finding("unknown", "the parser cannot be reached")
            process.stdin.write(_HEAD.pack(kind, len(content)) + content)
            process.stdin.flush()
            line = _line(process.stdout.fileno(), began + PATIENCE_S)
        except OSError:
            line = b""
        self._left_s -= time.monotonic() - began
        if not line:
            self.close()
            return Finding("unknown", "the parser gave up on it")
        word, number, detail = line.decode("utf-8", "replace").rstrip("\n").split(" ", 2)
        return Finding(_WORDS.get(word, "unknown"), detail, int(number) or None)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", _PARSER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
            )
        return self._process


def kind_of(path: bytes) -> bytes:
    """Empty for what nobody here can parse."""
    return _KINDS.get(os.path.splitext(path)[1].lower(), b"")


def project_python(top: bytes, environment: Mapping[str, bytes]) -> _Version | None:
    """From the virtual environment's own note, without running anything."""
    for folder in (environment.get("VIRTUAL_ENV", b""), os.path.join(top, b".venv"), os.path.join(top, b"venv")):
        if folder and (version := venv_version(folder)):
            numbers = version.split(".")
            if len(numbers) > 1 and numbers[0].isdecimal() and numbers[1].isdecimal():
                return int(numbers[0]), int(numbers[1])
    return None


def venv_version(folder: bytes) -> str:
    try:
        note, _ = regular.read(os.path.join(folder, b"pyvenv.cfg"), 1 << 14)
    except OSError:
        return ""
    lines = note.decode("utf-8", "replace").splitlines()
    pairs = {name.strip(): value.strip() for name, equals, value in (line.partition("=") for line in lines) if equals}
    return pairs.get("version", pairs.get("version_info", ""))[:40]


def conflict_marker(content: bytes) -> int | None:
    """The line of the first one, if a whole conflict stands there."""
    start = _line_start(content, b"<<<<<<< ", 0)
    middles = [_line_start(content, b"=======" + end, start) for end in (b"\n", b"\r\n")]
    middle = min((at for at in middles if at >= 0), default=-1)
    return content.count(b"\n", 0, start) + 1 if _line_start(content, b">>>>>>> ", middle) >= 0 else None


def _line_start(content: bytes, marker: bytes, at: int) -> int:
    """Where a line begins with it; -1 for nowhere, and from nowhere on."""
    if at < 0:
        return -1
    if at == 0 and content.startswith(marker):
        return 0
    return found + 1 if (found := content.find(b"\n" + marker, at)) >= 0 else -1


def _line(fd: int, deadline: float) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST_ANSWER:
        ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(fd, _LONGEST_ANSWER) if ready else b""
        if not part:
            return b""
        line += part
    return line
