"""The time limit, only on request: TERM to the whole tree, a grace, KILL."""

import os
import time

from dre.shim import libc
from dre.shim.signals import tell

GRACE_S = 5.0
_LONGEST_WAIT_MS = 3_600_000  # poll counts in 32 bits
_PR_SET_CHILD_SUBREAPER = 36
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from dre.shim.group import InGroup
    from dre.shim.terminal import InTerminal
else:
    import _signal


class Deadline:
    """
    Only with a limit are we a subreaper: it keeps runaway descendants in our tree, but a daemon that
    waits until its parent is process 1 would wait for ever.
    """

    def __init__(self, timeout_us: int, job: "InGroup | InTerminal") -> None:
        self.passed = False
        self._job = job
        self._at = time.monotonic() + timeout_us / 1_000_000 if timeout_us else None
        if timeout_us:
            _adopt_orphans()

    def wait_ms(self) -> int | None:
        if self._at is None:
            return None
        left = self._at - time.monotonic()
        if left <= 0:
            self._end_the_tree(_signal.SIGKILL if self.passed else _signal.SIGTERM)
            self.passed, left = True, GRACE_S
            self._at = time.monotonic() + left
        return min(int(left * 1000) + 1, _LONGEST_WAIT_MS)

    def _end_the_tree(self, signo: int) -> None:
        for pid in _descendants(os.getpid()) - {self._job.keeper}:
            tell(pid, signo)
            tell(pid, _signal.SIGCONT)  # a stopped process would not notice the polite one


def _adopt_orphans() -> None:
    try:
        libc.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except OSError:
        pass  # somebody forbids it: then those who left our tree live on


def _descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as state:
                    parent = int(state.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue  # it ended meanwhile
            children.setdefault(parent, []).append(int(name))
    found, new = set(), [root]
    while new:
        below = children.get(new.pop(), [])
        found.update(below)
        new.extend(below)
    return found
