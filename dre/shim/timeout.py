"""The time limit, only on request: TERM to the whole tree, a grace for all of it, KILL."""

import os
import time

from dre.shim import command, libc
from dre.shim.signals import tell

GRACE_S = 5.0
_LONGEST_WAIT_MS = 3_600_000  # poll counts in 32 bits
_LOOKS = 20
_PR_SET_CHILD_SUBREAPER = 36
_OVER = (b"", b"Z", b"X")
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
        self.passed = self._killed = False
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
            self.passed, self._killed, left = True, self.passed, GRACE_S
            self._at = time.monotonic() + left
        return min(int(left * 1000) + 1, _LONGEST_WAIT_MS)

    def holds(self) -> bool:
        """
        Whether the tree that was told to end is still there, though the command is not: some take their time, some do
        not listen, and some were started by a shell in the moment between the end of its children and its own.
        """
        if not self.passed or self._killed:
            return False
        before: set[int] | None = None
        for _ in range(_LOOKS):
            tree = self._tree()
            if any(command.state(pid) not in _OVER for pid in tree):
                return True
            if tree == before:  # nobody was started while it was looked at, and left behind by one that has ended
                return False
            before = tree
        return True

    def _tree(self) -> set[int]:
        return _descendants(os.getpid()) - {self._job.keeper}

    def _end_the_tree(self, signo: int) -> None:
        told: set[int] = set()
        for _ in range(_LOOKS):
            new = self._tree() - told
            for pid in new:
                tell(pid, signo)
                tell(pid, _signal.SIGCONT)  # a stopped process would not notice the polite one
            told |= new
            if not new:  # who was started while the others were told is told as well
                break


def _adopt_orphans() -> None:
    try:
        libc.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except OSError:
        pass  # somebody forbids it: then those who left our tree live on


def _descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found, new = set(), [root]
    while new:
        below = children.get(new.pop(), [])
        found.update(below)
        new.extend(below)
    return found


def _parents() -> dict[int, int]:
    """
    Everybody's parent. Who was read before its parent ended names one that is gone and would belong to nobody, though
    it is ours by now: then all are looked at again.
    """
    parents: dict[int, int] = {}
    for _ in range(_LOOKS):
        parents = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open(f"/proc/{name}/stat", "rb") as state:
                        parents[int(name)] = int(state.read().rpartition(b")")[2].split()[1])
                except (OSError, IndexError):
                    continue  # it ended meanwhile
        if all(parent == 0 or parent in parents for parent in parents.values()):
            break
    return parents
