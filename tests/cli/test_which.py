"""Which operation a person means."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

import pytest

from dre.adapters.sqlite.table_store import open_table_store
from dre.cli.which import find_operation, short_ids
from dre.domain.ids import crockford, short
from dre.errors import AmbiguousId, NotFound, UsageError
from dre.ports.table_store import Place, TableStore
from dre.projections.operations import RUNNING, OperationRow

NOW = 1_795_478_591_000
USER = UUID("0b1f2a3c-4d5e-4f60-8172-8394a5b6c7d8")


def an_id(number: int, low: int) -> UUID:
    return UUID(int=(NOW + number) << 80 | 7 << 76 | 2 << 62 | low)


FIRST, TWIN, LAST = an_id(1, 0x12345), an_id(2, 0x7_0001_2345), an_id(3, 0xABCDE)


def row(id: UUID, number: int) -> OperationRow:
    return OperationRow(
        id=id,
        short=crockford(id),
        command=f"run {number}",
        working_directory="/src",
        user_id=USER,
        started_at=NOW + number,
        created_at=NOW + number,
        status=RUNNING,
        position=number,
        labels=[],
    )


async def filled(tables: TableStore, rows: Sequence[OperationRow]) -> TableStore:
    place = await tables.prepare("operations", 1, OperationRow)
    assert await tables.advance("operations", place, Place(9, b"leaf"), rows)
    return tables


@pytest.fixture
async def tables() -> AsyncIterator[TableStore]:
    async with open_table_store(":memory:") as tables:
        yield await filled(tables, [row(FIRST, 1), row(TWIN, 2), row(LAST, 3)])


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("last", LAST),
        ("-", TWIN),
        (str(FIRST), FIRST),
        (str(FIRST).upper(), FIRST),
        (FIRST.hex, FIRST),
        (short(LAST), LAST),
        (short(LAST).lower(), LAST),
        (crockford(LAST), LAST),
        (crockford(TWIN)[-8:], TWIN),
        (crockford(FIRST).replace("0", "o").replace("1", "l"), FIRST),
    ],
)
async def test_every_way_to_name_one(tables: TableStore, typed: str, meant: UUID) -> None:
    assert await find_operation(typed, tables, now_ms=NOW) == meant


async def test_a_short_id_that_fits_several_names_them(tables: TableStore) -> None:
    assert short(FIRST) == short(TWIN)
    with pytest.raises(AmbiguousId) as refused:
        await find_operation(short(FIRST), tables, now_ms=NOW)
    assert refused.value.message == f"{short(FIRST)} fits 2 operations"
    assert refused.value.exit_status == 2
    hint = refused.value.hint or ""
    longer = short_ids([FIRST, TWIN])
    assert [longer[FIRST] in hint, longer[TWIN] in hint, "run 1" in hint, "run 2" in hint] == [True] * 4
    for id in (FIRST, TWIN):  # and what is named can be typed
        assert await find_operation(longer[id], tables, now_ms=NOW) == id


@pytest.mark.parametrize("typed", ["ZZZZ", "0123456789AB", str(USER), USER.hex])
async def test_an_unknown_one_is_not_found(tables: TableStore, typed: str) -> None:
    with pytest.raises(NotFound) as refused:
        await find_operation(typed, tables, now_ms=NOW)
    assert (refused.value.hint, refused.value.exit_status) == ("dre log shows the newest", 2)
    assert refused.value.message == f"there is no operation {typed}"


@pytest.mark.parametrize("typed", ["", "abc", "UUUU", "%%%%", "____", "0123456789ABC", "x" * 36, "--", "日本日本"])
async def test_what_can_be_no_id_is_said_with_what_can(tables: TableStore, typed: str) -> None:
    with pytest.raises(UsageError) as refused:
        await find_operation(typed, tables, now_ms=NOW)
    assert refused.value.code == "usage"
    assert refused.value.message == f'"{typed}" is no id of an operation'
    assert "last" in (refused.value.hint or "")


async def test_before_anything_is_recorded_there_is_no_last() -> None:
    async with open_table_store(":memory:") as tables:
        await filled(tables, [])
        with pytest.raises(NotFound, match="nothing was recorded here yet"):
            await find_operation("last", tables, now_ms=NOW)


async def test_before_the_first_there_is_none() -> None:
    async with open_table_store(":memory:") as tables:
        await filled(tables, [row(FIRST, 1)])
        with pytest.raises(NotFound, match="only one operation"):
            await find_operation("-", tables, now_ms=NOW)


def test_short_ids_are_four_characters_and_longer_only_where_they_have_to_be() -> None:
    shown = short_ids([FIRST, TWIN, LAST])
    assert len(shown[LAST]) == 4
    assert len(shown[FIRST]) == len(shown[TWIN]) > 4
    assert shown[FIRST] != shown[TWIN]
    assert short_ids([FIRST, FIRST]) == {FIRST: short(FIRST)}
