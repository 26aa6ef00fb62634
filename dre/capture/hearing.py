"""
Hearing: what running commands print, as lines that may be told, while the recorder is still writing them down.

It only reads. What it meets that no recorder would have left ends the hearing, never the recording: ingest will say it.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal
from uuid import UUID

import msgspec

from dre.capture import needles
from dre.capture.frames import LONGEST
from dre.capture.journal import PIECE
from dre.capture.lines import Lines
from dre.capture.redaction import Redactor
from dre.capture.spool import JOURNAL, NEEDLES, OUTPUT, Spool, Spools
from dre.errors import ConfigurationError, SpoolRefused
from dre.shim import journal as kinds

MOST_AT_ONCE = 1 << 20
MOST_HEARD = 16 << 20
"""Of one operation. A flood is evidence; nobody reads it as it passes."""

_LARGEST_NEEDLES = 32 << 20
Name = Literal["stdout", "stderr"]
Ends = Literal["", "complete", "too much"]
_NAMES: Mapping[int, Name] = {1: "stdout", 2: "stderr"}


class Heard(msgspec.Struct, frozen=True):
    """`offset`: how many bytes of this output were told before. `text` is empty where only its end is told."""

    operation_id: UUID
    output: Name
    offset: int
    text: str
    ends: Ends = ""


class Progress(msgspec.Struct, frozen=True):
    """How far a running operation is: since its recorder began, and bytes of output so far."""

    operation_id: UUID
    elapsed_ms: int
    output_bytes: int


class Hearing:
    """
    Every recording under one spool folder. `listen` is called again and again, from one thread at a time. `patterns`:
    those of secrets that hold now, asked once a recording; where they cannot be told, nothing of it is.
    """

    def __init__(self, spools: str, patterns: Callable[[], Sequence[str]]) -> None:
        self._path, self._patterns = spools, patterns
        self._running: dict[UUID, _Recording] = {}
        self._over: set[UUID] = set()
        self._listening = threading.Lock()

    def listen(self) -> list[Heard]:
        """
        What may be told since the last time. Raises OSError where it cannot look: then each recording stays where it
        was, and is heard on from there.
        """
        with self._listening:
            return self._listen()

    def _listen(self) -> list[Heard]:
        try:
            home = Spools(self._path)
        except (FileNotFoundError, SpoolRefused):
            return []
        try:
            there = set(home.ids())
            self._over &= there
            for id in sorted(there - self._over - self._running.keys()):
                self._begin(home, id)
        finally:
            home.close()
        heard: list[Heard] = []
        for id, recording in list(self._running.items()):
            heard += recording.more(is_gone=id not in there)
            if recording.is_over:
                self._end(id)
        return heard

    @property
    def is_at_work(self) -> bool:
        """Whether something is heard whose end is still to be told, be its folder there or not."""
        return bool(self._running)

    def progress(self, now_ms: int) -> list[Progress]:
        return [
            Progress(id, max(0, now_ms - (id.int >> 80)), recording.output_bytes)
            for id, recording in self._running.items()
        ]

    def close(self) -> None:
        """Once nobody calls `listen` any more; a call that is still at work in its thread is waited for."""
        with self._listening:
            for id in list(self._running):
                self._end(id)

    def _begin(self, home: Spools, id: UUID) -> None:
        try:
            spool = home.open(id)
            if spool is None:
                return
            try:
                if not spool.alive():
                    self._over.add(id)  # what it printed is evidence by now, or will be
                elif spool.holds(NEEDLES) and spool.holds(JOURNAL) and spool.holds(OUTPUT):
                    self._running[id] = _Recording(spool, self._patterns())
            finally:
                spool.close()
        except (SpoolRefused, ConfigurationError, ValueError):
            self._over.add(id)
        except OSError:
            return  # such as no descriptor left: it is tried again the next time

    def _end(self, id: UUID) -> None:
        self._running.pop(id).close()
        self._over.add(id)


class _Recording:
    """One recording. Its files stay open, so that what ingest deletes meanwhile is still heard to the end."""

    def __init__(self, spool: Spool, patterns: Sequence[str]) -> None:
        self._id = spool.id
        redactor = Redactor(_needles(spool), patterns)
        self._lines = {number: Lines(redactor) for number in _NAMES}
        self._told = dict.fromkeys(_NAMES, 0)
        self._journal = spool.open_file(JOURNAL)
        self._output = spool.open_file(OUTPUT)
        self._frame_at = self.output_bytes = 0
        self.is_over = False

    def close(self) -> None:
        os.close(self._journal)
        os.close(self._output)

    def more(self, *, is_gone: bool) -> list[Heard]:
        """`is_gone`: its folder is not there any more, so nothing will follow what its files hold."""
        try:
            return self._more(is_gone=is_gone)
        except OSError:  # what cannot be read is ingest's to say; the others are heard on
            return self._heard({}, "too much")

    def _more(self, *, is_gone: bool) -> list[Heard]:
        parts: dict[int, list[bytes]] = {number: [] for number in _NAMES}
        began, first = self.output_bytes, self._frame_at
        ends: Ends = "complete" if is_gone else ""
        for end, kind, payload in kinds.frames(self._next_frames()):
            if kind == kinds.OUTPUT and not self._take(payload, parts):
                ends = "too much"
                break
            self._frame_at = first + end
            ends = "complete" if kind == kinds.END else ""
            if self.output_bytes - began > MOST_AT_ONCE:
                break
        return self._heard(parts, "too much" if self.output_bytes > MOST_HEARD else ends)

    def _next_frames(self) -> bytes:
        """What follows, with one whole frame at least; the first ones hold whatever the command line holds."""
        there = os.pread(self._journal, MOST_AT_ONCE, self._frame_at)
        if len(there) < kinds.HEAD.size:
            return b""
        length, _, _ = kinds.HEAD.unpack_from(there)
        if MOST_AT_ONCE < kinds.HEAD.size + length <= LONGEST:
            return os.pread(self._journal, kinds.HEAD.size + length, self._frame_at)
        return there

    def _take(self, payload: bytes, parts: Mapping[int, list[bytes]]) -> bool:
        """Whether it is a piece of output that is there, and small enough to be heard."""
        if len(payload) != kinds.CLOCK.size + PIECE.size:
            return False
        number, length = PIECE.unpack_from(payload, kinds.CLOCK.size)
        if number not in parts or length > MOST_AT_ONCE:
            return False
        piece = os.pread(self._output, length, self.output_bytes)
        parts[number].append(piece)
        self.output_bytes += length
        return bool(len(piece) == length)

    def _heard(self, parts: Mapping[int, Sequence[bytes]], ends: Ends) -> list[Heard]:
        self.is_over = ends != ""
        heard = []
        for number, pieces in parts.items():
            told = self._lines[number].take(b"".join(pieces)) if pieces else b""
            if ends == "complete":
                told += self._lines[number].rest()
            if told:
                heard.append(self._say(number, told))
        if ends:
            heard.append(Heard(self._id, "stdout", self._told[1], "", ends))
        return heard

    def _say(self, number: int, told: bytes) -> Heard:
        offset, text = self._told[number], told.decode("utf-8", "replace")
        self._told[number] += len(text.encode())
        return Heard(self._id, _NAMES[number], offset, text)


def _needles(spool: Spool) -> list[bytes]:
    fd = spool.open_file(NEEDLES)
    try:
        return needles.unpack(os.pread(fd, _LARGEST_NEEDLES, 0))
    finally:
        os.close(fd)
