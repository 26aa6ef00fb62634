"""The recorder's own voice: whole lines on the caller's stderr, and never a wait for somebody to read them."""

import os
import select
import stat

from dre.shim import descriptors


def say(line: bytes, to: int = 2) -> None:
    """One line about the recorder itself."""
    write(b"dre: " + one_line(line) + b"\n", to)


def one_line(text: bytes) -> bytes:
    """With a question mark for all that a terminal would obey: folders and options may be called anything."""
    shown = (
        c if c.isprintable() or "\udc80" <= c <= "\udcff" else "?" for c in text.decode("utf-8", "surrogateescape")
    )
    return "".join(shown).encode("utf-8", "surrogateescape")


def write(text: bytes, to: int = 2) -> None:
    try:
        if _has_room(to):
            os.write(to, text)
    except OSError:
        pass  # nobody listens


def kept_copy() -> int | None:
    """The caller's stderr for what is to be said after the command's end, when 2 itself may be closed already."""
    try:
        if stat.S_ISREG(os.fstat(2).st_mode):  # opened again, it would be written over from its beginning
            return descriptors.copy_of(2)
        return descriptors.without_waiting(2)
    except OSError:
        return None  # the caller closed it: there is nobody to speak to


def _has_room(fd: int) -> bool:
    """A full pipe that nobody reads would hold us for ever; a line fits into any that says it is writable."""
    one = select.poll()
    one.register(fd, select.POLLOUT)
    return any(events & select.POLLOUT for _, events in one.poll(0))
