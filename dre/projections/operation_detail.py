"""One operation whole: what REST and the command line show of it, read from its own streams."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from dre.application.execute import read_stream
from dre.domain.events import Micros, Millis, Recorded, Text, stream_name
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, EvidenceErased, Observation
from dre.domain.ids import short
from dre.domain.ledger import DEFAULT_PROJECT
from dre.domain.operation import Capture, Git, Host, OperationCompleted, OperationInterrupted, OperationStarted, Usage
from dre.domain.verification import VerificationComplete, VerificationJudged
from dre.errors import NotFound
from dre.ports.event_store import EventStore
from dre.ports.table_store import TableStore
from dre.projections.operations import RUNNING, OperationRow


class Item(msgspec.Struct, frozen=True, rename="camel"):
    """One item of evidence; `erased` when only its entry is left."""

    id: UUID
    type: str
    kind: str
    name: str
    path: str
    media_type: str
    hash: str
    digest: str
    size_bytes: int
    stored_bytes: int
    metadata: dict[str, str | int | bool | None]
    position: int
    erased: bool = False


class Judgement(msgspec.Struct, frozen=True, rename="camel"):
    """What one verifier said."""

    modality: str
    verifier: str
    status: str
    coverage: float
    veto: bool
    reasons: list[str]
    findings: list[Any]


class Verdict(msgspec.Struct, frozen=True, rename="camel"):
    id: UUID
    result: str
    confidence: float | None
    grade: str | None
    summary: str
    coverage: float
    disputed: bool
    reasons: list[str]
    not_observed: list[str]
    judged: list[Judgement]
    position: int


class OperationDetail(msgspec.Struct, frozen=True, rename="camel"):
    """
    The names are those of the REST API. `status`: `running` or the outcome; `outcome` is null while it runs.
    `positions`: the first and last event of the operation's own stream.
    """

    id: UUID
    short: str
    command: str
    argv: list[Text]
    argv_words: int
    argv_bytes: int
    cwd: Text
    status: str
    outcome: str | None
    exit_code: int | None
    signal: str | None
    started_at: Millis
    completed_at: Millis | None
    duration_us: Micros | None
    host: Host
    git: Git | None
    tree_after: str | None
    capture: Capture
    labels: list[tuple[str, str]]
    writes: list[str]
    parent: UUID | None
    usage: Usage | None
    interruption: str | None
    late_output: str | None
    observations: list[Observation]
    evidence: list[Item]
    verdict: Verdict | None
    positions: tuple[int, int]


async def read_operation(store: EventStore, tables: TableStore, operation_id: UUID) -> OperationDetail:
    """Raises NotFound, and what `read_stream` raises."""
    events = await read_stream(store, stream_name(DEFAULT_PROJECT, "operation", operation_id))
    if not events or not isinstance(events[0].event, OperationStarted):
        raise NotFound(f"there is no operation {operation_id}", hint="dre log shows the newest")
    rows: dict[Any, OperationRow] = await tables.rows(OperationRow, [operation_id])
    row = rows.get(operation_id)
    verdict = await read_verdict(store, operation_id, row.verification_id) if row and row.verification_id else None
    return detail(events, verdict)


async def read_verdict(store: EventStore, operation_id: UUID, verification_id: UUID) -> Verdict | None:
    """None while the judges are still at work, and for a verdict on another operation: tables are only a hint."""
    events = await read_stream(store, stream_name(DEFAULT_PROJECT, "verification", verification_id))
    judged = [_judgement(event.event) for event in events if isinstance(event.event, VerificationJudged)]
    for recorded in events:
        if isinstance(recorded.event, VerificationComplete) and recorded.event.operation_id == operation_id:
            return _verdict(recorded.event, judged, recorded.position)
    return None


def detail(events: Sequence[Recorded], verdict: Verdict | None) -> OperationDetail:
    """From the events of an operation's stream, the first of which is its start."""
    started = events[0].event
    if not isinstance(started, OperationStarted):
        raise NotFound(f"{events[0].stream} does not begin with the start of an operation")
    ended = next((e.event for e in events if isinstance(e.event, OperationCompleted | OperationInterrupted)), None)
    complete = next((e.event for e in events if isinstance(e.event, EvidenceComplete)), None)
    completed = ended if isinstance(ended, OperationCompleted) else None
    interrupted = ended if isinstance(ended, OperationInterrupted) else None
    outcome = completed.outcome if completed else "interrupted" if interrupted else None
    return OperationDetail(
        id=started.id,
        short=short(started.id),
        command=started.command,
        argv=started.argv,
        argv_words=started.argv_words,
        argv_bytes=started.argv_bytes,
        cwd=started.cwd,
        status=outcome or RUNNING,
        outcome=outcome,
        exit_code=ended.exit_code if ended else None,
        signal=ended.signal if ended else None,
        started_at=started.timestamp,
        completed_at=completed.completed_at if completed else None,
        duration_us=completed.duration_us if completed else None,
        host=started.host,
        git=started.git,
        tree_after=ended.tree_after if ended else None,
        capture=started.capture,
        labels=started.labels,
        writes=started.writes,
        parent=started.parent,
        usage=ended.usage if ended else None,
        interruption=interrupted.reason if interrupted else None,
        late_output=complete.late_output if complete else None,
        observations=complete.observations if complete else [],
        evidence=_items(events),
        verdict=verdict,
        positions=(events[0].position, events[-1].position),
    )


def _items(events: Sequence[Recorded]) -> list[Item]:
    erased = {event.event.event for event in events if isinstance(event.event, EvidenceErased)}
    return [
        Item(
            id=item.id,
            type=item.evidence_type,
            kind=item.kind,
            name=item.name,
            path=item.path,
            media_type=item.media_type,
            hash=item.hash,
            digest=item.digest,
            size_bytes=item.size_bytes,
            stored_bytes=item.stored_bytes,
            metadata=item.metadata,
            position=recorded.position,
            erased=item.id in erased,
        )
        for recorded in events
        if isinstance(item := recorded.event, EvidenceCollected)
    ]


def _judgement(judged: VerificationJudged) -> Judgement:
    return Judgement(
        judged.modality,
        judged.verifier,
        judged.status,
        judged.coverage,
        judged.veto,
        judged.reasons,
        msgspec.to_builtins(judged.findings),
    )


def _verdict(complete: VerificationComplete, judged: list[Judgement], position: int) -> Verdict:
    return Verdict(
        id=complete.verification_id,
        result=complete.result,
        confidence=complete.confidence,
        grade=complete.grade,
        summary=complete.summary,
        coverage=complete.coverage,
        disputed=complete.disputed,
        reasons=complete.reasons,
        not_observed=complete.not_observed,
        judged=judged,
        position=position,
    )
