"""Signals: taken as data, so none is lost and each says who sent it; and the job control of the caller's own group."""

import os
import struct

from dre.shim import libc
from dre.shim.descriptors import private

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal

# Left alone: what cannot be caught, what a fault of our own raises, and the two that stop a background
# writer or reader exactly as they would stop the command.
_NOT_OURS = {
    _signal.SIGKILL, _signal.SIGSTOP, _signal.SIGSEGV, _signal.SIGBUS, _signal.SIGFPE, _signal.SIGILL, _signal.SIGTRAP,
    _signal.SIGABRT, _signal.SIGSYS, _signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGXCPU,
    _signal.SIGTTIN, _signal.SIGTTOU,
}  # fmt: skip
TAKEN = {int(signo) for signo in _signal.valid_signals() if signo not in _NOT_OURS}
FROM_KERNEL = 0x80  # SI_KERNEL: a key at the terminal, so the kernel has told the whole foreground group
_INFO = struct.Struct("<IiiI112x")  # struct signalfd_siginfo: number, errno, code, sender


class Received:
    __slots__ = ("from_kernel", "number", "sender")

    def __init__(self, number: int, code: int, sender: int) -> None:
        self.number, self.from_kernel, self.sender = number, code == FROM_KERNEL, sender


class Signals:
    """
    Blocks what we take and reads it from a signalfd: no handler runs, so nothing needs undoing but the mask,
    and a child that ends before we wait is not missed.
    """

    def __init__(self) -> None:
        bits = sum(1 << (signo - 1) for signo in TAKEN).to_bytes(128, "little")
        self.fd = private(libc.call("signalfd", -1, bits, os.O_CLOEXEC | os.O_NONBLOCK))
        # Only now: without a descriptor the command runs unrecorded, and with nothing of ours in its signals.
        self._child_ignored = _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL) == _signal.SIG_IGN
        self._before = _signal.pthread_sigmask(_signal.SIG_BLOCK, TAKEN)

    def read(self) -> list[Received]:
        try:
            data = os.read(self.fd, _INFO.size * 32)
        except BlockingIOError:
            return []
        return [Received(number, code, sender) for number, _, code, sender in _INFO.iter_unpack(data)]

    def give_back(self) -> None:
        """The command starts with the caller's dispositions and mask: undoes what Python and we changed."""
        undo_python()
        if self._child_ignored:
            _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._before)

    def let_through(self) -> None:
        """From here signals do to us what they do to anyone. Those that came for the command are not for us."""
        while self.read():
            pass
        _signal.pthread_sigmask(_signal.SIG_SETMASK, self._before)


def undo_python() -> None:
    """Python ignores these two before our first line runs; what the caller had for them can no longer be seen."""
    for signo in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(signo, _signal.SIG_DFL)


def drop_python_handler() -> None:
    """Until the command is there, Ctrl-C ends us as it would have ended the command: without a traceback."""
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)


def stop(signo: int, *, whole_group: bool = False) -> None:
    """Stops us as the command was stopped; returns when continued, or at once in an orphaned group."""
    if signo == _signal.SIGSTOP:
        os.kill(os.getpid(), signo)
        return
    before = _signal.signal(signo, _signal.SIG_DFL)
    os.kill(0 if whole_group else os.getpid(), signo)
    mask = _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {signo})  # here we stop
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    _signal.signal(signo, before)


def tell(pid: int, signo: int) -> bool:
    """Signals a process (or, negative, a group) that may be gone or not ours to signal."""
    try:
        os.kill(pid, signo)
    except OSError:
        return False
    return True


def every_default() -> set[int]:
    """For a process of ours that starts as if nobody had started it."""
    return TAKEN | {_signal.SIGPIPE, _signal.SIGXFSZ}
