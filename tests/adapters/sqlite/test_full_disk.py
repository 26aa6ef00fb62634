"""A full disk: refused in words, nothing half-written, history readable, and on with it once there is room."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# RLIMIT_FSIZE is set where no other test can feel it: in the process that writes
WRITER = """
import asyncio, os, resource, signal, sys
from uuid import uuid4
from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.sqlite.event_store import open_event_store
from dre.adapters.sqlite.table_store import open_table_store
from dre.errors import StoreFull
from dre.ledger.audit import audit
from dre.ports.event_store import Append, NewEvent
from dre.ports.table_store import Place

folder, how = sys.argv[1:]
BODY = b'{"s":"' + b"x" * 20_000 + b'"}'
FILLER = os.path.join(folder, "filler")

def fill():
    if how == "limit":
        limit = os.stat(f"{folder}/ledger.db-wal").st_size + 50_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        return
    with open(FILLER, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def free():
    if how == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    else:
        os.unlink(FILLER)

async def main():
    blobs = FileBlobStore(f"{folder}/evidence")
    ledger = f"{folder}/ledger.db"
    async with open_event_store(ledger) as store, open_table_store(f"{folder}/cache/tables.db") as tables:
        async def append():
            [answer] = await store.append([Append("local-1", (NewEvent(uuid4(), "p/k-1", "a.b", BODY),))])
            return answer.entries[0].position
        acknowledged = [await append()]
        kept = await blobs.put([b"kept"])
        place = await tables.prepare("runs", 1, None)
        for _ in range(3):
            fill()
            refused = 0
            for _ in range(40):
                try:
                    acknowledged.append(await append())
                except StoreFull:
                    refused += 1
            assert refused
            try:
                await blobs.put([os.urandom(4_000_000)])
            except StoreFull:
                pass
            else:
                raise SystemExit("a blob store that is never full")
            assert len(os.listdir(f"{folder}/evidence/incoming")) == 0
            assert await blobs.read_all(kept.address, 4) == b"kept"
            assert (await store.head()).size == len(acknowledged)
            assert [finding async for finding in audit(store)] == []
            free()
            acknowledged.append(await append())
            await blobs.put([os.urandom(1000)])
            moved = Place(place.position + 1, b"leaf")
            assert await tables.advance("runs", place, moved)
            place = moved
        assert acknowledged == list(range(len(acknowledged)))
    async with open_event_store(ledger) as store:
        assert [finding async for finding in audit(store)] == []
        assert (await store.head()).size == len(acknowledged)
    print("good")

asyncio.run(main())
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str | None]:
    """A file system of one megabyte, where this user may mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", str(folder)]
    with contextlib.suppress(OSError):
        if os.geteuid() == 0 and subprocess.run(mount, check=False, capture_output=True).returncode == 0:
            yield str(folder)
            subprocess.run(["umount", str(folder)], check=True)
            return
    yield None


async def test_a_full_disk_refuses_appends_and_blobs_until_there_is_room(
    small_disk: str | None, tmp_path: Path, script: Callable[..., Any]
) -> None:
    """On a small disk of its own; who cannot mount one has the limit of the test below, in another folder."""
    folder, how = (small_disk, "disk") if small_disk else (str(tmp_path), "limit")

    assert script(WRITER, folder, how).finish() == ["good"]


async def test_a_limit_or_quota_is_a_full_disk_too(tmp_path: Path, script: Callable[..., Any]) -> None:
    """SQLite calls it an input/output error."""
    assert script(WRITER, str(tmp_path), "limit").finish() == ["good"]


OPENER = """
import asyncio, resource, signal, sys
from dre.adapters.sqlite.table_store import open_table_store
from dre.errors import StoreFull

async def opened():
    async with open_table_store(sys.argv[1]) as tables:
        await tables.places()

asyncio.run(opened())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (16384, resource.RLIM_INFINITY))
try:
    asyncio.run(opened())
except StoreFull as error:
    print(error)
"""


def test_opening_without_room_for_what_readers_share_is_said_as_that(tmp_path: Path) -> None:
    path = str(tmp_path / "cache" / "tables.db")
    done = subprocess.run([sys.executable, "-c", OPENER, path], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{path}: no room on the disk\n"
