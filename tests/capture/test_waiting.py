"""A recording that waits is looked at all the time, and read when something has changed."""

import fcntl
import os
from pathlib import Path
from uuid import uuid4

import pytest
from capture.recorded import History, JournalFile, Place, states

from dre.capture import spool
from dre.capture.ingest import Ingested, Rules, ingest_pending
from dre.capture.waiting import Waiting
from dre.domain.operation import OperationInterrupted
from dre.shim import journal as kinds

BIG = 32 << 20


class Looking:
    """Whoever asks again and again, as a server does."""

    def __init__(self, place: Place, history: History) -> None:
        self._place, self._history = place, history
        self._waiting: Waiting[Ingested] = Waiting()

    async def look(self) -> list[str]:
        found = await ingest_pending(str(self._place.spools), self._history.into, Rules(), self._waiting)
        return states(found)

    async def reads(self) -> int:
        """How many bytes the next look reads."""
        before = bytes_read()
        await self.look()
        return bytes_read() - before


def bytes_read() -> int:
    """By this process, from whatever it is."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["rchar"])


@pytest.fixture
def looking(place: Place, history: History, monkeypatch: pytest.MonkeyPatch) -> Looking:
    """Files that a test has changed count as settled at once."""
    monkeypatch.setattr(spool, "_TICK_NS", 0)
    return Looking(place, history)


def grow(journal: Path) -> int:
    """Damage far behind the end, that takes long to read; the size before."""
    size = journal.stat().st_size
    with journal.open("ab") as file:
        file.write(bytes(BIG) + b"x")
    return size


async def test_one_that_was_refused_is_not_read_again_until_it_changes(place: Place, looking: Looking) -> None:
    place.wrap("true")
    journal = place.spool() / "journal"
    size = grow(journal)

    assert await looking.reads() >= BIG
    assert await looking.look() == ["refused"]
    assert await looking.reads() < 1 << 20

    os.utime(journal)
    assert await looking.reads() >= BIG
    os.truncate(journal, size)
    assert await looking.look() == ["recorded"]


async def test_a_journal_of_holes_costs_nothing_however_long_it_is(place: Place, looking: Looking) -> None:
    place.wrap("true")
    journal = place.spool() / "journal"
    os.truncate(journal, 10 << 30)
    with journal.open("ab") as file:
        file.write(b"x")

    assert await looking.reads() < BIG
    assert await looking.look() == ["refused"]


async def test_one_that_changed_just_now_is_read_again(
    place: Place, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "_TICK_NS", 1 << 60)
    place.wrap("true")
    grow(place.spool() / "journal")

    assert await looking.look() == ["refused"]
    assert await looking.reads() >= BIG


async def test_one_that_runs_is_read_again_when_nobody_writes_it_any_more(
    place: Place, history: History, looking: Looking
) -> None:
    id = place.wrap("true")
    journal = JournalFile(place.spool() / "journal")
    journal.write([(kind, payload) for kind, payload in journal.frames if kind not in (kinds.EXIT, kinds.END)])
    with (place.spool() / "alive").open("rb") as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        assert await looking.look() == ["running"]
        assert await looking.look() == ["running"]

    assert await looking.look() == ["recorded"]
    assert (await history.one(id, OperationInterrupted)).operation_id == id


def test_what_is_remembered_is_bounded_and_goes_with_its_recording() -> None:
    waiting: Waiting[str] = Waiting()
    ids = [uuid4() for _ in range(1500)]
    for id in ids:
        waiting.remember(id, "looks", "refused")

    known = [id for id in ids if waiting.found(id, "looks")]
    assert len(known) == 1000
    waiting.forget_others(known[:1])
    assert [id for id in ids if waiting.found(id, "looks")] == known[:1]
