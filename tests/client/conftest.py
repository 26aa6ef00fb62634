"""A served workspace for the client to ask; its whole history is audited when the test ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from server.served import Served, make_workspace, serve

from dre.ledger.audit import audit


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with serve(make_workspace(tmp_path / "shop")) as opened:
        yield opened
        assert [finding async for finding in audit(opened.engine.store)] == []
