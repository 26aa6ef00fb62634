"""A moment as people type it after `--since`: a length of time before now, a date, a time, RFC 3339."""

import re
from datetime import datetime, timedelta

from dre.errors import UsageError

EXPECTED = "a length of time (90s, 20m, 2h, 3d, 1w), a date (2026-11-21), or a time (2026-11-21T14:03:00Z)"
_BEFORE_NOW = re.compile(r"([0-9]{1,6})([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DATED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?", re.ASCII | re.DOTALL)
_WORDS = {"today": 0, "yesterday": 1}


def parse_moment(text: str, now: datetime) -> int:
    """
    Milliseconds since the epoch. What names no time zone is local time; `now` carries the local one.

    Raises UsageError that says what was expected.
    """
    found = _before(text, now) or _dated(text, now)
    if found is None:
        raise UsageError(f'--since: "{text}" is no moment: {EXPECTED} is expected')
    try:
        milliseconds = round(found.timestamp() * 1000)
    except (OverflowError, OSError, ValueError):
        milliseconds = -1
    if milliseconds < 0:
        raise UsageError(f'--since: "{text}" lies before 1970: {EXPECTED} is expected')
    return milliseconds


def _before(text: str, now: datetime) -> datetime | None:
    if text in _WORDS:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return midnight - timedelta(days=_WORDS[text])
    match = _BEFORE_NOW.fullmatch(text)
    if match is None:
        return None
    try:
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    except OverflowError:
        return now.replace(year=1)


def _dated(text: str, now: datetime) -> datetime | None:
    if not _DATED.fullmatch(text):
        return None
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=now.tzinfo)
    except ValueError:  # the 30th of February
        return None
