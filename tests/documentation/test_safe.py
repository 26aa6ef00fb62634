"""Whatever a recording holds, nothing that a terminal obeys comes out."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dre.documentation import safe
from dre.domain.events import Bytes

TEXTS = st.text(st.characters(codec=None), max_size=60)
HOSTILE = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [
                b"\x1b[31m",
                b"\x1b[1;38:5:9m",
                b"\x1b[K",
                b"\x1b[2J",
                b"\x1b[",
                b"\x1b]0;title\x07",
                b"\x9b2J",
                b"\xc2\x9b2J",
                b"\r\n",
                b"\r",
                b"\xff",
                b"\x7f",
            ]
        ),
        st.sampled_from(["\u202e", "\u2066", "\u200b", "\ufeff", "é", "日本", "\U000e0041", "🙂"]).map(str.encode),
    )
).map(b"".join)


def obeyed(character: str, *, allowed: str) -> bool:
    """By another rule than the code's: Unicode's own categories."""
    if character in allowed:
        return False
    return unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") or unicodedata.bidirectional(character) in (
        *("LRE", "RLE", "LRO", "RLO", "PDF"),
        *("LRI", "RLI", "FSI", "PDI"),
    )


@given(TEXTS)
def test_no_line_holds_anything_that_a_terminal_obeys(text: str) -> None:
    assert [c for c in safe.line(text) if obeyed(c, allowed="")] == []


@given(TEXTS)
def test_a_text_keeps_newlines_and_tabs_alone(text: str) -> None:
    assert [c for c in safe.lines(text) if obeyed(c, allowed="\n\t")] == []


@given(HOSTILE, st.lists(st.integers(0, 200)))
def test_bytes_in_pieces_are_as_safe_as_the_whole(raw: bytes, cuts: list[int]) -> None:
    decoder, out, at = safe.Decoder(), "", 0
    for cut in [*sorted(cuts), len(raw)]:
        out += decoder.feed(raw[at : max(cut, at)])
        at = max(cut, at)
    out += decoder.feed(b"", last=True)

    assert out == safe.lines(safe.without_colours(raw.decode("utf-8", "surrogateescape")))
    assert [c for c in out if obeyed(c, allowed="\n\t")] == []
    encoded = out.encode()
    assert not set(encoded) & (set(range(0x20)) - {0x09, 0x0A} | {0x7F})


@given(TEXTS)
def test_what_is_safe_stays_as_it_is(text: str) -> None:
    assert safe.line(safe.line(text)) == safe.line(text)
    assert safe.lines(safe.lines(text)) == safe.lines(text)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        (b"\x1b]8;;http://x\x07link", "␛]8;;http://x␇link"),
        (b"caf\xe9", "caf\\xe9"),
        (b"\xc2\x9b2J", "<U+009B>2J"),
        ("evil\u202egpj.exe".encode(), "evil<U+202E>gpj.exe"),
        (b"one\r\ntwo", "one\ntwo"),
        (b"50%\r100%", "50%␍100%"),
        (b"\x7f\x00\x08", "␡␀␈"),
        ("naïve 日本 🙂".encode(), "naïve 日本 🙂"),
    ],
)
def test_it_stays_visible(raw: bytes, shown: str) -> None:
    assert safe.lines(Bytes(raw)) == shown


def test_on_one_line_line_ends_are_shown_too() -> None:
    assert safe.line("a\n\tb\r\n") == "a␊␉b␍␊"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[1;38:5:9mbold\x1b[m", "bold"),
        ("\x1b[01;31m\x1b[Kfound\x1b[m\x1b[K", "found"),
        ("\x1b[2J\x1b[1;1H", "\x1b[2J\x1b[1;1H"),
        ("\x1b]0;title\x07", "\x1b]0;title\x07"),
        ("\x9b31m", "\x9b31m"),
        (f"\x1b[{'0' * 65}m", f"\x1b[{'0' * 65}m"),
        ("\x1b\x1b[0m[31m", "\x1b[31m"),
    ],
)
def test_only_colours_are_dropped(raw: str, shown: str) -> None:
    assert safe.without_colours(raw) == shown


@given(st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3)))
def test_json_keeps_its_value_and_obeys_the_same_rule(value: object) -> None:
    encoded = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    line = safe.json_line(encoded)
    assert json.loads(line) == json.loads(encoded)
    assert [c for c in line if obeyed(c, allowed="")] == []


@given(TEXTS, st.integers(2, 40))
def test_cutting_never_exceeds_the_columns(text: str, columns: int) -> None:
    cut = safe.cut(safe.line(text), columns)
    assert safe.width(cut) <= columns
    assert cut == safe.line(text) or cut.endswith("…")
