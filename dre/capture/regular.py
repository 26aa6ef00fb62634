"""Files that somebody else may have put in place: read if they are files, and never waited for."""

import os
import stat

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class NotAFile(OSError):
    """A pipe, a device or a folder stands where a file belongs."""


def read(path: bytes | str, most: int = -1) -> tuple[bytes, os.stat_result]:
    """
    At most so many bytes of it, all of them if -1, and its state. A pipe that nobody writes to would hold us up for
    ever, a device has no end: neither is read. Raises OSError.
    """
    fd = os.open(path, _READ)
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise NotAFile(0, "it is not a regular file")
        return file.read(most), found
