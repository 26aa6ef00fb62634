"""Recordings that wait beside one: the nearest are looked at, however many there are, and of the rest it is said."""

import time
from contextlib import closing
from uuid import UUID

import pytest
from capture.recorded import History, Place

from dre.capture import neighbours
from dre.capture.ingest import Rules, ingest_one
from dre.capture.journal import read_recording, this_boot
from dre.capture.neighbours import Neighbours, find_neighbours, is_needed
from dre.capture.spool import Spool, Spools


class Counting(Spools):
    """Spools that know how often one was opened."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.opened = 0

    def open(self, id: UUID) -> Spool | None:
        self.opened += 1
        return super().open(id)


async def looked(place: Place, history: History, id: UUID) -> tuple[Neighbours, int, bool, int]:
    """What is found for one, by opening how many; whether it is needed, by opening how many."""
    with closing(Counting(str(place.spools))) as spools:
        spool = spools.open(id)
        assert spool is not None
        with closing(spool):
            recording = read_recording(spool, this_boot())
            assert recording is not None
            spools.opened = 0
            found = await find_neighbours(spools, spool, recording, history.into.store, this_boot())
            opened, spools.opened = spools.opened, 0
            needed = is_needed(spools, spool, this_boot(), time.time_ns() // 1_000_000)
            return found, opened, needed, spools.opened


async def test_of_many_that_wait_only_the_nearest_are_opened(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LOOKED_AT", 2)
    ids = [repository.wrap("true") for _ in range(6)]

    found, opened, needed, opened_for_need = await looked(repository, history, ids[-1])
    assert ({one.id for one in found.found}, found.more, opened) == (set(ids[3:5]), 3, 2)
    assert needed
    assert opened_for_need <= 2

    found, opened, needed, _ = await looked(repository, history, ids[0])
    assert ({one.id for one in found.found}, found.more, opened) == ({ids[1]}, 0, 1)  # the first behind it says enough
    assert not needed


async def test_what_was_not_looked_at_is_said(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "LOOKED_AT", 2)
    newest = [repository.wrap("true") for _ in range(5)][-1]

    await ingest_one(str(repository.spools), newest, history.into, Rules())
    await history.take(repository)

    said = [one for one in await history.observations(newest, "workspace") if one.state == "partial"]
    assert [one.detail for one in said] == ["2 other recordings wait and were not looked at: changes may be theirs"]
