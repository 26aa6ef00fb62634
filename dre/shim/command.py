"""The command: what the user asked for, by fork and exec, as its caller would have started it."""

import errno
import os
import struct

from dre.shim.descriptors import pipe
from dre.shim.signals import Signals
from dre.shim.voice import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn
else:
    import _signal  # the module `signal` wraps this one in enums, at 3 ms

# pid, wait status, errno of a failed exec; user and system seconds, peak memory, faults, blocks, switches
_REPORT = struct.Struct("<iiidd7Q")
SIZE = _REPORT.size
STARTED = -1
UNKNOWN = -2  # the command ended, but whoever waited for it was killed
OBEYED = -3  # no news of the command: an order was carried out
_COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")
_TRY_NEXT = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.ENODEV, errno.ETIMEDOUT)


class Report:
    """What became of a process, small enough for one atomic write into a pipe."""

    __slots__ = ("failure", "pid", "status", "usage")

    def __init__(self, pid: int, status: int, failure: int = 0, usage: tuple[float, ...] = (0.0,) * 9) -> None:
        self.pid, self.status, self.failure, self.usage = pid, status, failure, usage

    @property
    def stopped(self) -> bool:
        return self.status >= 0 and os.WIFSTOPPED(self.status)

    def encode(self) -> bytes:
        return _REPORT.pack(self.pid, self.status, self.failure, *self.usage[:2], *map(int, self.usage[2:]))

    @classmethod
    def decode(cls, data: bytes) -> "Report":
        pid, status, failure, *usage = _REPORT.unpack(data)
        return cls(pid, status, failure, tuple(usage))


class Command:
    """What to run, on which ends, and what the child must have back; its environment says which operation it is."""

    def __init__(self, argv: list[bytes], ends: dict[int, int], signals: Signals, umask: int, operation: str) -> None:
        self.argv, self.ends, self.signals, self.umask, self._operation = argv, ends, signals, umask, operation

    def start(self, terminal: int | None = None) -> Report:
        """
        Forks; returns when the exec has succeeded or failed. `terminal`: lead a group in front of it.
        Raises only when there is no second process, so that the caller may still go on without one.
        """
        failed, failing = pipe()
        pid = os.fork()
        if pid == 0:
            self._become(failing, terminal)
        os.close(failing)
        failure = int(os.read(failed, 16) or b"0")  # close-on-exec: the end of file is the success
        os.close(failed)
        return Report(pid, STARTED, failure)

    def _become(self, failing: int, terminal: int | None) -> None:
        try:
            if terminal is not None:
                os.setpgid(0, 0)
                os.tcsetpgrp(terminal, os.getpid())
            for number, end in self.ends.items():
                os.dup2(end, number)
            os.umask(self.umask)
            self.signals.give_back()
            os.environb[b"DRE_PARENT"] = self._operation.encode()  # all that the command sees of us
            execute(self.argv)
        except OSError as error:
            os.write(failing, b"%d" % (error.errno or errno.EINVAL))
        finally:
            os._exit(127)


def look(pid: int) -> Report | None:
    """News of a child: ended or stopped, None for neither."""
    got, status, usage = os.wait4(pid, os.WNOHANG | os.WUNTRACED)
    if not got:
        return None
    return Report(pid, status, 0, usage_of(usage))


def state(pid: int) -> bytes:
    """R, S, D, T, Z, ... as proc(5) has it; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rpartition(b") ")[2][:1]
    except OSError:
        return b""


def usage_of(usage: tuple[float, ...]) -> tuple[float, ...]:
    """The nine fields of rusage that Linux fills."""
    return (*usage[:3], *usage[6:8], *usage[9:11], *usage[14:16])


def execute(argv: list[bytes]) -> "NoReturn":
    """execvp(3) as C programs have it, with its /bin/sh for a script without a first line; raises or never returns."""
    _drop_locale_of_ours()
    refused = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if not argv[0]:
        raise refused
    for path in _candidates(argv[0]):
        try:
            os.execv(path, argv)  # noqa: S606  (this is what the recorder is for)
        except OSError as error:
            if error.errno == errno.ENOEXEC:
                os.execv(b"/bin/sh", [b"/bin/sh", path, *argv[1:]])  # noqa: S606  (as execvp(3) does)
            if error.errno == errno.EACCES:
                refused = error
            elif error.errno not in _TRY_NEXT:
                raise
    raise refused


def explain(argv: list[bytes], failure: int) -> int:
    """One line to the caller; 127 when there is no such program, 126 when it cannot run."""
    say(argv[0] + b": " + os.strerror(failure).encode())
    return 127 if failure == errno.ENOENT else 126


def end_as(status: int) -> "NoReturn":
    """Ends us as the command ended, by the same signal where it was one; its core dump is its own."""
    if os.WIFSIGNALED(status):
        die_of(os.WTERMSIG(status))
    os._exit(os.WEXITSTATUS(status))


def die_of(signo: int) -> "NoReturn":
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if signo not in (_signal.SIGKILL, _signal.SIGSTOP):
        _signal.signal(signo, _signal.SIG_DFL)
    os.kill(os.getpid(), signo)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {signo})
    os._exit(128 + signo)  # the first process of a container, for one, does not die of signals


def _candidates(name: bytes) -> list[bytes]:
    if b"/" in name:
        return [name]
    return [os.path.join(folder, name) for folder in os.environb.get(b"PATH", b"/bin:/usr/bin").split(b":")]


def _drop_locale_of_ours() -> None:
    """In the C locale Python writes LC_CTYPE=C.UTF-8 into its own environment (PEP 538); the command never had it."""
    if os.environb.get(b"LC_CTYPE") not in _COERCED or os.environb.get(b"LC_ALL"):
        return
    with open("/proc/self/environ", "rb") as environment:
        given = [item[9:] for item in environment.read().split(b"\0") if item.startswith(b"LC_CTYPE=")]
    if given:
        os.environb[b"LC_CTYPE"] = given[0]
    else:
        del os.environb[b"LC_CTYPE"]
