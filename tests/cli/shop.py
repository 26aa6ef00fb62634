"""A project in a git repository, and `dre` as people run it: a program with its own streams."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON = [sys.executable, "-P", "-m", "dre"]
LIMIT_S = 120
REPORT = """\
<testsuites><testsuite name="pytest">
  <testcase classname="tests.test_cart" name="test_adds"/>
  <testcase classname="tests.test_cart" name="test_total"/>
  <testcase classname="tests.test_cart" name="test_skipped"><skipped message="later"/></testcase>
</testsuite></testsuites>
"""
BROKEN_REPORT = """\
<testsuites><testsuite name="pytest">
  <testcase classname="tests.test_cart" name="test_adds"/>
  <testcase classname="tests.test_cart" name="test_total" file="tests/test_cart.py" line="7">
    <failure message="assert 41 == 42">def test_total</failure></testcase>
  <testcase classname="tests.test_cart" name="test_discount"><error message="KeyError: 'code'">trace</error></testcase>
</testsuite></testsuites>
"""
BROKEN_OUTPUT = """\
.FE                                                        [100%]
=================================== FAILURES ===================================
__________________________________ test_total __________________________________

    def test_total():
>       assert total() == 42
E       assert 41 == 42

tests/test_cart.py:7: AssertionError
________________________________ test_discount _________________________________
E       KeyError: 'code'
=========================== short test summary info ============================
FAILED tests/test_cart.py::test_total - assert 41 == 42
ERROR tests/test_cart.py::test_discount - KeyError: 'code'
"""


class Answer:
    """What a program said, and how it ended."""

    def __init__(self, done: "subprocess.CompletedProcess[bytes]") -> None:
        self.status, self.out_bytes = done.returncode, done.stdout
        self.out, self.err = (told.decode(errors="backslashreplace") for told in (done.stdout, done.stderr))

    def json(self) -> Any:
        return json.loads(self.out)

    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


class Shop:
    """A folder, with `dre` at hand there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def dre(self, *words: str, **environment: str) -> Answer:
        return Answer(
            subprocess.run(
                [*PYTHON, *words],
                cwd=self.folder,
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=LIMIT_S,
                check=False,
            )
        )

    def record(self, *words: str, status: int = 0) -> str:
        """Runs a command under the recorder and waits until it is judged; the operation's id."""
        kept = self.folder.parent / "operation.id"
        answer = self.dre("wrap", "--verify", "--id-file", str(kept), *words)
        assert answer.status == status, answer.err
        return kept.read_text().strip()

    def short_ids(self) -> list[str]:
        """Newest first, as they are shown."""
        return [row["short"] for row in self.dre("log", "--json", "--quiet").json_lines()]

    def events(self) -> list[Any]:
        return self.dre("events", "--json").json_lines()

    def position_of(self, type: str, number: int = -1) -> int:
        """Of the newest event of this type, or of another one of them."""
        return int([event["position"] for event in self.events() if event["type"] == type][number])

    def passes(self) -> str:
        """A run with a report of this run, in which nothing failed."""
        (self.folder / "report.in").write_text(REPORT)
        return self.record("sh", "-c", "echo '2 passed, 1 skipped'; cat report.in > report.xml")

    def fails(self) -> str:
        """A run in which a test failed and another ended in an error."""
        (self.folder / "report.in").write_text(BROKEN_REPORT)
        (self.folder / "output.in").write_text(BROKEN_OUTPUT)
        return self.record("sh", "-c", "cat output.in; cat report.in > report.xml; exit 1", status=1)
