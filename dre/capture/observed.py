"""Observed: what was looked at in a run and what was not, said in sentences; what nobody says is taken for seen."""

import os
from collections.abc import Iterator

from dre.capture.facts import why_interrupted
from dre.capture.recording import Late, Recording
from dre.domain.evidence import Observation
from dre.shim.descriptors import FILE, INNER, UNTOUCHED
from dre.shim.ends import LARGEST_FILE

_NAMES = ("stdin", "stdout", "stderr")


def of_run(recording: Recording) -> Iterator[Observation]:
    """How it ended and what it wrote."""
    yield _end(recording)
    yield from _output(recording)
    order = _order(recording) if recording.kept else ""
    if order:
        yield Observation("output order", "partial", order)


def of_late(late: Late) -> Iterator[Observation]:
    if late.state == "open":
        yield Observation(
            "late output",
            "partial",
            "processes that the command left behind still held its output when it was recorded",
        )
    elif late.state == "lost":
        yield Observation("late output", "partial", "what the command left behind wrote on; the recorder was killed")
    if late.lost:
        yield Observation("late output", "partial", f"{late.lost:,} bytes of it were not kept: no room on the disk")


def _end(recording: Recording) -> Observation:
    if recording.state == "interrupted":
        return Observation("end", "not observed", why_interrupted(recording))
    ended = recording.exit
    if (
        ended is not None
        and ended.failure
        and not os.WIFSIGNALED(ended.status)
        and os.WEXITSTATUS(ended.status) in _NOT_RUN
    ):
        return Observation("command", "not observed", f"it could not be started: {os.strerror(ended.failure)}")
    return Observation("exit status", "seen")


_NOT_RUN = (126, 127)


def _output(recording: Recording) -> Iterator[Observation]:
    ends = recording.start.ends
    for number in (1, 2):
        if ends[number] == UNTOUCHED:
            detail = f"{_NAMES[number]} went to a device, /dev/null or nowhere: what was written there was not seen"
            yield Observation("output", "not observed", detail)
    if recording.kept:
        yield Observation("output", "seen", f"{recording.kept:,} bytes")
    elif not recording.lost and (heard := [_NAMES[number] for number in (1, 2) if ends[number] != UNTOUCHED]):
        yield Observation("output", "seen", f"nothing was written to {' and '.join(heard)}")
    if recording.lost:
        yield Observation("output", "partial" if recording.kept else "not observed", _why_lost(recording))


def _why_lost(recording: Recording) -> str:
    lost = f"{recording.lost:,} bytes of output were not kept"
    if FILE not in recording.start.ends[1:]:
        return f"{lost}: no room on the disk"
    if recording.lost > LARGEST_FILE:
        return f"{lost}: it went to a file, and was more than {LARGEST_FILE >> 20} MiB"
    if all(kind in (FILE, UNTOUCHED) for kind in recording.start.ends[1:]):
        return f"{lost}: it went to a file that could not be read back"
    return f"{lost}: there was no room on the disk, or what went to a file could not be read back"


def _order(recording: Recording) -> str:
    _, stdout, stderr = recording.start.ends
    if stdout == stderr == INNER:
        return "stdout and stderr were one terminal: which of them wrote what was not seen"
    if recording.start.order == "exact":
        return ""
    if FILE in (stdout, stderr):
        return "an output that went to a file stands behind the other: when it was written was not seen"
    return "stdout and stderr were two streams: their order is approximate"
