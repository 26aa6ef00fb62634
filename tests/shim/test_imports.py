"""What a recording costs before it does anything: the modules it imports, named one by one."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from shim.keyboard import PROMPT, Terminal
from shim.places import DRE, Place, run

import dre

TOP = str(Path(dre.__file__).parents[1])
# The whole allowance, with all that these bring along. Each other module is paid for at every single command.
ALLOWED = ("os", "stat", "errno", "struct", "fcntl", "termios", "select", "binascii", "resource", "ctypes", "types")
# Python as bare as it gets, and from there the very words of the installed `dre`.
BARE = (sys.executable, "-I", "-S", "-X", "importtime", "-c")
ENTRY = f"import sys; sys.path.append({TOP!r}); from dre.cli import main; main()"
DEAR = (
    "click",
    "json",
    "signal",
    "hashlib",
    "threading",
    "subprocess",
    "msgspec",
    "asyncio",
    "logging",
    "pathlib",
    "enum",
)

WAYS: dict[str, tuple[str, ...]] = {
    "a command": ("--no-workspace", "true"),
    "a failing command": ("--no-workspace", "false"),
    "a command that a signal ends": ("--no-workspace", "sh", "-c", "kill -KILL $$"),
    "a command that is not there": ("--no-workspace", "no-such-command-at-all"),
    "output of both kinds": ("--no-workspace", "sh", "-c", "echo out; echo err >&2"),
    "output that goes on": ("--no-workspace", "sh", "-c", "(sleep .1; echo late) &"),
    "a work tree": ("true",),
    "every option": (
        *("--strict", "--timeout", "1h", "--label", "suite=unit", "--writes", "*.o", "--id-file", "id"),
        *("--quiet", "--no-color", "-C", ".", "true"),
    ),
    "waiting": ("--wait", "true"),
    "a gate": ("--gate", "true"),
}


@pytest.fixture(scope="session")
def bare() -> set[str]:
    return imported(run([*BARE, "pass"]).stderr)


@pytest.fixture(scope="session")
def allowed() -> set[str]:
    return imported(run([*BARE, "import " + ", ".join(ALLOWED)]).stderr)


@pytest.mark.parametrize("words", WAYS.values(), ids=WAYS)
def test_a_recording_imports_what_is_allowed(place: Place, allowed: set[str], words: tuple[str, ...]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=place.folder, check=True)

    found = imported(run([*BARE, ENTRY, "wrap", *words], cwd=place.folder).stderr)

    assert "dre.shim.recorder" in found
    assert [name for name in sorted(found - allowed) if not belongs_to_the_recorder(name)] == []
    assert len(place.spools) == 1


def test_an_unrecorded_run_imports_no_more(place: Place, allowed: set[str]) -> None:
    place.dre.chmod(0o777)

    found = imported(run([*BARE, ENTRY, "wrap", "true"], cwd=place.folder).stderr)

    assert "dre.shim.unrecorded" in found
    assert [name for name in sorted(found - allowed) if not belongs_to_the_recorder(name)] == []


@pytest.mark.parametrize("words", [("--no-such-option", "true"), ("--help",)])
def test_an_answer_without_a_run_imports_no_more(place: Place, allowed: set[str], words: tuple[str, ...]) -> None:
    found = imported(run([*BARE, ENTRY, "wrap", *words], cwd=place.folder).stderr)

    assert [name for name in sorted(found - allowed) if not belongs_to_the_recorder(name)] == []


def test_a_recording_at_a_terminal_imports_no_more(
    place: Place, allowed: set[str], open_terminal: Callable[..., Terminal]
) -> None:
    (place.folder / "wrap.py").write_text(ENTRY)
    terminal = open_terminal()
    terminal.see(PROMPT)
    python = " ".join((*BARE[:-1], "wrap.py"))

    terminal.run_to_prompt(f"{python} wrap --no-workspace tty 2>imports", "/dev/")

    found = imported((place.folder / "imports").read_bytes())
    assert place.spool.start["fd0"] == [b"inner"]
    assert "dre.shim.keeper" in found
    assert [name for name in sorted(found - allowed) if not belongs_to_the_recorder(name)] == []


def test_without_a_work_tree_nothing_that_looks_at_one_is_imported(place: Place) -> None:
    found = imported(run([*BARE, ENTRY, "wrap", "--no-workspace", "true"], cwd=place.folder).stderr)

    assert not {"dre.shim.workspace", "dre.shim.usage"} & found


def test_the_allowance_is_worth_having(bare: set[str], allowed: set[str]) -> None:
    """A list that grows by what its members bring would allow everything one day."""
    assert not set(DEAR) & (bare | allowed)


@pytest.mark.parametrize("words", [("wrap", "--no-workspace", "true"), ("-C", ".", "wrap", "--no-workspace", "true")])
def test_the_installed_command_goes_straight_to_the_recorder(place: Place, words: tuple[str, ...]) -> None:
    """Beside what the environment itself imports into every Python."""
    environments_own = imported(timed([sys.executable, "-c", "pass"], place.folder))

    found = imported(timed([DRE, *words], place.folder)) - environments_own

    assert "dre.shim.recorder" in found
    assert [name for name in sorted(found) if name in DEAR or name.split(".")[0] in DEAR] == []
    assert [name for name in found if name.startswith("dre.") and not belongs_to_the_recorder(name)] == []


def test_another_command_does_not_import_the_recorder(place: Place) -> None:
    found = imported(timed([DRE, "--version"], place.folder))

    assert "click" in found
    assert "dre.shim.recorder" not in found


def timed(argv: list[str], folder: Path) -> bytes:
    given: Mapping[str, str] = {**os.environ, "PYTHONPROFILEIMPORTTIME": "1"}
    return run(argv, cwd=folder, env=given).stderr


def imported(stderr: bytes) -> set[str]:
    """`import time: self [us] | cumulative | imported package`, one module a line."""
    lines = [line.split(b"|") for line in stderr.splitlines() if line.startswith(b"import time:")]
    return {line[2].strip().decode() for line in lines[1:]}


def belongs_to_the_recorder(name: str) -> bool:
    return name in ("dre", "dre.cli", "dre.shim") or name.startswith("dre.shim.")
