"""The journal: frames in the one order in which the recorder writes them, or the place where that cannot be true."""

import os
import struct
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

import msgspec

from dre.capture.frames import Frame, Frames
from dre.capture.named import read_before, read_exit, read_pairs, read_start
from dre.capture.recording import Before, Exit, Late, NothingRan, Pieces, Recording, Start, State
from dre.capture.spool import JOURNAL, LATE_JOURNAL, LATE_OUTPUT, NEEDLES, OUTPUT, Spool
from dre.shim import journal as kinds
from dre.shim.command import SIZE as REPORT_BYTES
from dre.shim.ends import LARGEST_FILE
from dre.shim.spool import RESCUED
from dre.shim.stream import ROOM

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
PIECE = struct.Struct("<BI")
"""Of output: from which descriptor, how many bytes."""

_END = struct.Struct("<QQ")
_SIZES = {
    kinds.OUTPUT: (PIECE.size,),
    kinds.SIGNAL: (5,),
    kinds.WINSIZE: (4,),
    kinds.STOPPED: (1,),
    kinds.CONTINUED: (0, 1),
    kinds.EXIT: (REPORT_BYTES,),
    kinds.END: (_END.size,),
}
_OPENING = (kinds.START, kinds.ENV)
Value = TypeVar("Value")


def this_boot() -> str:
    with open(_BOOT_ID, encoding="ascii") as file:
        return file.read().strip()


def read_recording(spool: Spool, boot_id: str) -> Recording | None:
    """
    What the recorder left; None while it is only beginning. Raises SpoolRefused with the place, NothingRan.

    A recorder may end, and its lock be free, between two looks: so an unfinished journal is read again after that.
    """
    story = _Story.read(spool)
    if story.end is None:
        if spool.alive():
            return story.told("running", boot_id) if story.start else None
        story = _Story.read(spool)
    if story.start is None or not spool.holds(NEEDLES):
        raise story.why_unready()
    return story.settled(boot_id)


def read_opening(spool: Spool) -> tuple[Start | None, Before | None]:
    """What a recording says of itself before its command runs, as far as it does. Raises SpoolRefused."""
    try:
        frames = Frames(spool, JOURNAL)
    except FileNotFoundError:
        return None, None
    story = _Story(spool, frames)
    with closing(frames):
        for frame in frames:
            story.take(frame)
            if frame.index > len(_OPENING):
                break
    return story.start, story.before


def read_late(spool: Spool) -> Late:
    """Raises SpoolRefused."""
    if not spool.holds(LATE_JOURNAL):
        return Late("none", Pieces())
    late = _read_late(spool)
    if late.state == "complete":
        return late
    return msgspec.structs.replace(late, state="open") if spool.alive() else _read_late(spool)


class _Story:
    """One journal's frames, taken in one by one."""

    def __init__(self, spool: Spool, frames: Frames | None) -> None:
        self._spool, self._frames = spool, frames
        self.start: Start | None = None
        self.environment: tuple[tuple[str, bytes], ...] = ()
        self.before: Before | None = None
        self.pieces = Pieces()
        self.exit: Exit | None = None
        self.end: tuple[int, int] | None = None
        self.ready_ns = self.last_ns = 0
        self.ran = False
        self.broken = ""

    @classmethod
    def read(cls, spool: Spool) -> "_Story":
        try:
            frames = Frames(spool, JOURNAL)
        except FileNotFoundError:
            return cls(spool, None)
        story = cls(spool, frames)
        with closing(frames):
            for frame in frames:
                story.take(frame)
            story.broken = frames.broken()
        return story

    def told(self, state: State, boot_id: str) -> Recording:
        if self.start is None:
            raise self._refused("the start is missing")
        kept, lost = self.end or (self.pieces.total, 0)
        closed = self._frames.changed_ns if self.end and self._frames else None
        return Recording(
            state=state,
            start=self.start,
            environment=self.environment,
            before=self.before,
            pieces=self.pieces,
            exit=self.exit,
            kept=kept,
            lost=lost,
            ready_ns=self.ready_ns,
            last_ns=self.last_ns,
            closed_wall_ns=closed,
            machine_stopped=self.start.boot != boot_id,
            ran=self.ran,
            rescued=self._spool.holds(RESCUED),
        )

    def why_unready(self) -> Exception:
        """No start, or no needles: the recorder writes both before it starts anything."""
        if self.start is None and (self.broken or self._spool.holds(NEEDLES) or _size(self._spool, OUTPUT)):
            return self._refused(self.broken or "the start is missing")
        if self.start and (self.ran or self.before):
            return self._spool.refused("is missing: nobody can tell what has to be redacted", file=NEEDLES)
        return NothingRan()

    def settled(self, boot_id: str) -> Recording:
        """Nobody writes any more: either it has its end, or it was cut off."""
        recording = self.told("complete" if self.end and self.exit and self.exit.seen else "interrupted", boot_id)
        if recording.rescued:  # what else its command did to it, nobody saw
            recording = msgspec.structs.replace(recording, state="interrupted")
        raw = _size(self._spool, OUTPUT)
        if recording.machine_stopped:
            if raw >= recording.kept:
                return recording
            # Of what was written in the last moments before a power cut, not everything need have reached the disk.
            front = self.pieces.upto(raw)
            return msgspec.structs.replace(recording, state="interrupted", pieces=front, kept=raw)
        if self.broken:
            raise self._refused(self.broken)
        self._check_lengths(raw)
        return recording

    def take(self, frame: Frame) -> None:
        self._check_place(frame)
        kind, self.last_ns = frame.kind, frame.at_ns
        if kind == kinds.START:
            self.start = self._read(frame, lambda payload: read_start(payload, self._spool.id))
        elif kind == kinds.ENV:
            self.environment = tuple(self._read(frame, read_pairs))
        elif kind == kinds.PRE:
            self.before = self._read(frame, read_before)
        else:
            self.ran = True
        if kind == kinds.OUTPUT:
            self.pieces.add(frame.at_ns, *self._read(frame, _piece))
        elif kind == kinds.EXIT:
            self.exit = self._read(frame, lambda payload: read_exit(payload, frame.at_ns))
        elif kind == kinds.END:
            self.end = _END.unpack(frame.payload)
        self.ready_ns = self.ready_ns if self.ran else frame.at_ns

    def _check_place(self, frame: Frame) -> None:
        """Times never step back, and no frame stands where the recorder would not have written it."""
        if frame.at_ns < self.last_ns:
            raise self._refused("it is older than the one before it: their order was changed", frame)
        if self.end is not None:
            raise self._refused("it stands behind the end", frame)
        if not self._may_be_next(frame):
            raise self._refused(f"a frame of kind {frame.kind} has no place here", frame)
        if len(frame.payload) not in _SIZES.get(frame.kind, (len(frame.payload),)):
            raise self._refused(f"{len(frame.payload)} bytes are no frame of kind {frame.kind}", frame)

    def _may_be_next(self, frame: Frame) -> bool:
        kind = frame.kind
        if frame.index <= len(_OPENING):
            return kind == _OPENING[frame.index - 1]
        if kind == kinds.PRE:
            return frame.index == len(_OPENING) + 1 and self._sees_workspace()
        if kind == kinds.EXIT:
            return self.exit is None
        if kind == kinds.END:
            return self.exit is not None
        # On a full disk nothing but the end is written; else the work tree comes before all that happens.
        return kind not in _OPENING and (self.exit is not None or (self.before is not None) == self._sees_workspace())

    def _sees_workspace(self) -> bool:
        return self.start is not None and self.start.workspace == "yes"

    def _check_lengths(self, raw: int) -> None:
        """Output is written first and placed second, so a kill, or a full disk, leaves at most a portion unplaced."""
        placed, portion = self.pieces.total, LARGEST_FILE if self.exit else ROOM
        kept, lost = self.end or (placed, portion)
        if placed != kept or not kept <= raw <= kept + min(portion, lost):
            spoken_of = f", the end speaks of {kept}" if self.end else ""
            raise self._refused(f"{placed} bytes have a place, {OUTPUT} holds {raw}{spoken_of}: something was cut")

    def _refused(self, what: str, frame: Frame | None = None) -> Exception:
        return self._frames.refused(what, frame) if self._frames else self._spool.refused(what, file=JOURNAL)

    def _read(self, frame: Frame, read: Callable[[bytes], Value]) -> Value:
        try:
            return read(frame.payload)
        except ValueError as error:
            raise self._refused(str(error), frame) from None


def _piece(payload: bytes) -> tuple[int, int]:
    number, length = PIECE.unpack(payload)
    if number not in (1, 2) or length == 0:
        raise ValueError(f"{length} bytes of descriptor {number} are no output")
    return number, length


def _read_late(spool: Spool) -> Late:
    pieces, end, last_ns = Pieces(), None, 0
    with closing(Frames(spool, LATE_JOURNAL)) as frames:
        for frame in frames:
            known = frame.kind in (kinds.OUTPUT, kinds.END) and len(frame.payload) in _SIZES[frame.kind]
            if not known or end or frame.at_ns < last_ns:
                raise frames.refused(f"a frame of kind {frame.kind} has no place here", frame)
            last_ns = frame.at_ns
            if frame.kind == kinds.END:
                end = _END.unpack(frame.payload)
            else:
                pieces.add(frame.at_ns, *PIECE.unpack(frame.payload))
        raw = _size(spool, LATE_OUTPUT)
        if raw < pieces.total or (end and raw != end[0]):
            raise frames.refused(f"{pieces.total} bytes have a place, {LATE_OUTPUT} holds {raw}")
    return Late("complete", pieces, end[1]) if end else Late("lost", pieces)


def _size(spool: Spool, name: str) -> int:
    try:
        fd = spool.open_file(name)
    except FileNotFoundError:
        return 0
    try:
        return os.fstat(fd).st_size
    finally:
        os.close(fd)
