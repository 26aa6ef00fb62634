"""Frames of a journal as they lie on the disk, one by one; where they stop, and whether a cut explains that."""

import errno
import os
from binascii import crc32
from collections.abc import Iterator

import msgspec

from dre.capture.spool import Spool
from dre.shim.journal import CLOCK, HEAD, START

LONGEST = 32 << 20
_LAST_KIND = 11
_WINDOW = 1 << 20
_SEARCHED = 8 << 20  # how far damage is looked through; no frame that a recorder cuts is that long
_CHECKSUMMED = 64 << 20


class Frame(msgspec.Struct, frozen=True, gc=False):
    """`index` counts from 1; `start` is its first byte; `at_ns` counts from the journal's opening."""

    index: int
    start: int
    kind: int
    at_ns: int
    payload: bytes


class Frames:
    """
    Reads with bounded memory; every whole frame from the front.

    Afterwards `end` is where the last whole one ended and `size` what the file held. A killed recorder leaves there
    nothing, preallocated zeros, or the front of a frame; `broken` says whether it is none of these. One that ends
    meanwhile gives those zeros back: the file may be shorter than `size` by then.
    """

    def __init__(self, spool: Spool, name: str) -> None:
        self.name = name
        self._spool = spool
        self._fd = spool.open_file(name)
        state = os.fstat(self._fd)
        self.size, self.changed_ns = state.st_size, state.st_mtime_ns
        self.end = self.count = 0
        self._window, self._window_at = b"", 0

    def close(self) -> None:
        os.close(self._fd)

    def __iter__(self) -> Iterator[Frame]:
        while (found := self._frame(self.end)) is not None:
            kind, payload, end = found
            self.count += 1
            (at_ns,) = CLOCK.unpack_from(payload)
            yield Frame(self.count, self.end, kind, at_ns, payload[CLOCK.size :])
            self.end = end

    def broken(self) -> str:
        """Why what follows the last whole frame cannot be the work of a cut; empty when it can."""
        if not self._holds_anything(self.end):
            return ""
        head = self._bytes(self.end, HEAD.size)
        if len(head) == HEAD.size:
            length, _, kind = HEAD.unpack(head)
            last = self.end + HEAD.size + length - 1
            whole = last < self.size and (last == self.size - 1 or self._bytes(last, 1) not in (b"\0", b""))
            if whole and START <= kind <= _LAST_KIND and CLOCK.size <= length <= LONGEST:
                return "its checksum does not fit it"
            if last < self.size and self._holds_anything(last + 1):
                return "it is no frame, and something stands behind it"
        return "it is damaged, and whole frames stand behind it" if self._frame_behind() else ""

    def refused(self, what: str, frame: Frame | None = None) -> Exception:
        """About this frame, or about what follows the last whole one."""
        index, start = (frame.index, frame.start) if frame else (self.count + 1, self.end)
        return self._spool.refused(what, file=self.name, frame=index, byte=start)

    def _frame(self, at: int) -> tuple[int, bytes, int] | None:
        head = self._bytes(at, HEAD.size)
        if len(head) < HEAD.size:
            return None
        length, crc, kind = HEAD.unpack(head)
        if not (CLOCK.size <= length <= LONGEST and START <= kind <= _LAST_KIND):
            return None
        payload = self._bytes(at + HEAD.size, length)
        if len(payload) < length or crc32(payload, crc32(bytes((kind,)))) != crc:
            return None
        return kind, payload, at + HEAD.size + length

    def _bytes(self, at: int, length: int) -> bytes:
        start = at - self._window_at
        if start < 0 or start + length > len(self._window):
            self._window, self._window_at = os.pread(self._fd, max(_WINDOW, length), at), at
            start = 0
        return self._window[start : start + length]

    def _holds_anything(self, start: int) -> bool:
        at = start
        while (at := self._written_from(at)) < self.size and (data := self._bytes(at, _WINDOW)):
            if data.count(0) < len(data):
                return True
            at += len(data)
        return False

    def _written_from(self, at: int) -> int:
        """Where something may stand next. Holes of a sparse file hold nothing, and are not read."""
        try:
            return os.lseek(self._fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return self.size

    def _frame_behind(self) -> bool:
        """Damage hides what follows it; a cut has nothing behind it."""
        left, last = _CHECKSUMMED, self.size - HEAD.size - CLOCK.size
        for at in range(self.end + 1, min(last + 1, self.end + _SEARCHED)):
            head = self._bytes(at, HEAD.size)
            if len(head) < HEAD.size:
                break
            length, _, kind = HEAD.unpack(head)
            if not (START <= kind <= _LAST_KIND and CLOCK.size <= length <= LONGEST and at + length < self.size):
                continue
            left -= length
            if left < 0 or self._frame(at) is not None:
                return True
        return self._holds_anything(self.end + _SEARCHED)
