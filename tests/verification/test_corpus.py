"""
A corpus of runs with a known truth, each judged through a real ledger and a real blob store.

Every faulty run differs from the good one in its fault alone, so that what the verdict says is said of the fault.
"""

from collections.abc import Awaitable, Callable

import pytest
from verification.recordings import ACTOR, Recording, a_test, changed, failing, junit, passing, skipped

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.event_store import SQLiteEventStore
from dre.adapters.sqlite.table_store import SQLiteTableStore
from dre.application.execute import Appender, read_stream
from dre.application.follow import Following
from dre.domain.verification import VerificationComplete
from dre.ledger.event_id import derived_id, operation_event_id
from dre.verification.follower import followers

GOOD = junit(*passing(412), *skipped(3), tests=415, failures=0, errors=0, skipped=3)
SOURCES = (changed("shop/cart.py"), changed("tests/test_cart.py"), changed("pyproject.toml"))
KILLED = "the recorder was killed; what happened after 12:03:07 UTC was not seen"
STALE = "report.xml is older than the run: not used"

Fault = Callable[[Recording], Awaitable[None]]


async def good(run: Recording) -> None:
    await run.output()
    await run.report(GOOD)
    await run.changes(*SOURCES)


async def exit_status_only(run: Recording) -> None:
    await run.output()
    await run.changes()


async def lying_exit_code(run: Recording) -> None:
    await run.output()
    await run.report(junit(*passing(410), *failing(2)))
    await run.changes(*SOURCES)


async def honest_exit_code(run: Recording) -> None:
    await lying_exit_code(run)
    run.ends(1)


async def stale_report(run: Recording) -> None:
    await run.output()
    await run.changes(*SOURCES)
    run.observe("report", "stale", STALE)


async def zero_tests(run: Recording) -> None:
    await run.output()
    await run.report(junit(tests=0))
    await run.changes(*SOURCES)


async def all_skipped(run: Recording) -> None:
    await run.output()
    await run.report(junit(*skipped(412)))
    await run.changes(*SOURCES)


async def truncated_report(run: Recording) -> None:
    await run.output()
    await run.report(GOOD[:-1000])
    await run.changes(*SOURCES)


async def entity_bomb(run: Recording) -> None:
    await run.output()
    await run.report(b'<!DOCTYPE t [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite tests="1">&b;</testsuite>')
    await run.changes(*SOURCES)


async def failures_only_in_the_totals(run: Recording) -> None:
    await run.output()
    await run.report(junit(*passing(412), tests=412, failures=1))
    await run.changes(*SOURCES)


async def flaky(run: Recording) -> None:
    await run.output()
    await run.report(junit(*passing(411), a_test("test_flaky", "<flakyFailure/>")))
    await run.changes(*SOURCES)


async def altered_output(run: Recording) -> None:
    await good(run)
    run.damage(run.items[0])


async def altered_report(run: Recording) -> None:
    await good(run)
    run.damage(run.items[1])


async def missing_evidence(run: Recording) -> None:
    await good(run)
    run.lose(run.items[0])


async def erased_evidence(run: Recording) -> None:
    await good(run)
    run.lose(run.items[0])
    run.erase(run.items[0])


async def interrupted(run: Recording) -> None:
    await good(run)
    run.is_interrupted(0)


async def interrupted_and_altered(run: Recording) -> None:
    await good(run)
    run.is_interrupted()
    run.damage(run.items[0])


async def undeclared_file_change(run: Recording) -> None:
    run.writes = ["shop/**", "tests/**"]
    await good(run)


async def declared_file_changes(run: Recording) -> None:
    run.writes = ["shop/**", "tests/**", "*.toml"]
    await good(run)


async def conflict_marker(run: Recording) -> None:
    await run.output()
    await run.changes(*SOURCES, changed("shop/stock.py", conflictMarker=9))


async def conflict_marker_under_passing_tests(run: Recording) -> None:
    await run.output()
    await run.report(GOOD)
    await run.changes(*SOURCES, changed("README.md", syntax="not checked", conflictMarker=9))


async def broken_source(run: Recording) -> None:
    await run.output()
    await run.changes(*SOURCES, changed("shop/stock.py", syntax="broken", line=3, syntaxDetail="invalid syntax"))


async def timed_out(run: Recording) -> None:
    await good(run)
    run.timeout_us = 60_000_000
    run.ends(signal="SIGTERM", timed_out=True)


async def signal(run: Recording) -> None:
    await good(run)
    run.ends(signal="SIGSEGV")


async def outside_a_repository(run: Recording) -> None:
    await run.output()
    await run.report(GOOD)
    run.observe("workspace", "not observed", "this is no git repository")


CORPUS: list[tuple[Fault, str, str | None, str, str]] = [
    (good, "passed", "strong", "412 tests passed", "412 tests passed, 3 skipped (report.xml)"),
    (exit_status_only, "passed", "weak", "exit status only", "exit status only: no test report was seen"),
    (declared_file_changes, "passed", "strong", "412 tests passed", "412 tests passed, 3 skipped (report.xml)"),
    (flaky, "passed", "strong", "412 tests passed", "412 tests passed, 1 run again (report.xml)"),
    (lying_exit_code, "failed", "strong", "2 of 412 failed", "exited 0, but report.xml holds 2 failures"),
    (honest_exit_code, "failed", "strong", "2 of 412 failed", "2 of 412 tests failed"),
    (stale_report, "passed", "weak", "exit status only", "exit status only"),
    (zero_tests, "inconclusive", None, "no test ran", "report.xml says that no test ran"),
    (all_skipped, "inconclusive", None, "no test ran", "report.xml says that no test ran (412 skipped)"),
    (truncated_report, "passed", "weak", "exit status only", "exit status only"),
    (entity_bomb, "passed", "weak", "exit status only", "exit status only"),
    (
        failures_only_in_the_totals,
        "inconclusive",
        None,
        "report contradicts itself",
        "report.xml contradicts itself: it counts 1 failure, but no case shows one",
    ),
    (altered_output, "failed", "strong", "evidence altered", "evidence output.txt is not what was recorded"),
    (altered_report, "failed", "weak", "evidence altered", "evidence report-1.xml is not what was recorded"),
    (missing_evidence, "failed", "strong", "evidence missing", "evidence output.txt is missing"),
    (erased_evidence, "inconclusive", None, "evidence was erased", f"output.txt was erased by {ACTOR}: held a secret"),
    (interrupted, "inconclusive", None, "recorder was killed", KILLED),
    (interrupted_and_altered, "failed", "weak", "evidence altered", "evidence output.txt is not what was recorded"),
    (
        undeclared_file_change,
        "failed",
        "strong",
        "wrote outside --writes",
        "1 file changed outside --writes shop/** and tests/**: pyproject.toml",
    ),
    (conflict_marker, "failed", "weak", "conflict markers left", "shop/stock.py holds a conflict marker (line 9)"),
    (
        conflict_marker_under_passing_tests,
        "passed",
        "strong",
        "412 tests passed",
        "README.md holds a conflict marker (line 9)",
    ),
    (broken_source, "failed", "weak", "1 file does not parse", "shop/stock.py does not parse (line 3)"),
    (timed_out, "failed", "strong", "timed out", "timed out after 60 s"),
    (signal, "failed", "strong", "killed by SIGSEGV", "killed by SIGSEGV"),
    (
        outside_a_repository,
        "inconclusive",
        None,
        "workspace not observed",
        "workspace not observed: this is no git repository",
    ),
]
VETOES = {
    lying_exit_code,
    honest_exit_code,
    altered_output,
    altered_report,
    missing_evidence,
    interrupted_and_altered,
    undeclared_file_change,
    timed_out,
    signal,
}


async def verdict_of(
    run: Recording, store: SQLiteEventStore, tables: SQLiteTableStore, blobs: FileBlobStore
) -> VerificationComplete:
    """Recorded, followed, and read back from the ledger."""
    appender = Appender(store)
    await run.record(appender)
    following = Following(store, tables, followers(store, appender, blobs, ACTOR))
    assert await following.catch_up() == []
    complete = 2 + len(run.items)
    id = derived_id("verification-trigger", str(operation_event_id(run.id, complete)), 0)
    *_, last = await read_stream(store, f"default/verification-{id}")
    assert isinstance(last.event, VerificationComplete)
    return last.event


@pytest.mark.parametrize(
    ("plant", "result", "grade", "summary", "first"), CORPUS, ids=lambda value: getattr(value, "__name__", "")
)
async def test_the_verdict_on_a_run_whose_truth_is_known(
    recording: Recording,
    store: SQLiteEventStore,
    tables: SQLiteTableStore,
    blobs: FileBlobStore,
    plant: Fault,
    result: str,
    grade: str | None,
    summary: str,
    first: str,
) -> None:
    await plant(recording)
    verdict = await verdict_of(recording, store, tables, blobs)
    assert (verdict.result, verdict.grade, verdict.summary) == (result, grade, summary)
    assert verdict.reasons[0] == first
    assert bool(verdict.vetoes) is (plant in VETOES)
    assert verdict.confidence is None
    assert len(verdict.summary.split()) <= 5


async def test_a_stale_report_is_named_in_the_verdict(recording: Recording) -> None:
    await stale_report(recording)
    assert STALE in (await recording.verdict()).reasons


async def test_a_truncated_report_is_named_in_the_verdict(recording: Recording) -> None:
    await truncated_report(recording)
    assert any(
        reason.startswith("report.xml cannot be read: it breaks off (line 1,")
        for reason in (await recording.verdict()).reasons
    )


async def test_a_conflict_marker_under_passing_tests_is_disputed(recording: Recording) -> None:
    await conflict_marker_under_passing_tests(recording)
    verdict = await recording.verdict()
    assert verdict.disputed
    assert verdict.reasons[-1] == "disputed: structural says failed, programmatic says passed"


def test_no_run_with_a_veto_is_called_passed() -> None:
    assert {result for plant, result, *_ in CORPUS if plant in VETOES} == {"failed"}
