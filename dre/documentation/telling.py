"""One operation in words: how it ended, why it is judged so, what was looked at, where it ran."""

import os
from collections.abc import Mapping, Sequence

from dre.documentation import safe, words
from dre.domain.events import Text
from dre.domain.operation import Capture, Git
from dre.projections.operation_detail import Item, OperationDetail
from dre.projections.operations import RUNNING

ASSURANCE = "local: the same user could rewrite all of it"
INTACT: Mapping[str, str] = {
    "none": "chain intact",
    "examined": "chain intact · evidence intact",
    "not examined": "chain intact · evidence not read again (dre verify)",
}
"""How an operation stands in the record, by whether its evidence was examined beside its events."""

_HEARD = "as it arrives, recorded when the command has ended"
_WAYS: Mapping[str, str] = {
    "file": "to a file, which is read when the command has ended",
    "untouched": "to a device, or nowhere, and not recorded",
}
"""How an output goes that does not pass the recorder, by what the recorder found in its place."""

OUTPUT_KIND, LATE_OUTPUT_KIND, CHANGES_KIND, REPORT_KIND = "output", "late_output", "changes", "report"


def reasons(detail: OperationDetail) -> Sequence[str]:
    """The first says most; there is always one."""
    if detail.verdict and detail.verdict.reasons:
        return detail.verdict.reasons
    if detail.status == RUNNING:
        return ["it has not ended yet"]
    if detail.late_output is None:  # evidence is complete together with the end, or there will be none
        return [f"{ended(detail)}; there is no evidence to judge"]
    return [f"{ended(detail)}; the verifiers have not judged it yet"]


def ended(detail: OperationDetail) -> str:
    """How the process ended."""
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


def arriving(capture: Capture) -> list[str]:
    """Of a command that runs: which of its outputs is told as it comes, and where the others go."""
    ways = {"stdout": _WAYS.get(capture.stdout, _HEARD), "stderr": _WAYS.get(capture.stderr, _HEARD)}
    if set(ways.values()) == {_HEARD}:
        return ["As it arrives; it is recorded when the command has ended."]
    return [
        f"{' and '.join(name for name, taken in ways.items() if taken == way)}: {way}."
        for way in dict.fromkeys(ways.values())
    ]


def seen(detail: OperationDetail) -> list[str]:
    """What was looked at in full; what was seen in part stands among what was not observed."""
    output = sum(item.size_bytes for item in detail.evidence if item.kind == OUTPUT_KIND)
    named = {
        "report": "test report",
        "workspace": "tree before and after",
        "output": f"output {words.size(output)}" if output else _no_output(detail),
    }
    subjects = [one.subject for one in detail.observations if one.state == "seen"]
    return list(dict.fromkeys(named.get(subject, subject) for subject in subjects)) or ["nothing yet"]


def _no_output(detail: OperationDetail) -> str:
    """Where one descriptor was not heard, of which the other is it is said."""
    said = {one.state: one.detail for one in detail.observations if one.subject == "output"}
    return (said.get("seen") if "not observed" in said else None) or "no output"


def not_seen(detail: OperationDetail) -> tuple[list[str], list[str]]:
    """Sentences, and what is only named."""
    missing = detail.verdict.not_observed if detail.verdict else []
    return [said for said in missing if ":" in said], [said for said in missing if ":" not in said]


def where(detail: OperationDetail, now_ms: int) -> list[str]:
    """Commit, folder and machine, when and how long."""
    began = f"{words.moment(detail.started_at, now_ms)} ({words.age(detail.started_at, now_ms)})"
    lasted = "" if detail.duration_us is None else f", {words.length(detail.duration_us)}"
    place = f"{_folder(detail.cwd)} on {detail.host.name}"
    return [_git(detail.git, _dirty(detail)) if detail.git else "no git", place, began + lasted]


def item_name(item: Item) -> str:
    """A report by the name that its command gave it, as the reasons do."""
    return str(item.metadata.get("source") or item.name)


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
