"""A stream: one output of the command on its way into the spool and, after that, to the caller."""

import fcntl
import os
import select
import sys
import termios

from dre.shim.watch import GONE_ONLY, READABLE, TROUBLE, WRITABLE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dre.shim.spool import Recording
    from dre.shim.watch import Watch

ROOM = 256 * 1024
TAIL = 64
PIECE = 4096  # PIPE_BUF: what a pipe that reports itself writable takes without blocking
TERMINAL_HOLDS = 256 * 1024  # more than the kernel keeps for one pty, so all that the ended command wrote


class Stream:
    """
    Record first, deliver second: whatever the caller has seen is in the spool.

    The reader going away closes our end at once, so the command meets SIGPIPE where it would have met it.
    The command closing its end closes the caller's, so the reader meets the end of file where it would have.
    """

    def __init__(self, number: int, source: int, sink: int, *, terminal: bool, closes: list[int]) -> None:
        self.number, self.source, self.sink, self.terminal = number, source, sink, terminal
        self.closes = closes
        self.before_end: "Callable[[], None] | None" = None  # called while the caller's descriptors are still open
        self.open = True
        self._handed_over = False
        self._buffer = memoryview(bytearray(ROOM))
        self._pending = self._buffer[:0]
        self._left: int | None = None  # None while the command runs, then how much of it is still in the kernel
        self.tail = b""  # the end of what a terminal was given, to know whether its line is finished
        self._patient = not fcntl.fcntl(sink, fcntl.F_GETFL) & os.O_NONBLOCK
        os.set_blocking(source, False)

    def attach(self, watch: "Watch", recording: "Recording") -> None:
        self._watch, self._recording = watch, recording
        if self._pending:
            watch.on(self.sink, WRITABLE, self._on_sink)
        else:
            self._rest()

    @property
    def busy(self) -> bool:
        return self.open and not self._handed_over and (len(self._pending) > 0 or self._left != 0)

    def finish(self, *, killed: bool) -> None:
        """
        The command has ended: what it wrote is in the kernel already. Take that much and no more,
        for a descendant that goes on writing must not delay us.
        """
        if not self.open:
            return
        self._left = TERMINAL_HOLDS if self.terminal else _waiting(self.source)
        self._watch.off(self.source)
        if killed and not self.terminal:
            self._gather()
        self._finish_on()

    def catch_up(self) -> None:
        """The command has just been stopped: what it wrote comes before what its caller does next."""
        left = 0
        if self.open:
            left = TERMINAL_HOLDS if self.terminal else _waiting(self.source)
        while left > 0 and self.open and not self._pending:
            left -= self._take() or left

    def go_on(self, watch: "Watch", recording: "Recording") -> None:
        self._left = self.before_end = None
        self.attach(watch, recording)

    def close(self) -> None:
        if not self.open:
            return
        if self.before_end:
            self.before_end()
        self.open = False
        for fd in (self.source, self.sink):
            self._watch.off(fd)
        for fd in (self.source, self.sink, *self.closes):
            os.close(fd)

    def _rest(self) -> None:
        self._watch.on(self.source, READABLE, self._on_source)
        self._watch.on(self.sink, GONE_ONLY, self._on_sink)

    def _on_source(self, _events: int) -> None:
        if self._take() == 0:
            self.close()

    def _on_sink(self, events: int) -> None:
        if events & TROUBLE:
            self.close()
            return
        self._deliver()
        if self.open and not self._pending:
            self._finish_on() if self._left is not None else self._rest()

    def _finish_on(self) -> None:
        while self.open and not self._pending:
            if self._left == 0 and not _hung_up(self.source):
                return  # somebody else still holds it: the drainer's
            taken = self._take()
            if taken == 0:
                self.close()
            self._left = max(0, (self._left or 0) - taken) if taken else 0

    def _gather(self) -> None:
        """A killed command would not have waited for its reader: keep all, leave slow delivery to the drainer."""
        owed = bytearray(self._pending)
        while self._left and (taken := self._read()):
            self._recording.output(self.number, self._buffer[:taken])
            owed += self._buffer[:taken]
            self._left = max(0, self._left - taken)
        self._pending = memoryview(owed)
        self._deliver()
        self._handed_over = len(self._pending) > 0

    def _take(self) -> int | None:
        """Reads, records, delivers; 0 at the end of file, None when there is nothing now."""
        taken = self._read()
        if taken:
            data = self._buffer[:taken]
            if self.terminal:
                self.tail = bytes(data[-TAIL:])
            self._recording.output(self.number, data)
            self._pending = data
            self._deliver()
        return taken

    def _read(self) -> int | None:
        """A pty hands out little at a time: gather what is there, for one round through spool and caller."""
        filled = 0
        while filled < ROOM:
            try:
                got = os.readv(self.source, [self._buffer[filled:]])
            except BlockingIOError:
                return filled or None
            except OSError:  # EIO: nobody has the pty open any more
                return filled
            filled += got
            if not got or not self.terminal:
                break
        return filled

    def _deliver(self) -> None:
        try:
            while self._pending and not (self._patient and not _takes_a_piece(self.sink)):
                piece = self._pending[:PIECE] if self._patient else self._pending
                self._pending = self._pending[os.write(self.sink, piece) :]
        except BlockingIOError:
            pass
        except OSError:  # EPIPE, EIO: the reader or the terminal is gone
            self._pending = self._pending[:0]
            self.close()
            return
        if self._pending:
            self._watch.off(self.source)  # the command has to wait, as it would for the caller's own pipe
            self._watch.on(self.sink, WRITABLE, self._on_sink)


def _takes_a_piece(fd: int) -> bool:
    return bool(_state(fd, select.POLLOUT) & select.POLLOUT)


def _hung_up(fd: int) -> bool:
    return bool(_state(fd, 0) & TROUBLE)


def _state(fd: int, events: int) -> int:
    one = select.poll()
    one.register(fd, events)
    answer = one.poll(0)
    return answer[0][1] if answer else 0


def _waiting(pipe: int) -> int:
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4), sys.byteorder)
