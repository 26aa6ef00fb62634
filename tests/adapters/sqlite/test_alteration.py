"""Somebody changes the file behind our back: the audit names the place, whatever was changed."""
# ruff: noqa: S608 - the names put into statements are those of the ledger's own columns

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import apsw
import pytest

from dre.adapters.sqlite.event_store import open_event_store
from dre.errors import DREError
from dre.ledger.audit import Finding, audit
from dre.ports.event_store import Append, NewEvent, StoredEvent

ACTOR = "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960"
SIZE = 7
EVENT_COLUMNS = ("id", "stream", "version", "type", "recorded_at_us", "actor", "commitment", "body_len", "leaf")
FLIPS = 150
Behind = Callable[[str], apsw.Connection]


@pytest.fixture
async def whole(path: str, append: Callable[..., Append]) -> str:
    """Seven events of three streams, written in four batches, all in the database file itself."""
    async with open_event_store(path) as store:
        await store.append([append(1, "default/ledger-1"), append(2, "default/operation-a")])
        for stream in ("default/operation-b", "default/operation-a"):
            await store.append([append(1, stream)])
        await store.append([append(2, "default/operation-b")])
    return path


async def findings(path: str) -> list[Finding]:
    async with open_event_store(path, create=False) as store:
        return [finding async for finding in audit(store)]


async def first_wrong(path: str) -> int | None:
    """The first position that the audit names, be it in a finding or because a row cannot even be read."""
    try:
        return min((finding.position for finding in await findings(path)), default=None)
    except DREError as error:
        return getattr(error, "position", None)


def flip(value: int | str | bytes) -> list[int | str | bytes]:
    """The value with one bit of one byte flipped: at its beginning, in its middle and at its end."""
    if isinstance(value, int):
        return [value ^ 1, value ^ 1 << 6, value ^ 1 << 62]
    raw = value.encode() if isinstance(value, str) else value
    places = sorted({0, len(raw) // 2, len(raw) - 1}) if raw else []
    flipped = [raw[:at] + bytes([raw[at] ^ bit]) + raw[at + 1 :] for at in places for bit in (1, 0x80)]
    return [*flipped]


@pytest.mark.parametrize("column", EVENT_COLUMNS)
async def test_a_flipped_byte_in_any_column_of_any_event_is_found_at_its_position(
    whole: str, behind: Behind, column: str
) -> None:
    connection = behind(whole)
    text = connection.execute("select type = 'TEXT' from pragma_table_info('event') where name = ?", (column,)).get
    placeholder = "cast(? as text)" if text else "?"
    tried = 0
    for position in range(SIZE):
        original = connection.execute(f"select {column} from event where position = ?", (position,)).get
        for value in flip(original):
            update = f"update or ignore event set {column} = {placeholder} where position = ?"
            connection.execute(update, (value, position))
            if connection.changes() == 0:  # a version that its stream has already
                continue
            tried += 1
            assert await first_wrong(whole) == position, (position, value)
            connection.execute(f"update event set {column} = ? where position = ?", (original, position))
    assert tried >= 2 * SIZE
    assert await findings(whole) == []


@pytest.mark.parametrize("column", ["salt", "body"])
async def test_a_flipped_byte_in_any_body_or_salt_is_found_at_its_position(
    whole: str, behind: Behind, column: str
) -> None:
    connection = behind(whole)
    for position in range(SIZE):
        original = connection.execute(f"select {column} from body where position = ?", (position,)).get
        for value in flip(original):
            connection.execute(f"update body set {column} = ? where position = ?", (value, position))
            assert [(f.position, f.part) for f in await findings(whole)] == [(position, "body")]
        connection.execute(f"update body set {column} = ? where position = ?", (original, position))
    assert await findings(whole) == []


@pytest.mark.parametrize("table", ["event", "body"])
async def test_a_moved_row_is_found_at_the_place_it_left(whole: str, behind: Behind, table: str) -> None:
    connection = behind(whole)
    for position in range(SIZE):
        for elsewhere in (position ^ 1 << 6, position ^ 1 << 62, ~position):
            connection.execute(f"update {table} set position = ? where position = ?", (elsewhere, position))
            assert await first_wrong(whole) == (elsewhere if elsewhere < 0 and table == "event" else position)
            connection.execute(f"update {table} set position = ? where position = ?", (position, elsewhere))
    assert await findings(whole) == []


@pytest.mark.parametrize("column", ["generation", "size", "prev"])
async def test_a_flipped_byte_in_the_head_is_found(whole: str, behind: Behind, column: str) -> None:
    connection = behind(whole)
    original = connection.execute(f"select {column} from head").get
    for value in flip(original):
        connection.execute(f"update head set {column} = ?", (value,))
        assert [finding.part for finding in await findings(whole)] == ["head"]
    connection.execute(f"update head set {column} = ?", (original,))
    assert await findings(whole) == []


ONE_MORE = (
    "select 7, zeroblob(16), stream, 9, type, recorded_at_us, actor, commitment, body_len, leaf"
    " from event where position = 6"
)


def exchange(table: str, column: str, one: int, other: int) -> str:
    """Two rows, named by position, swap what they have in a column."""
    if column == "position":
        steps = ((one, -99), (other, one), (-99, other))
        return "".join(f"update {table} set position = {new} where position = {old};" for old, new in steps)
    return (
        f"create temp table kept as select position, {column} as value from {table};"
        f"update {table} set {column} = -{column} - 1 where position in ({one}, {other});"
        f"update {table} set {column} = (select value from kept where position = {other}) where position = {one};"
        f"update {table} set {column} = (select value from kept where position = {one}) where position = {other}"
    )


@pytest.mark.parametrize(
    ("change", "position"),
    [
        ("delete from event where position = 0", 0),
        ("delete from event where position = 3", 3),
        ("delete from event where position = 6", 6),
        ("delete from event", 0),
        ("delete from body where position = 4", 4),
        ("delete from event where position = 3; delete from body where position = 3", 3),
        ("delete from event where position > 4; update head set size = 5", 4),
        (exchange("event", "position", 2, 3), 2),
        (exchange("event", "version", 1, 4), 1),
        (exchange("body", "position", 2, 5), 2),
        (f"insert into event {ONE_MORE}; insert into body select 7, salt, body from body where position = 6", 7),
        ("update head set size = 3", 3),
    ],
    ids=lambda value: value[:50] if isinstance(value, str) else str(value),
)
async def test_rows_taken_away_added_or_exchanged_are_found(
    whole: str, behind: Behind, change: str, position: int
) -> None:
    behind(whole).execute(change)

    assert await first_wrong(whole) == position


async def test_a_missing_head_row_is_said(whole: str, behind: Behind) -> None:
    behind(whole).execute("delete from head")

    with pytest.raises(DREError, match="head row is missing"):
        await findings(whole)


async def test_nothing_is_appended_to_a_head_that_does_not_fit(
    whole: str, behind: Behind, append: Callable[..., Append]
) -> None:
    """It would bury the damage under new history."""
    for change in ("update head set size = 5", "update head set prev = zeroblob(32)", "update head set size = 9"):
        behind(whole).execute("update head set size = 7")
        behind(whole).execute(change)
        async with open_event_store(whole) as store:
            with pytest.raises(DREError, match="head row does not fit"):
                await store.append([append()])


async def test_a_cut_file_is_found_or_cannot_be_read(whole: str) -> None:
    size = Path(whole).stat().st_size
    for keep in range(0, size, 4096):
        shutil.copy(whole, f"{whole}.cut")
        os.truncate(f"{whole}.cut", keep)
        try:
            found = await findings(f"{whole}.cut")
            size_now = await length(f"{whole}.cut")
        except DREError:
            continue
        assert found or size_now == 0, keep  # a file cut to nothing is an empty ledger; who kept a head knows better


async def test_a_flipped_byte_anywhere_in_the_file_is_found_or_changes_no_event(whole: str) -> None:
    """Bytes that nothing is read from (free space, indexes that are not asked) may differ; no event may."""
    original = Path(whole).read_bytes()
    before = await rows(whole)
    chosen = random.Random(20_261_124)  # noqa: S311 - the same places in every run
    altered = 0
    for _ in range(FLIPS):
        place, bit = chosen.randrange(len(original)), 1 << chosen.randrange(8)
        copy = f"{whole}.flipped"
        flipped = bytearray(original)
        flipped[place] ^= bit
        Path(copy).write_bytes(flipped)
        try:
            found = await findings(copy)
            after = await rows(copy)
        except DREError:
            altered += 1
            continue
        altered += bool(found)
        assert found or after == before, (place, bit)
    assert altered > 10


async def rows(path: str) -> list[StoredEvent]:
    async with open_event_store(path, create=False) as store:
        return [stored async for page in store.read() for stored in page]


async def length(path: str) -> int:
    async with open_event_store(path, create=False) as store:
        return (await store.head()).size


async def test_an_erased_body_is_gone_from_the_file_and_its_event_stands(path: str, behind: Behind) -> None:
    secret = b"a secret that was recorded by mistake"
    told = NewEvent(UUID(int=1), "default/operation-a", "operation.started", b'{"meta":{"schema":1},"s":"%s"}' % secret)
    erasing = b'{"by":"%s","event":"%s","meta":{"schema":1},"position":0,"reason":"asked for"}'
    async with open_event_store(path) as store:
        await store.append([Append(ACTOR, (told,))])
        erased = erasing % (ACTOR.encode(), str(told.id).encode())
        await store.append([Append(ACTOR, (NewEvent(UUID(int=2), "default/ledger-1", "body.erased", erased),))])
    assert [(f.position, f.part) for f in await findings(path)] == [(0, "erasure")]

    async with open_event_store(path) as store:
        await store._database.run(lambda connection: connection.execute("delete from body where position = 0"))

    assert await findings(path) == []
    assert secret not in Path(path).read_bytes()
    async with open_event_store(path) as store:
        [found] = await store.stream("default/operation-a")
        assert (found.salt, found.body) == (None, None)
        again = NewEvent(told.id, told.stream, told.type, b'{"whatever":1}')
        [receipt] = await store.append([Append(ACTOR, (again,))])
        assert receipt.entries == (found.entry,)  # type: ignore[union-attr]
