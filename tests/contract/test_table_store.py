"""What every table store promises."""

import asyncio
from typing import Any, Literal
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dre.errors import DREError
from dre.ports.table_store import Parked, Place, Query, Row, TableStore


class Git(msgspec.Struct, frozen=True):
    commit: str
    dirty: bool = False


class RunRow(Row, frozen=True):
    table = "runs"
    indexes = (("status", "started_at"), ("started_at",))

    id: UUID
    command: str
    started_at: int
    status: Literal["running", "done"] = "running"
    confidence: float | None = None
    gated: bool = False
    parent: UUID | None = None
    labels: list[tuple[str, str]] = msgspec.field(default_factory=list)
    git: Git | None = None
    cwd: str | Git = "/"
    changes: Any = None
    fields: dict[str, int | str | bool | None] = msgspec.field(default_factory=dict)


class TagRow(Row, frozen=True):
    table = "tags"
    primary_key = "name"

    name: str
    count: int


class WiderTagRow(Row, frozen=True):
    table = "tags"
    primary_key = "name"

    name: str
    count: int
    newest: int


ONE = Place(0, b"leaf of 0")
TWO = Place(1, b"leaf of 1")


def run(number: int = 0, **fields: Any) -> RunRow:
    return msgspec.structs.replace(RunRow(UUID(int=number), "true", number), **fields)


async def prepared(tables: TableStore, *rows: Row) -> TableStore:
    await tables.prepare("runs", 1, RunRow)
    assert await tables.advance("runs", Place(), ONE, rows)
    return tables


async def test_a_new_follower_stands_before_everything(tables: TableStore) -> None:
    assert await tables.prepare("runs", 1, RunRow) == Place(-1, b"")
    assert await tables.prepare("followed", 1, None) == Place(-1, b"")
    assert await tables.query(RunRow, Query()) == []
    assert await tables.places() == {"followed": Place(), "runs": Place()}


@pytest.mark.parametrize(
    "row",
    [
        run(),
        run(command="é \U0001f600 'quoted' \"twice\" \n; drop table runs --"),
        run(status="done", confidence=0.9812, gated=True, parent=uuid4()),
        run(confidence=0.0),
        run(confidence=1),
        run(started_at=2**53 - 1),
        run(labels=[("k", "v"), ("", "")], git=Git("abc", dirty=True), fields={"a": 1, "b": "x", "c": True, "d": None}),
        run(cwd=Git("xyz")),
        run(changes={"deep": [1, {"er": None}], "t": True}),
        run(changes=False),
        run(changes="text"),
    ],
)
async def test_a_row_is_read_as_it_was_written(tables: TableStore, row: RunRow) -> None:
    await prepared(tables, row)

    assert await tables.rows(RunRow, [row.id]) == {row.id: row}
    [found] = await tables.query(RunRow, Query())
    assert msgspec.to_builtins(found) == msgspec.to_builtins(row)
    assert type(found.gated) is bool


async def test_rows_that_do_not_exist_are_left_out(tables: TableStore) -> None:
    await prepared(tables, run(1), run(2))

    assert set(await tables.rows(RunRow, [UUID(int=2), UUID(int=3)])) == {UUID(int=2)}
    assert await tables.rows(RunRow, []) == {}


async def test_an_upsert_replaces_the_whole_row(tables: TableStore) -> None:
    await prepared(tables, run(1, confidence=0.5, labels=[("a", "b")]))

    assert await tables.advance("runs", ONE, TWO, [run(1, status="done")])

    assert await tables.query(RunRow, Query()) == [run(1, status="done")]


async def test_rows_can_be_deleted(tables: TableStore) -> None:
    await prepared(tables, run(1), run(2))

    assert await tables.advance("runs", ONE, TWO, [], [(RunRow, UUID(int=1)), (RunRow, UUID(int=9))])

    assert await tables.query(RunRow, Query()) == [run(2)]


async def test_a_cursor_that_stands_elsewhere_writes_nothing(tables: TableStore) -> None:
    await prepared(tables, run(1))

    assert not await tables.advance("runs", Place(), TWO, [run(2)])
    assert not await tables.advance("runs", Place(0, b"another history"), TWO, [run(2)])
    assert not await tables.advance("unheard of", Place(), TWO, [run(2)])

    assert await tables.query(RunRow, Query()) == [run(1)]
    assert await tables.places() == {"runs": ONE}


async def test_rows_and_cursor_change_together_or_not_at_all(tables: TableStore) -> None:
    await prepared(tables, run(1))

    with pytest.raises((DREError, TypeError, ValueError)):
        await tables.advance("runs", ONE, TWO, [run(2), run(3, started_at="not a number")])

    assert await tables.query(RunRow, Query()) == [run(1)]
    assert await tables.places() == {"runs": ONE}


async def test_one_follower_may_keep_several_tables_and_another_none(tables: TableStore) -> None:
    await prepared(tables)
    await tables.prepare("tags", 1, TagRow)
    await tables.prepare("relay", 1, None)

    assert await tables.advance("tags", Place(), ONE, [TagRow("a", 1), TagRow("b", 2)])
    assert await tables.advance("relay", Place(), TWO)

    assert await tables.rows(TagRow, ["b"]) == {"b": TagRow("b", 2)}
    assert await tables.places() == {"relay": TWO, "runs": ONE, "tags": ONE}


async def test_the_same_version_goes_on_where_it_stood(tables: TableStore) -> None:
    await prepared(tables, run(1))

    assert await tables.prepare("runs", 1, RunRow) == ONE
    assert await tables.query(RunRow, Query()) == [run(1)]


async def test_another_version_begins_anew(tables: TableStore) -> None:
    await prepared(tables, run(1))

    assert await tables.prepare("runs", 2, RunRow) == Place()
    assert await tables.query(RunRow, Query()) == []
    assert await tables.advance("runs", Place(), TWO, [run(2)])
    assert await tables.prepare("runs", 2, RunRow) == TWO


async def test_a_row_type_that_changed_without_a_new_version_begins_anew(tables: TableStore) -> None:
    await tables.prepare("tags", 1, TagRow)
    await tables.advance("tags", Place(), ONE, [TagRow("a", 1)])

    assert await tables.prepare("tags", 1, WiderTagRow) == Place()
    assert await tables.advance("tags", Place(), ONE, [WiderTagRow("a", 1, 7)])
    assert await tables.query(WiderTagRow, Query()) == [WiderTagRow("a", 1, 7)]


async def test_clear_begins_anew_and_only_there(tables: TableStore) -> None:
    await prepared(tables, run(1))
    await tables.prepare("tags", 1, TagRow)
    await tables.advance("tags", Place(), ONE, [TagRow("a", 1)])

    await tables.clear("runs", RunRow)

    assert await tables.places() == {"runs": Place(), "tags": ONE}
    assert await tables.query(RunRow, Query()) == []
    assert await tables.query(TagRow, Query()) == [TagRow("a", 1)]
    assert await tables.advance("runs", Place(), TWO, [run(2)])


async def test_who_was_prepared_before_a_new_beginning_cannot_write_after_it(
    two_tables: tuple[TableStore, TableStore],
) -> None:
    slow, quick = two_tables
    await slow.prepare("runs", 1, RunRow)
    await quick.prepare("runs", 1, RunRow)
    await quick.clear("runs", RunRow)

    assert not await slow.advance("runs", Place(), ONE, [run(1, command="by the old build")])

    assert await slow.prepare("runs", 1, RunRow) == Place()
    assert await slow.advance("runs", Place(), ONE, [run(1)])
    assert await quick.query(RunRow, Query()) == [run(1)]


async def test_tables_that_were_filled_aside_take_the_place_at_once_with_their_cursors(
    tables: TableStore, aside: tuple[str, TableStore]
) -> None:
    path, anew = aside
    await prepared(tables, run(1, command="wrong"), run(2))
    await tables.park(Parked("runs", 1, "no"))
    await tables.prepare("tags", 1, TagRow)
    for name, row in (("runs", RunRow), ("tags", TagRow)):
        await anew.prepare(name, 3, row)
    await anew.advance("runs", Place(), TWO, [run(1, labels=[("a", "b")], git=Git("c")), run(3)])
    await anew.advance("tags", Place(), ONE, [TagRow("a", 1)])

    assert await tables.replace(path, {"runs": RunRow, "tags": TagRow}, {"runs": ONE, "tags": Place()})

    assert await tables.query(RunRow, Query()) == [run(1, labels=[("a", "b")], git=Git("c")), run(3)]
    assert await tables.query(TagRow, Query()) == [TagRow("a", 1)]
    assert await tables.places() == {"runs": TWO, "tags": ONE}
    assert await tables.parked() == []
    assert await tables.prepare("runs", 3, RunRow) == TWO
    assert await tables.advance("runs", TWO, Place(2, b"leaf of 2"), [run(4)])


async def test_tables_that_moved_meanwhile_are_not_replaced(tables: TableStore, aside: tuple[str, TableStore]) -> None:
    path, anew = aside
    await prepared(tables, run(1))
    await anew.prepare("runs", 1, RunRow)
    for old in ({}, {"runs": Place()}, {"runs": TWO}, {"runs": ONE, "tags": ONE}):
        assert not await tables.replace(path, {"runs": RunRow}, old)
    assert await tables.query(RunRow, Query()) == [run(1)]
    assert await tables.places() == {"runs": ONE}


async def test_tables_that_nobody_has_made_yet_are_taken_over(
    tables: TableStore, aside: tuple[str, TableStore]
) -> None:
    path, anew = aside
    await anew.prepare("runs", 1, RunRow)
    await anew.advance("runs", Place(), ONE, [run(1)])
    assert await tables.replace(path, {"runs": RunRow}, {})
    assert await tables.query(RunRow, Query()) == [run(1)]


async def test_who_was_prepared_before_the_tables_were_replaced_goes_on_behind_them(
    two_tables: tuple[TableStore, TableStore], aside: tuple[str, TableStore]
) -> None:
    slow, quick = two_tables
    path, anew = aside
    await prepared(slow, run(1))
    await anew.prepare("runs", 1, RunRow)
    await anew.advance("runs", Place(), ONE, [run(1, command="anew")])

    assert await quick.replace(path, {"runs": RunRow}, {"runs": ONE})

    assert not await slow.advance("runs", ONE, TWO, [run(2)])
    assert await slow.prepare("runs", 1, RunRow) == ONE
    assert await slow.advance("runs", ONE, TWO, [run(2)])
    assert await quick.query(RunRow, Query()) == [run(1, command="anew"), run(2)]


async def test_who_was_prepared_before_the_tables_were_emptied_begins_anew(
    two_tables: tuple[TableStore, TableStore],
) -> None:
    slow, quick = two_tables
    await prepared(slow, run(1))

    await quick.empty()

    assert await quick.places() == {}
    assert not await slow.advance("runs", ONE, TWO, [run(2)])
    assert await slow.prepare("runs", 1, RunRow) == Place()
    assert await quick.query(RunRow, Query()) == []


async def test_of_two_at_the_same_place_one_advances(two_tables: tuple[TableStore, TableStore]) -> None:
    for tables in two_tables:
        await tables.prepare("runs", 1, RunRow)

    assert [await tables.advance("runs", Place(), ONE, [run(1)]) for tables in two_tables] == [True, False]


async def test_a_parked_follower_is_remembered_until_it_advances(tables: TableStore) -> None:
    await prepared(tables)
    await tables.park(Parked("runs", 1, "KeyError: 'x'"))
    await tables.park(Parked("runs", 1, "KeyError: 'y'"))
    await tables.park(Parked("audit", 7, "no"))

    assert await tables.parked() == [Parked("audit", 7, "no"), Parked("runs", 1, "KeyError: 'y'")]
    await tables.advance("runs", ONE, TWO)
    assert await tables.parked() == [Parked("audit", 7, "no")]
    await tables.clear("audit", None)
    assert await tables.parked() == []


async def test_equal_columns(tables: TableStore) -> None:
    parent = uuid4()
    await prepared(tables, run(1, status="done"), run(2, parent=parent), run(3, gated=True, parent=parent))

    assert [r.id.int for r in await tables.query(RunRow, Query(where={"status": "done"}))] == [1]
    assert [r.id.int for r in await tables.query(RunRow, Query(where={"parent": parent}))] == [2, 3]
    assert [r.id.int for r in await tables.query(RunRow, Query(where={"parent": parent, "gated": True}))] == [3]
    assert [r.id.int for r in await tables.query(RunRow, Query(where={"parent": None}))] == [1]
    assert [r.id.int for r in await tables.query(RunRow, Query(where={"id": UUID(int=2)}))] == [2]


async def test_a_column_that_is_not_there_is_a_fault(tables: TableStore) -> None:
    await prepared(tables)
    for query in (Query(where={"x": 1}), Query(order_by="x"), Query(suffix={"x": "y"}), Query(order_by="1; drop")):
        with pytest.raises(KeyError):
            await tables.query(RunRow, query)


async def test_the_end_of_a_text(tables: TableStore) -> None:
    await prepared(tables, run(1, command="make test"), run(2, command="pytest"), run(3, command="te%t"))

    assert [r.id.int for r in await tables.query(RunRow, Query(suffix={"command": "test"}))] == [1, 2]
    assert [r.id.int for r in await tables.query(RunRow, Query(suffix={"command": "%t"}))] == [3]
    assert [r.id.int for r in await tables.query(RunRow, Query(suffix={"command": "much longer than any of it"}))] == []
    assert [r.id.int for r in await tables.query(RunRow, Query(suffix={"command": ""}))] == [1, 2, 3]


async def test_a_range_includes_its_beginning_and_excludes_its_end(tables: TableStore) -> None:
    await prepared(tables, *(run(n) for n in range(5)))

    found = await tables.query(RunRow, Query(order_by="started_at", ranges={"started_at": (1, 4)}))

    assert [row.started_at for row in found] == [1, 2, 3]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    times=st.lists(st.integers(0, 4), max_size=25),
    limit=st.integers(1, 7),
    descending=st.booleans(),
    by_key=st.booleans(),
)
async def test_pages_by_key_show_every_row_once_and_in_order(
    tables: TableStore, *, times: list[int], limit: int, descending: bool, by_key: bool
) -> None:
    await tables.prepare("runs", 1, RunRow)
    await tables.clear("runs", RunRow)
    rows = [run(number, started_at=time) for number, time in enumerate(times)]
    await tables.advance("runs", Place(), ONE, rows)

    seen: list[RunRow] = []
    while True:
        last = (seen[-1].started_at, seen[-1].id) if seen else None
        order_by = None if by_key else "started_at"
        after = (last[1], last[1]) if last and by_key else last
        page = await tables.query(RunRow, Query(order_by=order_by, descending=descending, after=after, limit=limit))
        seen += page
        if not page:
            break

    assert seen == sorted(rows, key=lambda r: r.id.int if by_key else (r.started_at, r.id.int), reverse=descending)


async def test_commits_stay_the_same_until_somebody_writes(tables: TableStore) -> None:
    await tables.prepare("runs", 1, RunRow)
    seen = [tables.commits()]
    await tables.rows(RunRow, [UUID(int=1)])
    assert tables.commits() == seen[0]

    for write in (
        tables.advance("runs", Place(), ONE, [run(1)]),
        tables.park(Parked("runs", 1, "why")),
        tables.clear("runs", RunRow),
    ):
        await write
        seen.append(tables.commits())

    assert len(set(seen)) == 4


async def test_commits_see_what_another_opener_writes(two_tables: tuple[TableStore, TableStore]) -> None:
    one, other = two_tables
    await one.prepare("runs", 1, RunRow)
    before = other.commits()
    assert other.commits() == before

    await one.advance("runs", Place(), ONE, [run(1)])

    async with asyncio.timeout(60):
        while other.commits() == before:  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.005)
