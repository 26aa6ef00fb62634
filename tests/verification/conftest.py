"""A real blob store, a real ledger, and recordings to put in them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from verification.recordings import Recording

from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.adapters.sqlite.table_store import SQLiteTableStore, open_table_store


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    return FileBlobStore(str(tmp_path / "evidence"))


@pytest.fixture
def recording(blobs: FileBlobStore) -> Recording:
    return Recording(blobs)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLiteEventStore]:
    async with open_event_store(str(tmp_path / "ledger.db")) as store:
        yield store


@pytest.fixture
async def tables(tmp_path: Path) -> AsyncIterator[SQLiteTableStore]:
    async with open_table_store(str(tmp_path / "cache" / "tables.db")) as tables:
        yield tables
