"""Recordings that are deleted after history has begun them, before they could become any."""

import os
import shutil
import signal
from pathlib import Path
from uuid import UUID

import pytest
from capture.recorded import WAITING, History, Place, states

from dre.capture.lost import end_lost
from dre.domain.evidence import EvidenceComplete
from dre.domain.ids import uuid7
from dre.domain.operation import OperationInterrupted, OperationStarted


async def ended_and_deleted(repository: Place, history: History) -> UUID:
    with repository.start("sh", "-c", WAITING) as process:
        id = UUID((await history.begun(repository)).name)
        (repository.top / "go").touch()
        process.communicate()
    shutil.rmtree(repository.quiet(id))
    return id


async def kinds(history: History, id: UUID) -> list[type]:
    return [type(fact) for fact in await history.facts(id)]


async def test_what_was_deleted_before_it_was_recorded_does_not_run_for_ever(
    repository: Place, history: History
) -> None:
    id = await ended_and_deleted(repository, history)
    assert await history.take(repository) == []  # nobody knows of it any more
    assert await kinds(history, id) == [OperationStarted]

    assert await end_lost(str(repository.spools), [id], history.into) == [id]

    interrupted = await history.one(id, OperationInterrupted)
    assert interrupted.reason == "its recording was deleted before it could become history; how it ended is not known"
    assert (interrupted.exit_code, interrupted.signal) == (None, None)
    assert await end_lost(str(repository.spools), [id], history.into) == []  # once


async def test_also_where_its_recorder_was_killed(repository: Place, history: History) -> None:
    with repository.start("sh", "-c", WAITING) as process:
        spool = await history.begun(repository)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(repository.quiet(UUID(spool.name)))

        assert await end_lost(str(repository.spools), [UUID(spool.name)], history.into) == [UUID(spool.name)]

        (repository.top / "go").touch()


async def test_while_it_is_still_recorded_it_runs_and_what_its_recorder_writes_again_is_its_end(
    repository: Place, history: History
) -> None:
    with repository.start("sh", "-c", WAITING) as process:
        spool = await history.begun(repository)
        id = UUID(spool.name)
        shutil.rmtree(spool)

        assert await end_lost(str(repository.spools), [id], history.into) == []

        (repository.top / "go").touch()
        process.communicate()
    repository.quiet(id)
    assert await end_lost(str(repository.spools), [id], history.into) == []  # it is there again
    assert states(await history.take(repository)) == ["recorded"]
    interrupted = await history.one(id, OperationInterrupted)
    assert "written again" in interrupted.reason
    assert interrupted.exit_code == 0


async def test_what_has_ended_in_history_or_never_began_there_is_left_alone(
    repository: Place, history: History
) -> None:
    id, unknown = repository.wrap("true"), uuid7(1)
    assert states(await history.take(repository)) == ["recorded"]
    shutil.rmtree(repository.spools / str(id), ignore_errors=True)
    before = await history.facts(id)
    assert isinstance(before[-1], EvidenceComplete)

    assert await end_lost(str(repository.spools), [id, unknown], history.into) == []

    assert await history.facts(id) == before
    assert await history.facts(unknown) == []


async def test_what_another_machine_records_is_not_looked_for_here(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = await ended_and_deleted(repository, history)
    here = os.uname()
    monkeypatch.setattr("os.uname", lambda: os.uname_result((here.sysname, "elsewhere", *here[2:])))

    assert await end_lost(str(repository.spools), [id], history.into) == []
    assert await kinds(history, id) == [OperationStarted]


async def test_a_spool_of_any_shape_is_there(repository: Place, history: History, tmp_path: Path) -> None:
    id = await ended_and_deleted(repository, history)
    (repository.spools / str(id)).symlink_to(tmp_path / "nowhere")

    assert await end_lost(str(repository.spools), [id], history.into) == []
