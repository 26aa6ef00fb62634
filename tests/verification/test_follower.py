"""From complete evidence to a verdict through a real ledger: once only, resumable, and stopped by nobody's stumble."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from uuid import UUID

import apsw
import pytest
from verification.recordings import ACTOR, Recording, changed, junit, operation, passing

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.adapters.sqlite.table_store import SQLiteTableStore
from dre.application.execute import Appender, new_events, read_stream
from dre.application.follow import Following
from dre.domain.events import Recorded
from dre.domain.evidence import EvidenceComplete
from dre.domain.verification import VerificationComplete, VerificationJudged, VerificationRequested
from dre.errors import StoreFull
from dre.ledger.event_id import derived_id
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import Append, Receipt
from dre.verification.case import Case
from dre.verification.follower import (
    VERIFIERS,
    Judging,
    VerificationTrigger,
    followers,
    is_outdated,
    judge_again,
)
from dre.verification.programmatic import PROGRAMMATIC
from dre.verification.structural import STRUCTURAL
from dre.verification.verifier import Opinion, Verifier


@pytest.fixture
async def appender(store: SQLiteEventStore) -> AsyncIterator[Appender]:
    appender = Appender(store)
    yield appender
    await appender.close()


@pytest.fixture
def following(store: SQLiteEventStore, tables: SQLiteTableStore, appender: Appender, blobs: FileBlobStore) -> Following:
    return Following(store, tables, followers(store, appender, blobs, ACTOR))


@pytest.fixture
async def recorded(recording: Recording, appender: Appender) -> Recording:
    """A run that ended well, with a report and changes, in the ledger."""
    await recording.report(junit(*passing(4)))
    await recording.changes(changed("a.py"))
    await recording.record(appender)
    return recording


async def history(store: SQLiteEventStore) -> list[Recorded]:
    streams = {stored.entry.stream: None async for page in store.read() for stored in page}
    events = [event for stream in streams for event in await read_stream(store, stream)]
    return sorted(events, key=lambda event: event.position)


async def about_verification(store: SQLiteEventStore) -> list[Recorded]:
    return [event for event in await history(store) if event.type.startswith("verification.")]


def types(events: Sequence[Recorded]) -> list[str]:
    return [event.type for event in events]


JUDGED = ["verification.requested", "verification.judged", "verification.judged", "verification.complete"]


async def test_complete_evidence_leads_to_a_verdict(
    recorded: Recording, following: Following, store: SQLiteEventStore
) -> None:
    assert await following.catch_up() == []

    events = await about_verification(store)

    assert types(events) == JUDGED
    requested, programmatic, structural, complete = events
    assert isinstance(requested.event, VerificationRequested)
    assert requested.event.id == requested.id
    assert {event.stream for event in events} == {f"default/verification-{requested.id}"}
    assert isinstance(programmatic.event, VerificationJudged)
    assert programmatic.event.id == programmatic.id
    assert (programmatic.event.verifier, programmatic.event.reasons) == (
        "programmatic/3",
        ["4 tests passed (report.xml)"],
    )
    assert isinstance(structural.event, VerificationJudged)
    assert isinstance(complete.event, VerificationComplete)
    assert (complete.event.result, complete.event.grade) == ("passed", "strong")
    [cause] = [event for event in await history(store) if isinstance(event.event, EvidenceComplete)]
    assert requested.meta.causation == cause.id
    assert {event.meta.causation for event in events[1:]} == {requested.id}


async def test_following_again_from_the_beginning_adds_nothing(
    recorded: Recording, following: Following, store: SQLiteEventStore, appender: Appender, blobs: FileBlobStore
) -> None:
    await following.catch_up()
    before = await history(store)
    for follower in followers(store, appender, blobs, ACTOR):
        assert (await follower.handle(before)).events == len(before)
    assert await history(store) == before


async def test_an_operation_that_still_runs_is_not_judged(
    recording: Recording, following: Following, store: SQLiteEventStore, appender: Appender
) -> None:
    facts = recording.facts()[:-1]
    stream = f"default/operation-{recording.id}"
    ids = [derived_id("test", str(index), 0) for index in range(len(facts))]
    await appender.append(Append(ACTOR, new_events(stream, facts, ids)))
    await following.catch_up()
    assert await about_verification(store) == []


async def test_two_processes_judge_once(
    recorded: Recording, tmp_path: Path, tables: SQLiteTableStore, store: SQLiteEventStore, blobs: FileBlobStore
) -> None:
    events = await history(store)

    async def one() -> None:
        async with open_event_store(str(tmp_path / "ledger.db")) as own:
            appender = Appender(own)
            await VerificationTrigger(own, appender, ACTOR).handle(events)
            await Judging(own, appender, blobs, ACTOR).handle(await history(own))

    await asyncio.gather(*(one() for _ in range(4)))
    assert types(await about_verification(store)) == JUDGED


async def test_two_that_see_different_things_at_the_same_time_judge_once(
    recorded: Recording, store: SQLiteEventStore, appender: Appender, blobs: FileBlobStore
) -> None:
    """A blob comes back while it is being looked for: whoever is first stands, and the other is content."""
    await VerificationTrigger(store, appender, ACTOR).handle(await history(store))
    [requested] = await about_verification(store)
    both_have_looked = asyncio.Barrier(2)

    def watching(words: str) -> Verifier:
        async def judge(case: Case, blobs: BlobStore) -> Opinion:
            opinion = await PROGRAMMATIC.judge(case, blobs)
            await both_have_looked.wait()
            return Opinion("passed", 1, words, [*opinion.reasons, words])

        return Verifier(PROGRAMMATIC.name, "programmatic", judge)

    judges = [Judging(store, appender, blobs, ACTOR, [watching(words), STRUCTURAL]) for words in ("one", "another")]
    await asyncio.gather(*(judge.judge(requested) for judge in judges))

    events = await about_verification(store)
    assert types(events) == JUDGED
    assert isinstance(first := events[1].event, VerificationJudged)
    assert first.reasons[1] in ("one", "another")
    assert isinstance(complete := events[3].event, VerificationComplete)
    assert first.reasons[1] in complete.reasons


@pytest.mark.parametrize("kept", [1, 2, 3])
async def test_a_kill_between_any_two_events_comes_to_the_same_ones(
    kept: int, recorded: Recording, following: Following, store: SQLiteEventStore, blobs: FileBlobStore, tmp_path: Path
) -> None:
    """What a judge that appends one by one would have left behind is taken up, not judged again."""
    await following.catch_up()
    whole = await history(store)
    cut = len(whole) - len(JUDGED) + kept
    async with open_event_store(str(tmp_path / "resumed.db")) as resumed:
        appender = Appender(resumed)
        for event in whole[:cut]:
            [new] = new_events(event.stream, [event.event], [event.id], event.meta.causation)
            assert isinstance(await appender.append(Append(ACTOR, (new,))), Receipt)

        for follower in followers(resumed, appender, blobs, ACTOR):
            await follower.handle(await history(resumed))

        facts = [(event.id, event.stream, event.version, event.event, event.meta) for event in await history(resumed)]
        assert sorted(facts, key=lambda fact: fact[2]) == sorted(
            [(event.id, event.stream, event.version, event.event, event.meta) for event in whole],
            key=lambda fact: fact[2],
        )


async def test_what_was_judged_before_a_kill_stands_although_the_evidence_was_altered_since(
    recorded: Recording, following: Following, store: SQLiteEventStore, blobs: FileBlobStore, tmp_path: Path
) -> None:
    await following.catch_up()
    whole = await history(store)
    async with open_event_store(str(tmp_path / "resumed.db")) as resumed:
        appender = Appender(resumed)
        for event in whole[:-1]:
            [new] = new_events(event.stream, [event.event], [event.id], event.meta.causation)
            await appender.append(Append(ACTOR, (new,)))
        recorded.damage(recorded.items[0])

        await Judging(resumed, appender, blobs, ACTOR).handle(await history(resumed))

        assert (await history(resumed))[-1].event == whole[-1].event


Judge = Callable[[Case, BlobStore], Awaitable[Opinion]]


async def broken(case: Case, blobs: BlobStore) -> Opinion:
    raise RuntimeError("a bug\0 in here" + "!" * 5000)


async def unreachable(case: Case, blobs: BlobStore) -> Opinion:
    raise StoreFull("the blob store does not answer")


@pytest.mark.parametrize(
    ("judge", "reason"),
    [
        (broken, "could not find out: RuntimeError: a bug\ufffd in here!"),
        (unreachable, "could not find out: the blob store does not answer"),
    ],
)
async def test_a_verifier_that_stumbles_abstains_and_stops_nobody(
    recorded: Recording, store: SQLiteEventStore, appender: Appender, blobs: FileBlobStore, judge: Judge, reason: str
) -> None:
    await VerificationTrigger(store, appender, ACTOR).handle(await history(store))
    judging = Judging(store, appender, blobs, ACTOR, [PROGRAMMATIC, Verifier("structural/1", "structural", judge)])
    assert (await judging.handle(await history(store))).error is None

    *_, programmatic, structural, complete = (event.event for event in await about_verification(store))
    assert isinstance(programmatic, VerificationJudged)
    assert programmatic.status == "passed"
    assert isinstance(structural, VerificationJudged)
    assert (structural.status, structural.coverage, structural.veto) == ("abstained", 0, False)
    assert structural.reasons[0].startswith(reason)
    assert isinstance(complete, VerificationComplete)
    assert complete.result == "inconclusive"


async def test_a_stumbling_programmatic_verifier_is_never_a_pass(
    recorded: Recording, store: SQLiteEventStore, appender: Appender, blobs: FileBlobStore
) -> None:
    await VerificationTrigger(store, appender, ACTOR).handle(await history(store))
    judging = Judging(store, appender, blobs, ACTOR, [Verifier("programmatic/3", "programmatic", broken), STRUCTURAL])
    await judging.handle(await history(store))
    complete = (await about_verification(store))[-1].event
    assert isinstance(complete, VerificationComplete)
    assert complete.result == "inconclusive"


async def test_a_request_for_an_operation_that_nobody_recorded_is_inconclusive(
    store: SQLiteEventStore, appender: Appender, blobs: FileBlobStore
) -> None:
    id = await judge_again(store, appender, blobs, actor=ACTOR, operation_id=operation(99))
    complete = (await read_stream(store, f"default/verification-{id}"))[-1].event
    assert isinstance(complete, VerificationComplete)
    assert complete.result == "inconclusive"
    assert complete.summary == "end not recorded"


async def test_a_store_that_others_hold_stops_the_follower_there_and_it_goes_on_later(
    recorded: Recording,
    store: SQLiteEventStore,
    tables: SQLiteTableStore,
    blobs: FileBlobStore,
    following: Following,
    tmp_path: Path,
) -> None:
    ledger = str(tmp_path / "ledger.db")
    async with open_event_store(ledger, busy_timeout_s=0.05) as impatient:
        with contextlib.closing(apsw.Connection(ledger)) as other:
            other.execute("begin immediate")
            stuck = Following(impatient, tables, followers(impatient, Appender(impatient), blobs, ACTOR))
            [parked] = await stuck.catch_up()
    assert parked.name == "verification-trigger"
    assert parked.error.startswith("store_busy: ")
    assert await about_verification(store) == []

    assert await following.catch_up() == []
    assert types(await about_verification(store)) == JUDGED


async def test_judging_again_adds_a_verification_and_leaves_the_old_one(
    recorded: Recording, following: Following, store: SQLiteEventStore, appender: Appender, blobs: FileBlobStore
) -> None:
    await following.catch_up()
    before = await history(store)
    newer = [Verifier("programmatic/3", "programmatic", PROGRAMMATIC.judge), STRUCTURAL]

    async def again() -> UUID:
        return await judge_again(store, appender, blobs, actor=ACTOR, operation_id=recorded.id, verifiers=newer)

    id = await again()
    assert await again() == id

    after = await history(store)
    assert after[: len(before)] == before
    assert types(after[len(before) :]) == JUDGED
    assert {event.stream for event in after[len(before) :]} == {f"default/verification-{id}"}
    await following.catch_up()
    assert await history(store) == after


def test_a_verdict_is_outdated_when_other_verifiers_would_judge_today() -> None:
    assert not is_outdated(["structural/1", "programmatic/3"])
    assert is_outdated(["programmatic/3"])
    assert is_outdated(["programmatic/0", "structural/1"])
    assert {verifier.name for verifier in VERIFIERS} == {"programmatic/3", "structural/1"}
