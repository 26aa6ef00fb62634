"""Suites and cases of a test report while they are read: what each came to, and what people call it."""

import re
from collections import Counter
from typing import Literal

MAX_WORDS = 500

Ended = Literal["passed", "failure", "error", "skipped"]
_SEVERITY: tuple[Ended, ...] = ("passed", "skipped", "failure", "error")
_ENDED: dict[str, Ended] = {
    **dict.fromkeys(("skipped", "suppressed", "disabled", "notrun", "ignored"), "skipped"),
    **dict.fromkeys(("failed", "failure"), "failure"),
    **dict.fromkeys(("error", "errored"), "error"),
}
"""What some tools say in an attribute of the case, googletest that it was not run among them."""
_NOT_STARTED = ("Unable to find executable", "Fixture dependency failed", "Missing Configuration")
"""Of ctest's reasons for not running a test those that it fails for."""
_PYTHON_MODULE = re.compile(r"test_\w*|\w*_test|tests?")


class OpenSuite:
    """A `testsuite` or `testsuites` while it is open, and what its own and its inner cases came to."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.name = attributes.get("name", "")
        self.declared = {
            key: int(value)
            for key in ("tests", "failures", "errors", "skipped", "disabled")
            if (value := attributes.get(key, "").strip()).isascii() and value.isdigit() and len(value) < 10
        }
        self.worst: dict[str, int] = {}
        self.attempts: Counter[str] = Counter()
        self.own: Counter[Ended] = Counter()
        self.inner: Counter[Ended] = Counter()

    def add(self, identity: str, ended: Ended) -> None:
        self.own[ended] += 1
        self.attempts[identity] += 1
        self.worst[identity] = max(self.worst.get(identity, 0), _SEVERITY.index(ended))

    def settle(self) -> list[tuple[str, int]]:
        """
        Cases of one name are attempts at one test if the suite counts them as one (pytest-rerunfailures writes
        them so, each without a word); the worst of them then counts. Otherwise they are tests that share a name.
        """
        if len(self.attempts) == self.own.total() or self.declared.get("tests") != len(self.attempts):
            return []
        self.own = Counter(_SEVERITY[worst] for worst in self.worst.values())
        return [(identity, count) for identity, count in self.attempts.items() if count > 1]

    def contradictions(self) -> list[str]:
        """Totals that fit neither the suite's own cases nor those with the inner ones."""
        everything = self.own + self.inner
        fitting = [_totals(everything), _totals(self.own or everything)]
        label = f"suite {self.name[:100]!r}" if self.name else "the report"
        declared = dict(self.declared)
        disabled = declared.pop("disabled", 0)  # skipped too, and by some tools counted as such
        return [
            f'{label} says {key}="{number}", but holds {_totals(everything)[key]}'
            for key, number in declared.items()
            if all(totals[key] not in (number, number + disabled * (key == "skipped")) for totals in fitting)
        ]


def _totals(counts: Counter[Ended]) -> dict[str, int]:

    return {
        "tests": counts.total(),
        "failures": counts["failure"],
        "errors": counts["error"],
        "skipped": counts["skipped"],
    }


class OpenCase:
    """A `testcase` while it is open."""

    def __init__(self, attributes: dict[str, str]) -> None:
        self.attributes = attributes
        self._is_todo = False
        self.ended: Ended = "passed"
        for key in ("status", "result"):
            self.end_as(_ENDED.get(attributes.get(key, "").lower(), "passed"))
        self.message = ""
        self.earlier_failures = 0

    def end_as(self, ended: Ended) -> None:
        self.ended = "skipped" if self._is_todo else max(self.ended, ended, key=_SEVERITY.index)

    def skip(self, attributes: dict[str, str]) -> None:
        """
        What node marks as to do fails nothing, however it ends. What ctest could not start it calls skipped, and fails
        for it.
        """
        if attributes.get("type") == "todo":
            self._is_todo = True
        message = attributes.get("message", "")
        could_not_start = self.attributes.get("status") == "notrun" and message.startswith(_NOT_STARTED)
        self.message = self.message or message[:MAX_WORDS] * could_not_start
        self.end_as("error" if could_not_start else "skipped")


def case_name(attributes: dict[str, str], *, by_pytest: bool) -> str:
    name, classname, file = (attributes.get(key, "")[:MAX_WORDS] for key in ("name", "classname", "file"))
    if file.endswith(".py"):
        module = file.removesuffix(".py").replace("/", ".")
        inner = classname.removeprefix(module).strip(".") if classname.startswith(module) else ""
        return "::".join([file, *filter(None, inner.split(".")), name])
    segments = classname.split(".")
    modules = [at for at, segment in enumerate(segments, 1) if _PYTHON_MODULE.fullmatch(segment)]
    if by_pytest and modules:
        return "::".join(["/".join(segments[: modules[-1]]) + ".py", *segments[modules[-1] :], name])
    return "::".join(filter(None, (classname or file, name))) or "a case without a name"
