"""A body has one form: whoever encodes the same fact writes the same bytes."""

import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from dre.errors import BodyRefused
from dre.ledger.body import MAX_BYTES, MAX_INTEGER, check_body

KEYS = st.from_regex(r"\A[A-Za-z0-9_.-]{1,64}\Z")
RATIOS = st.integers(1, 9999).map(lambda number: number / 10_000)
INTEGERS = st.integers(-MAX_INTEGER, MAX_INTEGER)
STRINGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | RATIOS | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def python_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_three_encoders_agree_on_every_body(fields: dict[str, Any]) -> None:
    body = msgspec.json.encode(fields, order="sorted")

    check_body(body)
    assert rfc8785.dumps(fields) == body
    assert python_json(fields) == body


def test_every_ratio_is_written_alike_by_all_three() -> None:
    for number in range(1, 10_000):
        ratio = number / 10_000
        body = msgspec.json.encode({"r": ratio})
        check_body(body)
        assert rfc8785.dumps({"r": ratio}) == body == python_json({"r": ratio})


@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_refused(data: bytes) -> None:
    try:
        check_body(data)
    except BodyRefused:
        return
    assert rfc8785.dumps(json.loads(data)) == data


@settings(max_examples=300)
@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=4), st.data())
def test_a_changed_byte_is_refused_or_gives_the_one_form_of_another_fact(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    body = bytearray(msgspec.json.encode(fields, order="sorted"))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    try:
        check_body(bytes(body))
    except BodyRefused:
        return
    assert rfc8785.dumps(json.loads(bytes(body))) == bytes(body) != rfc8785.dumps(fields)


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * MAX_BYTES,
        b'{"a":' * 50_000,
        b'"' + b'\\"' * 131_000,
        b'{"' + b"\\\\" * 131_000,
        b'{"a":' + b"9" * 200_000 + b"}",
        b'{"a":0.' + b"9" * 200_000 + b"}",
        b'{"a":1e' + b"9" * 200_000 + b"}",
        b'"' * 262_000,
        b"{}" * 131_000,
        b"\xff" * 262_000,
    ],
    ids=lambda hostile: repr(hostile[:12]),
)
@pytest.mark.timeout(20)  # quadratic work on any of these takes minutes
def test_hostile_bytes_are_refused_in_linear_time(hostile: bytes) -> None:
    with pytest.raises(BodyRefused):
        check_body(hostile)


def test_a_refusal_says_what_is_wrong() -> None:
    for body, said in (
        (b'{"a b":1}', "key 'a b'"),
        (b'{"a":1.5}', "1.5"),
        (b'{"a":9007199254740993}', "2^53-1"),
        (b'{"a":1,"a":2}', "unique"),
        (b"{" * 17, "16 levels"),
        (b"x" * (MAX_BYTES + 1), str(MAX_BYTES + 1)),
    ):
        with pytest.raises(BodyRefused) as refused:
            check_body(body)
        assert said in refused.value.message
