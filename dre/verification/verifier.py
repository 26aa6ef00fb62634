"""A verifier: one judge of one modality, and the opinion it hands back."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar
from uuid import UUID

import msgspec

from dre.domain.events import Ratio
from dre.domain.verification import Finding, Modality, Status, VerificationJudged, VerificationRequested
from dre.errors import DREError
from dre.ports.blob_store import BlobStore
from dre.verification.case import Case
from dre.verification.words import cut

MAX_FINDINGS = 100
MAX_FINDINGS_BYTES = 96 * 1024
MAX_REASONS = 20
MAX_EVIDENCE = 500
MAX_SUMMARY_WORDS = 5
_MAX_SUBJECT, _MAX_DETAIL, _MAX_REASON, _MAX_SUMMARY = 500, 500, 500, 60

Item = TypeVar("Item")


class Opinion(msgspec.Struct, frozen=True):
    """
    What `verification.judged` will say, without its place in history. Coverage is 0 when abstaining.

    `more_findings`: how many there are that nobody kept.
    """

    status: Status
    coverage: Ratio
    summary: str
    reasons: Sequence[str]
    veto: bool = False
    findings: Sequence[Finding] = ()
    more_findings: int = 0
    evidence: Sequence[UUID] = ()


class Verifier(msgspec.Struct, frozen=True):
    """`name` holds the version: whoever changes what `judge` concludes from the same case counts it up."""

    name: str
    modality: Modality
    judge: Callable[[Case, BlobStore], Awaitable[Opinion]]


def abstained(summary: str, *reasons: str) -> Opinion:
    return Opinion("abstained", 0, summary, reasons)


async def ask(verifier: Verifier, case: Case, blobs: BlobStore) -> Opinion:
    """One that could not find out abstains and says why; it neither passes nor stops the others."""
    try:
        return bounded(await verifier.judge(case, blobs))
    except DREError as error:
        return bounded(abstained("could not find out", f"could not find out: {error.message}"))
    except Exception as error:  # noqa: BLE001 - evidence is hostile, and a judge that stumbles over it must not end the trial
        return bounded(abstained("could not find out", f"could not find out: {type(error).__name__}: {error}"))


def judged(request: VerificationRequested, id: UUID, verifier: Verifier, opinion: Opinion) -> VerificationJudged:
    return VerificationJudged(
        id=id,
        verification_id=request.id,
        operation_id=request.operation_id,
        modality=verifier.modality,
        verifier=verifier.name,
        status=opinion.status,
        score=None,
        coverage=opinion.coverage,
        veto=opinion.veto,
        reasons=list(opinion.reasons),
        findings=list(opinion.findings),
        evidence=list(opinion.evidence),
        summary=opinion.summary,
    )


def bounded(opinion: Opinion) -> Opinion:
    """
    The opinion in a size that a body holds, whatever the evidence said; "and N more" for the rest.

    Nothing else is changed: names and messages stay as they are, hostile or not, and are made safe where shown.
    """
    return msgspec.structs.replace(
        opinion,
        coverage=round(opinion.coverage, 4),
        summary=cut(opinion.summary, _MAX_SUMMARY),
        reasons=bounded_words(opinion.reasons, MAX_REASONS),
        findings=_bounded_findings(opinion.findings, opinion.more_findings),
        more_findings=0,
        evidence=list(opinion.evidence[:MAX_EVIDENCE]),
    )


def bounded_words(words: Sequence[str], limit: int) -> list[str]:
    kept = [cut(word, _MAX_REASON) for word in words[:limit]]
    return kept + [f"and {len(words) - limit:,} more"] * (len(words) > limit)


def unique(items: Iterable[Item]) -> list[Item]:
    """In the order of their first appearance."""
    return list(dict.fromkeys(items))


def _bounded_findings(findings: Sequence[Finding], more: int) -> list[Finding]:
    kept: list[Finding] = []
    room = MAX_FINDINGS_BYTES
    for finding in findings[:MAX_FINDINGS]:
        short = msgspec.structs.replace(
            finding, subject=cut(finding.subject, _MAX_SUBJECT), detail=cut(finding.detail, _MAX_DETAIL)
        )
        room -= len(msgspec.json.encode(short))
        if room < 0:
            break
        kept.append(short)
    more += len(findings) - len(kept)
    return kept + [Finding(f"and {more:,} more")] * (more > 0)
