"""The one write path: who waits together is committed together, and a lost race decides again."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.application.execute import MAX_EVENTS, MAX_WAITING, Appender, execute, new_events, read_stream
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent, Recorded
from dre.errors import CommandRefused, StoreBusy
from dre.ledger.entry import Entry
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append, Receipt, Refused

ACTOR = "local-0b1f2a3c-4d5e-4f60-8172-8394a5b6c7d8"
STREAM = "default/configuration-1"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteEventStore]:
    async with open_event_store(str(tmp_path / "ledger.db")) as store:
        yield store


def changed(number: int) -> ConfigurationChanged:
    return ConfigurationChanged("evidence.retention", f"{number}d", None, "workspace")


def an_append(number: int, stream: str = STREAM, expected: int | None = None) -> Append:
    events = new_events(stream, [changed(number)], [derived_id(ACTOR, str(number), 0)])
    return Append(ACTOR, events, {} if expected is None else {stream: expected})


async def test_appends_that_gather_are_one_batch(store: SQLiteEventStore) -> None:
    batches: list[Entry] = []
    appender = Appender(store, batches.append)

    answers = await asyncio.gather(*(appender.append(an_append(number)) for number in range(300)))

    assert all(isinstance(answer, Receipt) for answer in answers)
    assert (await store.head()).size == 300
    assert len(batches) <= 2
    assert batches[-1].position == 299


async def test_what_is_durable_is_answered_although_its_listener_fails(store: SQLiteEventStore) -> None:
    def fail(_newest: Entry) -> None:
        raise OSError("nobody listens")

    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["message"]))

    answer = await asyncio.wait_for(Appender(store, fail).append(an_append(1)), 30)
    asyncio.get_running_loop().set_exception_handler(None)

    assert isinstance(answer, Receipt)


async def test_a_listener_that_fails_ends_neither_the_writer_nor_those_who_wait(store: SQLiteEventStore) -> None:
    def fail(_newest: Entry) -> None:
        raise OSError("nobody listens")

    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append((context["message"], str(context["exception"]))))
    appender = Appender(store, fail)
    try:
        waiting = [appender.append(an_append(number)) for number in range(2 * MAX_EVENTS)]
        answers = await asyncio.wait_for(asyncio.gather(*waiting), 60)
        await appender.close()
    finally:
        loop.set_exception_handler(None)

    assert all(isinstance(answer, Receipt) for answer in answers)
    assert (await store.head()).size == 2 * MAX_EVENTS
    assert set(told) == {("a commit is durable, but who should hear of it failed", "nobody listens")}
    assert len(told) >= 2  # a batch holds no more than half of them


async def test_no_batch_is_larger_than_allowed(store: SQLiteEventStore) -> None:
    batches: list[Entry] = []
    appender = Appender(store, batches.append)

    await asyncio.gather(*(appender.append(an_append(number)) for number in range(MAX_EVENTS * 2 + 1)))

    sizes = [
        after - before
        for before, after in zip([-1, *(e.position for e in batches)], (e.position for e in batches), strict=False)
    ]
    assert max(sizes) <= MAX_EVENTS
    assert sum(sizes) == MAX_EVENTS * 2 + 1


async def test_one_conflict_harms_no_neighbour(store: SQLiteEventStore) -> None:
    appender = Appender(store)
    good, bad, other = await asyncio.gather(
        appender.append(an_append(1, expected=0)),
        appender.append(an_append(2, expected=0)),
        appender.append(an_append(3, "default/configuration-2", expected=0)),
    )
    assert isinstance(good, Receipt)
    assert bad == Refused("conflict", STREAM, expected=0, actual=1)
    assert isinstance(other, Receipt)


async def test_a_cancelled_caller_does_not_undo_what_was_asked(store: SQLiteEventStore) -> None:
    appender = Appender(store)
    asking = asyncio.create_task(appender.append(an_append(1)))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    await appender.close()

    assert (await store.head()).size == 1


async def test_too_many_waiting_are_turned_away(store: SQLiteEventStore) -> None:
    appender = Appender(store)
    answers = await asyncio.gather(
        *(appender.append(an_append(number)) for number in range(MAX_WAITING + 5)), return_exceptions=True
    )
    assert sum(isinstance(answer, StoreBusy) for answer in answers) == 5
    assert (await store.head()).size == MAX_WAITING


async def test_an_error_of_the_store_reaches_every_caller_and_the_next_append_works(tmp_path: Path) -> None:
    async with open_event_store(str(tmp_path / "ledger.db")) as store:
        appender = Appender(store)
        no_such_stream_name = Append(ACTOR, new_events("has spaces", [changed(1)], [derived_id(ACTOR, "1", 0)]))
        first, second = await asyncio.gather(
            appender.append(no_such_stream_name), appender.append(no_such_stream_name), return_exceptions=True
        )
        assert isinstance(first, Exception)
        assert isinstance(second, Exception)
        assert isinstance(await appender.append(an_append(1)), Receipt)


async def test_a_lost_race_reads_and_decides_again(store: SQLiteEventStore) -> None:
    """Every writer adds the next number; none is lost, none is twice."""
    appender = Appender(store)

    def next_number(writer: int) -> Callable[[list[Recorded]], Sequence[tuple[UUID, DomainEvent]]]:
        return lambda known: [(derived_id(f"writer-{writer}", "once", 0), changed(len(known) + 1))]

    await asyncio.gather(
        *(execute(store, appender, actor=ACTOR, stream=STREAM, decide=next_number(writer)) for writer in range(8))
    )

    events = [recorded.event for recorded in await read_stream(store, STREAM)]
    assert events == [changed(number) for number in range(1, 9)]


async def test_deciding_on_nothing_appends_nothing(store: SQLiteEventStore) -> None:
    assert await execute(store, Appender(store), actor=ACTOR, stream=STREAM, decide=lambda _known: []) is None
    assert (await store.head()).size == 0


async def test_a_refusal_of_the_domain_appends_nothing(store: SQLiteEventStore) -> None:
    def refuse(_known: list[Recorded]) -> Sequence[tuple[UUID, DomainEvent]]:
        raise CommandRefused("no")

    with pytest.raises(CommandRefused):
        await execute(store, Appender(store), actor=ACTOR, stream=STREAM, decide=refuse)
    assert (await store.head()).size == 0


async def test_a_known_id_with_another_content_is_refused(store: SQLiteEventStore) -> None:
    appender = Appender(store)
    id = derived_id(ACTOR, "1", 0)
    await execute(store, appender, actor=ACTOR, stream=STREAM, decide=lambda _known: [(id, changed(1))])
    with pytest.raises(CommandRefused, match="other content"):
        await execute(store, appender, actor=ACTOR, stream=STREAM, decide=lambda _known: [(id, changed(2))])
