"""The command in the caller's own process group: its jobs and its keys reach both of us as they always did."""

import os

from dre.shim import command
from dre.shim.command import Command, Report
from dre.shim.journal import CONTINUED, SIGNAL, STOPPED, Journal
from dre.shim.signals import Received, stop, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from dre.shim.stream import Stream
    from dre.shim.terminal import OutputTerminal
    from dre.shim.watch import Watch
else:
    import _signal

FROM_KEYS = (_signal.SIGINT, _signal.SIGQUIT, _signal.SIGTSTP)


class InGroup:
    def __init__(self, journal: Journal, terminals: "list[OutputTerminal]") -> None:
        self._journal, self._terminals = journal, terminals
        self.pid = self.keeper = 0
        self.end: Report | None = None

    def start(self, wanted: Command) -> Report:
        started = wanted.start()
        self.pid = started.pid
        if started.failure:
            os.waitpid(self.pid, 0)
        return started

    def attach(self, _watch: "Watch", streams: "list[Stream]") -> None:
        """Everything else it needs arrives by signal."""
        self._streams = streams

    def on_signal(self, got: Received) -> None:
        if got.number == _signal.SIGCHLD:
            self._on_child()
        elif got.number == _signal.SIGWINCH:
            self._on_resize(got)
        elif got.number != _signal.SIGCONT and not (got.from_kernel and got.number in FROM_KEYS):
            tell(self.pid, got.number)
            self._journal.write(SIGNAL, bytes((got.number,)) + got.sender.to_bytes(4, "little"))

    def let_go(self) -> None:
        """It holds no terminal."""

    def dismiss(self) -> None:
        """It has no keeper."""

    def private_descriptors(self) -> set[int]:
        return set()

    def _on_child(self) -> None:
        news = command.look(self.pid) if self.end is None else None
        if news is None:
            return
        if not news.stopped:
            self.end = news
            return
        signo = os.WSTOPSIG(news.status)
        for stream in self._streams:
            stream.catch_up()
        self._journal.write(STOPPED, bytes((signo,)))
        stop(signo)
        self._journal.write(CONTINUED, b"")
        # The shell continued the whole group; somebody who knows only our pid continued us alone.
        if command.state(self.pid) == b"T":
            tell(self.pid, _signal.SIGCONT)

    def _on_resize(self, got: Received) -> None:
        for terminal in self._terminals:
            terminal.copy_size(self._journal)
        if self._terminals or not got.from_kernel:
            tell(self.pid, got.number)  # again: it may have asked its pty before the new size was there
