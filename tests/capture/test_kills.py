"""Whoever is killed, and whenever: history holds what was seen, once, and says what was not."""

import asyncio
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from capture.recorded import (
    DRE,
    PATIENCE_S,
    PROGRAM,
    History,
    JournalFile,
    Place,
    nobody_holds,
    open_history,
    states,
    until,
)
from shim.processes import alive, child

from dre.capture import ingest
from dre.domain.evidence import EvidenceCollected, EvidenceComplete
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted

LINES = "i=0; while [ $i -lt 2000 ]; do echo line$i; i=$((i+1)); sleep .02; done"
# Makes its terminal the controlling one and becomes the command.
LEAD = "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execvp(sys.argv[1], sys.argv[1:])"


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    until(lambda: not alive(pid), f"the end of {pid}")


async def test_the_shim_is_killed(repository: Place, history: History) -> None:
    with repository.start("sh", "-c", LINES) as shim:
        assert shim.stdout is not None
        seen = [shim.stdout.readline() for _ in range(5)]
        end(shim.pid)
    [id] = repository.ids()
    until(lambda: nobody_holds(repository.spool()), "the lock")
    assert states(await history.take(repository)) == ["recorded"]

    interrupted = await history.one(id, OperationInterrupted)
    assert (interrupted.reason, interrupted.exit_code, interrupted.signal) == ("the recorder was killed", None, None)
    assert (await history.content(id, "output")).startswith(b"".join(seen))
    assert (await history.one(id, EvidenceComplete)).late_output == "none"
    assert repository.ids() == []


async def test_the_recording_is_deleted_by_its_command(repository: Place, history: History) -> None:
    (repository.top / "untracked").write_text("known to git by the tree before alone\n")
    id = repository.wrap("sh", "-c", "echo before; rm -r .dre/spool/$DRE_PARENT; echo after; echo x > new")
    assert states(await history.take(repository)) == ["recorded"]

    interrupted = await history.one(id, OperationInterrupted)
    assert "was deleted or replaced; it was written again" in interrupted.reason
    assert interrupted.exit_code == 0
    assert await history.content(id, "output") == b"before\nafter\n"
    said = {one.subject: one.detail for one in (await history.one(id, EvidenceComplete)).observations}
    assert said["end"] == interrupted.reason
    assert "cannot be compared" in said["workspace"]  # the tree before was in it, too
    assert repository.ids() == []


@pytest.fixture
def in_terminal(repository: Place) -> Iterator[Any]:
    """A command that ends with 5 when it is told to, wrapped, in a terminal of its own."""
    script = "trap '' HUP; echo ready; while ! [ -e go ]; do sleep .02; done; exit 5"
    master, slave = pty.openpty()
    leader = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", LEAD, DRE, "wrap", "sh", "-c", script],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        cwd=repository.top,
        start_new_session=True,
    )
    os.close(slave)
    said = bytearray()
    until(lambda: b"ready" in _heard(master, said), "the command's first word")
    yield leader
    (repository.top / "go").touch()
    leader.kill()
    leader.wait(PATIENCE_S)
    os.close(master)


def _heard(terminal: int, said: bytearray) -> bytearray:
    if select.select([terminal], [], [], 0)[0]:
        said += os.read(terminal, 4096)
    return said


async def test_the_shim_is_killed_in_a_terminal_and_the_keeper_sees_the_end(
    in_terminal: Any, repository: Place, history: History
) -> None:
    keeper = child(in_terminal.pid)
    end(in_terminal.pid)
    [id] = repository.ids()
    assert states(await history.take(repository)) == ["running"]  # the command is, and the keeper with it
    (repository.top / "go").touch()
    until(lambda: not alive(keeper), "the keeper's end")
    assert states(await history.take(repository)) == ["recorded"]

    interrupted = await history.one(id, OperationInterrupted)
    assert interrupted.reason == "the recorder was killed; the command's own end was still seen"
    assert (interrupted.exit_code, interrupted.signal) == (5, None)
    assert interrupted.usage is not None


async def test_the_keeper_is_killed(in_terminal: Any, repository: Place, history: History) -> None:
    end(child(in_terminal.pid))
    in_terminal.wait(PATIENCE_S)
    [id] = repository.ids()
    (repository.top / "go").touch()
    until(lambda: nobody_holds(repository.spool()), "the command's own end")
    assert states(await history.take(repository)) == ["recorded"]

    interrupted = await history.one(id, OperationInterrupted)
    assert "keeper" in interrupted.reason
    assert (interrupted.exit_code, interrupted.signal, interrupted.usage) == (None, None, None)
    assert (await history.one(id, OperationStarted)).capture.order == "merged"


def drainer_of(spool: Path) -> int:
    """Whoever holds the lock now that the shim has gone."""
    wanted = os.stat(spool / "alive").st_ino
    for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
        try:
            fds = os.listdir(f"/proc/{process}/fd")
            if any(os.stat(f"/proc/{process}/fd/{fd}").st_ino == wanted for fd in fds):
                return process
        except OSError:
            continue
    raise AssertionError("nobody drains")


LATE = "(while ! [ -e go ]; do sleep .02; done; echo late) & echo now"


async def test_late_output_is_one_more_item_when_it_has_ended(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LATE_PATIENCE_S", 0.1)
    with repository.start("sh", "-c", LATE) as shim:
        shim.wait()
        [id] = repository.ids()
        spool = repository.spool()
        assert states(await history.take(repository)) == ["late output open"]
        assert (await history.one(id, OperationCompleted)).outcome == "succeeded"
        assert (await history.one(id, EvidenceComplete)).late_output == "open"
        assert [one.state for one in await history.observations(id, "late output")] == ["partial"]
        assert sorted(path.name for path in spool.iterdir()) == [
            *("alive", "ingest", "journal", "late.journal", "late.raw", "needles")
        ]
        assert states(await history.take(repository)) == ["late output open"]
        (repository.top / "go").touch()
        shim.communicate()
    until(lambda: nobody_holds(spool), "the drainer's end")
    assert states(await history.take(repository)) == ["recorded"]

    facts = await history.facts(id)
    assert sum(isinstance(fact, EvidenceComplete) for fact in facts) == 1
    assert isinstance(facts[-1], EvidenceCollected)
    assert (facts[-1].kind, facts[-1].metadata["complete"]) == ("late_output", True)
    assert await history.content(id, "late_output") == b"late\n"
    assert await history.content(id, "output") == b"now\n"
    assert repository.ids() == []


async def test_late_output_that_ends_soon_is_waited_for(repository: Place, history: History) -> None:
    with repository.start("sh", "-c", LATE) as shim:
        shim.wait()
        taking = asyncio.create_task(history.take(repository))
        await asyncio.sleep(0.2)
        (repository.top / "go").touch()
        assert states(await taking) == ["recorded"]
        shim.communicate()

    id = (await history.items_of_all())[0].operation_id
    assert (await history.one(id, EvidenceComplete)).late_output == "complete"
    assert isinstance((await history.facts(id))[-1], EvidenceComplete)


@pytest.mark.parametrize("when", ["before ingest", "after ingest"])
async def test_the_drainer_is_killed(
    when: str, repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "LATE_PATIENCE_S", 0.1)
    script = "(echo early; while ! [ -e go ]; do sleep .02; done; echo late) & while ! [ -e now ]; do sleep .02; done"
    with repository.start("sh", "-c", script.replace("echo early", "sleep .3; echo early")) as shim:
        (repository.top / "now").touch()
        shim.wait()
        [id] = repository.ids()
        spool = repository.spool()
        until(lambda: (spool / "late.raw").stat().st_size, "late output")
        if when == "after ingest":
            assert states(await history.take(repository)) == ["late output open"]
        end(drainer_of(spool))
        (repository.top / "go").touch()
        shim.communicate()
    assert states(await history.take(repository)) == ["recorded"]

    assert (await history.one(id, OperationCompleted)).outcome == "succeeded"
    assert (await history.one(id, EvidenceComplete)).late_output == ("lost" if when == "before ingest" else "open")
    late = (await history.items(id))["late_output"]
    assert late.metadata["complete"] is False
    assert await history.content(id, "late_output") == b"early\n"


def run(spools: Path, folder: Path, *killed_at: int) -> int:
    words = [sys.executable, str(PROGRAM), str(spools), str(folder), *map(str, killed_at)]
    return subprocess.run(words, check=False, capture_output=True).returncode


@pytest.mark.parametrize("first", [0, 8])
async def test_ingest_is_killed_at_any_step_and_the_next_goes_on(
    first: int, repository: Place, history: History
) -> None:
    (repository.top / "report.xml").write_text("<testsuite/>")
    id = repository.wrap("sh", "-c", "(sleep .2; echo late) & echo one; echo '{' > new.json; seq 1 20000; exit 1")
    spool = repository.spool()
    until(lambda: nobody_holds(spool), "the drainer's end")
    copy = repository.top.parent / "copy"
    shutil.copytree(spool, copy)
    kills = 0
    for step in range(1 + first, 10_000, 16):
        folder = repository.top.parent / f"history-{step}"
        folder.mkdir(mode=0o700)
        if not spool.exists():
            shutil.copytree(copy, spool)
        killed = run(repository.spools, folder, step)
        assert killed in (0, -signal.SIGKILL)
        kills += killed != 0
        assert run(repository.spools, folder) == 0
        assert list(repository.spools.iterdir()) == []
        async with open_history(folder) as found:
            facts = await found.facts(id)
            types = [type(fact).__name__ for fact in facts]
            assert types.count("OperationStarted") == types.count("OperationCompleted") == 1
            assert types.count("EvidenceComplete") == 1
            assert set(await found.items(id)) == {
                *("output", "timing", "changes", "diff", "environment", "late_output")
            }
            for kind, item in (await found.items(id)).items():
                assert len(await found.content(id, kind)) == item.size_bytes
        if killed == 0:
            break
    assert kills > 2


async def test_two_ingests_at_once_record_once(repository: Place, history: History) -> None:
    ids = [repository.wrap("sh", "-c", f"seq 1 5000; echo {n} > file{n}") for n in range(4)]
    words = [sys.executable, str(PROGRAM), str(repository.spools), str(history.folder)]
    await asyncio.gather(*(asyncio.to_thread(subprocess.run, words, check=True) for _ in range(4)))
    assert all(state in ("recorded", "busy") for state in states(await history.take(repository)))

    assert repository.ids() == []
    for id in ids:
        types = [type(fact).__name__ for fact in await history.facts(id)]
        assert types.count("OperationStarted") == types.count("OperationCompleted") == 1
        assert types.count("EvidenceComplete") == 1
        assert types.count("EvidenceCollected") == 5


async def test_without_locks_the_ledger_still_records_once(repository: Place, history: History) -> None:
    """A file system whose locks do nothing: expected versions are what two ingesters meet at."""
    id = repository.wrap("echo", "once")
    other = repository.top.parent / "other"
    shutil.copytree(repository.spools, other)

    both = await asyncio.gather(
        history.take(repository), ingest.ingest_pending(str(other), history.into, ingest.Rules())
    )

    assert [states(each) for each in both] == [["recorded"], ["recorded"]]
    types = [type(fact).__name__ for fact in await history.facts(id)]
    assert types.count("EvidenceComplete") == types.count("OperationStarted") == 1


async def test_a_recorder_killed_before_the_command_leaves_no_operation_behind(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.wrap("true")
    spool = repository.spool()
    journal = JournalFile(spool / "journal")
    journal.write(journal.frames[:1])
    (spool / "needles").unlink()

    assert states(await history.take(repository)) == ["running"]  # it may be about to go on
    monkeypatch.setattr(ingest, "_ABANDONED_S", 0)
    assert states(await history.take(repository)) == ["nothing ran"]
    assert repository.ids() == []


async def test_a_recorder_killed_while_it_looked_at_the_work_tree(repository: Place, history: History) -> None:
    id = repository.wrap("true")
    journal = JournalFile(repository.spool() / "journal")
    journal.write(journal.frames[:2])
    assert states(await history.take(repository)) == ["recorded"]

    interrupted = await history.one(id, OperationInterrupted)
    assert interrupted.reason == "the recorder was killed before the command was started"
    assert (await history.one(id, OperationStarted)).git is None
