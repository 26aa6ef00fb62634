"""The audit finds every change, at its own place, and finds nothing where nothing was changed."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dre.ledger.audit import Finding, Part, Trail, audit
from dre.ledger.chain import Draft, Head, Linked, link_all


class Stored(msgspec.Struct, frozen=True):
    entry: Any
    leaf: bytes
    salt: bytes | None
    body: bytes | None


Rows = list[Stored]
SIZE = 8


def history(*drafts: Draft) -> tuple[Rows, Head]:
    salts = [bytes([7 * number % 256]) * 32 for number in range(len(drafts))]
    linked, head = link_all(drafts, Head(), salts, 1_767_225_600_000_000)
    return [stored(link) for link in linked], head


def stored(link: Linked) -> Stored:
    return Stored(link.entry, link.leaf, link.salt, link.body)


def fact(number: int, *, stream: str | None = None, version: int | None = None, **more: Any) -> Draft:
    """Two streams in turns, unless it is said which."""
    return Draft(
        event_id=UUID(int=number),
        stream=stream or f"p/k-{number % 2}",
        version=number // 2 if version is None else version,
        type=more.get("type", "a.b"),
        actor="local-1",
        body=more.get("body", b'{"n":%d}' % number),
    )


def erasing(number: int, position: int, event: int, type: str = "body.erased") -> Draft:
    body = b'{"by":"local-1","event":"%s","position":%d,"reason":"asked"}' % (str(UUID(int=event)).encode(), position)
    return fact(number, stream=f"p/ledger-{number}", version=0, type=type, body=body)


def without_body(row: Stored) -> Stored:
    return msgspec.structs.replace(row, salt=None, body=None)


def with_entry(row: Stored, **fields: Any) -> Stored:
    return msgspec.structs.replace(row, entry=msgspec.structs.replace(row.entry, **fields))


def audited(rows: Sequence[Stored], head: Head) -> list[Finding]:
    trail = Trail()
    return [finding for row in rows for finding in trail.follow(row)] + trail.close(head)


def found(rows: Sequence[Stored], head: Head) -> list[tuple[int, Part]]:
    return [(finding.position, finding.part) for finding in audited(rows, head)]


WHOLE, HEAD = history(*(fact(number) for number in range(SIZE)))


def test_an_unaltered_history_has_no_finding() -> None:
    assert found(WHOLE, HEAD) == []
    assert found([], Head()) == []


@pytest.mark.parametrize("position", range(SIZE))
@pytest.mark.parametrize(
    ("part", "alter"),
    [
        ("entry", lambda row: with_entry(row, event_id=UUID(int=99))),
        ("entry", lambda row: with_entry(row, stream="p/k-x")),
        ("entry", lambda row: with_entry(row, version=row.entry.version + 1)),
        ("entry", lambda row: with_entry(row, type="a.c")),
        ("entry", lambda row: with_entry(row, type="a\udcff")),
        ("entry", lambda row: with_entry(row, recorded_at_us=row.entry.recorded_at_us - 1)),
        ("entry", lambda row: with_entry(row, actor="local-2")),
        ("entry", lambda row: with_entry(row, commitment=bytes(32))),
        ("entry", lambda row: with_entry(row, body_len=row.entry.body_len + 1)),
        ("leaf", lambda row: msgspec.structs.replace(row, leaf=bytes(32))),
        ("body", lambda row: msgspec.structs.replace(row, body=b'{"n":9}')),
        ("body", lambda row: msgspec.structs.replace(row, body=row.body + b" ")),
        ("body", lambda row: msgspec.structs.replace(row, salt=bytes(31) + b"\x01")),
        ("body", lambda row: msgspec.structs.replace(row, salt=b"")),
        ("body", lambda row: msgspec.structs.replace(row, salt=None)),
        ("erasure", without_body),
    ],
)
def test_one_altered_field_is_found_at_its_place(part: Part, alter: Callable[[Stored], Stored], position: int) -> None:
    rows = [*WHOLE[:position], alter(WHOLE[position]), *WHOLE[position + 1 :]]

    assert found(rows, HEAD)[0] == (position, part)


def test_a_flipped_leaf_is_one_finding_and_the_rows_around_it_none() -> None:
    for position in range(SIZE):
        rows = [*WHOLE]
        rows[position] = msgspec.structs.replace(rows[position], leaf=bytes(32))
        assert found(rows, HEAD) == [(position, "leaf")]


def test_an_altered_column_is_one_finding_too() -> None:
    for position in range(SIZE):
        rows = [*WHOLE]
        rows[position] = with_entry(rows[position], actor="local-2")
        assert found(rows, HEAD) == [(position, "entry")]


@pytest.mark.parametrize("position", range(SIZE))
def test_a_row_that_was_taken_away_is_missed(position: int) -> None:
    rows = [*WHOLE[:position], *WHOLE[position + 1 :]]

    assert found(rows, HEAD)[0] == (position, "head" if position == SIZE - 1 else "position")


def test_a_tail_that_was_taken_away_is_missed() -> None:
    assert found(WHOLE[:3], HEAD) == [(3, "head")]
    assert found([], HEAD) == [(0, "head")]


def test_rows_behind_the_head_are_too_many() -> None:
    shorter = Head(0, 5, WHOLE[4].leaf)

    assert found(WHOLE, shorter) == [(5, "head")]


def test_a_row_twice_is_one_too_many() -> None:
    rows = [*WHOLE[:3], WHOLE[2], *WHOLE[3:]]

    assert found(rows, HEAD) == [(2, "position")]


def test_a_row_before_the_first_is_one_too_many() -> None:
    assert found([with_entry(WHOLE[0], position=-5), *WHOLE], HEAD)[0] == (-5, "position")


def test_rows_that_changed_places_are_found() -> None:
    rows = [*WHOLE]
    rows[2], rows[4] = with_entry(WHOLE[4], position=2), with_entry(WHOLE[2], position=4)

    assert found(rows, HEAD)[0] == (2, "entry")


def test_a_row_that_was_made_again_is_found_where_the_old_chain_goes_on() -> None:
    again, _ = history(*(fact(number, body=b'{"n":0}') if number == 3 else fact(number) for number in range(SIZE)))

    rows = [*WHOLE[:3], again[3], *WHOLE[4:]]

    assert found(rows, HEAD)[0] == (4, "entry")


def test_a_whole_other_history_agrees_with_itself_but_not_with_a_head_kept_elsewhere() -> None:
    other, other_head = history(*(fact(number, body=b"{}") for number in range(SIZE)))

    assert found(other, other_head) == []
    assert found(other, HEAD) == [(SIZE - 1, "head")]


@pytest.mark.parametrize(
    ("head", "position"),
    [
        (Head(0, SIZE - 1, HEAD.prev), SIZE - 1),
        (Head(0, SIZE + 1, HEAD.prev), SIZE),
        (Head(0, SIZE, bytes(32)), SIZE - 1),
        (Head(1, SIZE, HEAD.prev), SIZE - 1),
        (Head(0, -1, HEAD.prev), 0),
    ],
)
def test_an_altered_head_is_found(head: Head, position: int) -> None:
    assert found(WHOLE, head) == [(position, "head")]


def test_a_gap_in_a_stream_is_found_although_the_chain_holds() -> None:
    rows, head = history(fact(0), fact(1), fact(2, version=2))

    assert found(rows, head) == [(2, "version")]


def test_a_body_outside_the_format_is_found_although_the_chain_holds() -> None:
    rows, head = history(fact(0, body=b'{"b":1,"a":2}'))

    assert found(rows, head) == [(0, "body")]


def test_a_new_generation_is_counted_from_the_events() -> None:
    rows, head = history(fact(0), fact(1, type="ledger.continued"))

    assert found(rows, msgspec.structs.replace(head, generation=1)) == []
    assert found(rows, head) == [(1, "head")]


@pytest.mark.parametrize("type", ["body.erased", "evidence.erased"])
def test_a_body_may_be_missing_where_a_later_event_names_it(type: str) -> None:
    rows, head = history(fact(0), fact(1), fact(2), erasing(3, 1, 1, type))
    rows[1] = without_body(rows[1])

    assert found(rows, head) == []


def test_a_body_may_be_named_twice() -> None:
    rows, head = history(fact(0), erasing(1, 0, 0), erasing(2, 0, 0, "evidence.erased"))
    rows[0] = without_body(rows[0])

    assert found(rows, head) == []


def test_a_body_that_is_still_there_after_its_erasure_is_found() -> None:
    rows, head = history(fact(0), fact(1), erasing(2, 1, 1))

    assert found(rows, head) == [(1, "erasure")]


def test_an_erasure_that_names_another_event_erases_nothing() -> None:
    rows, head = history(fact(0), fact(1), erasing(2, 1, 0))
    rows[1] = without_body(rows[1])

    assert [position for position, part in found(rows, head) if part == "erasure"] == [1, 1]


def test_an_erasure_of_what_is_still_to_come_erases_nothing() -> None:
    rows, head = history(fact(0), erasing(1, 2, 2), fact(2, stream="p/k-z", version=0))
    rows[2] = without_body(rows[2])

    assert (2, "erasure") in found(rows, head)


def test_an_erasing_event_without_a_body_erases_nothing() -> None:
    rows, head = history(fact(0), erasing(1, 0, 0))

    assert found([without_body(rows[0]), without_body(rows[1])], head) == [(0, "erasure"), (1, "erasure")]


def test_an_erasing_event_that_names_nothing_is_found() -> None:
    rows, head = history(fact(0), fact(1, type="body.erased"))

    assert found(rows, head) == [(1, "body")]


def test_where_an_event_was_altered_its_claim_to_have_erased_is_not_believed() -> None:
    rows, head = history(fact(0), erasing(1, 0, 0))
    rows = [without_body(rows[0]), with_entry(rows[1], actor="local-2")]

    assert found(rows, head) == [(1, "entry"), (0, "erasure")]


@given(st.integers(0, SIZE - 1), st.sampled_from(["leaf", "salt", "body"]), st.data())
def test_any_flipped_byte_of_a_stored_value_is_found(position: int, field: str, data: st.DataObject) -> None:
    value = bytearray(getattr(WHOLE[position], field))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    row = msgspec.structs.replace(WHOLE[position], **{field: bytes(value)})

    first = found([*WHOLE[:position], row, *WHOLE[position + 1 :]], HEAD)[0]

    assert first == (position, "leaf" if field == "leaf" else "body")


class GrowingLog:
    """A log that is appended to whenever somebody has read it to its end."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = list(sizes)

    async def head(self) -> Head:
        if len(self._sizes) > 1:
            self._sizes.pop(0)
        size = self._sizes[0]
        return Head(0, size, WHOLE[size - 1].leaf)

    async def read(self, after: int = -1, upto: int | None = None) -> AsyncIterator[Sequence[Stored]]:
        for row in WHOLE[max(after + 1, 0) : self._sizes[0]][:upto]:
            yield [row]


async def test_what_is_appended_meanwhile_is_audited_too() -> None:
    assert [finding async for finding in audit(GrowingLog([3, 5, 8]))] == []


class CutLog(GrowingLog):
    async def head(self) -> Head:
        return HEAD


async def test_a_head_that_counts_rows_nobody_finds_is_reported_at_once() -> None:
    findings = [finding async for finding in audit(CutLog([3]))]

    assert [(finding.position, finding.part) for finding in findings] == [(3, "head")]
