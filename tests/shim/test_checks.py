"""Before a byte is written: whose `.dre/` it is. In doubt the command runs unrecorded and one line says why."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shim.places import DRE, Place, Spool, run

NOT_RECORDED = b"dre: not recorded: "
UNKNOWN_ID = "0190a1b2-0000-7000-8000-000000000000\n"
COMMAND = ["sh", "-c", "echo ran; exit 3"]
# Root writes anywhere by two capabilities; without them it is somebody like everybody. Others have nothing to drop.
_AS_ANYBODY = (
    "import ctypes, os, sys; [ctypes.CDLL(None).prctl(24, number, 0, 0, 0) for number in (1, 2)];"
    " os.execv(sys.argv[1], sys.argv[1:])"
)
AS_ANYBODY = [sys.executable, "-c", _AS_ANYBODY]


def a_group_may_write(place: Place) -> None:
    place.dre.chmod(0o770)


def others_may_read(place: Place) -> None:
    place.dre.chmod(0o704)


def a_spool_is_open(place: Place) -> None:
    (place.dre / "spool").chmod(0o755)


def it_is_a_link(place: Place) -> None:
    place.dre.rename(place.folder / "elsewhere")
    place.dre.symlink_to("elsewhere")


def it_leads_nowhere(place: Place) -> None:
    shutil.rmtree(place.dre)
    place.dre.symlink_to("nowhere")


def it_is_a_file(place: Place) -> None:
    shutil.rmtree(place.dre)
    place.dre.write_text("")


def its_spool_is_a_link(place: Place) -> None:
    (place.dre / "spool").rename(place.folder / "elsewhere")
    (place.dre / "spool").symlink_to("../elsewhere")


def its_spool_is_a_file(place: Place) -> None:
    (place.dre / "spool").rmdir()
    (place.dre / "spool").write_text("")


def its_id_is_a_link(place: Place) -> None:
    (place.dre / "ledger-id").rename(place.folder / "id")
    (place.dre / "ledger-id").symlink_to("../id")


def its_ledger_is_a_link(place: Place) -> None:
    (place.dre / "ledger.db").rmdir()
    (place.dre / "ledger.db").symlink_to("/dev/null")


def its_id_is_not_known_here(place: Place) -> None:
    (place.dre / "ledger-id").write_text(UNKNOWN_ID)


def its_id_leads_elsewhere(place: Place) -> None:
    (place.dre / "ledger-id").write_text("../" + place.ledger[3:] + "\n")


def its_id_is_empty(place: Place) -> None:
    (place.dre / "ledger-id").write_text("")


def its_id_never_ends(place: Place) -> None:
    (place.dre / "ledger-id").write_text(place.ledger + "0" * 1_000_000)


def its_id_is_no_text(place: Place) -> None:
    (place.dre / "ledger-id").write_bytes(b"\xff\xfe\0")


def its_id_is_a_pipe(place: Place) -> None:
    (place.dre / "ledger-id").unlink()
    os.mkfifo(place.dre / "ledger-id")


def its_id_is_a_folder(place: Place) -> None:
    (place.dre / "ledger-id").unlink()
    (place.dre / "ledger-id").mkdir()


def its_id_is_lost(place: Place) -> None:
    (place.dre / "ledger-id").unlink()


def a_recording_is_older_than_its_id(place: Place) -> None:
    """A prepared one: all that is missing is what would tell that it is not from here."""
    shutil.rmtree(place.dre / "ledger.db")
    (place.dre / "ledger-id").unlink()
    (place.dre / "spool" / UNKNOWN_ID.strip()).mkdir(0o700)


def its_kept_folder_is_open(place: Place) -> None:
    place.kept.chmod(0o755)


def the_state_home_is_open(place: Place) -> None:
    place.kept.parent.chmod(0o777)


def the_state_home_is_a_link(place: Place) -> None:
    place.kept.parent.rename(place.folder / "state")
    place.kept.parent.symlink_to(place.folder / "state")


def the_spool_is_read_only(place: Place) -> None:
    (place.dre / "spool").chmod(0o500)


def the_folder_is_read_only(place: Place) -> None:
    shutil.rmtree(place.dre)
    (place.kept / "head").unlink()  # there was no history yet
    place.folder.chmod(0o500)


def there_can_be_no_state_home(place: Place) -> None:
    shutil.rmtree(place.kept.parent)
    place.kept.parent.write_text("")


REFUSED: dict[Callable[[Place], None], bytes] = {
    a_group_may_write: b"%(dre)s is open to other users (chmod 700 closes it)",
    others_may_read: b"%(dre)s is open to other users (chmod 700 closes it)",
    a_spool_is_open: b"%(dre)s/spool is open to other users (chmod 700 closes it)",
    it_is_a_link: b"%(dre)s is a symbolic link or a file, not a folder",
    it_leads_nowhere: b"%(dre)s is a symbolic link or a file, not a folder",
    it_is_a_file: b"%(dre)s is a symbolic link or a file, not a folder",
    its_spool_is_a_link: b"%(dre)s/spool is a symbolic link or a file, not a folder",
    its_spool_is_a_file: b"%(dre)s/spool is a symbolic link or a file, not a folder",
    its_id_is_a_link: b"%(dre)s/ledger-id is a symbolic link",
    its_ledger_is_a_link: b"%(dre)s/ledger.db is a symbolic link",
    its_id_is_not_known_here: b"%(dre)s is not known to this machine (dre trust accepts it)",
    its_id_leads_elsewhere: b"%(dre)s/ledger-id is not an id",
    its_id_is_empty: b"%(dre)s/ledger-id is not an id",
    its_id_never_ends: b"%(dre)s/ledger-id is not an id",
    its_id_is_no_text: b"%(dre)s/ledger-id is not an id",
    its_id_is_a_pipe: b"%(dre)s/ledger-id is not an id",
    its_id_is_a_folder: b"%(dre)s/ledger-id: Is a directory",
    its_id_is_lost: b"%(dre)s has no ledger-id",
    a_recording_is_older_than_its_id: b"%(dre)s has no ledger-id",
    its_kept_folder_is_open: b"%(state)s/%(ledger)s is open to other users (chmod 700 closes it)",
    the_state_home_is_open: b"%(state)s is open to other users (chmod 700 closes it)",
    the_state_home_is_a_link: b"%(state)s is a symbolic link or a file, not a folder",
    the_spool_is_read_only: b"Permission denied",
    the_folder_is_read_only: b"%(dre)s: Permission denied",
    there_can_be_no_state_home: b"%(state)s is a symbolic link or a file, not a folder",
}


@pytest.mark.parametrize(("spoil", "why"), REFUSED.items(), ids=[spoil.__name__ for spoil in REFUSED])
def test_in_doubt_the_command_runs_unrecorded(place: Place, spoil: Callable[[Place], None], why: bytes) -> None:
    spoil(place)
    before = everything_in(place)

    said = wrapped(place)

    assert (said.stdout, said.returncode) == (b"ran\n", 3)
    assert_says_once(said.stderr, reason(place, why))
    assert recordings_in(place) == []
    assert everything_in(place) == before


@pytest.mark.parametrize(("spoil", "why"), REFUSED.items(), ids=[spoil.__name__ for spoil in REFUSED])
def test_who_is_strict_is_told_instead(place: Place, spoil: Callable[[Place], None], why: bytes) -> None:
    spoil(place)

    said = wrapped(place, "--strict")

    assert (said.stdout, said.returncode) == (b"", 125)
    assert_says_once(said.stderr, reason(place, why))
    assert recordings_in(place) == []


def test_a_read_only_state_home_is_no_obstacle_once_it_is_writable_again(tmp_path: Path, own_home: Path) -> None:
    """What was begun in vain is taken up: no `.dre/` is ever left that nobody can use."""
    state = own_home / ".local/state/dre"
    state.mkdir(mode=0o500, parents=True)
    in_vain = run([*AS_ANYBODY, DRE, "wrap", *COMMAND], cwd=tmp_path)
    state.chmod(0o700)
    again = run([*AS_ANYBODY, DRE, "wrap", *COMMAND], cwd=tmp_path)

    assert (in_vain.stdout, in_vain.returncode) == (b"ran\n", 3)
    assert_says_once(in_vain.stderr, b": Permission denied")
    assert (again.stdout, again.stderr, again.returncode) == (b"ran\n", b"", 3)
    assert [folder.name for folder in state.iterdir() if folder.is_dir()] == [
        (tmp_path / ".dre/ledger-id").read_text().strip()
    ]


def wrapped(place: Place, *options: str) -> "subprocess.CompletedProcess[bytes]":
    return run([*AS_ANYBODY, DRE, "wrap", *options, *COMMAND], cwd=place.folder)


def assert_says_once(stderr: bytes, why: bytes) -> None:
    assert stderr.startswith(NOT_RECORDED)
    assert stderr.count(b"\n") == 1
    assert stderr.endswith(b"\n")
    assert why in stderr


def reason(place: Place, pattern: bytes) -> bytes:
    names: dict[bytes, str | Path] = {b"dre": place.dre, b"state": place.kept.parent, b"ledger": place.ledger}
    return pattern % {name: os.fsencode(value) for name, value in names.items()}


def recordings_in(place: Place) -> list[Path]:
    return [path.parent for path in place.folder.rglob("journal")]


def everything_in(place: Place) -> set[Path]:
    """What a refused recording leaves behind: nothing, with a folder for spools at most."""
    return {path for path in place.folder.rglob("*") if path.name != "spool"}


# Another user's


def as_user(number: int, *words: str, **more: Any) -> "subprocess.CompletedProcess[bytes]":
    """The recorder as it would run for a user of that number: all files here belong to somebody else."""
    program = f"import os; os.getuid = os.geteuid = lambda: {number}; from dre.cli import main; main()"
    return run([sys.executable, "-c", program, "wrap", "--no-workspace", *words], **more)


SOMEBODY_ELSE = 3_999_999_999 - 7


def test_at_the_top_of_a_work_tree_another_users_folder_is_not_written_to(place: Place) -> None:
    git(place.folder, "init", "-q")

    said = as_user(SOMEBODY_ELSE, *COMMAND, cwd=place.folder)

    assert (said.stdout, said.returncode) == (b"ran\n", 3)
    assert_says_once(said.stderr, b" belongs to another user")
    assert place.spools == []


def test_another_users_folder_is_no_place_for_a_strict_caller(place: Place) -> None:
    git(place.folder, "init", "-q")

    said = as_user(SOMEBODY_ELSE, "--strict", *COMMAND, cwd=place.folder)

    assert (said.stdout, said.returncode) == (b"", 125)
    assert_says_once(said.stderr, b" belongs to another user")


def test_another_users_folder_further_up_is_passed_by(place: Place, tmp_path: Path) -> None:
    """As in a temporary folder that all users share."""
    theirs = tmp_path / "shared"
    (theirs / "mine").mkdir(parents=True)
    (theirs / ".dre").symlink_to("/")  # whoever takes it is refused: it is a link
    program = (
        "import os; real = os.lstat\n"
        "class Theirs:\n    st_uid = -1\n"
        f"os.lstat = lambda path, **more: Theirs if path == {os.fsencode(theirs / '.dre')!r} else real(path, **more)\n"
        "from dre.cli import main; main()"
    )

    said = run([sys.executable, "-c", program, "wrap", "--no-workspace", "--strict", "true"], cwd=theirs / "mine")

    assert (said.stderr, said.returncode) == (b"", 0)
    assert (theirs / "mine" / ".dre" / "ledger-id").exists()


# No home


def without(*names: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in names}


def test_who_has_no_home_folder_is_not_recorded(tmp_path: Path) -> None:
    """And no folder is made whose name is a tilde."""
    said = as_user(SOMEBODY_ELSE, *COMMAND, cwd=tmp_path, env=without("HOME", "XDG_STATE_HOME"))

    assert (said.stdout, said.returncode) == (b"ran\n", 3)
    assert_says_once(said.stderr, b"there is no home folder (HOME or XDG_STATE_HOME names one)")
    assert list(tmp_path.iterdir()) == []


def test_who_has_no_home_folder_and_is_strict_is_told(tmp_path: Path) -> None:
    said = as_user(SOMEBODY_ELSE, "--strict", *COMMAND, cwd=tmp_path, env=without("HOME", "XDG_STATE_HOME"))

    assert (said.stdout, said.returncode) == (b"", 125)
    assert_says_once(said.stderr, b"there is no home folder")


def test_a_state_home_is_home_enough(place: Place) -> None:
    said = place.wrap(*COMMAND, env=without("HOME"))

    assert (said.stdout, said.stderr, said.returncode) == (b"ran\n", b"", 3)
    assert place.spool.state() == "complete"


def test_a_relative_state_home_is_ignored(place: Place, own_home: Path) -> None:
    said = place.wrap(*COMMAND, env={**os.environ, "XDG_STATE_HOME": "state"})

    assert (said.stderr, said.returncode) == (b"", 3)
    assert place.kept.parent == own_home / ".local/state/dre"
    assert place.spool.state() == "complete"
    assert not (place.folder / "state").exists()


# Where it is made


def test_the_first_recording_makes_all_that_later_ones_need(tmp_path: Path, own_home: Path) -> None:
    """From a caller whose umask closes nothing."""
    said = run(["sh", "-c", f"umask 0; exec {DRE} wrap --strict true"], cwd=tmp_path)

    assert (said.stderr, said.returncode) == (b"", 0)
    dre, state = tmp_path / ".dre", own_home / ".local/state/dre"
    ledger = (dre / "ledger-id").read_text()
    kept = state / ledger.strip()
    assert ledger.endswith("\n")
    assert (kept / "path").read_bytes() == os.fsencode(dre)
    assert [mode(path) for path in (dre, dre / "spool", state, kept)] == [0o700] * 4
    assert [mode(path) for path in (dre / "ledger-id", dre / ".gitignore", kept / "path")] == [0o600] * 3
    assert (dre / ".gitignore").read_text() == "*\n"


def test_many_at_once_make_one(tmp_path: Path, own_home: Path) -> None:
    state = own_home / ".local/state/dre"
    first = [subprocess.Popen([DRE, "wrap", "--strict", "true"], cwd=tmp_path) for _ in range(6)]

    assert [process.wait() for process in first] == [0] * 6
    assert [folder.name for folder in state.iterdir() if folder.is_dir()] == [
        (tmp_path / ".dre/ledger-id").read_text().strip()
    ]
    assert [path.name for path in (tmp_path / ".dre").iterdir() if path.name.startswith(".ledger-id.")] == []


def test_outside_a_repository_it_is_made_where_one_works(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)

    run([DRE, "wrap", "--strict", "true"], cwd=tmp_path / "a/b")

    assert made_in(tmp_path) == ["a/b/.dre"]


def test_an_existing_one_further_up_is_used(place: Place) -> None:
    deep = place.folder / "a/b"
    deep.mkdir(parents=True)

    place.wrap("true", cwd=deep)

    assert made_in(place.folder) == [".dre"]
    assert place.spool.start["cwd"] == [os.fsencode(deep)]


def test_in_a_repository_it_is_made_at_the_top(repository: Path) -> None:
    (repository / "a/b").mkdir(parents=True)

    run([DRE, "wrap", "--strict", "true"], cwd=repository / "a/b")

    assert made_in(repository) == [".dre"]


def test_beyond_the_top_of_a_repository_nobody_looks(place: Place) -> None:
    top = new_repository(place.folder / "inner")

    run([DRE, "wrap", "--strict", "true"], cwd=top)

    assert made_in(place.folder) == [".dre", "inner/.dre"]
    assert place.spools == []


def test_a_linked_work_tree_has_its_own(place: Place, repository: Path) -> None:
    linked = place.folder / "linked"
    git(repository, "worktree", "add", "-q", "-b", "side", str(linked))
    shutil.move(place.dre, linked / ".dre")
    (linked / "new").write_text("untracked\n")

    run([DRE, "wrap", "--strict", "true"], cwd=linked)

    [spool] = map(Spool, (linked / ".dre/spool").iterdir())
    assert spool.start["workspace"] == [b"yes"]
    assert spool.pre["top"] == [os.fsencode(linked)]
    assert spool.pre["branch"] == [b"side"]
    assert spool.pre["head"] == [git(repository, "rev-parse", "HEAD")]
    assert spool.pre["tree"] == [tree_of_everything(linked)]
    assert not (repository / ".dre").exists()


def test_a_submodule_has_its_own(place: Place, repository: Path) -> None:
    outer = new_repository(place.folder / "outer")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repository), "part")
    part = outer / "part"
    shutil.move(place.dre, part / ".dre")

    run([DRE, "wrap", "--strict", "true"], cwd=part)

    [spool] = map(Spool, (part / ".dre/spool").iterdir())
    assert spool.pre["top"] == [os.fsencode(part)]
    assert spool.pre["head"] == [git(repository, "rev-parse", "HEAD")]
    assert spool.pre["tree"] == [git(repository, "rev-parse", "HEAD^{tree}")]
    assert not (outer / ".dre").exists()


# What this machine remembers


def test_where_a_history_vanished_recordings_wait_under_its_name(place: Place) -> None:
    shutil.rmtree(place.dre)

    said = place.wrap(*COMMAND)

    assert (said.stdout, said.returncode) == (b"ran\n", 3)
    gone = b"dre: the history in " + os.fsencode(place.dre)
    assert said.stderr == gone + b" is gone; recordings wait there (dre doctor says more)\n"
    assert (place.dre / "ledger-id").read_text().strip() == place.ledger
    assert place.spool.state() == "complete"


def its_history_is_gone(place: Place) -> None:
    shutil.rmtree(place.dre)


def its_ledger_is_gone(place: Place) -> None:
    (place.dre / "ledger.db").rmdir()


def its_history_is_older(place: Place) -> None:
    (place.kept / "head").write_text('{"size":9,"leaf":"%s","settled":9}' % ("00" * 32))
    (place.dre / "settled").write_text(f"{place.ledger} 8\n")


def its_history_is_a_copy(place: Place) -> None:
    original = place.folder / "original"
    shutil.copytree(place.dre, original)
    (place.kept / "path").write_bytes(os.fsencode(original))


def a_reader_found_it_wrong(place: Place) -> None:
    (place.dre / "blocked").touch()


def its_id_is_tracked(place: Place) -> None:
    git(place.folder, "init", "-q")
    git(place.folder, "add", "-f", ".dre/ledger-id")


WAITING: dict[Callable[[Place], None], bytes] = {
    its_history_is_gone: b"the history in %(dre)s is gone (put it back, or dre init begins a new one)",
    its_ledger_is_gone: b"the history in %(dre)s is gone (put it back, or dre init begins a new one)",
    its_history_is_older: b"the history in %(dre)s is not the newest, or a copy (dre doctor says what to do)",
    its_history_is_a_copy: b"the history in %(dre)s is not the newest, or a copy (dre doctor says what to do)",
    a_reader_found_it_wrong: b"the history in %(dre)s is not the newest, or a copy (dre doctor says what to do)",
    its_id_is_tracked: b"git tracks %(dre)s/ledger-id (git rm -r --cached .dre takes it out)",
}


@pytest.mark.parametrize(("spoil", "why"), WAITING.items(), ids=[spoil.__name__ for spoil in WAITING])
@pytest.mark.parametrize("how", [(), ("--gate",)], ids=["plain", "gate"])
def test_who_is_strict_runs_nothing_whose_recording_would_only_wait(
    place: Place, spoil: Callable[[Place], None], why: bytes, how: tuple[str, ...]
) -> None:
    spoil(place)
    stood = place.dre.exists()

    said = place.wrap("--strict", *how, *COMMAND)

    assert (said.stdout, said.returncode) == (b"", 125)
    assert said.stderr == NOT_RECORDED + reason(place, why) + b"\n"
    assert recordings_in(place) == []
    assert place.dre.exists() == stood  # nothing is made in the way of who puts the old one back


@pytest.mark.parametrize("spoil", WAITING, ids=[spoil.__name__ for spoil in WAITING])
def test_who_is_not_strict_runs_it_and_the_recording_waits(place: Place, spoil: Callable[[Place], None]) -> None:
    spoil(place)

    said = place.wrap(*COMMAND)

    assert (said.stdout, said.returncode) == (b"ran\n", 3)
    assert place.spool.state() == "complete"


def test_variables_of_git_do_not_hide_what_it_tracks(place: Place, tmp_path: Path) -> None:
    its_id_is_tracked(place)
    new_repository(tmp_path / "other")

    said = place.wrap("--strict", *COMMAND, env={**os.environ, "GIT_DIR": str(tmp_path / "other" / ".git")})

    assert (said.stdout, said.returncode) == (b"", 125)


def test_where_nothing_was_ever_recorded_a_history_begins(place: Place) -> None:
    """A folder that was made here and removed before it held a history is nothing to mourn."""
    (place.kept / "head").unlink()
    shutil.rmtree(place.dre)

    said = place.wrap(*COMMAND)

    assert (said.stderr, said.returncode) == (b"", 3)
    assert (place.dre / "ledger-id").read_text().strip() != place.ledger


def test_a_history_that_vanished_elsewhere_is_no_concern(place: Place, tmp_path: Path) -> None:
    (place.kept / "path").write_bytes(b"/somewhere/else/.dre")
    (place.kept / "head").write_text(json.dumps({"size": 1, "leaf": "00" * 32}))
    shutil.rmtree(place.dre)

    place.wrap(*COMMAND)

    assert (place.dre / "ledger-id").read_text().strip() != place.ledger


def test_a_history_that_was_given_up_holds_nobody_up(place: Place) -> None:
    (place.kept / "path").rename(place.kept / "path.retired")
    shutil.rmtree(place.dre)

    said = place.wrap(*COMMAND)

    assert (said.stderr, said.returncode) == (b"", 3)
    assert (place.dre / "ledger-id").read_text().strip() != place.ledger
    assert place.spool.state() == "complete"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return new_repository(tmp_path / "repository")


def new_repository(top: Path) -> Path:
    top.mkdir()
    git(top, "init", "-q", "-b", "main")
    (top / "file").write_text("tracked\n")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    return top


def tree_of_everything(top: Path) -> bytes:
    git(top, "add", "-A")
    return git(top, "write-tree")


def git(folder: Path, *words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True).stdout.strip()


def made_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob(".dre"))


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def test_nothing_that_a_terminal_obeys_is_said(place: Place) -> None:
    folder = place.folder / "d\x1b]0;x\x07\u202e\x9b31m"
    (folder / ".git").mkdir(parents=True)
    (folder / ".dre").symlink_to("nowhere")

    said = subprocess.run([DRE, "wrap", "true"], cwd=folder, capture_output=True, check=True)
    assert said.stderr.startswith(NOT_RECORDED)
    assert b"/d?]0;x???31m/.dre " in said.stderr

    usage = subprocess.run([DRE, "wrap", "--label", "\x1b[31m", "true"], cwd=folder, capture_output=True, check=False)
    assert usage.returncode == 2
    assert b'"?[31m" is not NAME=VALUE' in usage.stderr
