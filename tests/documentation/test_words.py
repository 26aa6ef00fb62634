"""Sizes, lengths and times as people read them."""

import time

import pytest

from dre.documentation import words

SECOND, MINUTE, HOUR = 1000, 60_000, 3_600_000
DAY = 24 * HOUR


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (41_233, "41 KB"),
        (9_949, "9.9 KB"),
        (9_951, "10 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (4_100_000, "4.1 MB"),
        (10**12, "1.0 TB"),
        (3 * 10**18, "3000 PB"),
    ],
)
def test_sizes(size: int, shown: str) -> None:
    assert words.size(size) == shown


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "0 ms"),
        (999_999, "999 ms"),
        (9_100_000, "9.1 s"),
        (59_900_000, "59.9 s"),
        (125_000_000, "2 min 5 s"),
        (12_000_000_000, "3 h 20 min"),
    ],
)
def test_lengths(micros: int, shown: str) -> None:
    assert words.length(micros) == shown


def test_a_list_shows_times_as_short_as_the_distance_allows() -> None:
    now = 1_795_478_591_000  # Mon 24 Nov 2026, 00:03:11 UTC... of that week
    today = time.gmtime(now / 1000)
    assert words.clock(now, now) == time.strftime("%H:%M", today)
    assert words.clock(now - 2 * DAY, now) == time.strftime("%a %H:%M", time.gmtime((now - 2 * DAY) / 1000))
    assert words.clock(now - 40 * DAY, now) == "15 Oct"
    assert words.clock(now - 400 * DAY, now) == "20 Oct 2025"


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        (0, "just now"),
        (59 * SECOND, "just now"),
        (5 * MINUTE, "5 min ago"),
        (119 * MINUTE, "119 min ago"),
        (3 * HOUR, "3 h ago"),
        (2 * DAY, "2 days ago"),
        (70 * DAY, "2 months ago"),
        (800 * DAY, "2 years ago"),
        (-10 * MINUTE, "in the future"),
    ],
)
def test_ages(before: int, shown: str) -> None:
    now = 1_795_478_591_000
    assert words.age(now - before, now) == shown


def test_counts() -> None:
    assert words.counted(1, "event") == "1 event"
    assert words.counted(1204, "event") == "1,204 events"
    assert words.counted(2, "history", "histories") == "2 histories"
