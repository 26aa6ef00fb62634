"""Long work says how far it is: a bar on a terminal, a line per 10 % elsewhere, nothing for what is quick."""

import io
import os
from collections.abc import Iterator

import pytest

from dre.cli.asked import Asked
from dre.cli.progress import Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """What is written to it can be read back; what it is, is a real terminal's end."""

    def __init__(self, end: int) -> None:
        super().__init__()
        self._end = end

    def fileno(self) -> int:
        return self._end


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    outer, inner = os.openpty()
    yield Terminal(inner)
    os.close(outer)
    os.close(inner)


def work(asked: Asked, seconds_a_step: float) -> None:
    clock = Clock()
    progress = Progress(asked, "events", 1000, clock)
    for _ in range(100):
        clock.now += seconds_a_step
        progress.advance(10)
    progress.end()


def test_elsewhere_than_on_a_terminal_it_is_a_line_per_10_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    work(Asked("/", 0), 1.0)
    lines = out.getvalue().splitlines()
    assert lines[0] == "events 10 %, 10/s, 1 min 30 s left"
    assert [line.split(",")[0] for line in lines] == [f"events {tenth}0 %" for tenth in range(1, 11)]
    assert lines[-1] == "events 100 %, 10/s, 0 ms left"


def test_what_is_quick_or_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stderr", out)
    work(Asked("/", 0), 0.001)
    quiet = Asked("/", 0)
    quiet.quiet = True
    work(quiet, 1.0)
    assert out.getvalue() == ""


def test_on_a_terminal_it_is_a_bar_that_goes_when_it_is_done(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal)
    work(Asked("/", 0), 1.0)
    drawn = terminal.getvalue().split("\r\x1b[K")
    assert drawn[0] == drawn[-1] == ""
    assert "events [############------------]  50 %  10/s, 50.0 s left" in drawn
    assert "\n" not in terminal.getvalue()
