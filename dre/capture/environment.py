"""The surroundings of a run: machine, limits, variables, and which file the command was. Nothing of it is run."""

import os
import re
import stat
from collections.abc import Mapping, Sequence
from hashlib import sha256

import msgspec

from dre.capture.recording import Recording
from dre.capture.redaction import Redactor, replacement
from dre.capture.spool import read_pieces
from dre.capture.syntax import venv_version
from dre.domain.events import Text
from dre.shim.secrets import looks_secret

LARGEST_TOOL = 64 << 20
_LONGEST_FIRST_LINE = 256
_LIMITS = {0: "cpu", 1: "fsize", 2: "data", 3: "stack", 4: "core", 5: "rss", 6: "nproc", 7: "nofile", 9: "as"}
_PYTHON = re.compile(rb"python(\d+\.\d+)")


class Limit(msgspec.Struct, frozen=True):
    """-1 is none."""

    name: str
    soft: int
    hard: int


class Tool(msgspec.Struct, frozen=True, rename="camel"):
    """
    The file behind a name, as it was found when this was recorded. `digest`: SHA-256, of what is not larger than
    64 MiB. `first_line`: of a script, which names its interpreter. `version`: only where a file says it.
    """

    name: Text
    path: Text
    size_bytes: int
    modified_at: int
    digest: str | None
    first_line: Text | None = None
    version: str | None = None


class Environment(msgspec.Struct, frozen=True, rename="camel"):
    """`environment/environment.json`. Variables are pairs, and only those that are listed as harmless."""

    host: str
    system: str
    boot: str
    uid: int
    umask: str
    limits: tuple[Limit, ...]
    variables: tuple[tuple[Text, Text], ...]
    tools: tuple[Tool, ...]
    git_version: str | None


def observe(recording: Recording, redactor: Redactor, git_version: str | None) -> Environment:
    start, variables = recording.start, dict(recording.environment)
    return Environment(
        host=redactor.words(start.host),
        system=redactor.words(start.system),
        boot=start.boot,
        uid=start.uid,
        umask=start.umask,
        limits=tuple(Limit(_LIMITS.get(which, str(which)), soft, hard) for which, soft, hard in start.limits),
        variables=tuple(
            (redactor.text(os.fsencode(name)), _value(name, value, redactor)) for name, value in recording.environment
        ),
        tools=tuple(_tools(start.argv, start.cwd, variables, redactor)),
        git_version=git_version,
    )


def _value(name: str, value: bytes, redactor: Redactor) -> Text:
    """The recorder keeps no such name; if one came here all the same, its value goes no further."""
    if looks_secret(os.fsencode(name)):
        return replacement("name").decode()
    return redactor.text(value)


def _tools(argv: Sequence[bytes], cwd: bytes, variables: Mapping[str, bytes], redactor: Redactor) -> list[Tool]:
    names = [argv[0], *((b"python3", b"python") if variables.get("VIRTUAL_ENV") else ())]
    found: dict[bytes, Tool] = {}
    for name in names:
        path = _resolve(name, cwd, variables.get("PATH", b""))
        if path and path not in found and (tool := _tool(name, path, cwd, variables.get("PATH", b""), redactor)):
            found[path] = tool
    return list(found.values())


def _resolve(name: bytes, cwd: bytes, path: bytes) -> bytes | None:
    """As execvp(3) looks for it."""
    folders = [b""] if b"/" in name else path.split(b":")
    for folder in folders:
        candidate = os.path.join(cwd, folder, name)
        if name and os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    return None


def _tool(name: bytes, path: bytes, cwd: bytes, search: bytes, redactor: Redactor) -> Tool | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            return None
        head = os.pread(fd, _LONGEST_FIRST_LINE, 0)
        return Tool(
            name=redactor.text(name),
            path=redactor.text(path),
            size_bytes=state.st_size,
            modified_at=state.st_mtime_ns // 1_000_000,
            digest=_digest(fd, state.st_size),
            first_line=redactor.text(head.partition(b"\n")[0]) if head.startswith(b"#!") else None,
            version=_version(path, head, cwd, search) or None,
        )
    finally:
        os.close(fd)


def _digest(fd: int, size: int) -> str | None:
    if size > LARGEST_TOOL:
        return None
    whole = sha256()
    for piece in read_pieces(fd, size):
        whole.update(piece)
    return whole.hexdigest()


def _version(path: bytes, head: bytes, cwd: bytes, search: bytes) -> str:
    """Python's, where a virtual environment's note or the file's own name says it."""
    interpreter = path
    if head.startswith(b"#!"):
        words = head[2:].split(b"\n")[0].split()
        named = words[1] if len(words) > 1 and os.path.basename(words[0]) == b"env" else (words or [b""])[0]
        interpreter = _resolve(named, cwd, search) or b""
    if not os.path.basename(interpreter).startswith(b"python"):
        return ""
    by_name = _PYTHON.fullmatch(os.path.basename(os.path.realpath(interpreter)))
    note = venv_version(os.path.dirname(os.path.dirname(interpreter)))
    return note or (by_name[1].decode() if by_name else "")
