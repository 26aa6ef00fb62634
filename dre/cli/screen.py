"""
The screen: lines of plain text with marks, written safely wherever they go.

Whatever is said passes through `safe` here, and colour is added after that: no caller can forget it. Colour stands
only on a terminal, and only marks what the words already say.
"""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple, TextIO

from dre.documentation import safe

Style = Literal["good", "bad", "doubt", "strong", "dim"]
_SGR: Mapping[Style, str] = {"good": "32", "bad": "31;1", "doubt": "33", "strong": "1", "dim": "2"}
_PLAIN_WIDTH = 100
_NARROWEST, _WIDEST = 40, 200


class Mark(NamedTuple):
    """A piece of a line that stands out on a terminal."""

    text: str
    style: Style


Piece = str | Mark


class Screen:
    """
    `columns`: how wide a line may become where something has to be cut or aligned. `folds`: sentences are folded to
    that width too; only for eyes, since whoever searches a file wants lines as they were said.
    """

    def __init__(self, out: TextIO, *, color: bool, columns: int, folds: bool) -> None:
        self._out, self._color, self.columns, self._folds = out, color, columns, folds

    def say(self, *pieces: Piece) -> None:
        """One line."""
        self._out.write("".join(self._dressed(piece) for piece in pieces).rstrip(" ") + "\n")

    def ends(self, left: Piece, *right: Piece) -> None:
        """One line: something at its beginning, something at its end, cut so that both fit."""
        room = self.columns - sum(safe.width(_text(piece)) for piece in right) - 2
        text = safe.cut(safe.line(_text(left)), max(room, 20))
        pad = max(room - safe.width(text), 0) + 2
        self.say(Mark(text, left.style) if isinstance(left, Mark) else text, " " * pad, *right)

    def rows(self, rows: Sequence[Sequence[Piece]], *, flexible: int, indent: int = 2) -> None:
        """Aligned columns; the flexible one is cut so that lines fit."""
        if not rows:
            return
        widths = [max(safe.width(safe.line(_text(row[at]))) for row in rows) for at in range(len(rows[0]))]
        others = sum(widths) - widths[flexible] + 2 * (len(widths) - 1) + indent
        widths[flexible] = min(widths[flexible], max(self.columns - others, 12))
        for row in rows:
            self.say(" " * indent, *self._aligned(row, widths))

    def folded(self, text: str, indent: int) -> list[str]:
        """A sentence in lines that fit after an indent; in one line where nobody's eyes are."""
        lines = [safe.line(text)]
        room = max(self.columns - indent, _NARROWEST // 2)
        while self._folds and safe.width(lines[-1]) > room:
            head, space, _ = safe.cut(lines[-1], room + 2)[:-1].rpartition(" ")
            if not space:
                break  # one long word: the terminal breaks it where it ends
            lines[-1:] = [head, lines[-1][len(head) + 1 :]]
        return lines

    def _aligned(self, row: Sequence[Piece], widths: Sequence[int]) -> Iterable[Piece]:
        for piece, columns in zip(row, widths, strict=True):
            text = safe.cut(safe.line(_text(piece)), columns)
            yield Mark(text, piece.style) if isinstance(piece, Mark) else text
            yield " " * (columns - safe.width(text) + 2)

    def _dressed(self, piece: Piece) -> str:
        text = safe.line(_text(piece))
        if isinstance(piece, Mark) and self._color and text:
            return f"\x1b[{_SGR[piece.style]}m{text}\x1b[0m"
        return text


def on(stream: TextIO, *, color: bool, environment: Mapping[str, str]) -> Screen:
    """The screen that this stream is; `color` False whatever it is."""
    terminal = is_terminal(stream)
    wanted = color and terminal and not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"
    return Screen(stream, color=wanted, columns=_columns() if terminal else _PLAIN_WIDTH, folds=terminal)


def is_terminal(stream: TextIO) -> bool:
    try:
        return os.isatty(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False


def _columns() -> int:
    return min(max(shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns, _NARROWEST), _WIDEST)


def _text(piece: Piece) -> str:
    return piece.text if isinstance(piece, Mark) else piece
