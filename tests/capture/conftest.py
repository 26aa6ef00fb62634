"""A place to record in, and a history to record into."""

import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from capture.recorded import History, Place, open_history

from dre.adapters.filesystem import dot_dre
from dre.adapters.filesystem.state_home import KeptHead, StateHome
from dre.domain.ids import uuid7


@pytest.fixture
def place(tmp_path: Path) -> Place:
    top = tmp_path / "shop"
    top.mkdir()
    state = StateHome(os.path.join(os.environ["XDG_STATE_HOME"], "dre"))
    ledger_id = uuid7(time.time_ns() // 1_000_000)
    dot_dre.make(str(top / ".dre"), ledger_id, state)
    state.remember(ledger_id, KeptHead(10**6, "0" * 64))
    return Place(top)


@pytest.fixture
def repository(place: Place) -> Place:
    place.git("init", "-q", "-b", "main")
    (place.top / "kept.py").write_text("print('kept')\n")
    place.git("add", "kept.py")
    place.git("commit", "-q", "-m", "begin")
    return place


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    folder = tmp_path / "history"
    folder.mkdir(mode=0o700)
    async with open_history(folder) as history:
        yield history
