"""What every event store promises."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID, uuid4

import pytest

from dre.ledger.chain import Head
from dre.ledger.commitment import commitment
from dre.ledger.entry import GENESIS
from dre.ports.event_store import Append, EventStore, NewEvent, Receipt, Refused, StoredEvent

ACTOR = "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960"
A = "default/operation-a"
B = "default/operation-b"


def event(
    stream: str = A, body: bytes = b'{"n":1}', id: UUID | None = None, tag: str = "operation.started"
) -> NewEvent:
    return NewEvent(id or uuid4(), stream, tag, body)


def append(*events: NewEvent, actor: str = ACTOR, **expected: int) -> Append:
    """`a=0`: stream A must be empty."""
    return Append(actor, events, {{"a": A, "b": B}[name]: count for name, count in expected.items()})


async def accepted(store: EventStore, *appends: Append) -> list[Receipt]:
    answers = await store.append(appends)
    assert all(isinstance(answer, Receipt) for answer in answers), answers
    return [answer for answer in answers if isinstance(answer, Receipt)]


async def refused(store: EventStore, *appends: Append) -> Refused:
    """The last answer, which must be a refusal that left nothing behind."""
    before = await history(store)
    answer = (await store.append(appends))[-1]
    assert isinstance(answer, Refused)
    if len(appends) == 1:
        assert await history(store) == before
    return answer


async def history(store: EventStore) -> list[StoredEvent]:
    return [stored async for page in store.read() for stored in page]


async def test_a_new_store_is_empty(store: EventStore) -> None:
    assert await store.head() == Head(generation=0, size=0, prev=GENESIS)
    assert await history(store) == []
    assert await store.append([]) == []


async def test_a_receipt_holds_the_entries_as_they_were_linked(store: EventStore) -> None:
    first, second = event(body=b'{"n":1}'), event(body=b'{"n":2}', tag="operation.completed")

    [receipt] = await accepted(store, append(first, second, a=0))

    one, two = receipt.entries
    assert (one.position, two.position) == (0, 1)
    assert (one.version, two.version) == (0, 1)
    assert (one.event_id, one.stream, one.type, one.actor) == (first.id, A, "operation.started", ACTOR)
    assert (one.prev, two.prev) == (GENESIS, one.leaf())
    assert two.body_len == len(second.body)
    assert not receipt.repeated
    assert await store.head() == Head(0, 2, two.leaf())


async def test_what_was_appended_is_read_as_it_was_sent(store: EventStore) -> None:
    bodies = [b'{"n":1}', '{"s":"é€\U0001f600"}'.encode(), b'{"s":"' + b"x" * 200_000 + b'"}']
    [receipt] = await accepted(store, append(*(event(body=body) for body in bodies)))

    found = await history(store)

    assert [stored.body for stored in found] == bodies
    assert tuple(stored.entry for stored in found) == receipt.entries
    for stored in found:
        assert stored.salt is not None
        assert stored.body is not None
        assert stored.entry.commitment == commitment(stored.salt, stored.body)
        assert stored.leaf == stored.entry.leaf()
    assert len({stored.salt for stored in found}) == len(found)


async def test_a_stale_version_is_refused(store: EventStore) -> None:
    await accepted(store, append(event(), a=0))

    assert await refused(store, append(event(), a=0)) == Refused("conflict", A, expected=0, actual=1)
    assert await refused(store, append(event(), a=2)) == Refused("conflict", A, expected=2, actual=1)


async def test_of_two_that_expect_the_same_one_succeeds(store: EventStore) -> None:
    first, second = await store.append([append(event(), a=0), append(event(), a=0)])

    assert isinstance(first, Receipt)
    assert second == Refused("conflict", A, expected=0, actual=1)


async def test_a_refused_append_harms_no_other_and_leaves_no_hole(store: EventStore) -> None:
    answers = await store.append(
        [append(event(A), a=0), append(event(A), event(A), a=7), append(event(B), b=0), append(event(A), a=1)]
    )

    assert [type(answer) for answer in answers] == [Receipt, Refused, Receipt, Receipt]
    assert [(s.entry.position, s.entry.stream, s.entry.version) for s in await history(store)] == [
        (0, A, 0),
        (1, B, 0),
        (2, A, 1),
    ]


async def test_an_append_over_several_streams_is_all_or_nothing(store: EventStore) -> None:
    await accepted(store, append(event(B), b=0))

    assert (await refused(store, append(event(A), event(B), a=0, b=0))).stream == B
    [receipt] = await accepted(store, append(event(A), event(B), event(A), a=0, b=1))

    assert [(entry.stream, entry.version) for entry in receipt.entries] == [(A, 0), (B, 1), (A, 1)]


async def test_a_stream_may_be_expected_without_being_written(store: EventStore) -> None:
    await accepted(store, append(event(B), b=0))

    assert (await refused(store, append(event(A), a=0, b=0))).stream == B
    await accepted(store, append(event(A), a=0, b=1))


async def test_without_expectations_an_append_follows_whatever_is_there(store: EventStore) -> None:
    for version in range(3):
        [receipt] = await accepted(store, append(event()))
        assert receipt.entries[0].version == version


async def test_a_repeat_returns_the_first_receipt_whatever_happened_since(store: EventStore) -> None:
    first, second = event(body=b'{"meta":{"schema":1},"n":1}'), event(B)
    [original] = await accepted(store, append(first, second, a=0))
    await accepted(store, append(event(), a=1))
    size = (await store.head()).size

    again = NewEvent(first.id, first.stream, first.type, b'{"meta":{"request":"r2","schema":1},"n":1}')
    [repeat] = await accepted(store, append(again, second, a=0))

    assert repeat.repeated
    assert repeat.entries == original.entries
    assert (await store.head()).size == size


async def test_a_repeat_in_the_same_batch_is_recorded_once(store: EventStore) -> None:
    same = append(event(), a=0)

    first, second = await accepted(store, same, same)

    assert first.entries == second.entries
    assert (first.repeated, second.repeated) == (False, True)
    assert (await store.head()).size == 1


@pytest.mark.parametrize(
    "other",
    [
        lambda known: NewEvent(known.id, known.stream, known.type, b'{"n":2}'),
        lambda known: NewEvent(known.id, known.stream, known.type, b'{"n":true}'),
        lambda known: NewEvent(known.id, known.stream, known.type, b'{"n":1,"o":1}'),
        lambda known: NewEvent(known.id, B, known.type, known.body),
        lambda known: NewEvent(known.id, known.stream, "operation.completed", known.body),
    ],
    ids=["body", "body of another JSON type", "one more field", "stream", "type"],
)
async def test_a_known_id_with_other_content_is_refused(
    store: EventStore, other: Callable[[NewEvent], NewEvent]
) -> None:
    known = event()
    await accepted(store, append(known))

    answer = await refused(store, append(event(), other(known)))

    assert (answer.reason, answer.event_id) == ("reused_id", known.id)


async def test_an_append_of_which_only_a_part_is_known_is_refused(store: EventStore) -> None:
    known = event()
    await accepted(store, append(known))

    assert (await refused(store, append(known, event()))).event_id == known.id
    assert (await refused(store, append(event(), known))).event_id == known.id


async def test_an_id_twice_in_one_append_is_refused(store: EventStore) -> None:
    twice = event()

    assert await refused(store, append(twice, twice)) == Refused("reused_id", A, event_id=twice.id)


async def test_a_name_that_no_entry_can_hold_is_a_fault_and_records_nothing(store: EventStore) -> None:
    for wrong in (
        append(event("default/operation a")),
        append(event("")),
        append(event("s" * 201)),
        append(event("default/operation-é")),
        append(event(tag="Operation.started")),
        append(event(tag="t" * 81)),
        append(event(), actor="local a"),
        append(event(), actor=""),
    ):
        with pytest.raises(ValueError, match=r"characters|letter"):
            await store.append([append(event(B)), wrong])
    assert await history(store) == []
    await accepted(store, append(event()))


async def test_pages_go_on_behind_a_position_and_end_before_one(store: EventStore) -> None:
    await accepted(store, append(*(event() for _ in range(10))))

    async def positions(after: int = -1, upto: int | None = None, page: int = 2000) -> list[list[int]]:
        return [[s.entry.position for s in found] async for found in store.read(after, upto, page=page)]

    assert await positions(page=4) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert await positions(after=6) == [[7, 8, 9]]
    assert await positions(after=6, upto=8) == [[7]]
    assert await positions(after=9) == []
    assert await positions(after=100) == []
    assert await positions(after=3, upto=4) == []
    assert await positions(after=-100, upto=1 << 80) == [list(range(10))]


async def test_big_bodies_make_short_pages(store: EventStore) -> None:
    """So that a page of whatever length fits into memory."""
    big = b'{"s":"' + b"x" * 200_000 + b'"}'
    for _ in range(4):
        await accepted(store, append(*(event(body=big) for _ in range(25))))

    sizes = [sum(len(stored.body or b"") for stored in page) async for page in store.read()]

    assert sum(sizes) == 100 * len(big)
    assert max(sizes) <= 10 << 20


async def test_every_page_knows_what_its_first_entry_is_linked_to(store: EventStore) -> None:
    await accepted(store, append(*(event() for _ in range(7))))

    async for page in store.read(after=2, page=2):
        for stored in page:
            assert stored.entry.leaf() == stored.leaf


async def test_a_stream_is_read_from_a_version_on(store: EventStore) -> None:
    await accepted(store, append(event(A), event(B), event(A), event(B), event(A)))

    assert [s.entry.version for s in await store.stream(A)] == [0, 1, 2]
    assert [s.entry.position for s in await store.stream(B, after=0)] == [3]
    assert await store.stream("default/operation-none") == []
    assert all(s.entry.leaf() == s.leaf for s in await store.stream(A))


async def test_events_are_found_by_id(store: EventStore) -> None:
    one, two = event(), event(B)
    await accepted(store, append(one, two))

    found = await store.find([two.id, uuid4(), one.id])

    assert {id: stored.entry.stream for id, stored in found.items()} == {one.id: A, two.id: B}
    assert await store.find([]) == {}


async def test_many_callers_at_once_all_get_their_own_place(store: EventStore) -> None:
    answers = await asyncio.gather(*(accepted(store, append(event(f"default/operation-{n % 7}"))) for n in range(60)))

    positions = [receipt.entries[0].position for [receipt] in answers]
    assert sorted(positions) == list(range(60))


async def test_a_reader_beside_a_writer_never_sees_a_hole(store: EventStore) -> None:
    async def write() -> None:
        for _ in range(40):
            await accepted(store, append(event(), event(B)))

    writer = asyncio.create_task(write())
    seen: list[int] = []
    while not writer.done() or len(seen) < (await store.head()).size:
        async for page in store.read(after=len(seen) - 1, page=3):
            seen += [stored.entry.position for stored in page]
    await writer

    assert seen == list(range(80))


async def test_changed_answers_at_once_when_the_size_is_another(store: EventStore) -> None:
    await accepted(store, append(event()))

    assert await store.changed(0, 60) == 1
    assert await store.changed(99, 60) == 1


async def test_changed_gives_up_with_the_size_it_knew(store: EventStore) -> None:
    assert await store.changed(0, 0.12) == 0
    assert await store.changed(0, 0) == 0


async def test_changed_wakes_on_a_commit(store: EventStore) -> None:
    for known in range(3):
        waiting = asyncio.create_task(store.changed(known, 60))
        await asyncio.sleep(0.02 * known)
        await accepted(store, append(event()))
        assert await waiting == known + 1


async def test_changed_sees_what_another_opener_commits(stores: tuple[EventStore, EventStore]) -> None:
    one, other = stores
    for known in range(3):
        waiting = asyncio.create_task(one.changed(known, 60))
        await asyncio.sleep(0.02 * known)
        await accepted(other, append(event()))
        assert await waiting == known + 1


async def test_two_openers_share_one_order(stores: tuple[EventStore, EventStore]) -> None:
    async def write(store: EventStore, stream: str) -> list[Receipt]:
        return [receipt for n in range(30) for receipt in await accepted(store, append(event(stream), event(A)))]

    answers: Sequence[list[Receipt]] = await asyncio.gather(
        *(write(store, f"default/operation-{name}") for name, store in zip("xy", stores, strict=True))
    )

    taken = sorted(entry.position for receipts in answers for receipt in receipts for entry in receipt.entries)
    assert taken == list(range(120))
    assert await history(stores[0]) == await history(stores[1])


async def test_the_caller_who_is_cancelled_leaves_a_whole_append_or_none(store: EventStore) -> None:
    for _ in range(5):
        task = asyncio.create_task(store.append([append(event(), event(B), event())]))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    [receipt] = await accepted(store, append(event()))
    assert receipt.entries[0].position % 3 == 0
