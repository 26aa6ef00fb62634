"""The programmatic verifier beyond its table: several reports, broken ones, hostile ones, ends that are half known."""

from collections.abc import AsyncIterator

import pytest
from verification.recordings import Recording, a_test, failing, junit, passing, skipped

from dre.domain import codec
from dre.domain.operation import OperationInterrupted
from dre.domain.verification import Finding, VerificationJudged
from dre.ledger.body import MAX_BYTES
from dre.verification import programmatic, reports
from dre.verification.case import Case
from dre.verification.reports import Report


async def judged(recording: Recording) -> VerificationJudged:
    return (await recording.verdicts())[0]


TRUNCATED = junit(*passing(2))[:-40]


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (TRUNCATED, "it breaks off (line 1, column "),
        (b"", "it is empty"),
        (b"<html><body>404</body></html>", "it is no JUnit report: its root is <html> (line 1, column "),
        (b"<testsuite></testcase>", "it is no well-formed XML: mismatched tag (line 1, column "),
        (b'<!DOCTYPE t [<!ENTITY a "b">]><testsuite/>', "it declares a document type, which no test report needs"),
    ],
)
async def test_what_is_no_report_is_none_and_says_where(recording: Recording, xml: bytes, why: str) -> None:
    await recording.report(xml)
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 0.5)
    assert verdict.reasons[0] == "exit status only"
    assert verdict.reasons[1].startswith(f"report.xml cannot be read: {why}")
    assert verdict.reasons[1].endswith("; taken as no report")


async def test_a_report_that_cannot_be_read_does_not_excuse_a_bad_exit(recording: Recording) -> None:
    await recording.report(TRUNCATED)
    recording.ends(1)
    verdict = await judged(recording)
    assert (verdict.status, verdict.veto) == ("failed", True)
    assert verdict.reasons[0] == "exited 1"


async def test_an_unreadable_report_beside_a_good_one_halves_what_was_seen(recording: Recording) -> None:
    await recording.report(junit(*passing(5)), "a.xml")
    await recording.report(TRUNCATED, "b.xml")
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 0.5)
    assert verdict.reasons[0] == "5 tests passed (a.xml)"
    assert verdict.reasons[1].startswith("b.xml cannot be read: ")


async def test_a_report_whose_bytes_were_altered_says_nothing(recording: Recording) -> None:
    recording.damage(await recording.report(junit(*passing(5))))
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 0.5)
    assert verdict.reasons[1] == "report.xml cannot be read: it is not what was recorded; taken as no report"


async def test_a_report_that_is_gone_says_nothing(recording: Recording) -> None:
    recording.lose(await recording.report(junit(*passing(5))))
    assert (await judged(recording)).reasons[1].startswith("report.xml cannot be read: it is missing")


async def test_one_larger_than_the_cap_is_not_read(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    item = await recording.report(junit(*passing(5)))
    monkeypatch.setattr(reports, "MAX_BYTES", item.size_bytes - 1)
    assert (await judged(recording)).reasons[1].startswith("report.xml cannot be read: it is larger than ")


async def test_several_reports_are_one_answer(recording: Recording) -> None:
    await recording.report(junit(*passing(5)), "out/unit/report.xml")
    await recording.report(junit(*passing(3), *skipped(1)), "out/e2e/report.xml")
    await recording.report(junit(*passing(1)), "lint.xml")
    verdict = await judged(recording)
    where = "out/unit/report.xml, out/e2e/report.xml and lint.xml"
    assert verdict.reasons == [f"9 tests passed, 1 skipped ({where})"]


async def test_many_reports_are_counted_rather_than_listed(recording: Recording) -> None:
    for number in range(5):
        await recording.report(junit(*passing(300)), f"TEST-{number}.xml")
    assert (await judged(recording)).reasons == ["1,500 tests passed (5 reports)"]


async def test_a_failure_in_one_of_several_reports_fails(recording: Recording) -> None:
    await recording.report(junit(*passing(5)), "a.xml")
    await recording.report(junit(*failing(1)), "b.xml")
    verdict = await judged(recording)
    assert verdict.veto
    assert verdict.reasons == ["exited 0, but a.xml and b.xml hold 1 failure"]


async def test_a_stale_report_beside_a_fresh_one_is_still_named(recording: Recording) -> None:
    await recording.report(junit(*passing(1)))
    recording.observe("report", "stale", "old.xml is older than the run: not used")
    assert (await judged(recording)).reasons == [
        "1 test passed (report.xml)",
        "old.xml is older than the run: not used",
    ]


async def test_a_document_of_another_kind_beside_a_report_takes_nothing_from_it(recording: Recording) -> None:
    await recording.report(junit(*passing(2)))
    await recording.report(b"<coverage/>", "reports/coverage.xml")
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 1)
    assert "its root is <coverage>" in verdict.reasons[1]


async def test_what_this_run_wrote_and_somebody_has_changed_since_leaves_no_verdict(recording: Recording) -> None:
    recording.observe("report", "partial", "report.xml changed after the run: not used")
    verdict = await judged(recording)
    assert (verdict.status, verdict.summary) == ("abstained", "not every report was read")
    assert verdict.reasons == ["report.xml changed after the run: not used"]


async def test_a_run_that_broke_off_in_a_test_has_not_passed_that_test(recording: Recording) -> None:
    cases = '<testcase classname="test_a" name="test_1"/><testcase time="0.000"/>'
    await recording.report(f'<testsuites><testsuite name="pytest" tests="1">{cases}</testsuite></testsuites>'.encode())
    verdict = await judged(recording)
    assert (verdict.status, verdict.summary) == ("abstained", "the test run broke off")
    assert verdict.reasons == ["report.xml breaks off in the middle of a test", "1 test passed (report.xml)"]


async def test_one_that_was_collected_although_stale_is_not_used(recording: Recording) -> None:
    await recording.report(junit(*passing(1)), fresh=False)
    verdict = await judged(recording)
    assert verdict.coverage == 0.5
    assert verdict.reasons == ["exit status only", "report.xml is older than the run: not used"]


async def test_a_report_that_should_be_there_and_is_not_is_named(recording: Recording) -> None:
    said = "report.xml: the command was told to write it, but it is not there"
    recording.observe("report", "not observed", said)
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 0.5)
    assert verdict.reasons == ["exit status only", said]


async def test_reports_that_were_not_all_collected_cannot_pass(recording: Recording) -> None:
    await recording.report(junit(*passing(5)))
    recording.observe("report", "partial", "more than 500 reports, or 1 GiB of them: the rest was not collected")
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("abstained", 0)
    assert verdict.summary == "not every report was read"
    assert verdict.reasons == [
        "5 tests passed (report.xml)",
        "more than 500 reports, or 1 GiB of them: the rest was not collected",
    ]


async def test_a_run_whose_tests_were_all_skipped_ran_none(recording: Recording) -> None:
    await recording.report(junit(*skipped(3)))
    verdict = await judged(recording)
    assert verdict.status == "abstained"
    assert verdict.reasons == ["report.xml says that no test ran (3 skipped)"]


async def test_errors_are_told_apart_from_failures(recording: Recording) -> None:
    error = a_test("test_db", '<error message="no database"/>')
    await recording.report(junit(*passing(8), *failing(1), error))
    assert (await judged(recording)).reasons == ["exited 0, but report.xml holds 1 failure and 1 error"]
    recording.ends(1)
    assert (await judged(recording)).reasons == ["1 of 10 tests failed, 1 ended in an error", "exited 1"]


async def test_errors_alone_are_not_called_failures(recording: Recording) -> None:
    await recording.report(junit(*passing(1), a_test("test_db", '<error message="no database"/>')))
    recording.ends(2)
    verdict = await judged(recording)
    assert verdict.reasons == ["1 of 2 tests ended in an error", "exited 2"]
    assert verdict.summary == "1 of 2 failed"


async def test_a_bad_exit_after_passinged_says_both(recording: Recording) -> None:
    await recording.report(junit(*passing(4)))
    recording.ends(1)
    assert (await judged(recording)).reasons == ["exited 1", "4 tests passed (report.xml)"]


async def test_totals_that_count_failures_no_case_shows_are_believed_by_neither_side(recording: Recording) -> None:
    await recording.report(junit(*passing(4), tests=4, failures=2))
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("abstained", 0)
    assert verdict.reasons == ["report.xml contradicts itself: it counts 2 failures, but no case shows one"]
    assert [finding.detail for finding in verdict.findings] == ["suite 'pytest' says failures=\"2\", but holds 0"]


async def test_totals_that_contradict_harmlessly_are_a_finding(recording: Recording) -> None:
    await recording.report(junit(*passing(4), tests=5))
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 1)
    assert [finding.detail for finding in verdict.findings] == ["suite 'pytest' says tests=\"5\", but holds 4"]


async def test_a_test_that_passed_only_when_run_again_is_named(recording: Recording) -> None:
    flaky = a_test("test_flaky", '<flakyFailure message="once"/>')
    item = await recording.report(junit(*passing(3), flaky))
    verdict = await judged(recording)
    assert verdict.status == "passed"
    assert verdict.findings == [
        Finding("tests/test_cart.py::test_flaky", "run 2 times, passed only when run again", None, item.id)
    ]


@pytest.mark.parametrize(
    ("exit_code", "signal", "words"),
    [(0, None, "the command itself exited 0"), (None, "SIGKILL", "the command itself was killed by SIGKILL")],
)
async def test_an_end_that_only_the_keeper_saw_is_said_and_decides_nothing(
    recording: Recording, exit_code: int | None, signal: str | None, words: str
) -> None:
    await recording.report(junit(*passing(4)))
    recording.is_interrupted(exit_code, signal)
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage, verdict.veto) == ("abstained", 0, False)
    assert verdict.reasons[1:] == [words, "4 tests passed (report.xml)"]


@pytest.mark.parametrize(
    ("reason", "summary"),
    [
        ("the recorder was killed", "recorder was killed"),
        ("the recorder was killed; the command's own end was still seen", "recorder was killed"),
        ("the machine stopped while it was recorded", "recording was interrupted"),
    ],
)
async def test_why_it_was_cut_short_in_five_words(recording: Recording, reason: str, summary: str) -> None:
    recording.end = OperationInterrupted(recording.id, reason, 0, None, None, None, None)
    verdict = await judged(recording)
    assert verdict.summary == summary
    assert verdict.reasons == [f"{reason}; what happened after 00:00:00 UTC was not seen"]


async def test_nothing_recorded_at_all_is_an_abstention(recording: Recording) -> None:
    opinion = await programmatic.judge(Case(recording.id), recording.blobs)
    assert opinion.status == "abstained"
    assert opinion.reasons == ["how the run ended is not recorded, or was erased"]


async def test_many_failures_are_counted_and_the_first_hundred_named(recording: Recording) -> None:
    await recording.report(junit(*failing(2500)))
    verdict = await judged(recording)
    assert verdict.summary == "2,500 of 2,500 failed"
    assert len(verdict.findings) == 101
    assert verdict.findings[-1] == Finding("and 2,400 more")


async def test_hostile_names_stay_what_they_are_and_fit_a_body(recording: Recording) -> None:
    name = "\x7f\u202e\x9b2J<script>" + "\U0001f4a5" * 5_000
    failure = f'<failure message="{"&quot;" * 5_000}"/>'
    hostile = a_test(name.replace("<", "&lt;"), failure)
    await recording.report(junit(*[hostile] * 150))
    recording.ends(1)
    verdict = await judged(recording)
    assert verdict.findings[0].subject.startswith("tests/test_cart.py::\x7f\u202e\x9b2J<script>\U0001f4a5")
    assert verdict.findings[-1].subject.startswith("and ")
    assert len(codec.encode(verdict)) < MAX_BYTES


async def test_a_report_is_read_to_its_end_even_when_it_is_broken_at_once() -> None:
    """Only the last piece proves the blob."""
    handed_out = []

    async def pieces() -> AsyncIterator[bytes]:
        for piece in (b"<html>", b" " * 2_000_000, b"</html>"):
            handed_out.append(piece)
            yield piece

    assert not isinstance(await reports.read_report(pieces()), Report)
    assert len(handed_out) == 3
