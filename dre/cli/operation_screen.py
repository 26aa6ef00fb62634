"""One operation on the screen: the answer first, then why, then what was not seen, where, evidence, the record."""

from collections.abc import Sequence

from dre.cli.screen import Mark, Screen
from dre.cli.verdicts import at_the_top
from dre.documentation import safe, telling, words
from dre.documentation.findings import Failing, Findings
from dre.projections.operation_detail import Item, OperationDetail
from dre.verification.intact import Place

_LABEL = 10
_SHOWN_REASONS = 12
_SHOWN_REPORTS = 6


def show(screen: Screen, detail: OperationDetail, findings: Findings, place: Place, *, now_ms: int) -> None:
    headline(screen, detail, altered=bool(place.altered))
    labelled(screen, "", [f"event {altered.position}: {altered.detail}" for altered in place.altered])
    why(screen, detail, findings)
    labelled(screen, "seen", [" · ".join(telling.seen(detail))])
    if detail.verdict:
        not_seen(screen, detail)
    labelled(screen, "where", [" · ".join(telling.where(detail, now_ms))])
    if detail.labels:
        labelled(screen, "labels", ["   ".join(f"{name}={value}" for name, value in detail.labels)])
    labelled(screen, "evidence", _wrapped(screen, _items(detail.evidence)) or ["none"])
    labelled(screen, "record", [_record(place)])


def headline(screen: Screen, detail: OperationDetail, *, altered: bool = False) -> None:
    """A verdict on what was altered since is none."""
    verdict = detail.verdict
    right = at_the_top(verdict.result if verdict else None, verdict.grade if verdict else None, detail.status)
    screen.ends(Mark(detail.command, "strong"), *([Mark("ALTERED", "bad")] if altered else right))


def why(screen: Screen, detail: OperationDetail, findings: Findings) -> None:
    """The first reason, the failing tests that it is about, then the other reasons."""
    first, *others = telling.reasons(detail)
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
    sentences, named = telling.not_seen(detail)
    labelled(screen, "not seen", [*sentences, *_wrapped(screen, named, between=", ")] or ["nothing that is known of"])


def _say_failing(screen: Screen, failing: Failing) -> None:
    screen.say(" " * (_LABEL + 4), Mark(failing.subject, "bad"), f"  {failing.detail}" if failing.detail else "")
    _say_output(screen, failing.output)


def _say_output(screen: Screen, output: Sequence[str]) -> None:
    for line in output:
        screen.say(" " * (_LABEL + 4), Mark(f"| {line.expandtabs(8)}", "dim"))


def _items(evidence: Sequence[Item]) -> list[str]:
    """A run of many test suites has a report of each: of these a few."""
    reports = [_item(item) for item in evidence if item.kind == telling.REPORT_KIND]
    if len(reports) <= _SHOWN_REPORTS:
        return [_item(item) for item in evidence]
    others = [_item(item) for item in evidence if item.kind != telling.REPORT_KIND]
    return [*others, *reports[:_SHOWN_REPORTS], f"and {len(reports) - _SHOWN_REPORTS:,} more reports (--json)"]


def _item(item: Item) -> str:
    name = telling.item_name(item)
    return f"{name} erased" if item.erased else f"{name} {words.size(item.size_bytes)}"


def _record(place: Place) -> str:
    stands = "NOT intact" if place.altered else telling.INTACT[place.evidence]
    events = f"event {place.first}" if place.first == place.last else f"events {place.first}-{place.last}"
    return f"{events} of {place.events}, {stands} · assurance {telling.ASSURANCE}"


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
