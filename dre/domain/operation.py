"""An operation: one observed run of a command, from its start to its last item of evidence."""

from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from dre.domain.events import DomainEvent, Micros, Millis, Text
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, LateOutput, Observation
from dre.errors import CommandRefused

Outcome = Literal["succeeded", "failed", "signaled", "timed_out", "interrupted"]


class Host(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    system: str
    user: str
    uid: int


class Git(msgspec.Struct, frozen=True, rename="camel"):
    """
    The workspace as git sees it. `commit` is null on an unborn branch, `branch` on a detached HEAD;
    `tree` is the id of the whole work tree (untracked files included), null when it was not observed.
    """

    top: Text
    commit: str | None
    branch: Text | None
    tree: str | None
    taken_at: Millis


class Capture(msgspec.Struct, frozen=True, rename="camel"):
    """
    How the recorder stood between command and caller: what it found as 0, 1 and 2
    (`pipe`, `file`, `inner`, `output-only`, `untouched`), and whether the order of two outputs is exact.
    """

    stdin: str
    stdout: str
    stderr: str
    order: Literal["exact", "approximate", "merged"]


class Usage(msgspec.Struct, frozen=True, rename="camel"):
    """What the kernel counted for the command and the children it waited for (getrusage(2))."""

    user_us: Micros
    system_us: Micros
    peak_kib: int
    minor_faults: int
    major_faults: int
    blocks_in: int
    blocks_out: int
    voluntary_switches: int
    involuntary_switches: int


class OperationStarted(DomainEvent, frozen=True):
    """
    `command` is `argv` quoted for a shell; both are redacted, and cut after 64 KiB: `argv_words` and `argv_bytes`
    say how long it was (bytes with one NUL a word), the whole is then evidence `environment/argv.json`.
    """

    type: ClassVar[str] = "operation.started"
    id: UUID
    command: str
    argv: list[Text]
    argv_words: int
    argv_bytes: int
    cwd: Text
    timestamp: Millis
    host: Host
    git: Git | None
    capture: Capture
    labels: list[tuple[str, str]]
    writes: list[str]
    timeout_us: Micros | None
    parent: UUID | None
    ci: bool


class OperationCompleted(DomainEvent, frozen=True):
    """The run has its end. `tree_after` is null when it was not observed."""

    type: ClassVar[str] = "operation.completed"
    operation_id: UUID
    outcome: Outcome
    exit_code: int | None
    signal: str | None
    completed_at: Millis
    duration_us: Micros
    usage: Usage | None
    tree_after: str | None


class OperationInterrupted(DomainEvent, frozen=True):
    """
    Nobody saw the end, or it cannot be read any more. Where the keeper outlived the recorder, the command's own end is
    known; it never counts as passed. `last_seen_at`: of the last thing that was recorded.
    """

    type: ClassVar[str] = "operation.interrupted"
    operation_id: UUID
    reason: str
    last_seen_at: Millis
    exit_code: int | None
    signal: str | None
    usage: Usage | None
    tree_after: str | None


class Operation(msgspec.Struct, frozen=True):
    id: UUID
    outcome: Outcome | None = None
    items: int = 0
    complete: bool = False


def collect(state: Operation | None, item: EvidenceCollected) -> list[DomainEvent]:
    if state is None:
        raise CommandRefused("cannot collect evidence of an operation that never started")
    if item.operation_id != state.id:
        raise CommandRefused(f"evidence of {item.operation_id} does not belong to operation {state.id}")
    return [item]


def end(state: Operation | None, ended: OperationCompleted | OperationInterrupted) -> list[DomainEvent]:
    if state is None:
        raise CommandRefused("cannot complete an operation that never started")
    if state.outcome is not None:
        raise CommandRefused(f"operation {state.id} has already ended: {state.outcome}")
    return [ended]


def finish(state: Operation | None, late_output: LateOutput, observations: list[Observation]) -> list[DomainEvent]:
    """All evidence is in."""
    if state is None or state.outcome is None:
        raise CommandRefused("evidence is complete only after the operation has ended")
    if state.complete:
        raise CommandRefused(f"the evidence of operation {state.id} is already complete")
    return [EvidenceComplete(state.id, state.items, late_output, observations)]


def evolve(state: Operation | None, event: DomainEvent) -> Operation | None:
    match event:
        case OperationStarted(id=id):
            return Operation(id)
        case OperationCompleted(outcome=outcome) if state is not None:
            return msgspec.structs.replace(state, outcome=outcome)
        case OperationInterrupted() if state is not None:
            return msgspec.structs.replace(state, outcome="interrupted")
        case EvidenceCollected() if state is not None:
            return msgspec.structs.replace(state, items=state.items + 1)
        case EvidenceComplete() if state is not None:
            return msgspec.structs.replace(state, complete=True)
        case _:
            return state
