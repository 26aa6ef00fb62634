"""The terminal: a pty for the command in place of the caller's, which is raw meanwhile; keys, sizes, modes, stops."""

import fcntl
import os
import struct
import termios

from dre.shim import descriptors
from dre.shim.command import OBEYED, SIZE, UNKNOWN, Command, Report
from dre.shim.journal import CONTINUED, SIGNAL, STOPPED, WINSIZE, Journal
from dre.shim.keeper import BACK, FRONT, LEAVE, ORDER, Keeper, set_modes
from dre.shim.signals import Received, stop, tell
from dre.shim.watch import READABLE, TROUBLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any

    from dre.shim.stream import Stream
    from dre.shim.watch import Watch
else:
    import _signal

IFLAG, OFLAG, CFLAG, LFLAG, CHARACTERS = 0, 1, 2, 3, 6
INTERRUPTS = ((termios.VINTR, _signal.SIGINT), (termios.VQUIT, _signal.SIGQUIT))
NO_SIZE = b"\0" * 8


class OutputTerminal:
    """A pty for outputs alone, of the size of the terminal they had; the command stays in the caller's session."""

    def __init__(self, like: int) -> None:
        master, slave = os.openpty()
        self.like, self.master, self.slave = like, descriptors.private(master), descriptors.private(slave)
        self._size = NO_SIZE
        modes = termios.tcgetattr(like)
        modes[OFLAG] &= ~termios.OPOST  # the caller's terminal turns \n into \r\n already
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)
        self.copy_size(None)

    def copy_size(self, journal: Journal | None) -> None:
        self._size = copy_size(self.like, self.master, self._size, journal)


class InTerminal:
    """
    The command in front of its own terminal, with a keeper for session leader.

    What the caller's terminal is to us, the inner one is to the command: the same modes both ways, and the
    command is in front of it only while we are in front of ours. So a job that was sent to the background
    stops when it reads, as it always did.
    """

    def __init__(self, journal: Journal, spool_lock: int) -> None:
        self._journal, self._lock = journal, spool_lock
        self._outer = descriptors.without_waiting(0)
        self._modes = termios.tcgetattr(self._outer)
        master, slave = os.openpty()
        self.master, self.slave = descriptors.private(master), descriptors.private(slave)
        self._name = os.ttyname(self.slave)
        self._size = NO_SIZE
        self._keys = b""
        self._holding = False
        self.pid = self.keeper = 0
        self.end: Report | None = None
        termios.tcsetattr(self.slave, termios.TCSANOW, self._modes)
        self._copy_size()

    def start(self, wanted: Command) -> Report:
        self._reports, reporting = descriptors.pipe()
        ordered, self._orders = descriptors.pipe()
        self.keeper = os.fork()
        if self.keeper == 0:
            for fd in (self.master, self._orders):
                os.close(fd)
            Keeper(self.slave, self._outer, self._modes, ordered, reporting, self._journal, self._lock).run(wanted)
        for fd in (reporting, ordered):
            os.close(fd)
        started = self._next_report()
        if started.pid == 0:
            os.waitpid(self.keeper, 0)
            raise OSError(started.failure, os.strerror(started.failure))
        self.pid = self._front_group = started.pid
        os.set_blocking(self.master, False)
        return started

    def attach(self, watch: "Watch", streams: "list[Stream]") -> None:
        self._watch, self._stream = watch, streams[-1]
        watch.on(self._reports, READABLE, self._on_report)
        self._take()

    def on_signal(self, got: Received) -> None:
        if got.number == _signal.SIGWINCH:
            self._copy_size()
        elif got.number == _signal.SIGCONT:
            if not self._holding and descriptors.is_ours(self._outer):
                self._resume()
        elif got.number == _signal.SIGCHLD or got.sender == os.getpid():
            pass  # the keeper reports by pipe; our own interrupts were meant for the others
        elif got.from_kernel and got.number != _signal.SIGHUP:
            self._on_cooked_key(got.number)
        else:
            # A hang-up is for everyone at this terminal, the rest for the command alone.
            tell(-self.pid if got.number == _signal.SIGHUP else self.pid, got.number)
            self._journal.write(SIGNAL, bytes((got.number,)) + got.sender.to_bytes(4, "little"))

    def let_go(self) -> None:
        """The command has ended and its output is out."""
        if self._holding:
            self._return_keys()
        self._give_back()

    def dismiss(self) -> None:
        """Nobody is left at the inner terminal."""
        self._order(LEAVE)

    def private_descriptors(self) -> set[int]:
        """What the drainer must keep, so that the keeper lives as long as it does."""
        return {self._orders}

    # Whose turn it is at the caller's terminal

    def _take(self) -> None:
        set_modes(self._outer, raw(self._modes))
        self._copy_size()
        self._watch.on(self._outer, READABLE, self._on_outer)
        self._holding = True

    def _give_back(self) -> None:
        """With the modes the inner one has now: `stty -echo` is meant to last."""
        if self._holding:
            self._holding = False
            self._watch.off(self._outer)
            try:
                modes = termios.tcgetattr(self.master)
            except (OSError, termios.error):
                modes = self._modes
            set_modes(self._outer, modes)

    def _suspend(self, signo: int) -> None:
        self._journal.write(STOPPED, bytes((signo,)))
        wants_terminal = signo in (_signal.SIGTTIN, _signal.SIGTTOU) and not self._holding
        # Bash brings a running job to the front without a word; then its first read is what tells us.
        if not (wants_terminal and descriptors.is_ours(self._outer)):
            self._stream.catch_up()
            self._front_group = self._group_in_front()
            self._give_back()
            stop(signo, whole_group=True)
        self._resume()

    def _resume(self) -> None:
        """Continued, or never stopped because our group is an orphan: either way the command goes on."""
        front = descriptors.is_ours(self._outer)
        if front:
            # Not at the first time: the command may have set its own modes before we got here.
            self._modes = termios.tcgetattr(self._outer)
            termios.tcsetattr(self.master, termios.TCSANOW, self._modes)
            self._take()
        self._order(FRONT if front else BACK, self._front_group)
        self._journal.write(CONTINUED, bytes((front,)))
        self._wait_until_obeyed()

    def _group_in_front(self) -> int:
        try:
            return os.tcgetpgrp(self.master) if self._holding else self._front_group
        except OSError:
            return self.pid

    # What arrives

    def _wait_until_obeyed(self) -> None:
        """A key that stops the command must not overtake the order that continues it."""
        while self.end is None and (report := self._next_report()).status != OBEYED:
            if not report.stopped:  # a stop from before the order is over
                self._end_with(report)

    def _on_report(self, _events: int) -> None:
        report = self._next_report()
        if report.stopped:
            self._suspend(os.WSTOPSIG(report.status))
        else:
            self._end_with(report)

    def _end_with(self, report: Report) -> None:
        self.end = report
        self._watch.off(self._reports)
        if report.status == UNKNOWN:
            tell(-self.pid, _signal.SIGHUP)

    def _next_report(self) -> Report:
        data = os.read(self._reports, SIZE)
        return Report.decode(data) if data else Report(self.pid, UNKNOWN)

    def _on_cooked_key(self, signo: int) -> None:
        """A key of a terminal that we do not hold: we were brought to the front without being told."""
        if descriptors.is_ours(self._outer) and not self._holding:
            self._resume()
        tell(-self._front_group, signo)

    def _on_outer(self, events: int) -> None:
        if events & WRITABLE == 0 and events & (READABLE | TROUBLE):
            try:
                keys = os.read(self._outer, 4096)
            except BlockingIOError:
                return
            except OSError:
                keys = b""
            if not keys:
                self._hang_up()
                return
            self._share_interrupts(keys)
            self._keys += keys
        self._type()

    def _type(self) -> None:
        try:
            while self._keys:
                self._keys = self._keys[os.write(self.master, self._keys) :]
        except BlockingIOError:
            self._watch.on(self.master, WRITABLE, lambda _events: self._type())
            return
        except OSError:
            self._keys = b""
        self._watch.off(self.master)

    def _share_interrupts(self, keys: bytes) -> None:
        """Ctrl-C reaches everyone in the foreground: also the script or the make that called us."""
        modes = termios.tcgetattr(self.master)
        if modes[LFLAG] & termios.ISIG and self._group_in_front() == self.pid:
            for character, signo in INTERRUPTS:
                if modes[CHARACTERS][character] in keys:
                    os.kill(0, signo)

    def _return_keys(self) -> None:
        """What was typed ahead and not read belongs to whoever reads next. Most kernels let only root do this."""
        try:
            unread = os.open(self._name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
            modes = termios.tcgetattr(unread)
            termios.tcsetattr(unread, termios.TCSANOW, raw(modes))
            keys = b""
            try:
                keys = os.read(unread, 4096)
            except BlockingIOError:
                pass  # nothing was typed
            termios.tcsetattr(unread, termios.TCSANOW, modes)
            os.close(unread)
            for key in keys + self._keys:
                fcntl.ioctl(self._outer, termios.TIOCSTI, bytes((key,)))
        except OSError:
            pass  # this kernel does not let us: what was typed ahead is lost

    def _hang_up(self) -> None:
        """The caller's terminal is gone: so is the command's."""
        self._holding = False
        for fd in (self._outer, self.master):
            self._watch.off(fd)
        self._stream.close()
        os.close(self.master)
        self.master = -1

    def _copy_size(self) -> None:
        self._size = copy_size(self._outer, self.master, self._size, self._journal)

    def _order(self, what: bytes, group: int = 0) -> None:
        try:
            os.write(self._orders, ORDER.pack(what, group))
        except OSError:
            pass  # the keeper is gone; its report pipe says so


def raw(modes: "list[Any]") -> "list[Any]":
    """cfmakeraw(3): every key passes as it is, the inner terminal does the rest."""
    new = list(modes)
    new[IFLAG] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP
        | termios.INLCR | termios.IGNCR | termios.ICRNL | termios.IXON
    )  # fmt: skip
    new[OFLAG] &= ~termios.OPOST
    new[CFLAG] = new[CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    new[LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    new[CHARACTERS] = list(new[CHARACTERS])
    new[CHARACTERS][termios.VMIN], new[CHARACTERS][termios.VTIME] = 1, 0
    return new


def copy_size(source: int, target: int, known: bytes, journal: Journal | None) -> bytes:
    try:
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, NO_SIZE)
        if size != known:
            fcntl.ioctl(target, termios.TIOCSWINSZ, size)  # the kernel tells the inner foreground
            if journal is not None:
                journal.write(WINSIZE, struct.pack("<HH", *struct.unpack("HHHH", size)[:2]))
    except OSError:
        return known
    return size
