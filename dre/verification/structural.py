"""The structural verifier: whether the evidence is what was recorded, and what the run left in the work tree."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from dre.domain.events import raw
from dre.domain.operation import OperationStarted
from dre.domain.verification import Finding
from dre.domain.workspace import ChangedFile, Changes
from dre.errors import BlobAltered, BlobMissing
from dre.ports.blob_store import BlobStore
from dre.verification.case import Case, Erasure
from dre.verification.verifier import Opinion, Verifier, abstained
from dre.verification.words import as_words, counted, listed
from dre.verification.writes import Expected, prefix_of

CHANGES = "changes"
MAX_CHANGES_BYTES = 64 << 20
MAX_NAMED = 5
_DECODER = msgspec.json.Decoder(Changes)


class _Fault(msgspec.Struct, frozen=True):
    """Something that speaks against the artefact; `veto`: so much that nothing can outvote it."""

    summary: str
    reasons: Sequence[str]
    findings: Sequence[Finding]
    veto: bool = False


class _NotObserved(msgspec.Struct, frozen=True):
    why: str


async def judge(case: Case, blobs: BlobStore) -> Opinion:
    faults = await _damaged(case, blobs)
    changes = await _read_changes(case, blobs)
    if isinstance(changes, Changes):
        found = [*_outside(case.started, changes), *_broken(changes), *_conflicts(changes)]
        faults += [_citing(fault, case.of_kind(CHANGES)[0].id) for fault in found]
    opinion = _failed(faults) if faults else _without_fault(case, changes)
    return msgspec.structs.replace(opinion, evidence=[item.id for item in case.items])


STRUCTURAL = Verifier("structural/1", "structural", judge)


def _citing(fault: _Fault, evidence_id: UUID) -> _Fault:
    findings = [msgspec.structs.replace(finding, evidence_id=evidence_id) for finding in fault.findings]
    return msgspec.structs.replace(fault, findings=findings)


def _failed(faults: Sequence[_Fault]) -> Opinion:
    return Opinion(
        "failed",
        1,
        faults[0].summary,
        [reason for fault in faults for reason in fault.reasons],
        veto=any(fault.veto for fault in faults),
        findings=[finding for fault in faults for finding in fault.findings],
    )


def _without_fault(case: Case, changes: Changes | _NotObserved) -> Opinion:
    if case.erased:
        return abstained("evidence was erased", *map(_erasure, case.erased))
    if isinstance(changes, _NotObserved):
        return abstained("workspace not observed", changes.why)
    looked_at = len(changes.files) / (len(changes.files) + changes.more) if changes.more else 1
    return Opinion("passed", looked_at, _summary(changes), _well(case.started, changes))


def _erasure(erasure: Erasure) -> str:
    by = f" by {erasure.by}" if erasure.by else ""
    return f"{erasure.name} was erased{by}" + (f": {erasure.reason}" if erasure.reason else "")


def _summary(changes: Changes) -> str:
    count = len(changes.files) + changes.more
    return f"{counted(count, 'file')} changed" if count else "nothing changed"


def _well(started: OperationStarted | None, changes: Changes) -> list[str]:
    reasons = [_summary(changes) + _parsed(changes.files)]
    reasons += [
        f"{as_words(file.path)} could not be parsed" + (f": {file.syntax_detail}" if file.syntax_detail else "")
        for file in changes.files
        if file.syntax == "unknown"
    ]
    if changes.more:
        reasons.append(f"{counted(changes.more, 'changed file')} beyond the first {len(changes.files):,} not looked at")
    if started and started.writes and changes.files and not changes.more:
        reasons.append(f"all within --writes {listed(started.writes)}")
    if changes.clean_filters:
        reasons.append("this repository's clean filters ran: what they made of the files was compared")
    return reasons


def _parsed(files: Sequence[ChangedFile]) -> str:
    """What can be said of the syntax of what is still there, no more."""
    there = [file for file in files if file.status != "deleted"]
    parsed = sum(file.syntax == "parses" for file in there)
    if not there:
        return ""
    if parsed == len(there):
        return ", all parse" if len(files) > 1 else ", it parses"
    if parsed == 0:
        return ", none of a kind that is parsed here"
    return f", {parsed:,} of a kind that is parsed here, and {'it parses' if parsed == 1 else 'they parse'}"


async def _damaged(case: Case, blobs: BlobStore) -> list[_Fault]:
    """Every item is hashed again, whatever else will be read of it."""
    missing: list[Finding] = []
    altered: list[Finding] = []
    for item in case.items:
        try:
            await blobs.check(item.hash)
        except BlobMissing as error:
            missing.append(Finding(item.name, error.message, None, item.id))
        except BlobAltered as error:
            altered.append(Finding(item.name, error.message, None, item.id))
    return _damage("evidence altered", "is not what was recorded", altered) + _damage(
        "evidence missing", "is missing", missing
    )


def _damage(summary: str, how: str, findings: Sequence[Finding]) -> list[_Fault]:
    reasons = [f"evidence {finding.subject} {how}" for finding in findings]
    return [_Fault(summary, reasons, findings, veto=True)] if findings else []


async def _read_changes(case: Case, blobs: BlobStore) -> Changes | _NotObserved:
    item = next(iter(case.of_kind(CHANGES)), None)
    if item is None:
        return _not_observed(case, "neither the tree before nor the one after was taken")
    try:
        changes = _DECODER.decode(await blobs.read_all(item.hash, MAX_CHANGES_BYTES))
    except (BlobMissing, BlobAltered, msgspec.DecodeError) as error:
        return _NotObserved(f"workspace not observed: what changed cannot be read from {item.name}: {error}")
    if changes.tree_before is None or changes.tree_after is None:
        missing = "before" if changes.tree_before is None else "after"
        return _not_observed(case, f"the tree {missing} the run was not taken")
    return changes


def _not_observed(case: Case, otherwise: str) -> _NotObserved:
    why = next(
        (seen.detail for seen in case.observed("workspace", "not observed", "partial") if seen.detail), otherwise
    )
    return _NotObserved(f"workspace not observed: {why}")


def _outside(started: OperationStarted | None, changes: Changes) -> list[_Fault]:
    if started is None or not started.writes:
        return []
    prefix = prefix_of(raw(started.cwd), raw(started.git.top)) if started.git else ""
    expected = Expected(started.writes, prefix)
    paths = [
        as_words(file.path)
        for file in changes.files
        if raw(file.path).decode("utf-8", "surrogateescape") not in expected
    ]
    if not paths:
        return []
    reason = f"{counted(len(paths), 'file')} changed outside --writes {listed(started.writes)}: {listed(paths)}"
    return [
        _Fault("wrote outside --writes", [reason], [Finding(path, "outside --writes") for path in paths], veto=True)
    ]


def _broken(changes: Changes) -> list[_Fault]:
    broken = [file for file in changes.files if file.syntax == "broken"]
    findings = [Finding(as_words(file.path), file.syntax_detail, file.line) for file in broken]
    does = "does" if len(broken) == 1 else "do"
    return _in_files(f"{counted(len(broken), 'file')} {does} not parse", "does not parse", findings)


def _conflicts(changes: Changes) -> list[_Fault]:
    findings = [
        Finding(as_words(file.path), "a conflict marker", file.conflict_marker)
        for file in changes.files
        if file.conflict_marker is not None
    ]
    return _in_files("conflict markers left", "holds a conflict marker", findings)


def _in_files(summary: str, what: str, findings: Sequence[Finding]) -> list[_Fault]:
    if not findings:
        return []
    named = findings[:MAX_NAMED]
    reasons = [
        f"{finding.subject} {what}" + f" (line {finding.line})" * (finding.line is not None) for finding in named
    ]
    more = len(findings) - len(named)
    return [_Fault(summary, reasons + [f"the same of {counted(more, 'more file')}"] * bool(more), findings)]
