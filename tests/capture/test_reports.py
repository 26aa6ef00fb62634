"""A test report counts only if this run wrote it, and only a file of the work tree is opened."""

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from capture.recorded import History, Place, states, until

from dre.capture import reports
from dre.capture.ingest import Rules
from dre.capture.reports import CLOCK_STEP_NS, Report, Run, find_reports, named_in
from dre.domain.evidence import EvidenceCollected, Observation

REPORT = "<testsuite tests='1'><testcase name='a'/></testsuite>"
_opened: list[Report] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while _opened:
        os.close(_opened.pop().fd)


def find(
    top: Path, *argv: str, globs: Sequence[str] = (), cwd: Path | None = None, run: Run | None = None
) -> tuple[list[str], list[Observation]]:
    always = Run(0, time.time_ns() + 10**12)
    found, said = find_reports(
        [word.encode() for word in argv], globs, os.fsencode(cwd or top), os.fsencode(top), run or always
    )
    _opened.extend(found)
    return [os.fsdecode(report.source) for report in found], said


@pytest.mark.parametrize(
    ("argv", "named"),
    [
        (["pytest", "--junitxml=a.xml"], ["a.xml"]),
        (["pytest", "--junitxml", "a.xml", "-q"], ["a.xml"]),
        (["pytest", "--junit-xml=out/a.xml"], ["out/a.xml"]),
        (["pytest", "--junit-xml", "a.xml"], ["a.xml"]),
        (["gotestsum", "--junitfile", "unit.xml", "./..."], ["unit.xml"]),
        (["phpunit", "--log-junit", "a.xml"], ["a.xml"]),
        (["newman", "run", "--reporter-junit-export", "x/a.xml"], ["x/a.xml"]),
        (["./test", "--gtest_output=xml:g.xml"], ["g.xml"]),
        (["tool", "--junit", "--verbose"], []),
        (["tool", "--junit", "tests"], []),
        (["pytest", "--junitxml="], []),
        (["sh", "-c", "cd x && pytest --junitxml='a b.xml' -q --junit-xml out.xml; true"], ["out.xml"]),
        (["make", "TESTFLAGS=--junitxml=a.xml -q"], ["a.xml"]),
        (["pytest", "--junitxml=a.xml", "--junit-prefix=py3.11"], ["a.xml"]),
        (["gotestsum", "--junitfile=a.xml", "--junitfile-testsuite-name=short"], ["a.xml"]),
        (["mvn", "-DjunitVersion=5.9.1", "test"], []),
        (["sh", "-c", "for s in a b; do pytest $s --junitxml=reports/$s.xml; done"], []),
    ],
)
def test_where_the_command_was_told_to_write(argv: list[str], named: list[str]) -> None:
    assert [value.decode() for value in named_in([word.encode() for word in argv])] == named


def test_a_report_that_the_command_names_is_found_and_read_from_there(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.xml").write_text(REPORT)

    assert find(tmp_path, "pytest", "--junitxml=out/a.xml")[0] == ["out/a.xml"]
    assert find(tmp_path, "pytest", "--junitxml=../out/a.xml", cwd=tmp_path / "out")[0] == ["a.xml"]
    assert find(tmp_path, "pytest", f"--junitxml={tmp_path}/out/a.xml")[0] == ["out/a.xml"]
    assert find(tmp_path, "mvn", "--junit-dir=./out")[0] == ["out/a.xml"]


def test_globs_are_asked_of_the_working_directory_and_of_the_top(tmp_path: Path) -> None:
    for name in ("a/report.xml", "report.xml", "a/deep/er/TEST-x.xml", ".git/report.xml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(REPORT)

    top = str(tmp_path)
    assert find(tmp_path, globs=["report.xml"], cwd=tmp_path / "a")[0] == ["report.xml", f"{top}/report.xml"]
    assert find(tmp_path, globs=["**/TEST-*.xml"])[0] == ["a/deep/er/TEST-x.xml"]
    assert find(tmp_path, globs=["**/report.xml"])[0] == ["report.xml", "a/report.xml"]
    assert find(tmp_path, globs=["*/report.xml", "a/*.xml", "./a/report.xml"])[0] == ["a/report.xml"]
    assert find(tmp_path, globs=["../*.xml", "/etc/*"])[0] == []


def test_the_same_file_is_collected_once(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(REPORT)

    assert find(tmp_path, "--junitxml=a.xml", "--junit-dir=.", globs=["a.xml", "*.xml"]) == (["a.xml"], [])


def test_freshness_goes_by_the_times_of_the_file_and_of_its_content(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(REPORT)
    changed = report.stat().st_ctime_ns

    def said(began: int, ended: int) -> list[str]:
        return [one.detail for one in find(tmp_path, globs=["*.xml"], run=Run(began, ended))[1]]

    assert said(changed - 1, changed + 1) == []
    assert said(changed + CLOCK_STEP_NS, changed + 10**9) == []  # the kernel's file clock is a little behind
    assert said(changed + CLOCK_STEP_NS + 1, changed + 10**9) == ["report.xml is older than the run: not used"]
    assert said(0, changed - CLOCK_STEP_NS - 1) == ["report.xml changed after the run: not used"]


@pytest.mark.parametrize("touched", ["unpacked", "renamed", "chmod", "linked", "copied"])
def test_a_leftover_that_something_in_the_run_touched_is_still_one(tmp_path: Path, touched: str) -> None:
    report, old = tmp_path / "report.xml", tmp_path / "old"
    old.write_text(REPORT)
    until(lambda: time.time_ns() > old.stat().st_ctime_ns + 2 * CLOCK_STEP_NS, "the file's time to pass")
    began = time.time_ns()
    if touched in ("unpacked", "copied"):
        shutil.copyfile(old, report)
        if touched == "unpacked":
            os.utime(report, (1, 1))
        else:
            shutil.copystat(old, report)
    else:
        os.rename(old, report)
        if touched == "chmod":
            report.chmod(0o640)
        elif touched == "linked":
            os.link(report, tmp_path / "backup")

    found, [said] = find(tmp_path, globs=["*.xml"], run=Run(began, began + 10**12))

    assert (found, said.state, said.detail) == ([], "stale", "report.xml is older than the run: not used")


def test_what_is_stale_is_said_as_stale(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)

    found, [said] = find(tmp_path, globs=["*.xml"], run=Run(time.time_ns() + 10**12, time.time_ns() + 2 * 10**12))

    assert (found, said.subject, said.state) == ([], "report", "stale")


def test_a_report_that_was_promised_and_is_not_there_is_said(tmp_path: Path) -> None:
    found, [said] = find(tmp_path, "pytest", "--junitxml=a.xml", globs=["b.xml"])

    assert (found, said.state) == ([], "not observed")
    assert said.detail == "a.xml: the command was told to write it, but it is not there"


def test_nothing_outside_and_nothing_behind_a_link_is_opened(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "real").mkdir(parents=True)
    (tmp_path / "secret.xml").write_text(REPORT)
    (top / "link.xml").symlink_to(tmp_path / "secret.xml")
    (top / "folder").symlink_to(tmp_path)
    os.mkfifo(top / "pipe.xml")
    (top / "folder.xml").mkdir()

    for argv, why in (
        ("--junitxml=../secret.xml", "../secret.xml"),
        (f"--junitxml={tmp_path}/secret.xml", "outside of the work tree"),
        ("--junitxml=link.xml", "link.xml is reached by a symbolic link: not read"),
        ("--junitxml=folder/secret.xml", "folder/secret.xml is reached by a symbolic link: not read"),
        ("--junitxml=pipe.xml", "pipe.xml is no regular file: not read"),
    ):
        found, [said] = find(top, argv)
        assert found == []
        assert said.state == "not observed"
        assert why in said.detail or "outside of the work tree" in said.detail
    assert find(top, globs=["folder/*.xml", "folder.xml"])[0] == []


def test_what_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "huge.xml").open("wb") as file:
        file.truncate(reports.LARGEST + 1)

    found, [said] = find(tmp_path, globs=["*.xml"])

    assert (found, said.detail) == ([], "huge.xml is larger than 32 MiB: not read")


def test_more_reports_than_anybody_reads(tmp_path: Path) -> None:
    for number in range(reports.MOST + 5):
        (tmp_path / f"{number:03}.xml").write_text(REPORT)

    found, [said] = find(tmp_path, globs=["*.xml"])

    assert len(found) == reports.MOST
    assert said.state == "partial"


def test_more_of_them_together_than_anybody_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "LARGEST_TOGETHER", 3 * len(REPORT) - 1)
    for number in range(5):
        (tmp_path / f"{number}.xml").write_text(REPORT)

    found, [said] = find(tmp_path, globs=["*.xml"])

    assert found == ["0.xml", "1.xml", "2.xml"]
    assert said.state == "partial"


def test_what_holds_for_many_is_said_once(tmp_path: Path) -> None:
    later = Run(time.time_ns() + 10**12, time.time_ns() + 2 * 10**12)
    for number in range(3):
        (tmp_path / f"{number}.xml").write_text(REPORT)

    def said() -> list[str]:
        return [one.detail for one in find(tmp_path, globs=["*.xml", "*.link"], run=later)[1]]

    assert said() == [f"{number}.xml is older than the run: not used" for number in range(3)]
    for number in range(3, 1200):
        (tmp_path / f"{number}.xml").write_text(REPORT)
    (tmp_path / "0.link").symlink_to("0.xml")
    assert said() == [
        "0.xml and 1,199 more are older than the run: not used",
        "0.link is reached by a symbolic link: not read",
    ]


def test_a_name_that_is_no_text_is_found_too(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/caf\xe9.xml", "w", encoding="utf-8") as file:
        file.write(REPORT)

    assert find(tmp_path, globs=["*.xml"])[0] == [os.fsdecode(b"caf\xe9.xml")]


async def test_a_report_of_an_earlier_run_is_not_taken_for_this_one_s(repository: Place, history: History) -> None:
    rules = Rules(report_globs=["report.xml"])
    (repository.top / "report.xml").write_text(REPORT)
    changed = (repository.top / "report.xml").stat().st_ctime_ns
    until(lambda: time.time_ns() > changed + 2 * CLOCK_STEP_NS, "the file's time to pass")
    old = repository.wrap("true")
    new = repository.wrap("sh", "-c", f'echo "{REPORT}" > report.xml')
    assert states(await history.take(repository, rules)) == ["recorded"] * 2

    assert "report" not in await history.items(old)
    assert "report" in await history.items(new)
    # By the time of the ingest the second run had written it anew.
    [said] = await history.observations(old, "report")
    assert (said.state, said.detail) == ("stale", "report.xml changed after the run: not used")


async def test_a_stale_report_leaves_a_remark(repository: Place, history: History) -> None:
    (repository.top / "report.xml").write_text(REPORT)
    changed = (repository.top / "report.xml").stat().st_ctime_ns
    until(lambda: time.time_ns() > changed + 2 * CLOCK_STEP_NS, "the file's time to pass")
    id = repository.wrap("true")
    await history.take(repository, Rules(report_globs=["*.xml"]))

    [said] = await history.observations(id, "report")
    assert (said.state, said.detail) == ("stale", "report.xml is older than the run: not used")


@pytest.mark.parametrize(
    ("began", "ended", "state", "why"),
    [(10**12, 2 * 10**12, "not observed", "is older than the run"), (-(10**12), -(10**11), "partial", "changed after")],
)
def test_what_is_of_another_time_where_the_command_writes_hides_what_it_wrote(
    tmp_path: Path, began: int, ended: int, state: str, why: str
) -> None:
    (tmp_path / "report.xml").write_text(REPORT)
    now = time.time_ns()

    found, [said] = find(tmp_path, "--junitxml=report.xml", run=Run(now + began, now + ended))

    assert (found, said.state) == ([], state)
    assert said.detail.startswith(f"report.xml {why}")


def test_of_a_file_that_is_to_be_written_twice_it_is_said_that_only_the_last_was_seen(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(REPORT)

    found, [said] = find(tmp_path, "sh", "-c", "pytest one --junitxml=a.xml; pytest two --junitxml=./a.xml")

    assert (found, said.state) == (["a.xml"], "not observed")
    assert said.detail == "a.xml was to be written more than once: the last one was seen"


def test_beside_another_recording_only_what_the_command_names_is_surely_its_own(tmp_path: Path) -> None:
    for name in ("a.xml", "b.xml"):
        (tmp_path / name).write_text(REPORT)
    always = Run(0, time.time_ns() + 10**12)

    found, [said] = find_reports(
        [b"--junitxml=a.xml"], ["*.xml"], os.fsencode(tmp_path), os.fsencode(tmp_path), always, alone=False
    )
    _opened.extend(found)

    assert [report.source for report in found] == [b"a.xml", b"b.xml"]
    assert (said.state, said.detail) == ("not observed", "b.xml may be of another recording that ran at the same time")


def test_a_search_that_ends_before_all_was_looked_at_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dre.capture.reports._MOST_LOOKED_AT", 3)
    for name in ("a.xml", "b.xml", "c.xml", "d.xml"):
        (tmp_path / name).write_text(REPORT)

    found, [said] = find(tmp_path, globs=["*.xml"])

    assert (found, said.state) == (["a.xml", "b.xml", "c.xml"], "partial")
    assert said.detail == "more than 3 names were looked at: reports were not looked for in the rest"


async def test_of_the_reports_of_many_suites_every_one_is_read(repository: Place, history: History) -> None:
    script = f"""
mkdir -p target/surefire-reports
for number in $(seq 150); do echo '{REPORT}' > target/surefire-reports/TEST-$number.xml; done
"""
    id = repository.wrap("sh", "-c", script)
    rules = Rules(report_globs=["**/surefire-reports/TEST-*.xml"])
    assert states(await history.take(repository, rules)) == ["recorded"]

    collected = [fact for fact in await history.facts(id) if isinstance(fact, EvidenceCollected)]
    assert len([item for item in collected if item.kind == "report"]) == 150
    [said] = await history.observations(id, "report")
    assert said.detail == "target/surefire-reports/TEST-1.xml and 149 more, written in this run"


async def test_a_report_that_changes_while_it_is_read_is_not_used(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = repository.wrap("sh", "-c", f'echo "{REPORT}" > report.xml')
    monkeypatch.setattr("dre.capture.evidence.unchanged", lambda _report: False)
    await history.take(repository, Rules(report_globs=["*.xml"]))

    assert "report" not in await history.items(id)
    [said] = await history.observations(id, "report")
    assert (said.state, said.detail) == ("partial", "report.xml changed while it was read: not used")
    stored = {path.parent.name + path.name for path in (history.folder / "evidence").glob("??/*")}
    assert stored == {item.hash for item in (await history.items(id)).values()}  # nothing that nobody speaks of
