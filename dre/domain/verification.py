"""Verification: what each judge saw, and what was concluded from all of them."""

from typing import ClassVar, Literal
from uuid import UUID

import msgspec

from dre.domain.events import DomainEvent, Ratio
from dre.errors import CommandRefused

Modality = Literal["visual", "programmatic", "behavioral", "structural"]
Status = Literal["passed", "failed", "abstained"]
Result = Literal["passed", "failed", "inconclusive"]
Grade = Literal["strong", "moderate", "weak"]


class Finding(msgspec.Struct, frozen=True, rename="camel"):
    """One thing a verifier saw, worth its own line: a failing test, a file that does not parse."""

    subject: str
    detail: str = ""
    line: int | None = None
    evidence_id: UUID | None = None


class VerificationRequested(DomainEvent, frozen=True):
    """Which operation is to be judged, and by which modalities. `policy` names the rule that asked for them."""

    type: ClassVar[str] = "verification.requested"
    id: UUID
    operation_id: UUID
    policy: str
    modalities: list[Modality]


class VerificationJudged(DomainEvent, frozen=True):
    """
    One verifier's verdict. `id` is this event's own id; `verifier` its name and version (`programmatic/1`).

    `score` is null: nothing is calibrated yet. `coverage`: how much of its dimension was observed.
    `veto`: the verdict alone decides. `evidence`: the ids of what it looked at.
    `summary`: the first reason in about five words, for a list.
    """

    type: ClassVar[str] = "verification.judged"
    id: UUID
    verification_id: UUID
    operation_id: UUID
    modality: Modality
    verifier: str
    status: Status
    score: Ratio | None
    coverage: Ratio
    veto: bool
    reasons: list[str]
    findings: list[Finding]
    evidence: list[UUID]
    summary: str = ""


class Term(msgspec.Struct, frozen=True, rename="camel"):
    """
    What one modality contributed to the pool: weight times log-odds, each in millionths, so that anyone
    recomputes the sum to the last digit. `coverage_micro` is 0 when nobody looked or all abstained.
    """

    modality: Modality
    weight_micro: int
    log_odds_micro: int
    coverage_micro: int


class VerificationComplete(DomainEvent, frozen=True):
    """
    The consensus. `confidence` is null until calibrated; `grade` then says how much was observed,
    and is null for an inconclusive result.
    """

    type: ClassVar[str] = "verification.complete"
    verification_id: UUID
    operation_id: UUID
    result: Result
    confidence: Ratio | None
    grade: Grade | None
    coverage: Ratio
    disputed: bool
    vetoes: list[Modality]
    model: str
    pool_micro: int
    terms: list[Term]
    summary: str
    reasons: list[str]
    not_observed: list[str]


class Verification(msgspec.Struct, frozen=True):
    id: UUID
    operation_id: UUID
    judged: tuple[VerificationJudged, ...] = ()
    result: Result | None = None


def judge(state: Verification | None, verdict: VerificationJudged) -> list[DomainEvent]:
    if state is None:
        raise CommandRefused("cannot judge what nobody asked to verify")
    if state.result is not None:
        raise CommandRefused(f"verification {state.id} is already complete: {state.result}")
    if any(known.verifier == verdict.verifier for known in state.judged):
        raise CommandRefused(f"{verdict.verifier} has already judged in verification {state.id}")
    return [verdict]


def conclude(state: Verification | None, consensus: VerificationComplete) -> list[DomainEvent]:
    if state is None:
        raise CommandRefused("cannot conclude what nobody asked to verify")
    if state.result is not None:
        raise CommandRefused(f"verification {state.id} is already complete: {state.result}")
    return [consensus]


def evolve(state: Verification | None, event: DomainEvent) -> Verification | None:
    match event:
        case VerificationRequested(id=id, operation_id=operation_id):
            return Verification(id, operation_id)
        case VerificationJudged() if state is not None:
            return msgspec.structs.replace(state, judged=(*state.judged, event))
        case VerificationComplete(result=result) if state is not None:
            return msgspec.structs.replace(state, result=result)
        case _:
            return state
