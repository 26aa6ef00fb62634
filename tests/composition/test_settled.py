"""The number by which the recorder tells an older copy: never a false alarm, whatever is cut off in the middle."""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dre.adapters.filesystem import begin, dot_dre
from dre.adapters.filesystem.state_home import KeptHead, StateHome
from dre.application.execute import new_events
from dre.composition import open_engine, read_settings, state_home
from dre.domain.configuration import ConfigurationChanged
from dre.domain.ids import uuid7
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append
from dre.shim.home import Home


class Killed(BaseException):
    """As if the machine had gone dark."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    begin.begin(str(folder), home(), ci_mode=False)
    append(folder, 1)
    return folder


def home() -> StateHome:
    return StateHome(state_home(os.environ))


def append(folder: Path, *numbers: int) -> None:
    async def run() -> None:
        async with open_engine(read_settings(str(folder), os.environ)) as engine:
            assert engine.blocked is None
            for number in numbers:
                event = ConfigurationChanged("evidence.retention", f"{number}d", None, "workspace")
                stream = f"default/configuration-{engine.ledger_id}"
                events = new_events(stream, [event], [derived_id(engine.actor, str(number), 0)])
                await engine.appender.append(Append(engine.actor, events))

    asyncio.run(run())


def says_something(folder: Path) -> bool:
    """What the very next `dre wrap` would do."""
    recorder = Home(os.fsencode(folder))
    try:
        return recorder.blocked
    finally:
        for fd in (recorder.fd, recorder.spools):
            os.close(fd)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Goes dark before the nth step of what is written, whatever it is."""
    steps = {name: getattr(os, name) for name in ("open", "fsync", "rename", "replace", "unlink")}

    def after(count: int) -> None:
        left = iter(range(count))

        def counted(real: Callable[..., Any]) -> Callable[..., Any]:
            def step(*arguments: Any, **more: Any) -> Any:
                if next(left, None) is None:
                    raise Killed
                return real(*arguments, **more)

            return step

        for name, real in steps.items():
            monkeypatch.setattr(os, name, counted(real))

    yield after
    monkeypatch.undo()


@pytest.mark.parametrize("count", range(12))
def test_a_cut_between_any_two_steps_is_no_older_copy(place: Path, cut: Callable[[int], None], count: int) -> None:
    state, ledger_id = home(), dot_dre.read_id(str(place / ".dre"))
    assert ledger_id is not None
    folder = os.open(place / ".dre", os.O_RDONLY)
    state.remember(ledger_id, KeptHead(9, "ab" * 32))
    cut(count)
    try:
        state.settle(ledger_id, 9, lambda: dot_dre.write_settled(folder, ledger_id, 9))
        finished = True
    except Killed:
        finished = False
    cut(10**6)
    os.close(folder)

    assert not says_something(place)
    assert finished or count < 11
    kept = state.head(ledger_id)
    assert kept is not None
    inside = int((place / ".dre" / "settled").read_text().split()[1])
    assert kept.settled <= inside


def test_the_first_wrap_on_an_older_copy_knows(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / ".dre", tmp_path / "older")
    append(place, 2)
    assert not says_something(place)
    shutil.move(place / ".dre", tmp_path / "newest")
    shutil.copytree(tmp_path / "older", place / ".dre")
    assert says_something(place)

    shutil.rmtree(place / ".dre")
    shutil.move(tmp_path / "newest", place / ".dre")
    assert not says_something(place)


def test_one_without_the_number_is_older_than_any_that_had_it(place: Path) -> None:
    (place / ".dre" / "settled").unlink()
    assert says_something(place)
    append(place)
    assert not says_something(place)


def test_a_history_that_nobody_has_settled_yet_is_no_alarm(place: Path) -> None:
    """As a DRE left it that knew of no such number."""
    ledger_id = dot_dre.read_id(str(place / ".dre"))
    assert ledger_id is not None
    kept = home().head(ledger_id)
    assert kept is not None
    Path(home().folder(ledger_id), "head").write_text(f'{{"size":{kept.size},"leaf":"{kept.leaf}"}}')
    (place / ".dre" / "settled").unlink()
    assert not says_something(place)
    append(place, 2)
    assert (place / ".dre" / "settled").read_text() == f"{ledger_id} {kept.size + 1}\n"


def test_a_copy_made_while_it_was_being_settled_is_put_right_by_whoever_reads_it(place: Path) -> None:
    """Restored with all its events, and the number from just before: the next reader finds nothing missing."""
    old = (place / ".dre" / "settled").read_bytes()
    append(place, 2)
    (place / ".dre" / "settled").write_bytes(old)
    assert says_something(place)
    append(place)
    assert not says_something(place)


def test_of_two_that_leave_the_shorter_one_changes_nothing(place: Path) -> None:
    append(place, 2, 3)
    state, ledger_id = home(), dot_dre.read_id(str(place / ".dre"))
    assert ledger_id is not None
    before = (place / ".dre" / "settled").read_bytes()
    folder = os.open(place / ".dre", os.O_RDONLY)
    state.settle(ledger_id, 3, lambda: dot_dre.write_settled(folder, ledger_id, 3))
    os.close(folder)
    assert (place / ".dre" / "settled").read_bytes() == before
    assert not says_something(place)


def test_another_ledgers_number_counts_for_nothing(place: Path) -> None:
    other = uuid7(1)
    (place / ".dre" / "settled").write_text(f"{other} 1000000\n")
    assert says_something(place)


def test_an_engine_that_stays_open_is_no_alarm(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    begin.begin(str(folder), home(), ci_mode=False)

    async def opened() -> bool:
        async with open_engine(read_settings(str(folder), os.environ)):
            return says_something(folder)

    assert asyncio.run(opened()) is False
