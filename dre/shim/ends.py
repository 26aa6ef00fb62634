"""The end: what is still in the kernel, what descendants go on writing, and who copies that."""

import fcntl
import os

from dre.shim.descriptors import close_all_but
from dre.shim.ingest import spawn
from dre.shim.spool import NOWHERE, Recording, Spool
from dre.shim.stream import Stream
from dre.shim.watch import Watch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from dre.shim.signals import Signals

LARGEST_FILE = 64 << 20


class WrittenRange:
    """The part of a regular file that the command wrote; the file itself was its stdout."""

    def __init__(self, number: int) -> None:
        self.number = number
        size = os.fstat(number).st_size
        self._before = os.lseek(number, 0, os.SEEK_CUR)
        appends = fcntl.fcntl(number, fcntl.F_GETFL) & os.O_APPEND
        self._start = size if appends else self._before
        self._at_the_end = size <= self._start

    def keep(self, recording: Recording) -> None:
        after = os.lseek(self.number, 0, os.SEEK_CUR)
        if after == self._before:
            return
        if self._at_the_end:  # nothing stood behind the start, so all that does now was written since
            after = max(after, os.fstat(self.number).st_size)
        length = after - self._start
        if length > LARGEST_FILE:
            recording.lost += length
        elif length > 0:
            self._copy(recording, length)

    def _copy(self, recording: Recording, length: int) -> None:
        try:
            source = os.open(f"/proc/self/fd/{self.number}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            recording.lost += length  # writable for us, not readable
            return
        recording.copy(self.number, source, self._start, length)
        os.close(source)


def leave_drainer(
    streams: list[Stream], spool: Spool, signals: "Signals", kept: set[int], done: "Callable[[], None]"
) -> None:
    """
    A process of its own goes on copying for the descendants, as long as they hold an output.
    In a session of its own: keys and job control are theirs, and a signal to their group must not silence them.
    """
    late = spool.late()
    try:
        if os.fork():
            return
    except OSError:
        return  # no process to be had: what they write from now on meets a closed pipe
    try:
        os.setsid()
        signals.let_through()
        held = {fd for stream in streams for fd in (stream.source, stream.sink, *stream.closes)}
        close_all_but(held | kept | {late.journal.fd, late.raw, spool.alive, spool.fd})
        watch = Watch()
        for stream in streams:
            stream.go_on(watch, late)
        while any(stream.open for stream in streams):
            watch.once()
        done()
        _end(late)
        os.close(spool.alive)
        spawn(spool.root)
    finally:
        os._exit(0)


def _end(late: Recording) -> None:
    """Without room for it nothing was kept of what came late, not even an end; what was captured waits all the same."""
    try:
        if late.raw != NOWHERE:
            late.end()
    except OSError:
        pass
