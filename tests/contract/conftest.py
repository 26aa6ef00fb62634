"""One store of every kind; each event store's whole history is audited when its test ends."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.connection import IN_MEMORY
from dre.adapters.sqlite.event_store import open_event_store
from dre.adapters.sqlite.table_store import open_table_store
from dre.ledger.audit import audit
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import EventStore
from dre.ports.table_store import TableStore


@pytest.fixture(params=["sqlite file", "sqlite in memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventStore]:
    path = str(tmp_path / "ledger.db") if request.param == "sqlite file" else IN_MEMORY
    async with open_event_store(path) as opened:
        yield opened
        assert [finding async for finding in audit(opened)] == []


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[EventStore, EventStore]]:
    """The same history opened twice, as two processes have it."""
    path = str(tmp_path / "ledger.db")
    async with open_event_store(path) as one, open_event_store(path) as other:
        yield one, other
        assert [finding async for finding in audit(one)] == []


@pytest.fixture(params=["sqlite file", "sqlite in memory"])
async def tables(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[TableStore]:
    path = str(tmp_path / "cache" / "tables.db") if request.param == "sqlite file" else IN_MEMORY
    async with open_table_store(path) as opened:
        yield opened


@pytest.fixture
async def two_tables(tmp_path: Path) -> AsyncIterator[tuple[TableStore, TableStore]]:
    path = str(tmp_path / "cache" / "tables.db")
    async with contextlib.AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(open_table_store(path)) for _ in range(2)]
        yield one, other


@pytest.fixture
async def aside(tmp_path: Path) -> AsyncIterator[tuple[str, TableStore]]:
    """A table store of its own, and the file that it is in."""
    path = str(tmp_path / "aside" / "tables.db")
    async with open_table_store(path) as opened:
        yield path, opened


@pytest.fixture(params=["files"])
def blobs(tmp_path: Path) -> BlobStore:
    return FileBlobStore(str(tmp_path / "evidence"))
