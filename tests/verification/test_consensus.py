"""The consensus: its rules one by one, then what must hold for any verdicts at all."""

from collections.abc import Sequence
from uuid import UUID

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from verification.recordings import Recording, changed, failing, junit, operation, passing, request, skipped

from dre.domain import codec
from dre.domain.evidence import Observation
from dre.domain.operation import OperationCompleted, OperationInterrupted
from dre.domain.verification import Modality, Status, Term, VerificationComplete, VerificationJudged
from dre.ledger.body import MAX_BYTES
from dre.ledger.event_id import derived_id
from dre.verification.case import Case
from dre.verification.consensus import MICRO, NEVER_OBSERVED, Pool, conclude, pool

ID = operation(1)
ENDED = Case(ID, ended=OperationCompleted(ID, "succeeded", 0, None, 1, 1, None, None))
CUT = Case(ID, ended=OperationInterrupted(ID, "the recorder was killed", 1, None, None, None, None))
BOTH: tuple[Modality, ...] = ("programmatic", "structural")
ALL: tuple[Modality, ...] = ("programmatic", "structural", "behavioral", "visual")


def verdict(
    modality: Modality, status: Status, coverage: float = 1, *, veto: bool = False, verifier: str = ""
) -> VerificationJudged:
    name = verifier or f"{modality}/1"
    words = f"{modality} {status}"
    id = derived_id("test", name, 0)
    evidence: list[UUID] = []
    return VerificationJudged(
        id, request(ID).id, ID, modality, name, status, None, coverage, veto, [words], [], evidence, words
    )


def concluded(
    *verdicts: VerificationJudged, case: Case = ENDED, modalities: Sequence[Modality] = BOTH
) -> VerificationComplete:
    return conclude(request(ID, modalities), case, verdicts)


async def test_make_that_ends_well_is_passed_and_weak(recording: Recording) -> None:
    await recording.output()
    await recording.changes(changed("cart.o", syntax="not checked"))
    verdict = await recording.verdict()
    assert (verdict.result, verdict.grade, verdict.confidence) == ("passed", "weak", None)
    assert verdict.coverage == 0.6875
    assert verdict.terms == [
        Term("programmatic", 1_000_000, 1_000_000, 500_000),
        Term("structural", 600_000, 2_000_000, 1_000_000),
    ]
    assert verdict.pool_micro == 2_200_000
    assert verdict.summary == "exit status only"


async def test_with_a_fresh_report_it_is_strong(recording: Recording) -> None:
    await recording.report(junit(*passing(412), *skipped(3)))
    await recording.changes(*(changed(f"{number}.py") for number in range(7)))
    verdict = await recording.verdict()
    assert (verdict.result, verdict.grade, verdict.coverage) == ("passed", "strong", 1)
    assert verdict.reasons == ["412 tests passed, 3 skipped (report.xml)", "7 files changed, all parse"]
    assert verdict.summary == "412 tests passed"


async def test_failing_tests_fail_and_come_first(recording: Recording) -> None:
    await recording.report(junit(*passing(410), *failing(2)))
    await recording.changes()
    recording.ends(1)
    verdict = await recording.verdict()
    assert (verdict.result, verdict.vetoes, verdict.summary) == ("failed", ["programmatic"], "2 of 412 failed")
    assert verdict.reasons[:3] == ["2 of 412 tests failed", "exited 1", "nothing changed"]


async def test_a_killed_recorder_is_inconclusive(recording: Recording) -> None:
    await recording.changes()
    recording.is_interrupted(0)
    verdict = await recording.verdict()
    assert (verdict.result, verdict.grade, verdict.confidence) == ("inconclusive", None, None)
    assert verdict.summary == "recorder was killed"
    assert "the recorder was killed; what happened after 12:03:07 UTC was not seen" in verdict.reasons


async def test_outside_a_repository_exit_0_alone_is_not_enough(recording: Recording) -> None:
    recording.observe("workspace", "not observed", "this is no git repository")
    verdict = await recording.verdict()
    assert verdict.result == "inconclusive"
    assert verdict.reasons[-1] == "not enough was observed to call it passed: only how the run ended"
    assert verdict.not_observed == ["workspace: this is no git repository", *NEVER_OBSERVED]


def test_a_veto_cannot_be_outvoted() -> None:
    altered = verdict("structural", "failed", veto=True)
    assert concluded(verdict("programmatic", "passed"), altered).result == "failed"
    assert concluded(verdict("programmatic", "passed"), altered).vetoes == ["structural"]
    assert concluded(verdict("programmatic", "abstained", 0), altered, case=CUT).result == "failed"


def test_a_source_that_does_not_parse_is_outvoted_by_tests_and_that_is_disputed() -> None:
    mixed = concluded(verdict("programmatic", "passed"), verdict("structural", "failed"))
    assert (mixed.result, mixed.disputed, mixed.pool_micro) == ("passed", True, 800_000)
    assert mixed.reasons == [
        "structural failed",
        "programmatic passed",
        "disputed: structural says failed, programmatic says passed",
    ]


def test_a_source_that_does_not_parse_outweighs_a_mere_exit_status() -> None:
    mixed = concluded(verdict("programmatic", "passed", 0.5), verdict("structural", "failed"))
    assert (mixed.result, mixed.disputed, mixed.summary) == ("failed", True, "structural failed")


@pytest.mark.parametrize(("coverage", "disputed"), [(0.5555, False), (0.5556, True)])
def test_disputed_is_more_than_half_pulled_back(coverage: float, *, disputed: bool) -> None:
    mixed = concluded(verdict("programmatic", "passed"), verdict("structural", "failed", coverage))
    assert mixed.disputed is disputed
    assert any(reason.startswith("disputed: ") for reason in mixed.reasons) is disputed


def test_more_against_than_for_is_inconclusive_in_a_run_without_its_end() -> None:
    against = (verdict("programmatic", "abstained", 0), verdict("structural", "failed"))
    assert concluded(*against).result == "failed"
    assert concluded(*against, case=CUT).result == "inconclusive"


def test_no_quorum_without_programmatic_nor_with_it_alone_nor_with_too_little_seen() -> None:
    assert concluded(verdict("programmatic", "abstained", 0), verdict("structural", "passed")).result == "inconclusive"
    assert concluded(verdict("programmatic", "passed"), verdict("structural", "abstained", 0)).result == "inconclusive"
    little = (verdict("programmatic", "passed", 0.5), verdict("structural", "passed", 0.3))
    assert concluded(*little).result == "inconclusive"


@pytest.mark.parametrize(
    ("coverage", "grade"), [(0.84, "strong"), (0.8399, "moderate"), (0.52, "moderate"), (0.5199, "weak")]
)
def test_the_grade_says_how_much_was_seen(coverage: float, grade: str) -> None:
    """Of all that counts, 0.625 is programmatic and 0.375 structural."""
    verdicts = (verdict("programmatic", "passed", coverage), verdict("structural", "passed"))
    assert concluded(*verdicts).grade == grade


def test_a_side_that_was_asked_for_and_has_no_judge_lowers_the_coverage_and_is_named() -> None:
    verdicts = (verdict("programmatic", "passed"), verdict("structural", "passed"))
    asked = concluded(*verdicts, modalities=("programmatic", "structural", "visual"))
    assert asked.coverage == round(1.6 / 2.1, 4)
    assert asked.terms[-1] == Term("visual", 500_000, 0, 0)
    assert "the visual side: no verifier" in asked.not_observed


def test_a_side_that_was_not_asked_for_does_not_count() -> None:
    asked = (verdict("programmatic", "passed"), verdict("structural", "passed"))
    assert concluded(*asked, verdict("visual", "failed", veto=True)) == concluded(*asked)


def test_what_was_not_observed_is_listed_once_and_bounded() -> None:
    observations = (
        Observation("workspace", "not observed", "no git"),
        Observation("output", "partial", "the first 1 GiB is kept"),
        Observation("output", "seen"),
        Observation("workspace", "not observed", "no git"),
    )
    case = msgspec.structs.replace(ENDED, observations=observations, late_output="open")
    assert concluded(verdict("programmatic", "passed"), verdict("structural", "passed"), case=case).not_observed == [
        "workspace: no git",
        "output: the first 1 GiB is kept",
        "output after the record was closed",
        *NEVER_OBSERVED,
    ]
    many = tuple(Observation("x", "not observed", "\x01" * 9000 + str(number)) for number in range(500))
    flood = [
        msgspec.structs.replace(verdict(side, "passed"), reasons=["\x02" * 5000 + str(n) for n in range(60)])
        for side in BOTH
    ]
    bounded = concluded(*flood, case=msgspec.structs.replace(ENDED, observations=many))
    assert len(codec.encode(bounded)) < MAX_BYTES
    assert bounded.not_observed[-4:] == ["and 470 more", *NEVER_OBSERVED]


STATUSES: st.SearchStrategy[Status] = st.sampled_from(["passed", "failed", "abstained"])
COVERAGES = st.integers(1, 10_000).map(lambda tenths: tenths / 10_000)


@st.composite
def verdicts(draw: st.DrawFn, name: int | None = None) -> VerificationJudged:
    modality, status = draw(st.sampled_from(ALL)), draw(STATUSES)
    number = draw(st.integers(0, 5)) if name is None else name
    veto = status == "failed" and draw(st.booleans())
    coverage = 0 if status == "abstained" else draw(COVERAGES)
    return verdict(modality, status, coverage, veto=veto, verifier=f"{modality}-{number}/1")


def unique_by_verifier(verdicts: list[VerificationJudged]) -> list[VerificationJudged]:
    return list({verdict.verifier: verdict for verdict in verdicts}.values())


HEARINGS = st.lists(verdicts(), max_size=8).map(unique_by_verifier)
CASES = st.sampled_from([ENDED, CUT])
POLICIES: st.SearchStrategy[list[Modality]] = st.lists(st.sampled_from(ALL), min_size=1, unique=True)
RANK = {"failed": 0, "inconclusive": 1, "passed": 2}


@given(heard=HEARINGS, case=CASES, asked=POLICIES, data=st.data())
def test_the_order_of_verdicts_changes_nothing(
    heard: list[VerificationJudged], case: Case, asked: list[Modality], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(heard))
    assert conclude(request(ID, asked), case, heard) == conclude(request(ID, asked), case, shuffled)


@given(heard=HEARINGS, case=CASES, asked=POLICIES, modality=st.sampled_from(ALL))
def test_who_abstains_changes_no_number(
    heard: list[VerificationJudged], case: Case, asked: list[Modality], modality: Modality
) -> None:
    silent = verdict(modality, "abstained", 0, verifier="silent/1")
    before, after = (conclude(request(ID, asked), case, told) for told in (heard, [*heard, silent]))
    assert (after.result, after.grade, after.terms) == (before.result, before.grade, before.terms)


@given(heard=HEARINGS.filter(bool), case=CASES, asked=POLICIES, data=st.data())
def test_a_verifier_that_is_heard_twice_changes_nothing(
    heard: list[VerificationJudged], case: Case, asked: list[Modality], data: st.DataObject
) -> None:
    twice = [*heard, data.draw(st.sampled_from(heard))]
    assert conclude(request(ID, asked), case, twice) == conclude(request(ID, asked), case, heard)


@given(heard=HEARINGS.filter(bool), case=CASES, asked=POLICIES, data=st.data())
def test_another_verifier_that_saw_all_and_agrees_changes_nothing(
    heard: list[VerificationJudged], case: Case, asked: list[Modality], data: st.DataObject
) -> None:
    """They share their causes: a modality's say does not grow with the number of its judges."""
    one = data.draw(st.sampled_from(heard))
    alone = [other for other in heard if other.modality != one.modality]
    one = msgspec.structs.replace(one, coverage=0 if one.status == "abstained" else 1)
    clone = msgspec.structs.replace(one, verifier="clone/1")
    before, after = (pool(told, asked) for told in ([*alone, one], [*alone, one, clone]))
    assert after == before


@given(heard=HEARINGS.filter(bool), case=CASES, asked=POLICIES, data=st.data())
def test_a_better_verdict_never_makes_the_result_worse(
    heard: list[VerificationJudged], case: Case, asked: list[Modality], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(heard) - 1))
    assume(heard[at].status == "failed")
    better = [*heard]
    better[at] = msgspec.structs.replace(heard[at], status="passed", veto=False)
    before, after = (pool(told, asked) for told in (heard, better))
    assert after.sum_micro >= before.sum_micro
    assert RANK[after.result(has_end=case.has_end)] >= RANK[before.result(has_end=case.has_end)]


@given(heard=HEARINGS, asked=POLICIES, new=verdicts(name=9))
def test_one_more_that_passed_never_lowers_the_sum_and_one_that_failed_never_raises_it(
    heard: list[VerificationJudged], asked: list[Modality], new: VerificationJudged
) -> None:
    difference = pool([*heard, new], asked).sum_micro - pool(heard, asked).sum_micro
    assert {"passed": difference >= 0, "failed": difference <= 0, "abstained": difference == 0}[new.status]


@given(heard=HEARINGS, case=CASES, asked=POLICIES)
def test_anyone_recomputes_the_result_from_what_is_stored(
    heard: list[VerificationJudged], case: Case, asked: list[Modality]
) -> None:
    body = codec.encode(conclude(request(ID, asked), case, heard))
    stored, _ = codec.decode(VerificationComplete.type, body)
    assert isinstance(stored, VerificationComplete)

    again = Pool(tuple(stored.terms), tuple(stored.vetoes))

    assert again.sum_micro == stored.pool_micro
    assert round(again.coverage_micro / MICRO, 4) == stored.coverage
    assert again.disputed == stored.disputed
    assert again.result(has_end=case.has_end) == stored.result
    assert stored.grade == (None if stored.result == "inconclusive" else again.grade())


@given(heard=HEARINGS, case=CASES, asked=POLICIES)
def test_passed_is_never_said_against_a_veto_nor_without_an_end_nor_without_a_second_side(
    heard: list[VerificationJudged], case: Case, asked: list[Modality]
) -> None:
    verdict = conclude(request(ID, asked), case, heard)
    if verdict.result == "passed":
        sides = {told.modality for told in heard if told.status != "abstained" and told.modality in asked}
        assert case.has_end
        assert not any(told.veto for told in heard if told.modality in asked)
        assert "programmatic" in sides
        assert len(sides) > 1
        assert verdict.coverage >= 0.5
    assert verdict.confidence is None
    assert set(NEVER_OBSERVED) <= set(verdict.not_observed)
