"""The keeper: session leader of the inner terminal, so that the command's end hangs nobody up."""

import fcntl
import os
import struct
import termios

from dre.shim import command
from dre.shim.command import Command, Report
from dre.shim.descriptors import close_all_but
from dre.shim.journal import EXIT, Journal
from dre.shim.signals import tell
from dre.shim.watch import READABLE, Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import Any, NoReturn
else:
    import _signal

ORDER = struct.Struct("<cI")
FRONT, BACK, LEAVE = b"F", b"B", b"L"


class Keeper:
    """
    Takes orders from the shim and reports every status to it. The end of the order pipe without a
    goodbye means that the shim is dead: then the caller's terminal and the journal's last word are ours.
    """

    def __init__(
        self, slave: int, outer: int, modes: "list[Any]", orders: int, reports: int, journal: Journal, lock: int
    ) -> None:
        self._slave, self._outer, self._modes = slave, outer, modes
        self._orders, self._reports, self._journal, self._lock = orders, reports, journal, lock
        self._front = True
        self._end: Report | None = None
        self._watch = Watch()

    def run(self, wanted: Command) -> "NoReturn":
        try:
            self._lead()
            self._keep(wanted)
        finally:
            os._exit(1)

    def _lead(self) -> None:
        os.setsid()
        fcntl.ioctl(self._slave, termios.TIOCSCTTY, 0)
        _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGTTOU})  # to decide who is in front, from behind

    def _keep(self, wanted: Command) -> None:
        try:
            started = wanted.start(self._slave)
        except OSError as error:  # no process, no descriptor: the shim goes on without us
            self._report(Report(0, command.STARTED, error.errno or 0))
            os._exit(0)
        self._report(started)  # before anything that could fail: the shim must know what it has to end as
        kept = {wanted.signals.fd, self._orders, self._reports, self._outer, self._journal.fd, self._lock}
        close_all_but(kept)  # the slave too: its last close tells the shim that nobody is left
        self._pid = started.pid
        if started.failure:
            os.waitpid(started.pid, 0)
            os._exit(0)
        self._watch.on(wanted.signals.fd, READABLE, lambda _events: self._on_child(wanted))
        self._watch.on(self._orders, READABLE, lambda _events: self._on_order())
        while True:
            self._watch.once()

    def _on_child(self, wanted: Command) -> None:
        wanted.signals.read()  # hang-ups among them: a leader that dies of one would pass it on
        news = command.look(self._pid) if self._end is None else None
        if news is None:
            return
        if not news.stopped:
            self._end = news
            self._bring_forward(os.getpgrp())  # our own end then hangs up nobody whom the command left behind
        self._report(news)

    def _on_order(self) -> None:
        order = os.read(self._orders, ORDER.size)
        if not order:
            self._outlive_the_shim()
        what, group = ORDER.unpack(order)
        if what == LEAVE:
            os._exit(0)
        self._front = what == FRONT
        self._bring_forward(group if self._front else os.getpgrp())
        tell(-group, _signal.SIGCONT)  # from here it also reaches a set-user-id command: same session
        self._report(Report(self._pid, command.OBEYED))

    def _bring_forward(self, group: int) -> None:
        try:
            terminal = os.open("/dev/tty", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return  # hung up
        try:
            os.tcsetpgrp(terminal, group)
        except OSError:
            os.tcsetpgrp(terminal, os.getpgrp())  # the group has gone meanwhile
        finally:
            os.close(terminal)

    def _report(self, news: Report) -> None:
        try:
            os.write(self._reports, news.encode())
        except OSError:
            pass  # the shim is dead; the orders' end of file comes next

    def _outlive_the_shim(self) -> None:
        if self._front:
            set_modes(self._outer, self._modes)
        while self._end is None:
            tell(-self._pid, _signal.SIGCONT)  # nobody is left to continue it
            _, status, usage = os.wait4(self._pid, 0)
            self._end = Report(self._pid, status, 0, command.usage_of(usage))
        if self._journal.take_over():
            self._journal.write(EXIT, self._end.encode())
            self._journal.close_tail()
            os.fsync(self._journal.fd)
        os._exit(0)


def set_modes(terminal: int, modes: "list[Any]") -> None:
    """Also from the background, where the kernel would stop us for it; the terminal may be gone, too."""
    before = _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGTTOU})
    try:
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
    except (OSError, termios.error):
        pass  # hung up
    _signal.pthread_sigmask(_signal.SIG_SETMASK, before)
