"""The programmatic verifier: how the run ended, and what its test reports say."""

from collections.abc import Sequence
from posixpath import basename
from uuid import UUID

import msgspec

from dre.domain.evidence import EvidenceCollected
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.domain.verification import Finding
from dre.errors import BlobAltered, BlobMissing
from dre.ports.blob_store import BlobStore
from dre.verification import reports
from dre.verification.case import Case
from dre.verification.reports import Report, Unreadable
from dre.verification.verifier import MAX_SUMMARY_WORDS, Opinion, Verifier, abstained, unique
from dre.verification.words import counted, listed, seconds, time_of_day

REPORT = "report"


class _Seen(msgspec.Struct, frozen=True):
    """
    What the fresh reports say together. `unused`: a sentence for each that says nothing, because it is older than
    the run, was not collected or cannot be read; `unknown`: how many of them may hold something. `more`: there were
    more than were collected. `broke_off`: one of them ends in the middle of a test.
    """

    passed: int
    failed: int
    errors: int
    skipped: int
    claimed: int
    retries: int
    names: tuple[str, ...]
    findings: tuple[Finding, ...]
    more_findings: int
    unused: tuple[str, ...]
    unknown: int
    more: bool
    broke_off: bool
    evidence: tuple[UUID, ...]

    @property
    def ran(self) -> int:
        return self.passed + self.failed + self.errors

    @property
    def where(self) -> str:
        """The reports by name: `report.xml`."""
        return listed(self.names) if len(self.names) <= 3 else f"{len(self.names)} reports"


async def judge(case: Case, blobs: BlobStore) -> Opinion:
    seen = await _read_reports(case, blobs)
    opinion = _opinion(case, seen)
    return msgspec.structs.replace(
        opinion,
        reasons=[*opinion.reasons, *seen.unused],
        findings=seen.findings,
        more_findings=seen.more_findings,
        evidence=seen.evidence,
    )


PROGRAMMATIC = Verifier("programmatic/3", "programmatic", judge)


def _opinion(case: Case, seen: _Seen) -> Opinion:
    match case.ended:
        case OperationCompleted() as ended:
            bad_end = _bad_end(ended, case.started)
            return _after_bad_end(bad_end, seen) if bad_end else _after_exit_0(seen)
        case OperationInterrupted() as cut:
            return abstained(_cut_short(cut), *_interrupted(cut), *_said(seen))
        case None:
            return abstained("end not recorded", "how the run ended is not recorded, or was erased", *_said(seen))


def _bad_end(ended: OperationCompleted, started: OperationStarted | None) -> str | None:
    if ended.outcome == "timed_out":
        limit = started.timeout_us if started else None
        return "timed out" if limit is None else f"timed out after {seconds(limit)}"
    if ended.signal is not None:
        return f"killed by {ended.signal}"
    return f"exited {ended.exit_code}" if ended.exit_code != 0 else None


def _after_bad_end(bad_end: str, seen: _Seen) -> Opinion:
    summary = "timed out" if bad_end.startswith("timed out") else bad_end
    if seen.failed + seen.errors:
        return Opinion("failed", 1, _failed_summary(seen), [_failed(seen), bad_end], veto=True)
    return Opinion("failed", 1, summary, [bad_end, *_said(seen)], veto=True)


def _after_exit_0(seen: _Seen) -> Opinion:
    if seen.failed + seen.errors:
        reason = f"exited 0, but {seen.where} {_hold(seen)} {_failures(seen)}"
        return Opinion("failed", 1, _failed_summary(seen), [reason], veto=True)
    if seen.more:
        return abstained("not every report was read", *_said(seen))
    if not seen.names:
        reason = "exit status only" if seen.unused else "exit status only: no test report was seen"
        return Opinion("passed", 0.5, "exit status only", [reason])
    if seen.broke_off:
        return abstained("the test run broke off", f"{seen.where} breaks off in the middle of a test", *_said(seen))
    if seen.claimed:
        reason = f"{seen.where} contradicts itself: it counts {counted(seen.claimed, 'failure')}, but no case shows one"
        return abstained("report contradicts itself", reason)
    if not seen.ran:
        return abstained("no test ran", *_said(seen))
    coverage = 0.5 if seen.unknown else 1  # what nobody read may hold the failure
    return Opinion("passed", coverage, f"{counted(seen.passed, 'test')} passed", _said(seen))


def _cut_short(cut: OperationInterrupted) -> str:
    why = cut.reason.partition(";")[0].removeprefix("the ")
    return why if len(why.split()) <= MAX_SUMMARY_WORDS else "recording was interrupted"


def _interrupted(cut: OperationInterrupted) -> list[str]:
    """The command's own end may be known, and never counts as passed: what happened in between was not seen."""
    reasons = [f"{cut.reason}; what happened after {time_of_day(cut.last_seen_at)} was not seen"]
    if cut.signal is not None:
        reasons.append(f"the command itself was killed by {cut.signal}")
    elif cut.exit_code is not None:
        reasons.append(f"the command itself exited {cut.exit_code}")
    return reasons


def _said(seen: _Seen) -> list[str]:
    """The reports in a sentence, if there are any."""
    if not seen.names:
        return []
    if seen.failed + seen.errors:
        return [f"{_failed(seen)} ({seen.where})"]
    if not seen.ran:
        says = "says" if len(seen.names) == 1 else "say"
        return [f"{seen.where} {says} that no test ran" + f" ({seen.skipped:,} skipped)" * bool(seen.skipped)]
    passed = [f"{counted(seen.passed, 'test')} passed"]
    passed += [f"{seen.retries:,} run again"] * bool(seen.retries)
    passed += [f"{seen.skipped:,} skipped"] * bool(seen.skipped)
    return [f"{', '.join(passed)} ({seen.where})"]


def _failed(seen: _Seen) -> str:
    if not seen.failed:
        return f"{seen.errors:,} of {counted(seen.ran, 'test')} ended in an error"
    broken = f", {seen.errors:,} ended in an error" if seen.errors else ""
    return f"{seen.failed:,} of {counted(seen.ran, 'test')} failed{broken}"


def _failed_summary(seen: _Seen) -> str:
    return f"{seen.failed + seen.errors:,} of {seen.ran:,} failed"


def _failures(seen: _Seen) -> str:
    kinds = (counted(seen.failed, "failure") * bool(seen.failed), counted(seen.errors, "error") * bool(seen.errors))
    return " and ".join(filter(None, kinds))


def _hold(seen: _Seen) -> str:
    return "holds" if len(seen.names) == 1 else "hold"


async def _read_reports(case: Case, blobs: BlobStore) -> _Seen:
    names = _short_names(case.of_kind(REPORT))
    found: list[tuple[EvidenceCollected, Report]] = []
    stale = [seen.detail for seen in case.observed(REPORT, "stale")]
    unknown = [seen.detail for seen in case.observed(REPORT, "not observed", "partial")]
    for item in case.of_kind(REPORT):
        if item.metadata.get("fresh") is False:
            stale.append(f"{names[item.id]} is older than the run: not used")
            continue
        report = await _read(item, blobs)
        if isinstance(report, Unreadable):
            others = stale if report.is_other else unknown
            others.append(f"{names[item.id]} cannot be read: {report}; taken as no report")
        else:
            found.append((item, report))
    return _Seen(
        passed=sum(report.passed for _, report in found),
        failed=sum(report.failed for _, report in found),
        errors=sum(report.errors for _, report in found),
        skipped=sum(report.skipped for _, report in found),
        claimed=sum(report.claimed for _, report in found),
        retries=sum(report.retries for _, report in found),
        names=tuple(names[item.id] for item, _ in found),
        findings=tuple(_findings(found, names)),
        more_findings=sum(_not_kept(report) for _, report in found),
        unused=tuple(filter(None, unique([*unknown, *stale]))),
        unknown=len(unknown),
        more=bool(case.observed(REPORT, "partial")),
        broke_off=any(report.broke_off for _, report in found),
        evidence=tuple(item.id for item in case.of_kind(REPORT)),
    )


async def _read(item: EvidenceCollected, blobs: BlobStore) -> Report | Unreadable:
    """An altered one is for the structural verifier to condemn; here it says nothing, and the exit status stands."""
    if item.size_bytes > reports.MAX_BYTES:
        return Unreadable(f"it is larger than {reports.MAX_BYTES >> 20} MiB")
    try:
        return await reports.read_report(blobs.read(item.hash))
    except BlobMissing:
        return Unreadable("it is missing from the evidence")
    except BlobAltered:
        return Unreadable("it is not what was recorded")


def _findings(found: Sequence[tuple[EvidenceCollected, Report]], names: dict[UUID, str]) -> list[Finding]:
    """Failures of all reports first, then what was run again, then what contradicts itself."""
    failures = [
        Finding(failure.name, failure.message, failure.line, item.id)
        for item, report in found
        for failure in report.failures
    ]
    retried = [
        Finding(retried.name, retried.detail, None, item.id) for item, report in found for retried in report.retried
    ]
    contradictions = [
        Finding(names[item.id], contradiction, None, item.id)
        for item, report in found
        for contradiction in report.contradictions
    ]
    return unique(failures + retried + contradictions)


def _not_kept(report: Report) -> int:
    failures = max(0, report.failed + report.errors - len(report.failures))
    return failures + report.retries - len(report.retried)


def _short_names(items: Sequence[EvidenceCollected]) -> dict[UUID, str]:
    """The last part of each report's path, or all of it where two would read the same."""
    paths = {item.id: str(item.metadata.get("source") or item.name) for item in items}
    ends = [basename(path) for path in paths.values()]
    return {id: end if (end := basename(path)) and ends.count(end) == 1 else path for id, path in paths.items()}
