"""One operation on the screen: the answer first, then why, then what was not seen, where, evidence, the record."""

import os
from collections.abc import Sequence

import msgspec

from dre.cli.screen import Mark, Screen
from dre.cli.verdicts import at_the_top
from dre.documentation import safe, words
from dre.domain.events import Text
from dre.domain.operation import Git
from dre.projections.operation_detail import Item, OperationDetail
from dre.verification.intact import Altered

ASSURANCE = "local: the same user could rewrite all of it"
_LABEL = 10
CHANGES_KIND = "changes"
OUTPUT_KIND = "output"
_SHOWN_REASONS = 12


class Failing(msgspec.Struct, frozen=True):
    """A finding that speaks against the run, and what the output says around it."""

    subject: str
    detail: str
    output: Sequence[str]


class Findings(msgspec.Struct, frozen=True):
    """`shown` of all failing ones; `tail`: how the output ended, where no finding says more."""

    shown: Sequence[Failing] = ()
    more: int = 0
    tail: Sequence[str] = ()


class Place(msgspec.Struct, frozen=True):
    """The operation's place in the record. `altered`: what is not what was recorded."""

    first: int
    last: int
    events: int
    altered: Sequence[Altered] = ()


def show(screen: Screen, detail: OperationDetail, findings: Findings, place: Place, *, now_ms: int) -> None:
    headline(screen, detail, altered=bool(place.altered))
    labelled(screen, "", [f"event {altered.position}: {altered.detail}" for altered in place.altered])
    why(screen, detail, findings)
    labelled(screen, "seen", [" · ".join(_seen(detail))])
    if detail.verdict:
        not_seen(screen, detail)
    labelled(screen, "where", [_where(detail, now_ms)])
    if detail.labels:
        labelled(screen, "labels", ["   ".join(f"{name}={value}" for name, value in detail.labels)])
    labelled(screen, "evidence", _wrapped(screen, [_item(item) for item in detail.evidence]) or ["none"])
    labelled(screen, "record", [_record(place)])


def headline(screen: Screen, detail: OperationDetail, *, altered: bool = False) -> None:
    """A verdict on what was altered since is none."""
    verdict = detail.verdict
    right = at_the_top(verdict.result if verdict else None, verdict.grade if verdict else None, detail.status)
    screen.ends(Mark(detail.command, "strong"), *([Mark("ALTERED", "bad")] if altered else right))


def why(screen: Screen, detail: OperationDetail, findings: Findings) -> None:
    """The first reason, the failing tests that it is about, then the other reasons."""
    first, *others = _reasons(detail)
    labelled(screen, "why", [first])
    for failing in findings.shown:
        _say_failing(screen, failing)
    if findings.more:
        screen.say(" " * (_LABEL + 4), f"and {findings.more:,} more (dre show {detail.short} --json)")
    labelled(screen, "", others[:_SHOWN_REASONS])
    if len(others) > _SHOWN_REASONS:
        screen.say(" " * (_LABEL + 2), f"and {len(others) - _SHOWN_REASONS} more reasons (--json)")
    if findings.tail:
        labelled(screen, "output", ["its last lines (dre show --output has them all)"])
        _say_output(screen, findings.tail)


def not_seen(screen: Screen, detail: OperationDetail) -> None:
    """Sentences on lines of their own, then what is only named."""
    if detail.verdict is None:
        return
    missing = detail.verdict.not_observed
    sentences = [said for said in missing if ":" in said]
    named = _wrapped(screen, [said for said in missing if ":" not in said], between=", ")
    labelled(screen, "not seen", [*sentences, *named] or ["nothing that is known of"])


def _reasons(detail: OperationDetail) -> Sequence[str]:
    if detail.verdict and detail.verdict.reasons:
        return detail.verdict.reasons
    if detail.status == "running":
        return ["it has not ended yet"]
    return [f"{ended(detail)}; the verifiers have not judged it yet"]


def ended(detail: OperationDetail) -> str:
    """How the process ended, in words."""
    match detail.outcome:
        case "succeeded":
            return "exited 0"
        case "failed":
            return f"exited {detail.exit_code}"
        case "signaled":
            return f"killed by {detail.signal}"
        case "timed_out":
            return "timed out"
        case "interrupted":
            return detail.interruption or "the recorder did not see the end"
        case _:
            return "has not ended yet"


def _say_failing(screen: Screen, failing: Failing) -> None:
    screen.say(" " * (_LABEL + 4), Mark(failing.subject, "bad"), f"  {failing.detail}" if failing.detail else "")
    _say_output(screen, failing.output)


def _say_output(screen: Screen, output: Sequence[str]) -> None:
    for line in output:
        screen.say(" " * (_LABEL + 4), Mark(f"| {line.expandtabs(8)}", "dim"))


def _seen(detail: OperationDetail) -> list[str]:
    """What was looked at in full; what was seen in part is said under `not seen`."""
    output = sum(item.size_bytes for item in detail.evidence if item.kind == OUTPUT_KIND)
    named = {
        "report": "test report",
        "workspace": "tree before and after",
        "output": f"output {words.size(output)}" if output else "no output",
    }
    subjects = [seen.subject for seen in detail.observations if seen.state == "seen"]
    return list(dict.fromkeys(named.get(subject, subject) for subject in subjects)) or ["nothing yet"]


def _where(detail: OperationDetail, now_ms: int) -> str:
    began = f"{words.moment(detail.started_at, now_ms)} ({words.age(detail.started_at, now_ms)})"
    lasted = "" if detail.duration_us is None else f", {words.length(detail.duration_us)}"
    place = f"{_folder(detail.cwd)} on {detail.host.name}"
    return " · ".join([*([_git(detail.git, _dirty(detail))] if detail.git else ["no git"]), place, began + lasted])


def _git(git: Git, dirty: int) -> str:
    branch = "detached" if git.branch is None else safe.line(git.branch)
    commit = "no commit yet" if git.commit is None else git.commit[:7]
    return f"{branch} @ {commit}" + f" + {words.counted(dirty, 'changed file')}" * bool(dirty)


def _dirty(detail: OperationDetail) -> int:
    """How many files differed from the commit before the run, as far as that was seen."""
    counted = [item.metadata.get("dirtyBefore") for item in detail.evidence if item.kind == CHANGES_KIND]
    return next((count for count in counted if isinstance(count, int)), 0)


def _folder(cwd: Text) -> str:
    """Below the reader's home as `~`."""
    folder, home = safe.line(cwd), os.environ.get("HOME", "")
    if home not in ("", "/") and (folder == home or folder.startswith(home + "/")):
        return "~" + folder[len(home) :]
    return folder


def _item(item: Item) -> str:
    """A report by the name that its command gave it, as the reasons do."""
    name = str(item.metadata.get("source") or item.name)
    return f"{name} erased" if item.erased else f"{name} {words.size(item.size_bytes)}"


def _record(place: Place) -> str:
    intact = "intact" if not place.altered else "NOT intact"
    return f"events {place.first}-{place.last} of {place.events}, {intact} · assurance {ASSURANCE}"


def _wrapped(screen: Screen, items: Sequence[str], between: str = "   ") -> list[str]:
    """As many on a line as fit."""
    room = screen.columns - _LABEL - 2
    lines: list[str] = []
    for item in map(safe.line, items):
        if lines and safe.width(lines[-1] + between + item) <= room:
            lines[-1] += between + item
        else:
            if lines:
                lines[-1] += between.rstrip()
            lines.append(item)
    return lines


def labelled(screen: Screen, label: str, lines: Sequence[str]) -> None:
    folded = [part for line in lines for part in screen.folded(line, _LABEL + 2)]
    for at, line in enumerate(folded):
        screen.say("  ", Mark(f"{label:<{_LABEL}}", "dim") if label and at == 0 else " " * _LABEL, line)
