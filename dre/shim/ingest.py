"""Ingest: the process that turns spools into history, started at the end and left alone unless the caller waits."""

import os
import sys

from dre.shim.signals import every_default

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

INCONCLUSIVE = 3


def spawn(root: bytes) -> None:
    """In a session of its own and with nothing of the caller's in its hands. If it fails, the spool waits."""
    try:
        os.posix_spawn(
            sys.executable,
            _words(root),
            os.environ,
            file_actions=[*_quiet(0, 1, 2)],
            setsid=True,
            setsigmask=(),
            setsigdef=every_default(),
        )
    except (OSError, NotImplementedError, ValueError):
        pass  # the next one finds it


def wait(root: bytes, operation: str, how: str, stderr: int | None) -> int:
    """Stays until this operation is recorded or judged; it says its one line to the caller itself."""
    actions = [*_quiet(0, 1, 2)] if stderr is None else [*_quiet(0, 1), (os.POSIX_SPAWN_DUP2, stderr, 2)]
    words = [*_words(root), b"--operation", operation.encode(), b"--" + how.encode()]
    try:
        pid = os.posix_spawn(sys.executable, words, os.environ, file_actions=actions, setsigdef=[_signal.SIGPIPE])
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except OSError:
        return INCONCLUSIVE


def _words(root: bytes) -> list[bytes]:
    # -E and -P: neither the caller's variables nor its working directory decide what is imported.
    return [os.fsencode(sys.executable), b"-E", b"-P", b"-m", b"dre", b"ingest", b"--root", root]


def _quiet(*numbers: int) -> list[tuple[int, int, str, int, int]]:
    return [
        (os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDONLY if number == 0 else os.O_WRONLY, 0) for number in numbers
    ]
