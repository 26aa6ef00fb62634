"""An entry has exactly one encoding, and each field is bound by it."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dre.ledger.chain import Draft, Head, link_all
from dre.ledger.commitment import commitment
from dre.ledger.digest import EMPTY_ROOT, node_hash
from dre.ledger.entry import GENESIS, MAX_NUMBER, Entry, decode, flaw

NUMBERS = st.integers(0, MAX_NUMBER)
DIGESTS = st.binary(min_size=32, max_size=32)
NAMES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=200)
TYPES = st.from_regex(r"\A[a-z][a-z0-9_.]{0,79}\Z")
ENTRIES = st.builds(
    Entry,
    position=NUMBERS,
    prev=DIGESTS,
    event_id=st.uuids(),
    stream=NAMES,
    version=NUMBERS,
    type=TYPES,
    recorded_at_us=NUMBERS,
    actor=NAMES,
    commitment=DIGESTS,
    body_len=NUMBERS,
)


@given(ENTRIES)
def test_an_entry_is_what_its_encoding_says(entry: Entry) -> None:
    assert flaw(entry) is None
    assert decode(entry.encode()) == entry
    assert entry.encode().count(b"\n") == 11


@given(ENTRIES, ENTRIES)
def test_different_entries_have_different_encodings(one: Entry, other: Entry) -> None:
    assert (one == other) == (one.encode() == other.encode())


@given(ENTRIES, st.integers(min_value=0), st.integers(1, 255))
def test_no_byte_can_change_unseen(entry: Entry, place: int, flip: int) -> None:
    altered = bytearray(entry.encode())
    altered[place % len(altered)] ^= flip
    try:
        assert decode(bytes(altered)) != entry
    except ValueError:
        return


@given(st.binary(max_size=300))
def test_any_bytes_are_an_entry_or_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of any kind
        decode(data)


@pytest.mark.parametrize(
    "wrong",
    [
        {"position": -1},
        {"position": 2**63},
        {"version": True},
        {"body_len": 1.0},
        {"recorded_at_us": None},
        {"prev": b""},
        {"prev": bytes(33)},
        {"commitment": bytes(31)},
        {"stream": ""},
        {"stream": "a b"},
        {"stream": "a\n"},
        {"stream": "\udc80"},
        {"type": "A"},
        {"type": "a-b"},
        {"type": ""},
        {"actor": "é"},
        {"actor": "x" * 201},
    ],
)
def test_a_field_outside_the_format_is_named(wrong: dict[str, Any]) -> None:
    sound = Entry(0, GENESIS, UUID(int=1), "p/k-1", 0, "t", 0, "local-1", bytes(32), 2)
    assert flaw(sound) is None

    problem = flaw(msgspec.structs.replace(sound, **wrong))

    assert problem is not None
    assert next(iter(wrong)) in problem


def test_a_commitment_needs_its_whole_salt() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        commitment(bytes(31), b"{}")


def test_the_hashes_of_rfc_6962() -> None:
    """From the test data of certificate transparency's reference implementation."""
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    left = bytes.fromhex("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d")
    right = bytes.fromhex("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7")
    assert node_hash(left, right).hex() == "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"


def draft(number: int, version: int) -> Draft:
    return Draft(UUID(int=number), "p/k-1", version, "a.b", "local-1", b'{"n":%d}' % number)


def test_linking_in_one_batch_or_in_many_is_the_same_chain() -> None:
    drafts = [draft(number, number) for number in range(20)]
    salts = [bytes([number]) * 32 for number in range(20)]
    whole, end = link_all(drafts, Head(), salts, 7)

    head, parts = Head(), []
    cuts = [1, 2, 7, 8, 19]
    for start, stop in zip([0, *cuts], [*cuts, 20], strict=True):
        linked, head = link_all(drafts[start:stop], head, salts[start:stop], 7)
        parts += linked

    assert parts == whole
    assert head == end == Head(0, 20, whole[-1].leaf)


def test_linking_nothing_moves_nothing() -> None:
    head = Head(2, 5, b"p" * 32)
    assert link_all([], head, [], 7) == ([], head)


def test_what_no_entry_can_hold_is_not_linked() -> None:
    with pytest.raises(ValueError, match="stream"):
        link_all([msgspec.structs.replace(draft(0, 0), stream="a b")], Head(), [bytes(32)], 7)
    with pytest.raises(ValueError, match="shorter"):
        link_all([draft(0, 0)], Head(), [], 7)
