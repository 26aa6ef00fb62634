"""The screen: safe whatever is said, aligned, cut and folded to what is there, coloured only where it is wanted."""

import io
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dre.cli import screen
from dre.cli.screen import Mark, Piece, Screen
from dre.documentation import safe

TEXTS = st.text(st.characters(codec=None), max_size=40)
STYLES = st.sampled_from(("good", "bad", "doubt", "strong", "dim"))
PIECES = st.one_of(TEXTS, st.builds(Mark, TEXTS, STYLES))


def said(*lines: Sequence[Piece], color: bool = False, columns: int = 80, folds: bool = False) -> list[str]:
    out = io.StringIO()
    on = Screen(out, color=color, columns=columns, folds=folds)
    for line in lines:
        on.say(*line)
    return out.getvalue().split("\n")[:-1]


@given(st.lists(PIECES, max_size=5))
def test_whatever_is_said_is_one_safe_line(pieces: list[Piece]) -> None:
    [line] = said(pieces)
    assert safe.line(line) == line


@given(st.lists(PIECES, max_size=5))
def test_colour_adds_marks_and_changes_no_word(pieces: list[Piece]) -> None:
    [plain], [coloured] = said(pieces), said(pieces, color=True)
    for code in ("32", "31;1", "33", "1", "2", "0"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured.rstrip(" ") == plain


@given(st.lists(st.tuples(PIECES, PIECES, PIECES), min_size=1, max_size=6), st.integers(40, 120))
def test_rows_are_aligned_and_only_the_flexible_column_is_cut(
    rows: list[tuple[Piece, Piece, Piece]], columns: int
) -> None:
    out = io.StringIO()
    Screen(out, color=False, columns=columns, folds=False).rows([["a", row[1], "b"] for row in rows], flexible=1)
    lines = out.getvalue().split("\n")[:-1]
    assert len(lines) == len(rows)
    assert {safe.width(line) for line in lines} == {safe.width(lines[0])}
    assert safe.width(lines[0]) <= columns
    assert [(line[:3], line[-1]) for line in lines] == [("  a", "b")] * len(rows)


@given(TEXTS, st.integers(40, 120))
def test_what_stands_at_the_end_of_a_line_is_never_cut(text: str, columns: int) -> None:
    out = io.StringIO()
    Screen(out, color=False, columns=columns, folds=False).ends(text, Mark("PASSED", "good"), "  strong")
    [line] = out.getvalue().splitlines() if "\n" in out.getvalue() else [""]
    assert line.endswith("  PASSED  strong")
    assert safe.width(line) <= columns


@given(st.lists(st.text("abc日本", min_size=1, max_size=12), max_size=30), st.integers(40, 100))
def test_folding_loses_no_word_and_fits(words: list[str], columns: int) -> None:
    text = " ".join(words)
    lines = Screen(io.StringIO(), color=False, columns=columns, folds=True).folded(text, 12)
    assert " ".join(lines) == text
    assert all(safe.width(line) <= columns - 12 for line in lines)
    assert Screen(io.StringIO(), color=False, columns=columns, folds=False).folded(text, 12) == [text]


def test_a_stream_that_is_no_file_is_no_terminal() -> None:
    assert not screen.is_terminal(io.StringIO())
