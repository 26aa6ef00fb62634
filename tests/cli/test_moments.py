"""What `--since` understands, and what it says of the rest."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dre.cli.moments import EXPECTED, parse_moment
from dre.errors import UsageError

NOW = datetime(2026, 11, 21, 14, 3, 11, tzinfo=timezone(timedelta(hours=2)))


def millis(year: int, month: int, day: int, *rest: int, hours: int = 2) -> int:
    hour, minute, second = (*rest, 0, 0, 0)[:3]
    moment = datetime(year, month, day, hour, minute, second, tzinfo=timezone(timedelta(hours=hours)))
    return round(moment.timestamp() * 1000)


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("90s", millis(2026, 11, 21, 14, 1, 41)),
        ("20m", millis(2026, 11, 21, 13, 43, 11)),
        ("2h", millis(2026, 11, 21, 12, 3, 11)),
        ("3d", millis(2026, 11, 18, 14, 3, 11)),
        ("1w", millis(2026, 11, 14, 14, 3, 11)),
        ("today", millis(2026, 11, 21)),
        ("yesterday", millis(2026, 11, 20)),
        ("2026-11-01", millis(2026, 11, 1)),
        ("2026-11-01 09:30", millis(2026, 11, 1, 9, 30)),
        ("2026-11-01T09:30:15", millis(2026, 11, 1, 9, 30, 15)),
        ("2026-11-01T09:30:15Z", millis(2026, 11, 1, 9, 30, 15, hours=0)),
        ("2026-11-01T09:30:15.250-05:00", millis(2026, 11, 1, 9, 30, 15, hours=-5) + 250),
    ],
)
def test_lengths_of_time_dates_and_times(typed: str, moment: int) -> None:
    assert parse_moment(typed, NOW) == moment


@pytest.mark.parametrize(
    "typed",
    [
        "banana",
        "",
        "h",
        "2x",
        "2 h",
        "-2h",
        "2026-02-30",
        "2026-13-01",
        "2026-11-21T25:00",
        "999999w",
        "1026-01-01",
        "٣d",
    ],
)
def test_the_impossible_is_refused_with_what_was_expected(typed: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_moment(typed, NOW)
    assert typed in refused.value.message
    assert EXPECTED in refused.value.message
    assert refused.value.exit_status == 2


@given(st.text(max_size=30))
def test_any_text_is_a_moment_or_refused(typed: str) -> None:
    with contextlib.suppress(UsageError):
        assert parse_moment(typed, NOW) >= 0


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - made aware below
def test_rfc_3339_in_utc_comes_back(moment: datetime) -> None:
    text = moment.replace(tzinfo=UTC, microsecond=0).isoformat().replace("+00:00", "Z")
    assert parse_moment(text, NOW) == round(moment.replace(tzinfo=UTC, microsecond=0).timestamp() * 1000)
