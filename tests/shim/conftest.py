"""What the recorder's tests stand on: a place whose spools stay, and a way to say each thing natively and wrapped."""

import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shim.keyboard import PROMPT, Terminal
from shim.places import DRE, Place
from shim.processes import end_all_in


@pytest.fixture
def place(tmp_path: Path, own_home: Path) -> Iterator[Place]:
    """A folder below the temporary one, so that a test may put something beside it; nobody stays there after it."""
    yield Place(tmp_path / "place", Path(os.environ["XDG_STATE_HOME"]))
    end_all_in(str(tmp_path))


@pytest.fixture(params=["native", "wrapped"])
def p(request: pytest.FixtureRequest) -> str:
    """What stands in front of a command line: nothing, or the recorder. Both must pass the same test."""
    return "" if request.param == "native" else f"{shlex.quote(DRE)} wrap --no-workspace "


@pytest.fixture
def open_terminal(place: Place) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*argv: str) -> Terminal:
        opened.append(Terminal(place.folder, argv) if argv else Terminal(place.folder))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def bash(open_terminal: Callable[..., Terminal]) -> Terminal:
    terminal = open_terminal()
    terminal.see(PROMPT)
    return terminal
