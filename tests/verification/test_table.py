"""The table of what a verifier saw and what it then says: one test a row."""

import pytest
from verification.recordings import (
    Recording,
    changed,
    failing,
    junit,
    passing,
    skipped,
)

from dre.domain.verification import VerificationJudged


async def programmatic(recording: Recording) -> VerificationJudged:
    return (await recording.verdicts())[0]


async def structural(recording: Recording) -> VerificationJudged:
    return (await recording.verdicts())[1]


def said(verdict: VerificationJudged) -> tuple[str, float, bool]:
    return verdict.status, verdict.coverage, verdict.veto


async def test_an_exit_other_than_0_fails_with_a_veto(recording: Recording) -> None:
    recording.ends(3)
    verdict = await programmatic(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["exited 3"]
    assert verdict.summary == "exited 3"


async def test_a_signal_fails_with_a_veto(recording: Recording) -> None:
    recording.ends(signal="SIGSEGV")
    verdict = await programmatic(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["killed by SIGSEGV"]


@pytest.mark.parametrize(("limit_us", "words"), [(60_000_000, "60 s"), (1_500_000, "1.5 s")])
async def test_a_timeout_fails_with_a_veto(recording: Recording, limit_us: int, words: str) -> None:
    recording.timeout_us = limit_us
    recording.ends(signal="SIGTERM", timed_out=True)
    verdict = await programmatic(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == [f"timed out after {words}"]
    assert verdict.summary == "timed out"


async def test_failing_tests_stand_before_the_exit_status_and_by_name(recording: Recording) -> None:
    await recording.report(junit(*passing(410), *failing(2), *skipped(3)))
    recording.ends(1)
    verdict = await programmatic(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["2 of 412 tests failed", "exited 1"]
    assert verdict.summary == "2 of 412 failed"
    assert [(finding.subject, finding.detail) for finding in verdict.findings] == [
        ("tests/test_cart.py::test_bad_0", "assert 41 == 42"),
        ("tests/test_cart.py::test_bad_1", "assert 41 == 42"),
    ]


async def test_exit_0_without_a_report_passes_by_half(recording: Recording) -> None:
    verdict = await programmatic(recording)
    assert said(verdict) == ("passed", 0.5, False)
    assert verdict.reasons == ["exit status only: no test report was seen"]
    assert verdict.summary == "exit status only"


async def test_exit_0_and_a_fresh_report_without_failures_passes(recording: Recording) -> None:
    item = await recording.report(junit(*passing(412), *skipped(3)))
    verdict = await programmatic(recording)
    assert said(verdict) == ("passed", 1, False)
    assert verdict.reasons == ["412 tests passed, 3 skipped (report.xml)"]
    assert verdict.summary == "412 tests passed"
    assert verdict.evidence == [item.id]


async def test_exit_0_against_a_fresh_report_with_failures_fails_with_a_veto(recording: Recording) -> None:
    await recording.report(junit(*passing(410), *failing(2)))
    verdict = await programmatic(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["exited 0, but report.xml holds 2 failures"]
    assert verdict.summary == "2 of 412 failed"
    assert len(verdict.findings) == 2


async def test_exit_0_and_a_fresh_report_in_which_no_test_ran_abstains(recording: Recording) -> None:
    await recording.report(junit(tests=0))
    verdict = await programmatic(recording)
    assert said(verdict) == ("abstained", 0, False)
    assert verdict.reasons == ["report.xml says that no test ran"]


async def test_a_stale_report_counts_as_none_and_is_named(recording: Recording) -> None:
    recording.observe("report", "stale", "report.xml is older than the run: not used")
    verdict = await programmatic(recording)
    assert said(verdict) == ("passed", 0.5, False)
    assert verdict.reasons == ["exit status only", "report.xml is older than the run: not used"]


async def test_a_run_without_an_end_abstains(recording: Recording) -> None:
    recording.is_interrupted()
    verdict = await programmatic(recording)
    assert said(verdict) == ("abstained", 0, False)
    assert verdict.reasons == ["the recorder was killed; what happened after 12:03:07 UTC was not seen"]
    assert verdict.summary == "recorder was killed"


async def test_an_altered_item_fails_with_a_veto(recording: Recording) -> None:
    item = await recording.output()
    await recording.changes()
    recording.damage(item)
    verdict = await structural(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["evidence output.txt is not what was recorded"]
    assert [finding.evidence_id for finding in verdict.findings] == [item.id]


async def test_a_missing_item_fails_with_a_veto(recording: Recording) -> None:
    item = await recording.output()
    await recording.changes()
    recording.lose(item)
    verdict = await structural(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["evidence output.txt is missing"]


async def test_an_erased_item_makes_it_abstain_and_the_erasure_is_named(recording: Recording) -> None:
    item = await recording.output()
    await recording.changes()
    recording.lose(item)
    recording.erase(item)
    verdict = await structural(recording)
    assert said(verdict) == ("abstained", 0, False)
    [reason] = verdict.reasons
    assert reason.startswith("output.txt was erased by local-")
    assert reason.endswith(": held a secret")


async def test_trees_seen_and_sources_that_parse_pass(recording: Recording) -> None:
    await recording.changes(changed("cart.py"), changed("tests/test_cart.py", status="added"), changed("shop.toml"))
    verdict = await structural(recording)
    assert said(verdict) == ("passed", 1, False)
    assert verdict.reasons == ["3 files changed, all parse"]


async def test_trees_seen_and_nothing_changed_passes(recording: Recording) -> None:
    await recording.changes()
    verdict = await structural(recording)
    assert said(verdict) == ("passed", 1, False)
    assert verdict.reasons == ["nothing changed"]


async def test_a_source_that_does_not_parse_fails_without_a_veto(recording: Recording) -> None:
    broken = changed("src/cart.py", syntax="broken", syntaxDetail="invalid syntax", line=12)
    await recording.changes(broken, changed("a.py"))
    verdict = await structural(recording)
    assert said(verdict) == ("failed", 1, False)
    assert verdict.reasons == ["src/cart.py does not parse (line 12)"]
    assert [(f.subject, f.detail, f.line) for f in verdict.findings] == [("src/cart.py", "invalid syntax", 12)]


async def test_a_conflict_marker_fails_without_a_veto(recording: Recording) -> None:
    await recording.changes(changed("README.md", syntax="not checked", conflictMarker=7))
    verdict = await structural(recording)
    assert said(verdict) == ("failed", 1, False)
    assert verdict.reasons == ["README.md holds a conflict marker (line 7)"]


async def test_a_change_outside_writes_fails_with_a_veto(recording: Recording) -> None:
    recording.writes = ["build/**"]
    await recording.changes(changed("build/cart.pyc", syntax="not checked"), changed("setup.py"))
    verdict = await structural(recording)
    assert said(verdict) == ("failed", 1, True)
    assert verdict.reasons == ["1 file changed outside --writes build/**: setup.py"]
    assert [finding.subject for finding in verdict.findings] == ["setup.py"]


async def test_a_workspace_that_was_not_observed_makes_it_abstain(recording: Recording) -> None:
    recording.observe("workspace", "not observed", "this is no git repository")
    verdict = await structural(recording)
    assert said(verdict) == ("abstained", 0, False)
    assert verdict.reasons == ["workspace not observed: this is no git repository"]
