"""Git, asked with care: no hooks, no monitors, no network, nothing of the user's is written, and never for ever."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, cast

from dre.capture import regular

PATIENCE_S = 120
_CAREFUL = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.safecrlf=false"),
    *("-c", "core.looseCompression=0"),
    *("-c", "core.quotePath=true"),
    *("-c", "advice.addEmbeddedRepo=false"),
    *("-c", "protocol.allow=never"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
)


class GitRefused(Exception):
    """Git could not, or would not; says why."""


class Git:
    """
    One work tree, with an index and an object directory of our own. Clean filters are the one kind of program from
    its configuration that runs: without them the trees would not be those that git means.
    """

    def __init__(self, top: bytes, index: str, objects: str, more_objects: Sequence[str] = ()) -> None:
        self.top = top
        self.git_dir, common = _locate(top)
        inherited = os.environ.get("GIT_ALTERNATE_OBJECT_DIRECTORIES", "")
        theirs = [_quoted(path) for path in (os.fsdecode(os.path.join(common, b"objects")), *more_objects)]
        self._environment = _without_places() | {
            "GIT_INDEX_FILE": index,
            "GIT_OBJECT_DIRECTORY": objects,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": ":".join(filter(None, [*theirs, inherited])),
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C",
        }

    def ask(self, *words: str | bytes, fails: bool = False) -> tuple[bytes, str]:
        """What it answered, and what it complained of. Raises GitRefused (not for a failure that is an answer too)."""
        try:
            asked = subprocess.run(
                self._words(words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env=self._environment,
                check=False,
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            raise GitRefused(f"git {_first(words)} took longer than {PATIENCE_S} s") from None
        except OSError as error:
            raise GitRefused(f"git cannot be run: {error.strerror}") from None
        complaint = asked.stderr.decode("utf-8", "backslashreplace").strip()
        if asked.returncode and not fails:
            raise GitRefused(f"git {_first(words)}: {_first_line(complaint) or f'ended with {asked.returncode}'}")
        return asked.stdout, complaint

    @contextmanager
    def talk(self, *words: str | bytes) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """Its input and its output; whatever is left unread is not waited for."""
        try:
            process = subprocess.Popen(
                self._words(words),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
            )
        except OSError as error:
            raise GitRefused(f"git cannot be run: {error.strerror}") from None
        with process:
            try:
                yield cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
            finally:
                process.kill()

    def _words(self, words: Sequence[str | bytes]) -> list[str | bytes]:
        return ["git", *_CAREFUL, "-C", self.top, *words]


def _locate(top: bytes) -> tuple[bytes, bytes]:
    """Its own folder and the one it shares with other work trees. What the caller's GIT_DIR says does not count."""
    git = os.path.join(top, b".git")
    if os.path.isdir(git):
        return git, git
    pointer = _read(git)
    if not pointer.startswith(b"gitdir: "):
        raise GitRefused("the git repository of the work tree is no longer there")
    git_dir = os.path.join(top, pointer[len(b"gitdir: ") :].rstrip(b"\n"))
    common = _read(os.path.join(git_dir, b"commondir")).rstrip(b"\n")
    return git_dir, os.path.normpath(os.path.join(git_dir, common))


def _without_places() -> dict[str, str]:
    """The caller's configuration decides what git ignores and filters; where things lie, and what runs, it does not."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name.startswith("GIT_CONFIG_")
    }


def _read(path: bytes) -> bytes:
    try:
        return regular.read(path, 1 << 16)[0]
    except OSError:
        return b""


def _quoted(path: str) -> str:
    """In a list of alternates a path that holds the separator, or begins like one in quotes, stands in quotes."""
    if ":" not in path and not path.startswith('"'):
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _first(words: Sequence[str | bytes]) -> str:
    return os.fsdecode(words[0])


def _first_line(complaint: str) -> str:
    return complaint.partition("\n")[0][:300]
