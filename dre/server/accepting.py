"""The socket that takes connections: where the process has no descriptor left for one, they wait for a second."""

import contextlib
import errno
import resource
import socket
import time
from typing import Any

_NO_MORE = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
_PAUSE_S = 0.5  # shorter than the second after which asyncio looks again
_WANTED = 8192


class Accepting(socket.socket):
    """
    For each wakeup asyncio asks for as many connections as may wait, and where there is no room it says so, and sets a
    timer to look again, for every single one: hundreds of timers that each make hundreds. So it is told once, and
    until the next look that nobody is there.
    """

    _full_at = float("-inf")

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            now = time.monotonic()
            if error.errno in _NO_MORE and now - self._full_at < _PAUSE_S:
                raise BlockingIOError from None
            self._full_at = now
            raise


def allow_many_descriptors() -> None:
    """A session on a machine has 1,024 unless it asks for more; the listeners alone may be more than that."""
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _WANTED if most == resource.RLIM_INFINITY else min(_WANTED, most)
    if allowed != resource.RLIM_INFINITY and allowed < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
