r"""
Foreign text made safe for terminals: what a command printed, what a file is called, what a report says.

A terminal obeys what it is sent: escape sequences rewrite the screen, the title, the clipboard; direction marks
show one thing and mean another. So nothing of that kind leaves here as itself, whatever it came from. It stays
visible: `␛[2J` is what would have emptied the screen, `\xff` a byte that is no UTF-8, `<U+202E>` a direction override.
Only the colours that most tools print are dropped, where it is output that is read.
"""

import codecs
import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # `dre --help` says its errors safely too, and does without msgspec
    from dre.domain.events import Text

_INVISIBLE = "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_SURROGATES = "\ud800-\udfff"
_OBEYED = f"\x0b-\x1f\x7f-\x9f{_INVISIBLE}{_SURROGATES}"
_IN_A_LINE = re.compile(f"[\x00-\n{_OBEYED}]")
_IN_A_TEXT = re.compile(f"[\x00-\x08{_OBEYED}]")  # one class, no alternatives: a fifth of the time
_COLOUR = re.compile("\x1b\\[[0-9;:]{0,64}[mK]")  # and the erasing of a line's rest, which belongs to it
_BEGUN_COLOUR = re.compile("\x1b(?:\\[[0-9;:]{0,64})?\\Z")
_BYTE = range(0xDC80, 0xDD00)  # what `surrogateescape` makes of a byte that is no UTF-8
_PICTURES = 0x2400


def line(text: "Text") -> str:
    """On one line: also newlines and tabs are shown instead of obeyed."""
    return _IN_A_LINE.sub(_shown, _string(text))


def lines(text: "Text") -> str:
    """Newlines and tabs kept; a terminal's CR LF is a newline."""
    return _IN_A_TEXT.sub(_shown, _string(text).replace("\r\n", "\n"))


def without_colours(text: str) -> str:
    """Not safe yet: what is left of it may hold anything else."""
    return _COLOUR.sub("", text) if "\x1b" in text else text


class Decoder:
    """Bytes in pieces, as they come out of a blob, to safe text in pieces, without colours."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._begun = ""  # a colour that a piece ends in
        self._held = ""  # a \r at the end of a piece: the next one says whether it is half of a line's end

    def feed(self, piece: bytes, *, last: bool = False) -> str:
        text = self._begun + self._decoder.decode(piece, last)
        begun = None if last else _BEGUN_COLOUR.search(text)
        self._begun = begun[0] if begun else ""
        text = self._held + without_colours(text[: begun.start()] if begun else text)
        self._held = "\r" if text.endswith("\r") and not last else ""
        return lines(text[:-1] if self._held else text)


def json_line(encoded: bytes) -> str:
    """JSON with everything that a terminal would obey as an escape: the same value, for only strings can hold it."""
    text = encoded.decode()
    if text.isascii() and "\x7f" not in text:  # JSON has no raw control characters below 0x20
        return text
    return _IN_A_LINE.sub(_escaped, text)


def width(text: str) -> int:
    """How many columns of a terminal safe text takes."""
    if text.isascii():
        return len(text)
    return sum(_columns(character) for character in text)


def cut(text: str, columns: int) -> str:
    """Safe text in at most that many columns, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    kept, room = [], columns - 1
    for character in text:
        room -= _columns(character)
        if room < 0:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _string(text: "Text") -> str:
    return text if isinstance(text, str) else text.bytes.decode("utf-8", "surrogateescape")


def _shown(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(_PICTURES + code)
    if code in _BYTE:
        return f"\\x{code - 0xDC00:02x}"
    return _NAMED.get(code) or f"<U+{code:04X}>"


_NAMED: Mapping[int, str] = {0x7F: "␡"}


def _escaped(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{int.from_bytes(units[at : at + 2], 'big'):04x}" for at in range(0, len(units), 2))


def _columns(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
