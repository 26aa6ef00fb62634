"""A served workspace for every test of the doors; its whole history is audited when the test ends."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from server.served import Served, make_workspace, serve

from dre.ledger.audit import audit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_workspace(tmp_path / "shop")


@pytest.fixture
async def served(folder: Path) -> AsyncIterator[Served]:
    async with serve(folder) as opened:
        yield opened
        findings = [finding async for finding in audit(opened.engine.store)]
        assert opened.is_altered == bool(findings), findings


@pytest.fixture
async def recorded(served: Served) -> Served:
    """With one operation, judged; `served.operation` is its id."""
    await served.record("sh", "-c", "echo out; echo 1 > made.txt")
    return served
