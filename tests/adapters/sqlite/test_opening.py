"""Opening: what is made, and what is refused with a clear reason."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path
from uuid import UUID, uuid4

import apsw
import pytest

from dre.adapters.sqlite.event_store import open_event_store
from dre.adapters.sqlite.schema import APPLICATION_ID, FORMAT
from dre.adapters.sqlite.table_store import open_table_store
from dre.errors import LedgerAltered, LedgerError, LedgerMissing, LedgerNewer, StoreBusy
from dre.ports.event_store import Append
from dre.ports.table_store import Place, Query, Row


async def open_and_close(path: str, **options: bool | float) -> None:
    async with open_event_store(path, **options):  # type: ignore[arg-type]
        pass


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


async def test_a_new_ledger_is_private_and_so_are_its_journals(path: str, append: Callable[..., Append]) -> None:
    before = os.umask(0)
    try:
        async with open_event_store(path) as store:
            await store.append([append()])
            assert {mode(path + suffix) for suffix in ("", "-wal", "-shm")} == {0o600}
    finally:
        os.umask(before)


async def test_a_ledger_says_what_it_is_to_other_programs(path: str) -> None:
    await open_and_close(path)

    with apsw.Connection(path) as connection:
        assert connection.execute("pragma application_id").get == APPLICATION_ID
        assert connection.execute("pragma user_version").get == FORMAT
        assert connection.execute("pragma journal_mode").get == "wal"
        strict = connection.execute("select name from pragma_table_list where strict order by name").get
    connection.close()
    assert strict == ["body", "event", "head"]


async def test_every_commit_waits_for_the_disk(path: str) -> None:
    async with open_event_store(path) as store:
        full = await store._database.run(lambda connection: connection.execute("pragma synchronous").get)
        guards = await store._database.run(
            lambda c: (
                c.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, -1),
                c.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, -1),
                c.execute("pragma recursive_triggers").get,
                c.execute("pragma secure_delete").get,
            )
        )
    assert full == 2
    assert guards == (1, 0, 1, 1)


async def test_without_create_a_missing_ledger_is_missing(path: str) -> None:
    with pytest.raises(LedgerMissing):
        await open_and_close(path, create=False)
    assert not os.path.lexists(path)


async def test_a_missing_folder_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissing):
        await open_and_close(str(tmp_path / "gone" / "ledger.db"))


async def test_a_newer_format_is_refused_and_left_alone(path: str, behind: Callable[[str], apsw.Connection]) -> None:
    await open_and_close(path)
    behind(path).execute("pragma user_version = 2")

    with pytest.raises(LedgerNewer, match=r"format 2; .* up to 1") as refused:
        await open_and_close(path)

    assert refused.value.hint
    assert behind(path).execute("pragma user_version").get == 2


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be one " * 100, b"SQLite format 3\0" + b"\xff" * 4096]
)
async def test_a_file_that_is_no_database_is_refused(path: str, content: bytes) -> None:
    Path(path).write_bytes(content)

    with pytest.raises(LedgerAltered):
        await open_and_close(path)

    assert Path(path).read_bytes() == content


async def test_another_programs_database_is_refused_and_left_alone(
    path: str, behind: Callable[[str], apsw.Connection]
) -> None:
    behind(path).execute("create table notes (text)")

    with pytest.raises(LedgerAltered, match="not a ledger"):
        await open_and_close(path)

    assert behind(path).execute("select name from sqlite_schema").get == "notes"


async def test_another_programs_database_with_our_number_is_refused(
    path: str, behind: Callable[[str], apsw.Connection]
) -> None:
    behind(path).execute(f"create table notes (text); pragma user_version = {FORMAT}")

    with pytest.raises(LedgerAltered, match="not a ledger"):
        await open_and_close(path)


async def test_an_empty_file_becomes_a_ledger(path: str) -> None:
    """What a kill right after the file was made leaves behind."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))

    async with open_event_store(path) as store:
        assert (await store.head()).size == 0


async def test_a_link_is_not_followed(path: str, tmp_path: Path) -> None:
    elsewhere = str(tmp_path / "elsewhere.db")
    await open_and_close(elsewhere)
    os.symlink(elsewhere, path)

    with pytest.raises(LedgerError, match="symbolic link"):
        await open_and_close(path)


async def test_a_folder_reached_through_a_link_is_the_callers_to_judge(
    tmp_path: Path, append: Callable[..., Append]
) -> None:
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real", tmp_path / "link")

    async with open_event_store(str(tmp_path / "link" / "ledger.db")) as store:
        await store.append([append()])

    assert (tmp_path / "real" / "ledger.db").exists()


async def test_many_open_a_new_ledger_at_once(path: str, append: Callable[..., Append]) -> None:
    async def record() -> None:
        async with open_event_store(path) as store:
            await store.append([append()])

    await asyncio.gather(*(record() for _ in range(12)))

    async with open_event_store(path) as store:
        assert (await store.head()).size == 12


async def test_a_lock_that_is_held_too_long_is_said(
    path: str, behind: Callable[[str], apsw.Connection], append: Callable[..., Append]
) -> None:
    async with open_event_store(path, busy_timeout_s=0.1) as store:
        other = behind(path)
        other.execute("begin immediate")
        with pytest.raises(StoreBusy, match="another process"):
            await store.append([append()])
        assert (await store.head()).size == 0  # readers are not held up
        other.execute("rollback")

        await store.append([append()])
        assert (await store.head()).size == 1


async def test_a_writer_waits_for_its_turn(
    path: str, behind: Callable[[str], apsw.Connection], append: Callable[..., Append]
) -> None:
    async with open_event_store(path) as store:
        other = behind(path)
        other.execute("begin immediate")
        waiting = asyncio.create_task(store.append([append()]))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        other.execute("rollback")

        await waiting
        assert (await store.head()).size == 1


async def test_waiting_for_the_lock_does_not_stop_the_event_loop(
    path: str, behind: Callable[[str], apsw.Connection], append: Callable[..., Append]
) -> None:
    async with open_event_store(path) as store:
        other = behind(path)
        other.execute("begin immediate")
        waiting = asyncio.create_task(store.append([append()]))
        for _ in range(20):
            await asyncio.sleep(0.005)
        assert not waiting.done()
        other.execute("rollback")
        await waiting


@pytest.mark.parametrize("content", [b"not a database " * 1000, b"SQLite format 3\0" + b"\xff" * 8192, b"short"])
async def test_tables_that_cannot_be_read_are_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cache" / "tables.db"
    path.parent.mkdir()
    path.write_bytes(content)

    async with open_table_store(str(path)) as tables:
        assert await tables.prepare("runs", 1, None) == Place()
    assert mode(str(path)) == 0o600


async def test_tables_of_another_format_are_begun_anew(
    tmp_path: Path, behind: Callable[[str], apsw.Connection]
) -> None:
    path = str(tmp_path / "cache" / "tables.db")
    async with open_table_store(path) as tables:
        await tables.prepare("runs", 1, None)
        await tables.advance("runs", Place(), Place(4, b"leaf"))
    other = behind(path)
    other.execute("pragma user_version = 99")
    other.close()

    async with open_table_store(path) as tables:
        assert await tables.places() == {}


async def test_the_folder_of_the_tables_is_made_private(tmp_path: Path) -> None:
    async with open_table_store(str(tmp_path / "cache" / "tables.db")):
        pass
    assert mode(str(tmp_path / "cache")) == 0o700


async def test_tables_are_not_made_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "target").write_bytes(b"precious")
    os.symlink(tmp_path / "target", tmp_path / "cache" / "tables.db")

    with pytest.raises(LedgerError, match="symbolic link"):
        async with open_table_store(str(tmp_path / "cache" / "tables.db")):
            pass

    assert (tmp_path / "target").read_bytes() == b"precious"


class _Run(Row, frozen=True):
    table = "runs"
    primary_key = "id"

    id: UUID
    command: str
    labels: list[tuple[str, str]]


@pytest.mark.parametrize(
    "change",
    [
        "id = 'x'",
        "command = null",
        "labels = '{'",
        "labels = '[[1]]'",
        "labels = null",
        "command = cast(x'b0ff' as text)",
    ],
)
async def test_a_row_that_no_writer_of_ours_wrote_is_damage_with_a_way_out(
    change: str, tmp_path: Path, behind: Callable[[str], apsw.Connection]
) -> None:
    path = str(tmp_path / "cache" / "tables.db")
    async with open_table_store(path) as tables:
        await tables.prepare("runs", 1, _Run)
        await tables.advance("runs", Place(), Place(1, b"leaf"), [_Run(uuid4(), "true", [])])
        behind(path).execute(f"update runs set {change}")  # noqa: S608 - one of ours, above

        with pytest.raises(LedgerError, match="damaged") as error:
            await tables.query(_Run, Query())

    assert error.value.hint == "dre projections rebuild makes all tables anew"
