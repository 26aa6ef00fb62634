"""Operations: one row a run, from its start to its verdict."""

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import msgspec

from dre.domain.account import actor_id
from dre.domain.events import Micros, Millis, Recorded, Text
from dre.domain.evidence import EvidenceCollected
from dre.domain.ids import crockford, short
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.domain.verification import Result, VerificationComplete, VerificationRequested
from dre.ports.table_store import Query, Row, TableStore
from dre.projections.projection import Projection

RUNNING = "running"
Status = Literal["running", "succeeded", "failed", "signaled", "timed_out", "interrupted"]


class OperationRow(Row, frozen=True):
    """`status`: `running`, then the outcome. `result` to `summary`: the newest verdict. Times in epoch milliseconds."""

    table = "operations"
    indexes = (("user_id",), ("status",), ("started_at",), ("short",))

    id: UUID
    short: str
    command: str
    working_directory: Text
    user_id: UUID
    started_at: Millis
    created_at: Millis
    status: str
    position: int
    labels: list[tuple[str, str]]
    parent: UUID | None = None
    git_commit: str | None = None
    git_branch: Text | None = None
    completed_at: Millis | None = None
    duration_us: Micros | None = None
    exit_code: int | None = None
    signal: str | None = None
    items: int = 0
    verification_id: UUID | None = None
    result: str | None = None
    grade: str | None = None
    confidence: float | None = None
    summary: str | None = None


def keys(recorded: Recorded) -> Sequence[UUID]:
    match recorded.event:
        case OperationStarted(id=id):
            return (id,)
        case (
            OperationCompleted(operation_id=id)
            | OperationInterrupted(operation_id=id)
            | EvidenceCollected(operation_id=id)
            | VerificationRequested(operation_id=id)
            | VerificationComplete(operation_id=id)
        ):
            return (id,)
        case _:
            return ()


def fold(row: OperationRow | None, recorded: Recorded) -> OperationRow | None:
    match recorded.event:
        case OperationStarted() as started:
            return _begun(started, recorded)
        case _ if row is None:
            return None
        case OperationCompleted() as ended:
            return msgspec.structs.replace(
                row,
                status=ended.outcome,
                completed_at=ended.completed_at,
                duration_us=ended.duration_us,
                exit_code=ended.exit_code,
                signal=ended.signal,
            )
        case OperationInterrupted() as cut:
            return msgspec.structs.replace(row, status="interrupted", exit_code=cut.exit_code, signal=cut.signal)
        case EvidenceCollected():
            return msgspec.structs.replace(row, items=row.items + 1)
        case VerificationRequested(id=id):
            return msgspec.structs.replace(row, verification_id=id)
        case VerificationComplete() as verdict:
            return msgspec.structs.replace(
                row,
                verification_id=verdict.verification_id,
                result=verdict.result,
                grade=verdict.grade,
                confidence=verdict.confidence,
                summary=verdict.summary,
            )
        case _:
            return row


def _begun(started: OperationStarted, recorded: Recorded) -> OperationRow:
    git = started.git
    return OperationRow(
        id=started.id,
        short=crockford(started.id),
        command=started.command,
        working_directory=started.cwd,
        user_id=actor_id(recorded.actor),
        started_at=started.timestamp,
        created_at=recorded.recorded_at,
        status=RUNNING,
        position=recorded.position,
        labels=started.labels,
        parent=started.parent,
        git_commit=git.commit if git else None,
        git_branch=git.branch if git else None,
    )


OPERATIONS = Projection(OperationRow, version=1, keys=keys, fold=fold)


class Asked(msgspec.Struct, frozen=True):
    """
    Which operations: those that started in a time, whose command holds these words, of an outcome, of a verdict, whose
    short id (as `typed_short` says it) this is.
    """

    since: Millis | None = None
    until: Millis | None = None
    command: str | None = None
    status: Status | None = None
    result: Result | None = None
    short: str | None = None


ALL = Asked()


async def newest(
    tables: TableStore, *, limit: int, asked: Asked = ALL, after: tuple[Millis, UUID] | None = None
) -> list[OperationRow]:
    """Newest first by start; `after`: the last row's start and id of the page before."""
    where = {name: value for name in ("status", "result") if (value := getattr(asked, name)) is not None}
    query = Query(
        where=where,
        order_by="started_at",
        descending=True,
        ranges={"started_at": (asked.since, asked.until)},
        contains={"command": asked.command} if asked.command else {},
        suffix={"short": asked.short} if asked.short else {},
        after=after,
        limit=limit,
    )
    return await tables.query(OperationRow, query)


async def ending_in(tables: TableStore, end: str, limit: int = 10) -> list[OperationRow]:
    """Those whose id ends in a short id, newest first."""
    return await tables.query(
        OperationRow, Query(suffix={"short": end}, order_by="started_at", descending=True, limit=limit)
    )


class Conclusion(msgspec.Struct, frozen=True, rename="camel"):
    """A verdict in a list."""

    id: UUID | None
    result: str
    confidence: float | None
    grade: str | None
    summary: str | None


class CommitShown(msgspec.Struct, frozen=True, rename="camel"):
    commit: str | None
    branch: Text | None


class OperationSummary(msgspec.Struct, frozen=True, rename="camel"):
    """An operation in a list: the names that one operation has, as far as a list knows them."""

    id: UUID
    short: str
    command: str
    cwd: Text
    status: str
    outcome: str | None
    exit_code: int | None
    signal: str | None
    started_at: Millis
    completed_at: Millis | None
    duration_us: Micros | None
    git: CommitShown | None
    labels: list[tuple[str, str]]
    parent: UUID | None
    items: int
    verdict: Conclusion | None
    position: int


def summary(row: OperationRow) -> OperationSummary:
    verdict = (
        Conclusion(row.verification_id, row.result, row.confidence, row.grade, row.summary) if row.result else None
    )
    return OperationSummary(
        id=row.id,
        short=short(row.id),
        command=row.command,
        cwd=row.working_directory,
        status=row.status,
        outcome=None if row.status == RUNNING else row.status,
        exit_code=row.exit_code,
        signal=row.signal,
        started_at=row.started_at,
        completed_at=row.completed_at,
        duration_us=row.duration_us,
        git=CommitShown(row.git_commit, row.git_branch) if row.git_commit or row.git_branch else None,
        labels=row.labels,
        parent=row.parent,
        items=row.items,
        verdict=verdict,
        position=row.position,
    )
