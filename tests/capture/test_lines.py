"""What is told of a growing output never holds what its evidence will not hold."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from dre.capture.lines import Lines
from dre.capture.redaction import HELD_BACK_BYTES, Redactor

SECRET = b"correct horse battery staple"
SEVERAL_LINES = b"-----first line of it\nab\nthe third line"
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\n" + b"b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n" * 3
KEY += b"-----END OPENSSH PRIVATE KEY-----"
TOKEN = b"Authorization:\n  Bearer\n abcdefgh12345678"

words = st.sampled_from([SECRET, SEVERAL_LINES, KEY, TOKEN, b"\n", b"\r", b"words ", b"\xff\x00", b"authorization: "])


def told(data: bytes, cuts: list[int], patterns: tuple[str, ...] = ()) -> list[bytes]:
    lines = Lines(Redactor([SECRET, SEVERAL_LINES], patterns))
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [lines.take(data[start:end]) for start, end in itertools.pairwise(places)]
    return [*pieces, lines.rest()]


@given(st.lists(words, max_size=20), st.lists(st.integers(0, 2000), max_size=30))
def test_it_is_what_the_evidence_will_be_however_it_arrives(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)

    assert b"".join(told(data, cuts)) == Redactor([SECRET, SEVERAL_LINES]).redact(data)


def test_whole_lines_are_told_at_once_and_a_begun_one_waits() -> None:
    lines = Lines(Redactor())

    assert lines.take(b"one\ntwo\nthr") == b"one\ntwo\n"
    assert lines.take(b"ee\r") == b"three\r"
    assert lines.take(b"no end") == b""
    assert lines.rest() == b"no end"


def test_a_secret_that_has_only_begun_is_not_told() -> None:
    lines = Lines(Redactor([SEVERAL_LINES]))

    assert lines.take(b"before\n-----first line of it\nab\n") == b"before\n"
    assert lines.take(b"something else\n") == b"-----first line of it\nab\nsomething else\n"


def test_a_pattern_that_may_span_lines_holds_back_as_much_as_evidence_does() -> None:
    lines = Lines(Redactor((), [r"tok\s[a-z]+"]))

    assert lines.take(b"tok\n") == b""
    assert lines.take(b"a line\n" * (HELD_BACK_BYTES // 7 + 2)).startswith(b"[redacted:configured] line\n")


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    lines = Lines(Redactor())

    assert len(lines.take(b"x" * (1 << 20))) == (1 << 20) - HELD_BACK_BYTES
