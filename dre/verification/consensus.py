"""
The consensus: plain integer arithmetic over what the verifiers said.

Nothing is calibrated yet, so there is no percentage: a grade says how much was observed. Every step works on
millionths, and the terms are stored, so anyone arrives at the same result from them.
"""

from collections.abc import Iterable, Sequence

import msgspec

from dre.domain.verification import (
    Grade,
    Modality,
    Result,
    Status,
    Term,
    VerificationComplete,
    VerificationJudged,
    VerificationRequested,
)
from dre.verification.case import Case
from dre.verification.verifier import bounded_words, unique
from dre.verification.words import cut, listed

MODEL = "uncalibrated/1"
MICRO = 1_000_000
WEIGHT_MICRO: dict[Modality, int] = {
    "programmatic": 1_000_000,
    "structural": 600_000,
    "behavioral": 600_000,
    "visual": 500_000,
}
"""In the order in which terms are stored and reasons are told."""
LOG_ODDS_MICRO: dict[Status, int] = {"passed": 2 * MICRO, "failed": -2 * MICRO, "abstained": 0}
QUORUM_COVERAGE_MICRO = 500_000
STRONG_MICRO, MODERATE_MICRO = 900_000, 700_000
NEVER_OBSERVED = ("network", "files read", "other processes")
"""No verifier looks there yet; only a tracer or a sandbox could say."""

_MAX_REASONS, _MAX_NOT_OBSERVED, _MAX_SUMMARY = 50, 30, 60
_TOLD: dict[Result, tuple[Status, ...]] = {
    "failed": ("failed", "passed", "abstained"),
    "passed": ("failed", "passed", "abstained"),
    "inconclusive": ("failed", "abstained", "passed"),
}
"""What comes first in the reasons: what speaks against it, then why nothing could be concluded."""
_ORDER = list(WEIGHT_MICRO)


class Pool(msgspec.Struct, frozen=True):
    """What the verdicts come to, by numbers alone."""

    terms: tuple[Term, ...]
    vetoes: tuple[Modality, ...]

    @property
    def sum_micro(self) -> int:
        return _divided(sum(map(_pulled, self.terms)), MICRO)

    @property
    def coverage_micro(self) -> int:
        """The mean of the modalities' coverage by weight: of all that were asked for, also those nobody judged."""
        weights = sum(term.weight_micro for term in self.terms)
        return _divided(sum(term.weight_micro * term.coverage_micro for term in self.terms), weights)

    @property
    def disputed(self) -> bool:
        """More than half of what pulls one way is pulled back: K = 1 - |sum| / sum of absolutes > 1/2."""
        pulls = list(map(_pulled, self.terms))
        return 2 * abs(sum(pulls)) < sum(map(abs, pulls))

    @property
    def has_quorum(self) -> bool:
        """Programmatic and one other modality saw something, and all in all at least half was observed."""
        seen = {term.modality for term in self.terms if term.coverage_micro}
        return "programmatic" in seen and len(seen) > 1 and self.coverage_micro >= QUORUM_COVERAGE_MICRO

    def result(self, *, has_end: bool) -> Result:
        if self.vetoes or (has_end and self.sum_micro < 0):
            return "failed"
        return "passed" if has_end and self.has_quorum and self.sum_micro > 0 else "inconclusive"

    def grade(self) -> Grade:
        if self.coverage_micro >= STRONG_MICRO:
            return "strong"
        return "moderate" if self.coverage_micro >= MODERATE_MICRO else "weak"


def pool(verdicts: Iterable[VerificationJudged], modalities: Iterable[Modality]) -> Pool:
    """Only what was asked for counts; the same verifier saying the same twice counts once."""
    heard = {
        (verdict.modality, verdict.verifier, verdict.status, round(verdict.coverage * MICRO), verdict.veto)
        for verdict in verdicts
    }
    asked = sorted(set(modalities), key=_ORDER.index)
    terms = tuple(
        _term(asked_for, [(status, covered) for modality, _, status, covered, _ in heard if modality == asked_for])
        for asked_for in asked
    )
    vetoing = {modality for modality, _, status, _, veto in heard if veto and status == "failed"}
    return Pool(terms, tuple(modality for modality in asked if modality in vetoing))


def conclude(
    request: VerificationRequested, case: Case, verdicts: Sequence[VerificationJudged]
) -> VerificationComplete:
    numbers = pool(verdicts, request.modalities)
    result = numbers.result(has_end=case.has_end)
    told = _in_order(result, [verdict for verdict in verdicts if verdict.modality in request.modalities])
    reasons = unique(reason for verdict in told for reason in verdict.reasons)
    return VerificationComplete(
        verification_id=request.id,
        operation_id=request.operation_id,
        result=result,
        confidence=None,
        grade=None if result == "inconclusive" else numbers.grade(),
        coverage=round(numbers.coverage_micro / MICRO, 4),
        disputed=numbers.disputed,
        vetoes=list(numbers.vetoes),
        model=MODEL,
        pool_micro=numbers.sum_micro,
        terms=list(numbers.terms),
        summary=cut(_summary(result, told), _MAX_SUMMARY),
        reasons=bounded_words([*reasons, *_about_the_pool(result, numbers, case, told)], _MAX_REASONS),
        not_observed=_not_observed(case, request.modalities, told),
    )


def _term(modality: Modality, heard: Sequence[tuple[Status, int]]) -> Term:
    """The mean of what its verifiers say, by coverage, since they share their causes; abstaining counts nothing."""
    said = [(LOG_ODDS_MICRO[status], covered) for status, covered in heard if status != "abstained"]
    covered = sum(covered for _, covered in said)
    pulled = sum(log_odds * covered for log_odds, covered in said)
    return Term(modality, WEIGHT_MICRO[modality], _divided(pulled, max(MICRO, covered)), min(MICRO, covered))


def _pulled(term: Term) -> int:
    return term.weight_micro * term.log_odds_micro


def _divided(number: int, by: int) -> int:
    """To the nearest integer, a half to the even one: the same on every machine and in every language."""
    quotient, rest = divmod(number, by)
    return quotient + (2 * rest > by or (2 * rest == by and quotient % 2 == 1))


def _in_order(result: Result, verdicts: Sequence[VerificationJudged]) -> list[VerificationJudged]:
    """The same whatever the order in which they were heard."""
    first = _TOLD[result]

    def place(verdict: VerificationJudged) -> tuple[bool, int, int, str]:
        return not verdict.veto, first.index(verdict.status), _ORDER.index(verdict.modality), verdict.verifier

    return sorted(verdicts, key=place)


def _summary(result: Result, told: Sequence[VerificationJudged]) -> str:
    """Of whoever decided: who failed it, who could not say, or how it ended."""
    decided = {"failed": "failed", "inconclusive": "abstained"}.get(result)
    summaries = [verdict.summary for verdict in told if verdict.status == decided]
    summaries += [verdict.summary for verdict in told if verdict.modality == "programmatic"]
    return next(iter(summaries), "not enough was observed")


_SIDES: dict[Modality, str] = {
    "programmatic": "how the run ended",
    "structural": "what became of the files",
    "behavioral": "what the run did",
    "visual": "what it looked like",
}


def _about_the_pool(result: Result, numbers: Pool, case: Case, told: Sequence[VerificationJudged]) -> list[str]:
    """What no single verifier can say."""
    reasons = []
    if numbers.disputed and not numbers.vetoes:  # a veto decides alone: nobody needs to weigh both sides
        sides = [
            f"{listed(unique(verdict.modality for verdict in told if verdict.status == status))} says {status}"
            for status in ("failed", "passed")
        ]
        reasons.append(f"disputed: {', '.join(sides)}")
    if result == "inconclusive" and case.has_end and numbers.sum_micro > 0:
        seen = [_SIDES[term.modality] for term in numbers.terms if term.coverage_micro]
        in_part = ", in part" * (len(seen) > 1)
        reasons.append(f"not enough was observed to call it passed: only {listed(seen)}{in_part}")
    return reasons


_NAMED_ALONE = frozenset({"output order"})
"""Nearly every run has it and no verdict turns on it: its name is enough, the sentence stands with the observation."""


def _not_observed(case: Case, modalities: Sequence[Modality], told: Sequence[VerificationJudged]) -> list[str]:
    missing = [
        f"{seen.subject}: {seen.detail}" if seen.detail and seen.subject not in _NAMED_ALONE else seen.subject
        for state in ("not observed", "partial")
        for seen in case.observations
        if seen.state == state
    ]
    if case.late_output in ("open", "lost") and not case.observed("late output", "not observed", "partial"):
        missing.append("output after the record was closed")
    judged = {verdict.modality for verdict in told}
    unjudged = [
        f"the {modality} side: no verifier" for modality in _ORDER if modality in modalities and modality not in judged
    ]
    return [*bounded_words(unique([*missing, *unjudged]), _MAX_NOT_OBSERVED), *NEVER_OBSERVED]
