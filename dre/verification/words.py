"""How verdicts speak: counts, lists, lengths and times as people read them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction

from dre.domain.events import Bytes, Micros, Millis, Text

LISTED = 3


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 test`, `1,204 tests`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(names: Sequence[str], limit: int = LISTED) -> str:
    """`a`, `a and b`, `a, b, c and 4 more`."""
    shown, more = list(names[:limit]), len(names) - limit
    if more > 0:
        shown.append(f"{more:,} more")
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1]))) if shown else ""


def seconds(length: Micros) -> str:
    """`60 s`, `1.5 s`."""
    whole = Fraction(length, 1_000_000)
    return f"{int(whole)} s" if whole.denominator == 1 else f"{float(whole):g} s"


def time_of_day(at: Millis) -> str:
    """In UTC, and said so: a verdict is read where its clock is not."""
    return datetime.fromtimestamp(at // 1000, UTC).strftime("%H:%M:%S UTC")


def as_words(text: Text) -> str:
    """A string for every name, also one whose bytes are none."""
    return text.bytes.decode("utf-8", "backslashreplace") if isinstance(text, Bytes) else text


def cut(text: str, limit: int) -> str:
    """At most `limit` characters that a body may hold: no NUL, no half of a surrogate pair."""
    whole = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    return whole if len(whole) <= limit else whole[: limit - 1] + "…"
