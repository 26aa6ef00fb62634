"""Opening a workspace: what is begun, what is recognised, and what is refused."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from dre.adapters.filesystem import begin, dot_dre
from dre.adapters.filesystem.state_home import StateHome
from dre.application.execute import new_events, read_stream
from dre.composition import Engine, open_engine, read_settings, state_home
from dre.domain.account import AccountRegistered
from dre.domain.configuration import ConfigurationChanged
from dre.domain.ledger import LedgerCreated
from dre.errors import LedgerBehind, LedgerCopied, LedgerDeleted, LedgerMissing, WorkspaceRefused
from dre.ledger import FORMAT_DIGEST
from dre.ledger.event_id import derived_id
from dre.ports.event_store import Append, Receipt
from dre.settings import Settings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    begin.begin(str(folder), home(), ci_mode=False)
    return folder


def home() -> StateHome:
    return StateHome(state_home(os.environ))


def settings(folder: Path) -> Settings:
    return read_settings(str(folder), os.environ)


async def append(engine: Engine, number: int) -> None:
    event = ConfigurationChanged("evidence.retention", f"{number}d", None, "workspace")
    stream = f"default/configuration-{engine.ledger_id}"
    events = new_events(stream, [event], [derived_id(engine.actor, str(number), 0)])
    assert isinstance(await engine.appender.append(Append(engine.actor, events)), Receipt)


async def size_after(folder: Path, appended: int = 0) -> int:
    async with open_engine(settings(folder)) as engine:
        for number in range(appended):
            await append(engine, number + 1)
        return (await engine.store.head()).size


async def test_a_new_ledger_begins_with_its_identity_and_its_owner(shop: Path) -> None:
    async with open_engine(settings(shop)) as engine:
        [created] = await read_stream(engine.store, f"default/ledger-{engine.ledger_id}")
        account_stream = f"default/account-{engine.actor.removeprefix('local-')}"
        [account] = await read_stream(engine.store, account_stream)

    assert isinstance(created.event, LedgerCreated)
    assert (created.position, created.event.ledger_id) == (0, engine.ledger_id)
    assert created.event.origin == f"dre.local/{engine.ledger_id}/g0"
    assert created.event.format_digest == FORMAT_DIGEST
    assert [key.partition("+")[0] for key in created.event.verifier_keys] == [
        created.event.origin,
        f"dre.local/{engine.ledger_id}/cosigner",
    ]
    assert isinstance(account.event, AccountRegistered)
    assert account.event.actor == engine.actor == created.actor
    folder = Path(home().folder(engine.ledger_id))
    for name in ("signer.key", "cosigner.key"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600


async def test_opening_again_adds_nothing(shop: Path) -> None:
    assert await size_after(shop) == 2
    assert await size_after(shop) == 2


async def test_several_that_open_a_new_one_at_once_agree_on_its_beginning(shop: Path) -> None:
    program = (
        "import asyncio, os, sys\n"
        "from dre.composition import open_engine, read_settings\n"
        "async def run():\n"
        "    async with open_engine(read_settings(sys.argv[1], os.environ)) as engine:\n"
        "        print((await engine.store.head()).prev.hex())\n"
        "asyncio.run(run())\n"
    )
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(shop), stdout=subprocess.PIPE)
        for _ in range(6)
    ]
    answers = {(await process.communicate())[0] for process in processes}
    assert len(answers) == 1
    assert [process.returncode for process in processes] == [0] * 6
    assert await size_after(shop) == 2


async def test_the_newest_head_is_kept_outside_while_the_ledger_is_open(shop: Path) -> None:
    async with open_engine(settings(shop)) as engine:
        await append(engine, 1)
        head = await engine.store.head()
        async with asyncio.timeout(60):
            while (kept := engine.state.head(engine.ledger_id)) is None or kept.size < head.size:  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.01)
    assert (kept.size, kept.leaf) == (head.size, head.prev.hex())


async def test_who_leaves_at_once_leaves_the_newest_head_behind(shop: Path) -> None:
    async with open_engine(settings(shop)) as engine:
        await append(engine, 1)
        head = await engine.store.head()
        state, ledger_id = engine.state, engine.ledger_id
    kept = state.head(ledger_id)
    assert kept is not None
    assert (kept.size, kept.leaf) == (head.size, head.prev.hex())


async def test_an_older_copy_is_said_and_nothing_is_appended_to_it(shop: Path, tmp_path: Path) -> None:
    await size_after(shop, 1)
    shutil.copytree(shop / ".dre", tmp_path / "backup")
    await size_after(shop, 3)
    shutil.rmtree(shop / ".dre")
    shutil.copytree(tmp_path / "backup", shop / ".dre")

    async with open_engine(settings(shop)) as engine:
        assert isinstance(engine.blocked, LedgerBehind)
        assert "holds 3 events, but this machine has seen 5" in engine.blocked.message
        assert (await engine.store.head()).size == 3
    assert await size_after(shop) == 3


async def test_an_emptied_ledger_is_not_begun_again(shop: Path) -> None:
    await size_after(shop, 1)
    (shop / ".dre" / "ledger.db").write_bytes(b"")

    async with open_engine(settings(shop)) as engine:
        assert isinstance(engine.blocked, LedgerBehind)
        assert (await engine.store.head()).size == 0


async def test_another_history_of_the_same_length_is_said(shop: Path, tmp_path: Path) -> None:
    await size_after(shop)
    shutil.copytree(shop / ".dre", tmp_path / "backup")
    await size_after(shop, 1)
    shutil.rmtree(shop / ".dre")
    shutil.copytree(tmp_path / "backup", shop / ".dre")
    kept = Path(home().folder(_id(shop))) / "head"
    seen = kept.read_bytes()
    kept.unlink()
    await size_after(shop, 2)  # a fork, made by somebody who could write here but not there
    kept.write_bytes(seen)

    async with open_engine(settings(shop)) as engine:
        assert isinstance(engine.blocked, LedgerBehind)
        assert "another history" in engine.blocked.message


def _id(folder: Path) -> UUID:
    found = dot_dre.read_id(str(folder / ".dre"))
    assert found is not None
    return found


@pytest.mark.parametrize("what", ["folder", "database"])
async def test_a_deleted_ledger_is_a_loss_and_not_a_new_beginning(shop: Path, what: str) -> None:
    await size_after(shop, 1)
    if what == "folder":
        shutil.rmtree(shop / ".dre")
    else:
        (shop / ".dre" / "ledger.db").unlink()
    with pytest.raises(LedgerDeleted, match=r"is gone: .*, 3 events, newest"):
        await size_after(shop)
    assert not (shop / ".dre" / "ledger.db").exists()

    begun = begin.begin(str(shop), home(), ci_mode=False)

    assert begun.lost is not None
    assert begun.lost.size == 3
    assert await size_after(shop) == 2


async def test_a_moved_one_goes_on_and_says_so_once(shop: Path) -> None:
    await size_after(shop, 1)
    elsewhere = shop.rename(shop.parent / "elsewhere")
    async with open_engine(settings(elsewhere)) as engine:
        assert engine.blocked is None
        assert ["was moved from" in note for note in engine.notes] == [True]
        await append(engine, 9)
    async with open_engine(settings(elsewhere)) as engine:
        assert engine.notes == ()


async def test_a_copy_is_read_but_not_written(shop: Path) -> None:
    await size_after(shop, 1)
    copy = shop.parent / "copy"
    shutil.copytree(shop, copy, symlinks=True)
    async with open_engine(settings(copy)) as engine:
        assert isinstance(engine.blocked, LedgerCopied)
        assert (await engine.store.head()).size == 3
    begin.accept(begin.consider(str(copy), home()), home())
    async with open_engine(settings(copy)) as engine:
        assert engine.blocked is None
        assert (await engine.store.head()).size == 2


async def test_one_that_this_machine_does_not_know_is_refused(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await size_after(shop, 1)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other machine"))
    with pytest.raises(WorkspaceRefused, match="not made on this machine") as refused:
        await size_after(shop)
    assert refused.value.hint == "dre trust shows what accepting it would mean"
    begin.accept(begin.consider(str(shop), home()), home())
    assert await size_after(shop) == 3


async def test_nothing_recorded_yet_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissing, match="nothing was recorded yet"):
        await size_after(tmp_path)
