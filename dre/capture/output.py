"""Output as evidence: what the command wrote, in the order of its arrival, redacted, and when each piece came."""

import os
from collections.abc import Callable, Iterator

from dre.capture.recording import Pieces
from dre.capture.redaction import Redactor, Secret, Tally, replacement
from dre.capture.spool import Spool, read_pieces

_CHUNK = 256 << 10
_LINES = 5000


class Output:
    """
    Both descriptors' bytes lie in one file. A secret may have come in two writes with the other descriptor's words
    between them, so each is searched by itself, and what remains is put together again as it came.
    """

    def __init__(self, spool: Spool, name: str, pieces: Pieces, redactor: Redactor) -> None:
        self._spool, self._name, self._pieces, self._redactor = spool, name, pieces, redactor
        self._timing = f"{name}.timing"
        self.tally = Tally()

    def chunks(self) -> Iterator[bytes]:
        """The redacted whole."""
        fd = self._spool.open_file(self._name)
        try:
            with os.fdopen(self._spool.draft(self._timing), "wb") as timing:
                yield from self._merged(fd, timing.write)
        finally:
            os.close(fd)

    def timing(self) -> Iterator[bytes]:
        """Once the chunks are through: [[microseconds since the start, descriptor, bytes], ...]."""
        fd = self._spool.open_file(self._timing)
        try:
            yield from read_pieces(fd, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def _merged(self, fd: int, timing: Callable[[bytes], object]) -> Iterator[bytes]:
        pieces = self._pieces
        sides = {number: self._side(fd, number) for number in set(pieces.numbers)}
        waiting: list[bytes] = []
        size, times = 0, _Times(timing)
        for at_ns, number, length in zip(pieces.at_ns, pieces.numbers, pieces.lengths, strict=True):
            written = 0
            for part in sides[number].take(length):
                waiting.append(part)
                written += len(part)
                size += len(part)
                if size >= _CHUNK:
                    yield b"".join(waiting)
                    waiting, size = [], 0
            times.add(at_ns // 1000, number, written)
        times.end()
        yield b"".join(waiting)

    def _side(self, fd: int, number: int) -> "_Side":
        alone = self._pieces.numbers.count(number) == len(self._pieces)
        blocks = read_pieces(fd, self._pieces.total) if alone else self._blocks(fd, number)
        return _Side(self._redactor.pieces(blocks), self.tally, self._shrunk)

    def _blocks(self, fd: int, number: int) -> Iterator[bytes]:
        parts: list[bytes] = []
        size = at = 0
        for owner, length in zip(self._pieces.numbers, self._pieces.lengths, strict=True):
            left = length if owner == number else 0
            while left:
                parts.append(os.pread(fd, min(left, _CHUNK), at + length - left))
                if not parts[-1]:
                    raise self._shrunk()
                left -= len(parts[-1])
                size += len(parts[-1])
                if size >= _CHUNK:
                    yield b"".join(parts)
                    parts, size = [], 0
            at += length
        yield b"".join(parts)

    def _shrunk(self) -> Exception:
        return self._spool.refused("became shorter while it was read", file=self._name)


class _Times:
    """Writes `timing.json` a few thousand lines at a time."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._lines: list[bytes] = []
        self._before = b"["

    def add(self, at_us: int, number: int, length: int) -> None:
        self._lines.append(b"%s[%d,%d,%d]" % (self._before, at_us, number, length))
        self._before = b",\n"
        if len(self._lines) > _LINES:
            self._flush()

    def end(self) -> None:
        self._lines.append(b"]\n" if self._before != b"[" else b"[]\n")
        self._flush()

    def _flush(self) -> None:
        self._write(b"".join(self._lines))
        self._lines = []


class _Side:
    """One descriptor's stream, redacted, handed out in portions that are counted in bytes as they were written."""

    def __init__(self, pieces: Iterator[bytes | Secret], tally: Tally, shrunk: Callable[[], Exception]) -> None:
        self._pieces, self._tally, self._shrunk = pieces, tally, shrunk
        self._rest: memoryview | None = None
        self._gone = 0

    def take(self, length: int) -> Iterator[bytes]:
        while length:
            if self._gone:
                taken = min(length, self._gone)
                self._gone -= taken
            elif self._rest:
                taken = min(length, len(self._rest))
                yield bytes(self._rest[:taken])
                self._rest = self._rest[taken:]
            else:
                yield from self._next()
                continue
            length -= taken

    def _next(self) -> Iterator[bytes]:
        piece = next(self._pieces, None)
        if piece is None:
            raise self._shrunk()
        if not isinstance(piece, Secret):
            self._rest = memoryview(piece)
            return
        self._gone = piece.length
        if piece.rule:
            self._tally[piece.rule] += 1
            yield replacement(piece.rule)
