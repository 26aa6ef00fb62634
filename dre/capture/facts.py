"""Facts: what a recording says, in the words of the ledger, redacted and in a size that a body holds."""

import errno
import os
import pwd
import signal
from uuid import UUID

import msgspec

from dre.capture.fitting import cut, cut_string, fitting_words, room_for, shell_words
from dre.capture.recording import Before, Exit, Recording, Start
from dre.capture.redaction import Redactor
from dre.domain.events import Text
from dre.domain.evidence import Observation
from dre.domain.operation import (
    Capture,
    Git,
    Host,
    OperationCompleted,
    OperationInterrupted,
    OperationStarted,
    Outcome,
    Usage,
)
from dre.shim.descriptors import INNER

ARGV_BYTES = 64 << 10
SPOILED, DELETED = "damaged or forged", "deleted"
_PLACE_BYTES = 12 << 10
_LABELS_BYTES = 16 << 10
_WRITES_BYTES = 32 << 10
_NAME_BYTES = 1 << 10
_CLOCK_JUMP_NS = 2 * 10**9


class Described(msgspec.Struct, frozen=True):
    """The start as a fact; `whole_argv` where the body holds only its front; and what else did not fit."""

    started: OperationStarted
    whole_argv: tuple[Text, ...] | None
    observations: tuple[Observation, ...]


class End(msgspec.Struct, frozen=True):
    """How it ended, as far as that was seen; `None` for both where it was not."""

    outcome: Outcome
    exit_code: int | None
    signal: str | None
    usage: Usage | None


def describe(operation_id: UUID, recording: Recording, redactor: Redactor) -> Described:
    """The same spool always gives the same fact, whoever ingests it."""
    start = recording.start
    argv = [redactor.text(word) for word in start.argv]
    kept, is_whole = fitting_words(argv, ARGV_BYTES)
    labels, all_labels = _labels(start, redactor)
    writes, all_writes = fitting_words(map(redactor.words, start.writes), _WRITES_BYTES)
    said = []
    if not all_labels:
        said.append(Observation("labels", "partial", "there were more labels than an event holds"))
    if not all_writes:
        said.append(Observation("writes", "not observed", "there were more --writes than an event holds"))
    started = OperationStarted(
        id=operation_id,
        command=cut_string(shell_words(kept), ARGV_BYTES),
        argv=kept,
        argv_words=len(start.argv),
        argv_bytes=sum(len(word) + 1 for word in start.argv),
        cwd=cut(redactor.text(start.cwd), _PLACE_BYTES),
        timestamp=start.wall_ns // 1_000_000,
        host=_host(start, redactor),
        git=_git(recording.before, redactor) if recording.before else None,
        capture=_capture(start),
        labels=labels,
        # Half of what was allowed would make an offence of the other half.
        writes=[word for word in writes if isinstance(word, str)] if all_writes else [],
        timeout_us=start.timeout_us or None,
        parent=start.parent,
        ci=start.ci,
    )
    return Described(started, None if is_whole else tuple(argv), tuple(said))


def end_of(recording: Recording) -> End | None:
    """None where nobody saw the command's end."""
    ended = recording.exit
    if ended is None or not ended.seen:
        return None
    usage = _usage(ended)
    signo = os.WTERMSIG(ended.status) if os.WIFSIGNALED(ended.status) else None
    code = None if signo is not None else os.WEXITSTATUS(ended.status)
    outcome: Outcome = "succeeded" if code == 0 else "failed"
    if ended.failure == errno.ETIMEDOUT:
        outcome = "timed_out"
    elif signo is not None:
        outcome = "signaled"
    return End(outcome, code, None if signo is None else signal_name(signo), usage)


def ended_fact(
    operation_id: UUID, recording: Recording, tree_after: str | None
) -> OperationCompleted | OperationInterrupted:
    end = end_of(recording)
    if recording.state == "complete" and recording.exit is not None and end is not None:
        return OperationCompleted(
            operation_id=operation_id,
            outcome=end.outcome,
            exit_code=end.exit_code,
            signal=end.signal,
            completed_at=ended_wall_ns(recording) // 1_000_000,
            duration_us=(recording.exit.at_ns - recording.ready_ns) // 1000,
            usage=end.usage,
            tree_after=tree_after,
        )
    return OperationInterrupted(
        operation_id=operation_id,
        reason=why_interrupted(recording),
        last_seen_at=(recording.start.wall_ns + recording.last_ns) // 1_000_000,
        exit_code=end.exit_code if end else None,
        signal=end.signal if end else None,
        usage=end.usage if end else None,
        tree_after=tree_after,
    )


def unrecorded_end(started: OperationStarted, why: str) -> OperationInterrupted:
    """Of an operation whose start is history, and whose recording cannot become any: `SPOILED` or `DELETED`."""
    return OperationInterrupted(
        operation_id=started.id,
        reason=f"its recording was {why} before it could become history; how it ended is not known",
        last_seen_at=started.timestamp,
        exit_code=None,
        signal=None,
        usage=None,
        tree_after=None,
    )


def why_interrupted(recording: Recording) -> str:
    if recording.machine_stopped:
        return "the machine stopped while it was recorded"
    if recording.rescued:
        return "the recording was deleted or replaced; it was written again from what the recorder still held"
    if recording.exit is None:
        if recording.ran or (recording.start.workspace == "yes") == (recording.before is not None):
            return "the recorder was killed"
        return "the recorder was killed before the command was started"
    if not recording.exit.seen:
        return "the keeper of its terminal was killed; how the command ended was not seen"
    return "the recorder was killed; the command's own end was still seen"


def ended_wall_ns(recording: Recording) -> int:
    """
    When the command ended. The recorder counts without the time that a machine sleeps and whatever is done to the
    clock; where its last words came much later than it counted, the time of these is what the rest is counted from.
    """
    ended_ns = recording.exit.at_ns if recording.exit else recording.last_ns
    counted = recording.start.wall_ns + ended_ns
    if recording.closed_wall_ns is None:
        return counted
    by_the_clock = recording.closed_wall_ns - (recording.last_ns - ended_ns)
    return by_the_clock if by_the_clock - counted > _CLOCK_JUMP_NS else counted


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"


def _host(start: Start, redactor: Redactor) -> Host:
    try:
        user = pwd.getpwuid(start.uid).pw_name
    except (KeyError, OverflowError):
        user = str(start.uid)
    name, system = (cut_string(redactor.words(value), _NAME_BYTES) for value in (start.host, start.system))
    return Host(name, system, user, start.uid)


def _git(before: Before, redactor: Redactor) -> Git:
    return Git(
        top=cut(redactor.text(before.top), _PLACE_BYTES),
        commit=before.commit or None,
        branch=cut(redactor.text(before.branch), _NAME_BYTES) if before.branch else None,
        tree=before.tree or None,
        taken_at=before.wall_ns // 1_000_000,
    )


def _capture(start: Start) -> Capture:
    stdin, stdout, stderr = start.ends
    merged = stdout == stderr == INNER
    return Capture(stdin, stdout, stderr, "merged" if merged else start.order)


def _labels(start: Start, redactor: Redactor) -> tuple[list[tuple[str, str]], bool]:
    kept: list[tuple[str, str]] = []
    room = _LABELS_BYTES
    for label in start.labels:
        name, _, value = label.partition(b"=")
        pair = (redactor.words(name), redactor.words(value))
        room -= room_for(pair) + 1
        if room < 0:
            return kept, False
        kept.append(pair)
    return kept, True


def _usage(ended: Exit) -> Usage:
    user_s, system_s, *counts = ended.usage
    return Usage(round(user_s * 1e6), round(system_s * 1e6), *map(int, counts))
