"""
Test reports: JUnit XML read as a stream, believing its cases and not its totals.

A report is written by the command that is being judged: it may be cut off, huge, contradictory or hostile. Memory is
bounded by the caps below; document types, and with them entities, are refused.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from typing import Literal
from xml.parsers import expat

import msgspec

from dre.verification.suites import MAX_WORDS, Ended, OpenCase, OpenSuite, case_name

MAX_BYTES = 32 << 20
MAX_DEPTH = 64
MAX_CASES = 200_000
MAX_KEPT = 100
"""Failures, retried cases and contradictions that are kept with their words; all are counted."""

_FEED_BYTES = 1 << 20  # a token that spans pieces is scanned again with each: large pieces keep that cheap
_C0 = bytes(set(range(32)) - {9, 10, 13})  # what XML may not hold, and test output does
_C0_REFERENCE = re.compile(rb"&#(?:0*(?:[0-8]|1[124-9]|2\d|3[01])|x0*(?:[0-8bBcCeEfF]|1[0-9a-fA-F]));")
_LONGEST_REFERENCE = 16
_SUITES = ("testsuite", "testsuites")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BROKEN_OFF = {"no element found", "unclosed token", "unclosed CDATA section", "partial character"}


class FailedCase(msgspec.Struct, frozen=True):
    """`name` as people would type it: `tests/test_cart.py::test_total`, else `classname::name`."""

    name: str
    message: str
    ended: Literal["failure", "error"]
    line: int | None = None


class RetriedCase(msgspec.Struct, frozen=True):
    name: str
    detail: str


class Report(msgspec.Struct, frozen=True):
    """
    What the cases say. `claimed`: failures that the totals count although no case shows one. `broke_off`: the run was
    ended in the middle of a test.

    `failures`, `retried` and `contradictions` hold the first hundred; `retries` counts all.
    """

    passed: int
    failed: int
    errors: int
    skipped: int
    failures: tuple[FailedCase, ...] = ()
    retried: tuple[RetriedCase, ...] = ()
    retries: int = 0
    contradictions: tuple[str, ...] = ()
    claimed: int = 0
    broke_off: bool = False

    @property
    def ran(self) -> int:
        return self.passed + self.failed + self.errors

    @property
    def cases(self) -> int:
        return self.ran + self.skipped


class Unreadable(msgspec.Struct, frozen=True):
    """
    No report, and why; where it goes wrong, when that is a place. Columns count from 0, as expat's do. `is_other`: it
    is a whole document of another kind, such as a coverage report.
    """

    why: str
    line: int | None = None
    column: int | None = None
    is_other: bool = False

    def __str__(self) -> str:
        return self.why if self.line is None else f"{self.why} (line {self.line}, column {self.column})"


async def read_report(chunks: AsyncIterator[bytes]) -> Report | Unreadable:
    """Reads to the end even when nothing more can be learned: only then is a blob proved to be what was stored."""
    reading = _Reading()
    async for chunk in chunks:
        reading.feed(chunk)
    return reading.close()


def parse_report(chunks: Iterable[bytes]) -> Report | Unreadable:
    reading = _Reading()
    for chunk in chunks:
        reading.feed(chunk)
    return reading.close()


class _Refused(Exception):
    """Leaves expat's call-backs."""

    def __init__(self, why: str, *, is_other: bool = False) -> None:
        super().__init__(why)
        self.is_other = is_other


class _Reading:
    """Feeds expat, and keeps what its elements come to."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._waiting = bytearray()
        self._size = 0
        self._strip: bool | None = None
        self._unreadable: Unreadable | None = None
        self._depth = 0
        self._by_pytest = self._broke_off = False
        self._suites: list[OpenSuite] = []
        self._case: OpenCase | None = None
        self._case_at = self._text_at = 0
        self._text = ""
        self._cases = self._claimed = self._retries = 0
        self._counts: Counter[Ended] = Counter()
        self._failures: list[FailedCase] = []
        self._retried: list[RetriedCase] = []
        self._contradictions: list[str] = []

    def feed(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > MAX_BYTES and self._unreadable is None:
            self._unreadable = Unreadable(f"it is larger than {MAX_BYTES >> 20} MiB")
        if self._unreadable is not None:
            return
        self._waiting += chunk
        if len(self._waiting) >= _FEED_BYTES:
            self._parse(final=False)

    def close(self) -> Report | Unreadable:
        if self._unreadable is None and self._size == 0:
            return Unreadable("it is empty")
        if self._unreadable is None:
            self._parse(final=True)
        return self._unreadable or Report(
            passed=self._counts["passed"],
            failed=self._counts["failure"],
            errors=self._counts["error"],
            skipped=self._counts["skipped"],
            failures=tuple(self._failures),
            retried=tuple(self._retried),
            retries=self._retries,
            contradictions=tuple(self._contradictions),
            claimed=0 if self._counts["failure"] + self._counts["error"] else self._claimed,
            broke_off=self._broke_off,
        )

    def _parse(self, *, final: bool) -> None:
        try:
            self._parser.Parse(self._take_clean(final=final), final)
        except _Refused as refused:
            self._unreadable = Unreadable(
                str(refused), self._parser.CurrentLineNumber, self._parser.CurrentColumnNumber, refused.is_other
            )
        except expat.ExpatError as error:
            why = expat.errors.messages[error.code]
            why = "it breaks off" if why in _BROKEN_OFF else f"it is no well-formed XML: {why}"
            self._unreadable = Unreadable(why, error.lineno, error.offset)
        except (LookupError, ValueError) as error:  # an encoding that nobody knows, or that expat cannot use
            self._unreadable = Unreadable(f"its encoding cannot be read: {error}", self._parser.CurrentLineNumber, 0)

    def _take_clean(self, *, final: bool) -> bytes:
        """Without control characters, plain or as references; one that may be cut in two waits for its rest."""
        if self._strip is None:
            self._strip = not self._waiting.startswith(_UTF16)
        taken, rest = bytes(self._waiting), b""
        if not final and (start := taken.rfind(b"&", -_LONGEST_REFERENCE)) >= 0 and b";" not in taken[start:]:
            taken, rest = taken[:start], taken[start:]
        self._waiting = bytearray(rest)
        return _C0_REFERENCE.sub(b"", taken.translate(None, _C0)) if self._strip else taken

    def _doctype(self, *_declaration: object) -> None:
        raise _Refused("it declares a document type, which no test report needs")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and tag not in _SUITES:
            raise _Refused(f"it is no JUnit report: its root is <{tag[:40]}>", is_other=True)
        if self._depth > MAX_DEPTH:
            raise _Refused(f"its elements are nested more than {MAX_DEPTH} deep")
        if self._case is not None:
            self._inside_case(self._case, tag, attributes)
        elif tag in _SUITES:
            suite = OpenSuite(attributes)
            self._suites.append(suite)
            self._by_pytest = self._by_pytest or suite.name == "pytest"
        elif tag == "testcase":
            self._open_case(attributes)
        elif tag in ("error", "failure"):  # the suite itself could not run: a case that has only its name
            self._inside_case(self._open_case({"name": self._suites[-1].name}), tag, attributes)

    def _open_case(self, attributes: dict[str, str]) -> OpenCase:
        self._cases += 1
        if self._cases > MAX_CASES:
            raise _Refused(f"it holds more than {MAX_CASES:,} cases")
        self._case, self._case_at = OpenCase(attributes), self._depth
        return self._case

    def _inside_case(self, case: OpenCase, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("failure", "error"):
            case.end_as("failure" if tag == "failure" else "error")
            case.message = case.message or _first_line(attributes.get("message", ""))
            if not case.message:
                case.message = _first_line(attributes.get("type", ""))
                self._read_text()
        elif tag in ("skipped", "skip"):
            case.skip(attributes)
        elif tag in ("flakyFailure", "flakyError", "rerunFailure", "rerunError"):
            case.earlier_failures += 1

    def _read_text(self) -> None:
        self._text_at, self._text = self._depth, ""
        self._parser.CharacterDataHandler = self._add_text

    def _add_text(self, piece: str) -> None:
        """
        The first line that is none of white space, in place of a message that was not given.

        The handler stays until the element ends: taking it away from inside makes expat hand out its buffer again.
        """
        if self._case is not None and "\n" not in self._text and len(self._text) < MAX_WORDS:
            self._text = (self._text + piece).lstrip()[:MAX_WORDS]
            self._case.message = _first_line(self._text) or self._case.message

    def _end(self, tag: str) -> None:
        if self._depth == self._text_at:
            self._parser.CharacterDataHandler, self._text_at = None, 0
        if self._case is None:
            if tag in _SUITES:
                self._end_suite(self._suites.pop())
        elif self._depth == self._case_at:
            self._end_case(self._case)
        self._depth -= 1

    def _end_case(self, case: OpenCase) -> None:
        self._case = None
        if self._by_pytest and not case.attributes.get("name") and not case.attributes.get("classname"):
            self._broke_off = True  # pytest wrote what it had: it was interrupted, or told to exit, in this test
            return
        name = case_name(case.attributes, by_pytest=self._by_pytest)
        self._suites[-1].add(name, case.ended)
        if case.earlier_failures:
            failed = "failed each time" if case.ended in ("failure", "error") else "passed only when run again"
            self._retry(name, f"run {case.earlier_failures + 1} times, {failed}")
        if case.ended in ("failure", "error") and len(self._failures) < MAX_KEPT:
            line = case.attributes.get("line", "")
            number = int(line) + self._by_pytest if line.isascii() and line.isdigit() and len(line) < 9 else None
            self._failures.append(
                FailedCase(name, case.message, "failure" if case.ended == "failure" else "error", number)
            )

    def _end_suite(self, suite: OpenSuite) -> None:
        for name, attempts in suite.settle():
            self._retry(name, f"run {attempts} times")
        self._contradictions += suite.contradictions()[: MAX_KEPT - len(self._contradictions)]
        self._claimed = max(self._claimed, suite.declared.get("failures", 0) + suite.declared.get("errors", 0))
        everything = suite.own + suite.inner
        if self._suites:
            self._suites[-1].inner += everything
        else:
            self._counts = everything

    def _retry(self, name: str, detail: str) -> None:
        self._retries += 1
        if len(self._retried) < MAX_KEPT:
            self._retried.append(RetriedCase(name, detail))


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip()[:MAX_WORDS]
