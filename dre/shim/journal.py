"""The journal: what happened beside the output, as frames that stay readable after a cut at any byte."""

import binascii
import errno
import os
import struct
import time

START, ENV, PRE, OUTPUT, SIGNAL, WINSIZE, STOPPED, CONTINUED, PROC, EXIT, END = range(1, 12)

HEAD = struct.Struct("<IIB")  # length of the payload, crc32 of kind and payload, kind
CLOCK = struct.Struct("<Q")  # every payload begins with nanoseconds since the journal was opened
RESERVE = 4096  # allocated but kept free, so that a full disk cannot keep us from writing `exit` and `end`
STEP = 65536
_LENGTH = struct.Struct("<I")
_NO_PREALLOCATION = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV, errno.ENOSYS, errno.EPERM)


class Journal:
    """
    Frames are written at once and before the output they describe is passed on: a SIGKILL costs
    at most the frame it cuts. The file ends in preallocated zeros, which no frame looks like.

    A disk that fails is no error here but `trouble`: the command goes on.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.trouble = 0  # errno; from then on nothing but the closing frames is written: a gap would go unnoticed
        self.opened_wall_ns, self._began = time.time_ns(), time.monotonic_ns()  # one moment, on two clocks
        self._position = self._allocated = 0
        self._room_for(0, RESERVE)

    def write(self, kind: int, payload: bytes) -> None:
        closing = kind in (EXIT, END)
        if self.trouble and not closing:
            return
        frame = encode(kind, CLOCK.pack(time.monotonic_ns() - self._began) + payload)
        if self._room_for(len(frame), 0 if closing else RESERVE):
            self._put(frame)

    def take_over(self) -> bool:
        """For whoever outlives the writer: goes on after its last whole frame, if the end is not told yet."""
        self._allocated = os.fstat(self.fd).st_size
        whole = frames(os.pread(self.fd, self._allocated, 0))
        self._position = whole[-1][0] if whole else 0
        return all(kind != EXIT for _, kind, _ in whole)

    def go_on_in(self, fd: int) -> None:
        """In another file, which is given all that was written so far."""
        copy_file(self.fd, fd, self._position)
        self.fd, self._allocated = fd, self._position

    def close_tail(self) -> None:
        """Gives back what was preallocated; whoever reads no longer meets zeros."""
        os.ftruncate(self.fd, self._position)

    def _put(self, frame: bytes) -> None:
        try:
            written = os.pwrite(self.fd, frame, self._position)
        except OSError as error:
            self.trouble = error.errno or errno.EIO
            return
        if written == len(frame):
            self._position += written
        else:
            self.trouble = errno.ENOSPC

    def _room_for(self, size: int, reserve: int) -> bool:
        while self._position + size > self._allocated - reserve:
            failure = self._allocate(STEP) and self._allocate(RESERVE)
            if failure:
                self.trouble = self.trouble or failure
                return False
        return True

    def _allocate(self, size: int) -> int:
        """The errno of the failure; 0 when there is more room now."""
        try:
            os.posix_fallocate(self.fd, self._allocated, size)
        except OSError as error:
            if error.errno not in _NO_PREALLOCATION:
                return error.errno or errno.EIO
            size = 1 << 60  # this file system cannot: write as long as it lets us
        self._allocated += size
        return 0


def copy_file(source: int, target: int, length: int) -> None:
    """From its beginning; also of a file that has no name any more."""
    copied = 0
    while copied < length and (sent := os.sendfile(target, source, copied, length - copied)):
        copied += sent


def encode(kind: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload), binascii.crc32(payload, binascii.crc32(bytes((kind,)))), kind) + payload


def frames(journal: bytes) -> list[tuple[int, int, bytes]]:
    """Every whole frame from the front: (where it ends, kind, payload)."""
    found, at = [], 0
    while at + HEAD.size <= len(journal):
        length, crc, kind = HEAD.unpack_from(journal, at)
        end = at + HEAD.size + length
        if end > len(journal) or binascii.crc32(journal[at + HEAD.size - 1 : end]) != crc:
            break
        found.append((end, kind, journal[at + HEAD.size : end]))
        at = end
    return found


def named(*pairs: tuple[str, bytes]) -> bytes:
    """Names and values of any bytes, each behind its length."""
    return b"".join(_LENGTH.pack(len(part)) + part for name, value in pairs for part in (os.fsencode(name), value))


def pairs(payload: bytes) -> list[tuple[str, bytes]]:
    """What `named` packed."""
    parts, at = [], 0
    while at < len(payload):
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size + length
        parts.append(payload[at - length : at])
    return [(os.fsdecode(name), value) for name, value in zip(parts[::2], parts[1::2], strict=True)]
