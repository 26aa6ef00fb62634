"""`.dre` is used only where nobody else could have prepared it, and its history is told apart from others."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dre.adapters.filesystem import begin, dot_dre
from dre.adapters.filesystem.state_home import KeptHead, StateHome
from dre.errors import LedgerMissing, WorkspaceRefused

HEAD = KeptHead(26, "ab" * 32)


@pytest.fixture
def state(tmp_path: Path) -> StateHome:
    return StateHome(str(tmp_path / "state" / "dre"))


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A git work tree."""
    folder = tmp_path / "src" / "shop"
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    return folder


def start(folder: Path, state: StateHome) -> Path:
    return Path(begin.begin(str(folder), state, ci_mode=False).path)


def with_history(path: Path, state: StateHome) -> UUID:
    """As after the first recorded command."""
    ledger_id = dot_dre.read_id(str(path))
    assert ledger_id is not None
    (path / "ledger.db").write_bytes(b"a database")
    state.remember(ledger_id, HEAD)
    return ledger_id


def test_it_stands_at_the_top_of_the_work_tree_and_is_found_from_below(shop: Path, state: StateHome) -> None:
    (shop / "a" / "b").mkdir(parents=True)
    made = start(shop / "a" / "b", state)
    assert made == shop / ".dre"
    assert dot_dre.find(str(shop / "a" / "b")) == str(made)
    assert (made.stat().st_mode & 0o777) == 0o700
    assert (made / ".gitignore").read_text() == "*\n"


def test_outside_a_work_tree_it_stands_in_the_folder_itself(tmp_path: Path, state: StateHome) -> None:
    (tmp_path / "plain").mkdir()
    assert start(tmp_path / "plain", state) == tmp_path / "plain" / ".dre"


def test_one_above_the_work_tree_is_not_found(tmp_path: Path, shop: Path, state: StateHome) -> None:
    start(tmp_path / "src", state)
    assert dot_dre.find(str(shop)) is None


def test_what_was_begun_here_is_known_here(shop: Path, state: StateHome) -> None:
    found = dot_dre.inspect(str(start(shop, state)), state)
    assert (found.standing, found.path) == ("here", str(shop / ".dre"))


def test_beginning_twice_changes_nothing(shop: Path, state: StateHome) -> None:
    first = begin.begin(str(shop), state, ci_mode=False)
    second = begin.begin(str(shop), state, ci_mode=True)
    assert (first.made, second.made, second.ledger_id) == (True, False, first.ledger_id)
    assert (shop / ".dre" / "ci-mode").exists()


def test_nothing_there_is_no_error_of_the_folder(shop: Path, state: StateHome) -> None:
    with pytest.raises(LedgerMissing, match="nothing was recorded yet"):
        dot_dre.inspect(str(shop / ".dre"), state)


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o750])
def test_a_folder_that_others_could_change_or_read_is_refused(shop: Path, state: StateHome, mode: int) -> None:
    path = start(shop, state)
    path.chmod(mode)
    with pytest.raises(WorkspaceRefused, match=f"mode {mode:04o}"):
        dot_dre.inspect(str(path), state)


def test_a_folder_of_another_user_is_refused(shop: Path, state: StateHome, monkeypatch: pytest.MonkeyPatch) -> None:
    path = start(shop, state)
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # the other way round: giving a folder away needs root
    with pytest.raises(WorkspaceRefused, match=f"belongs to user {mine}"):
        dot_dre.inspect(str(path), state)


def test_a_link_in_its_place_is_not_followed(shop: Path, tmp_path: Path, state: StateHome) -> None:
    start(tmp_path / "src", state)
    (shop / ".dre").symlink_to(tmp_path / "src" / ".dre")
    with pytest.raises(WorkspaceRefused, match="symbolic link"):
        dot_dre.inspect(str(shop / ".dre"), state)


@pytest.mark.parametrize("name", ["ledger.db", "evidence", "spool/x", "evidence/ab", "cache"])
def test_a_link_inside_is_refused(shop: Path, tmp_path: Path, state: StateHome, name: str) -> None:
    path = start(shop, state)
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).symlink_to(tmp_path)
    with pytest.raises(WorkspaceRefused, match=f"{name} is a symbolic link"):
        dot_dre.inspect(str(path), state)


def test_one_that_git_tracks_is_refused(shop: Path, state: StateHome) -> None:
    path = start(shop, state)
    subprocess.run(["git", "add", "-f", ".dre/ledger-id"], cwd=shop, check=True)
    with pytest.raises(WorkspaceRefused, match="came with the repository"):
        dot_dre.inspect(str(path), state)


def test_one_that_is_tracked_from_further_up_is_refused_too(shop: Path, state: StateHome) -> None:
    (shop / "inner").mkdir()
    dot_dre.make(str(shop / "inner" / ".dre"), UUID(int=7 << 76 | 2 << 62), state)
    subprocess.run(["git", "add", "-f", "inner/.dre/ledger-id"], cwd=shop, check=True)
    with pytest.raises(WorkspaceRefused, match="came with the repository"):
        dot_dre.inspect(str(shop / "inner" / ".dre"), state)


def test_one_from_elsewhere_is_unknown_until_it_is_accepted(shop: Path, state: StateHome, tmp_path: Path) -> None:
    path = start(shop, StateHome(str(tmp_path / "another machine")))
    assert dot_dre.inspect(str(path), state).standing == "unknown"

    considered = begin.consider(str(shop), state)
    assert considered.kind == "adopt"
    assert dot_dre.inspect(str(path), state).standing == "unknown"

    begin.accept(considered, state)
    assert dot_dre.inspect(str(path), state).standing == "here"


def test_a_moved_one_is_told_from_a_copied_one(shop: Path, state: StateHome) -> None:
    path = start(shop, state)
    ledger_id = with_history(path, state)
    copy = shop.parent / "copy"
    subprocess.run(["cp", "-a", str(shop), str(copy)], check=True)

    copied = dot_dre.inspect(str(copy / ".dre"), state)
    assert (copied.standing, copied.seen_at, copied.ledger_id) == ("copied", str(path), ledger_id)

    shop.rename(shop.parent / "elsewhere")
    assert dot_dre.inspect(str(copy / ".dre"), state).standing == "moved"


def test_an_accepted_copy_is_set_aside_and_begins_anew(shop: Path, state: StateHome) -> None:
    ledger_id = with_history(start(shop, state), state)
    copy = shop.parent / "copy"
    subprocess.run(["cp", "-a", str(shop), str(copy)], check=True)

    own = begin.accept(begin.consider(str(copy), state), state)

    found = dot_dre.inspect(str(copy / ".dre"), state)
    assert (found.standing, found.ledger_id) == ("here", own)
    assert own != ledger_id
    assert not (copy / ".dre" / "ledger.db").exists()
    assert (copy / ".dre" / f"copied-from-{ledger_id}" / "ledger.db").read_bytes() == b"a database"
    assert dot_dre.inspect(str(shop / ".dre"), state).standing == "here"


@pytest.mark.parametrize("how", ["folder", "database"])
def test_a_deleted_history_is_given_up_only_by_beginning_anew(shop: Path, state: StateHome, how: str) -> None:
    path = start(shop, state)
    ledger_id = with_history(path, state)
    (path / "spool" / "waiting").mkdir()
    if how == "folder":
        subprocess.run(["rm", "-r", str(path)], check=True)
        assert state.ledger_at(str(path)) == ledger_id
    else:
        (path / "ledger.db").unlink()

    begun = begin.begin(str(shop), state, ci_mode=False)

    assert (begun.made, begun.lost_ledger, begun.lost) == (True, ledger_id, HEAD)
    assert dot_dre.inspect(str(path), state).ledger_id == begun.ledger_id != ledger_id
    assert state.ledger_at(str(path)) is None
    assert how == "folder" or (path / "spool" / "waiting").exists()


def test_a_ledger_without_its_id_is_not_given_a_new_one(shop: Path, state: StateHome) -> None:
    path = start(shop, state)
    with_history(path, state)
    (path / "ledger-id").unlink()
    with pytest.raises(WorkspaceRefused, match="ledger-id is missing"):
        begin.begin(str(shop), state, ci_mode=False)


def test_a_pipe_in_place_of_the_id_is_refused_and_not_waited_for(shop: Path, state: StateHome) -> None:
    made = start(shop, state)
    (made / "ledger-id").unlink()
    os.mkfifo(made / "ledger-id", 0o600)
    with pytest.raises(WorkspaceRefused, match="ledger-id"):
        dot_dre.inspect(str(made), state)
    with pytest.raises(WorkspaceRefused, match="ledger-id"):
        start(shop, state)


def test_recordings_of_nobody_knows_whom_do_not_become_history(shop: Path, state: StateHome) -> None:
    """As they come in an archive: a folder of ours, a recording in it, and no id."""
    recording = shop / ".dre" / "spool" / "01a20b91-9fc1-7ee4-ab6d-7dbf1ac6c336"
    recording.mkdir(parents=True)
    (shop / ".dre").chmod(0o700)
    with pytest.raises(WorkspaceRefused, match="holds recordings"):
        start(shop, state)
    assert dot_dre.read_id(str(shop / ".dre")) is None
    recording.rmdir()
    assert start(shop, state) == shop / ".dre"


class Killed(BaseException):
    """As by SIGKILL."""


def kill_before(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter(range(step))

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def change(*arguments: Any, **more: Any) -> Any:
            if next(left, None) is None:
                raise Killed
            return real(*arguments, **more)

        return change

    for name in ("mkdir", "open", "fsync", "replace", "unlink"):
        monkeypatch.setattr(os, name, counted(getattr(os, name)))


def unless_killed(work: Callable[[], begin.Begun]) -> begin.Begun | None:
    try:
        return work()
    except Killed:
        return None


@pytest.mark.parametrize("what", ["folder", "database"])
def test_a_beginning_anew_that_is_killed_anywhere_is_taken_up(
    shop: Path, state: StateHome, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the loss is admitted by whoever finishes it."""
    steps = 0
    while True:
        path = shop / ".dre"
        shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(state.root, ignore_errors=True)
        lost = with_history(start(shop, state), state)
        if what == "folder":
            shutil.rmtree(path)
        else:
            (path / "ledger.db").unlink()
        with monkeypatch.context() as patched:
            kill_before(steps, patched)
            begun = unless_killed(lambda: begin.begin(str(shop), state, ci_mode=False))
        killed = begun is None
        begun = begun or begin.begin(str(shop), state, ci_mode=False)

        assert (begun.lost_ledger, begun.lost, begun.made) == (lost, HEAD, True), steps
        assert dot_dre.inspect(str(path), state).standing == "here"
        assert begun.ledger_id == dot_dre.read_id(str(path)) != lost
        assert begin.begin(str(shop), state, ci_mode=False).lost_ledger is None
        if not killed:
            break
        steps += 1
    assert steps > 10


def test_the_kept_head_only_grows(state: StateHome) -> None:
    ledger_id = UUID(int=5)
    state.adopt(ledger_id, "/somewhere/.dre")
    state.remember(ledger_id, HEAD)
    state.remember(ledger_id, KeptHead(25, "cd" * 32))
    assert state.head(ledger_id) == HEAD


def test_a_kept_head_that_cannot_be_read_is_no_reason_to_forget(state: StateHome) -> None:
    ledger_id = UUID(int=5)
    state.adopt(ledger_id, "/somewhere/.dre")
    Path(state.folder(ledger_id), "head").write_text("{")
    with pytest.raises(WorkspaceRefused, match="head cannot be read"):
        state.head(ledger_id)


def test_one_actor_a_machine_made_once(state: StateHome) -> None:
    first = state.actor()
    assert state.actor() == first
    Path(state.root, "actor").write_text("root\n")
    with pytest.raises(WorkspaceRefused, match="actor id"):
        state.actor()
