"""Tables are what history says, however and whenever they were filled."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projections.histories import (
    ACTOR,
    FACTS,
    USER,
    completed,
    concluded,
    interrupted,
    item,
    judged,
    operation,
    record,
    started,
)

from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.adapters.sqlite.table_store import SQLiteTableStore, open_table_store
from dre.application.follow import Following
from dre.domain.account import AccountRegistered
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent, Recorded
from dre.domain.evidence import EvidenceErased
from dre.domain.ids import short
from dre.domain.verification import VerificationRequested
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append, EventStore, NewEvent
from dre.ports.table_store import Parked, Query, TableStore
from dre.projections import PROJECTIONS
from dre.projections.audit_trail import AuditRow
from dre.projections.configuration import ConfigurationRow
from dre.projections.evidence import EvidenceRow
from dre.projections.operations import OPERATIONS, Asked, OperationRow, ending_in, newest
from dre.projections.projection import Projecting, Projection
from dre.projections.users import UserRow
from dre.projections.verifications import VerificationRow


def following(store: EventStore, tables: TableStore, *projections: Projection[Any]) -> Following:
    return Following(store, tables, [Projecting(projection, tables) for projection in projections or PROJECTIONS])


async def contents(tables: TableStore) -> dict[str, list[Any]]:
    """Every row of every table, in the order of its key."""
    return {
        projection.name: sorted(await tables.query(projection.row, Query(limit=10_000)), key=repr)
        for projection in PROJECTIONS
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(FACTS, min_size=1, max_size=12), min_size=1, max_size=5))
def test_filling_bit_by_bit_equals_rebuilding(chunks: list[list[DomainEvent]]) -> None:
    async def run(folder: str) -> None:
        async with (
            open_event_store(f"{folder}/ledger.db") as store,
            open_table_store(f"{folder}/a/tables.db") as live,
            open_table_store(f"{folder}/b/tables.db") as rebuilt,
        ):
            follower = following(store, live)
            for number, chunk in enumerate(chunks):
                await record(store, chunk)
                assert await follower.catch_up() == []
                if number % 2:
                    follower = following(store, live)  # another process goes on where this one stopped
            await following(store, rebuilt).catch_up()
            assert await contents(live) == await contents(rebuilt)

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(folder))


async def test_a_run_from_its_start_to_its_verdict_is_one_row(
    store: SQLiteEventStore, tables: SQLiteTableStore
) -> None:
    follower = following(store, tables)
    await record(store, [started(1)])
    await follower.catch_up()
    [row] = await newest(tables, limit=5)
    assert (row.status, row.command, row.user_id, row.git_branch) == ("running", "pytest -q", USER, "main")

    await record(store, [item(1, 0), completed(1, 3), item(1, 1), judged(1), concluded(1, "failed")])
    await follower.catch_up()

    [row] = await newest(tables, limit=5)
    assert (row.status, row.exit_code, row.items, row.result, row.grade) == ("failed", 3, 2, "failed", None)
    assert row.position == 0
    [judgement, consensus] = sorted(await tables.query(VerificationRow, Query()), key=lambda row: row.position)
    assert (judgement.method, judgement.passed, judgement.score) == ("programmatic", None, None)
    assert (consensus.method, consensus.passed) == ("consensus", False)
    assert consensus.details["reasons"] == ["why"]


async def test_an_interruption_is_no_end(store: SQLiteEventStore, tables: SQLiteTableStore) -> None:
    await record(store, [started(1), interrupted(1)])
    await following(store, tables).catch_up()
    [row] = await newest(tables, limit=5)
    assert (row.status, row.exit_code, row.completed_at) == ("interrupted", None, None)


async def test_newest_come_first_and_pages_follow_each_other(store: SQLiteEventStore, tables: SQLiteTableStore) -> None:
    await record(store, [started(number) for number in range(25)])
    await following(store, tables).catch_up()

    seen: list[OperationRow] = []
    while page := await newest(tables, limit=10, after=(seen[-1].started_at, seen[-1].id) if seen else None):
        seen += page

    assert [row.id for row in seen] == [operation(number) for number in reversed(range(25))]
    recent = await newest(tables, limit=100, asked=Asked(since=seen[9].started_at))
    assert [row.id for row in recent] == [row.id for row in seen[:10]]


async def test_an_operation_is_found_by_the_end_of_its_id(store: SQLiteEventStore, tables: SQLiteTableStore) -> None:
    await record(store, [started(number) for number in range(5)])
    await following(store, tables).catch_up()
    [row] = await ending_in(tables, short(operation(3)))
    assert row.id == operation(3)
    assert len(await ending_in(tables, "")) == 5


async def test_erased_evidence_is_marked_and_settings_can_go_back(
    store: SQLiteEventStore, tables: SQLiteTableStore
) -> None:
    kept, gone = item(1, 0), item(1, 1)
    await record(store, [started(1), kept, gone, EvidenceErased(2, gone.id, operation(1), "asked for", ACTOR)])
    key = "evidence.retention"
    await record(store, [ConfigurationChanged(key, "1d", None, "user"), ConfigurationChanged(key, "2d", "1d", "user")])
    follower = following(store, tables)
    await follower.catch_up()

    assert {row.id: row.erased for row in await tables.query(EvidenceRow, Query())} == {kept.id: False, gone.id: True}
    [setting] = await tables.query(ConfigurationRow, Query())
    assert (setting.key, setting.value, setting.changed_by) == (key, "2d", USER)

    await record(store, [ConfigurationChanged(key, None, "2d", "user")])
    await follower.catch_up()
    assert await tables.query(ConfigurationRow, Query()) == []


async def test_the_audit_trail_has_every_event_and_users_have_their_names(
    store: SQLiteEventStore, tables: SQLiteTableStore
) -> None:
    account = AccountRegistered(USER, ACTOR, "local", "ada", "analytical", 1_700_000_000_000)
    requested = VerificationRequested(operation(1001), operation(1), "default", ["programmatic"])
    await record(store, [account, started(1), requested])
    await following(store, tables).catch_up()

    trail = sorted(await tables.query(AuditRow, Query()), key=lambda row: row.position)
    assert [(row.entity_type, row.action, row.user_id) for row in trail] == [
        ("account", "account.registered", USER),
        ("operation", "operation.started", USER),
        ("verification", "verification.requested", USER),
    ]
    assert trail[0].changes is not None
    assert trail[1].changes is None
    [user] = await tables.query(UserRow, Query())
    assert (user.id, user.name, user.actor) == (USER, "ada", ACTOR)


def failing_at(position: int) -> Projection[OperationRow]:
    """Operations with a fold that trips over one event."""

    def fold(row: OperationRow | None, recorded: Recorded) -> OperationRow | None:
        if recorded.position == position:
            raise ZeroDivisionError("a bug")
        return OPERATIONS.fold(row, recorded)

    return Projection(OperationRow, version=1, keys=OPERATIONS.keys, fold=fold)


async def test_a_failing_projection_stops_before_the_event_and_others_go_on(
    store: SQLiteEventStore, tables: SQLiteTableStore
) -> None:
    await record(store, [started(1), completed(1), started(2), completed(2), started(3)])
    rest = [projection for projection in PROJECTIONS if projection is not OPERATIONS]

    stopped = await following(store, tables, failing_at(3), *rest).catch_up()

    assert stopped == [Parked("operations", 3, "operation.completed: ZeroDivisionError: a bug")]
    assert (await tables.places())["operations"].position == 2
    assert (await tables.places())["audit_trail"].position == 4
    assert {row.id: row.status for row in await newest(tables, limit=9)} == {
        operation(1): "succeeded",
        operation(2): "running",
    }

    assert await following(store, tables).catch_up() == []  # the bug is mended
    assert await tables.parked() == []
    assert {row.status for row in await newest(tables, limit=9)} == {"succeeded", "running"}
    assert len(await newest(tables, limit=9)) == 3


async def test_an_event_that_cannot_be_read_stops_the_tables_there(
    store: SQLiteEventStore, tables: SQLiteTableStore
) -> None:
    await record(store, [started(1)])
    body = b'{"id":"no uuid","meta":{"schema":1}}'
    event = NewEvent(derived_id("x", "y", 0), "default/operation-1", "operation.started", body)
    await store.append([Append(ACTOR, (event,))])
    await record(store, [started(2)])

    stopped = await following(store, tables).catch_up()

    assert {parked.name for parked in stopped} == {projection.name for projection in PROJECTIONS}
    assert {parked.position for parked in stopped} == {1}
    assert all("body_refused: operation.started" in parked.error for parked in stopped)
    assert [row.id for row in await newest(tables, limit=9)] == [operation(1)]


async def test_a_new_version_of_a_fold_fills_its_table_again(store: SQLiteEventStore, tables: SQLiteTableStore) -> None:
    await record(store, [started(1), completed(1)])
    await following(store, tables).catch_up()

    def shout(row: OperationRow | None, recorded: Recorded) -> OperationRow | None:
        new = OPERATIONS.fold(row, recorded)
        return new and msgspec.structs.replace(new, command=new.command.upper())

    newer = Projection(OperationRow, version=2, keys=OPERATIONS.keys, fold=shout)
    await following(store, tables, newer).catch_up()

    assert [row.command for row in await newest(tables, limit=9)] == ["PYTEST -Q"]


async def test_tables_of_another_history_are_filled_again(tables: SQLiteTableStore, tmp_path: Path) -> None:
    for number, name in enumerate(("one.db", "other.db")):
        async with open_event_store(str(tmp_path / name)) as store:
            await record(store, [started(number), completed(number)])
            await following(store, tables).catch_up()
            assert [row.id for row in await newest(tables, limit=9)] == [operation(number)]


async def test_two_processes_that_fold_at_once_write_each_row_once(store: SQLiteEventStore, tmp_path: Path) -> None:
    await record(store, [started(number) for number in range(300)])
    path = str(tmp_path / "cache" / "tables.db")
    async with open_table_store(path) as one, open_table_store(path) as other:
        first, second = following(store, one), following(store, other)

        async def run(follower: Following) -> None:
            for _ in range(20):
                await follower.catch_up()
                await asyncio.sleep(0)

        writing = asyncio.create_task(_feed(store))
        await asyncio.gather(run(first), run(second), writing)
        await asyncio.gather(first.catch_up(), second.catch_up())

        async with open_table_store(str(tmp_path / "alone" / "tables.db")) as alone:
            await following(store, alone).catch_up()
            assert await contents(one) == await contents(alone)


async def _feed(store: EventStore) -> None:
    for number in range(40):
        await record(store, [item(number % 4, number), completed(number)])
        await asyncio.sleep(0)


async def test_a_follower_that_stays_awake_sees_what_another_process_commits(
    store: SQLiteEventStore, tables: SQLiteTableStore, tmp_path: Path
) -> None:
    follower = following(store, tables)
    await follower.catch_up()  # whoever asks has tables to ask
    awake = asyncio.create_task(follower.run())
    async with open_event_store(str(tmp_path / "ledger.db")) as other, asyncio.timeout(30):
        await record(other, [started(7)])
        while not await newest(tables, limit=1):  # noqa: ASYNC110 - a table has no event to wait for
            await asyncio.sleep(0.01)
    awake.cancel()
    with pytest.raises(asyncio.CancelledError):
        await awake
