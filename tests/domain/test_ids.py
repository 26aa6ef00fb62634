"""Ids: ordered by time, random at the end, and short where people type them."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from dre.domain import ids


def test_uuid7_holds_the_time_the_version_and_the_variant() -> None:
    made = ids.uuid7(1_700_000_000_000, bytes(range(10)))
    assert made.int >> 80 == 1_700_000_000_000
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"


@given(st.integers(0, 2**48 - 2), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_later_ids_sort_after_earlier_ones(now_ms: int, one: bytes, other: bytes) -> None:
    assert ids.uuid7(now_ms, one) < ids.uuid7(now_ms + 1, other)


def test_a_short_id_is_the_random_end_in_crockfords_letters() -> None:
    assert ids.short(UUID(int=0b11111_00000_00001_01010)) == "Z01A"
    assert ids.crockford(UUID(int=31)) == "00000000000Z"


@given(st.uuids(), st.integers(4, 12))
def test_what_was_shown_can_be_typed_back_in_any_case(id: UUID, length: int) -> None:
    shown = ids.short(id, length)
    assert ids.typed_short(shown) == shown
    assert ids.typed_short(shown.lower()) == shown


def test_letters_that_look_like_digits_are_understood() -> None:
    assert ids.typed_short("loIl") == "1011"


def test_what_cannot_be_a_short_id_is_not_one() -> None:
    for typed in ("", "7q2", "7Q2U", "ü234", "0" * 13, "7Q-2K"):
        assert ids.typed_short(typed) is None
