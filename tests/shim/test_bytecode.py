"""Bytecode of the recorder itself: no limit and no full disk leaves any that keeps the next command from running."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from shim.places import Place, run

import dre

COPY = "import sys; sys.path.insert(0, {!r}); from dre.cli import main; main()"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Ours as it is installed where nobody compiled it."""
    folder = tmp_path / "package"
    ours = str(Path(dre.__file__).parent)
    shutil.copytree(ours, folder / "dre", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def words(package: Path) -> list[str]:
    return [sys.executable, "-c", COPY.format(str(package)), "wrap", "--no-workspace", "sh", "-c", "echo ran; exit 3"]


def environment() -> Mapping[str, str]:
    """Whoever runs the tests may not want bytecode; here it is what they are about."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def bytecode(package: Path) -> list[Path]:
    return sorted(package.rglob("*.pyc"))


@pytest.mark.parametrize("limit", [0, 1, 2, 4, 8, 16, 100])
@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_limit_on_the_size_of_files_leaves_nothing_cut_off(
    place: Place, package: Path, shell: str, limit: int
) -> None:
    limited = [shell, "-c", f"ulimit -f {limit}; exec {shlex.join(words(package))}"]
    said = run(limited, cwd=place.folder, env=environment())
    assert (said.stdout, said.returncode) == (b"ran\n", 3)

    again = run(words(package), cwd=place.folder, env=environment())

    assert (again.stdout, again.stderr, again.returncode) == (b"ran\n", b"", 3)
    assert place.spools[-1].state() == "complete"


def test_without_a_limit_the_next_start_need_not_compile(place: Place, package: Path) -> None:
    run(words(package), cwd=place.folder, env=environment())
    assert "recorder" in {path.name.split(".")[0] for path in bytecode(package)}


@pytest.mark.parametrize("left", [17, 100, 0.5, 0.99])
def test_bytecode_that_a_full_disk_cut_off_is_made_anew(place: Place, package: Path, left: float) -> None:
    run(words(package), cwd=place.folder, env=environment())
    broken = [path for path in bytecode(package) if path.parent.parent.name == "shim"]
    whole = {path: path.read_bytes() for path in broken}
    for path, content in whole.items():
        path.write_bytes(content[: int(left if left > 1 else left * len(content))])

    said = [run(words(package), cwd=place.folder, env=environment()) for _ in range(2)]

    assert [(one.stdout, one.stderr, one.returncode) for one in said] == [(b"ran\n", b"", 3)] * 2
    assert len(place.spools) == 3
    assert [path.stat().st_size for path in broken] == [len(content) for content in whole.values()]


def test_where_nobody_may_delete_it_it_is_not_read(place: Place, package: Path) -> None:
    run(words(package), cwd=place.folder, env=environment())
    [recorder] = package.rglob("recorder.*.pyc")
    recorder.write_bytes(recorder.read_bytes()[:1000])
    program = "import os, sys\ndef no(*_):\n    raise PermissionError(1, 'no')\nos.unlink = no\n"
    command = words(package)
    command[2] = program + command[2]

    said = run(command, cwd=place.folder, env=environment())

    assert (said.stdout, said.stderr, said.returncode) == (b"ran\n", b"", 3)
    assert recorder.stat().st_size == 1000
