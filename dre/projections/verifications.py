"""Verifications: one row a verdict, of each verifier and of their consensus."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from dre.domain.events import Millis, Recorded
from dre.domain.verification import VerificationComplete, VerificationJudged
from dre.ports.table_store import Query, Row, TableStore
from dre.projections.projection import Projection

CONSENSUS = "consensus"
_STATUS = {"passed": True, "failed": False}


class VerificationRow(Row, frozen=True):
    """
    `method`: a modality, or `consensus`. `passed` is null when abstaining or inconclusive, `score` until calibrated.
    `details`: the verdict as it was recorded.
    """

    table = "verifications"
    indexes = (("operation_id",), ("verification_id",))

    id: UUID
    operation_id: UUID
    verification_id: UUID
    method: str
    score: float | None
    passed: bool | None
    details: dict[str, Any]
    created_at: Millis
    position: int


def keys(recorded: Recorded) -> Sequence[UUID]:
    is_verdict = isinstance(recorded.event, VerificationJudged | VerificationComplete)
    return (recorded.id,) if is_verdict else ()


def fold(row: VerificationRow | None, recorded: Recorded) -> VerificationRow | None:
    match recorded.event:
        case VerificationJudged() as verdict:
            return _row(recorded, verdict, verdict.modality, verdict.score, _STATUS.get(verdict.status))
        case VerificationComplete() as verdict:
            return _row(recorded, verdict, CONSENSUS, verdict.confidence, _STATUS.get(verdict.result))
        case _:
            return row


def _row(
    recorded: Recorded,
    verdict: VerificationJudged | VerificationComplete,
    method: str,
    score: float | None,
    passed: bool | None,  # noqa: FBT001 - a column: true, false or not known
) -> VerificationRow:
    details = msgspec.to_builtins(verdict)
    return VerificationRow(
        id=recorded.id,
        operation_id=verdict.operation_id,
        verification_id=verdict.verification_id,
        method=method,
        score=score,
        passed=passed,
        details=details,
        created_at=recorded.recorded_at,
        position=recorded.position,
    )


VERIFICATIONS = Projection(VerificationRow, version=1, keys=keys, fold=fold)


async def of_operation(tables: TableStore, operation_id: UUID, limit: int = 1000) -> list[VerificationRow]:
    """Every verdict on an operation, oldest first."""
    return await tables.query(
        VerificationRow, Query(where={"operation_id": operation_id}, order_by="position", limit=limit)
    )
