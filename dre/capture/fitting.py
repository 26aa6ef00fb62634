"""Fitting: what a body holds is bounded, so what is longer is cut there, and said; the whole of it is evidence."""

import shlex
from collections.abc import Iterable, Sequence

import msgspec

from dre.domain.events import Bytes, Text, raw
from dre.domain.evidence import Observation

CUT = "…"
_ROOM_WORTH_USING = 64
_ROOM_AROUND = 20  # {"bytes":"..."} or quotes and the sign that it was cut
_DETAIL, _SUBJECT = 800, 80
_CONTROLS = frozenset((*range(32), 127))
_NAMED = {0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r"}


def room_for(value: object) -> int:
    """How many bytes it takes in a body."""
    return len(msgspec.json.encode(value))


def fitting_words(words: Iterable[Text], room: int) -> tuple[list[Text], bool]:
    """As many from the front as there is room for, the last one cut; and whether these are all."""
    kept: list[Text] = []
    for word in words:
        needed = room_for(word) + 1
        if needed > room:
            if room > _ROOM_WORTH_USING:
                kept.append(cut(word, room))
            return kept, False
        kept.append(word)
        room -= needed
    return kept, True


def cut(word: Text, room: int) -> Text:
    """A front of it that fits; what a body writes in six bytes counts as six."""
    return Bytes(word.bytes[: _raw_room(room)]) if isinstance(word, Bytes) else cut_string(word, room)


def cut_string(word: str, room: int) -> str:
    short, length = word, room
    while room_for(short) > room:
        length = length * 3 // 4
        short = word[:length] + CUT
    return short


def shell_words(words: Sequence[Text]) -> str:
    """One line that a shell would take for the same words."""
    return " ".join(map(_shell_word, words))


def fitting_observations(found: Sequence[Observation], most: int) -> list[Observation]:
    kept = [Observation(cut_string(o.subject, _SUBJECT), o.state, cut_string(o.detail, _DETAIL)) for o in found[:most]]
    more = len(found) - len(kept)
    return kept + [Observation("more", "partial", f"and {more:,} more that are not listed")] * (more > 0)


def _raw_room(room: int) -> int:
    return max(0, (room - _ROOM_AROUND) * 3 // 4)


def _shell_word(word: Text) -> str:
    content = raw(word)
    if isinstance(word, str) and not _CONTROLS.intersection(content):
        return shlex.quote(word)
    return "$'" + "".join(map(_shell_byte, content)) + "'"


def _shell_byte(byte: int) -> str:
    if byte in b"'\\":
        return "\\" + chr(byte)
    return chr(byte) if byte not in _CONTROLS and byte < 128 else _NAMED.get(byte) or f"\\x{byte:02x}"
