"""The page of the spool format: whoever has only the page reads what the recorder leaves."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from shim.places import DRE, NAMES, Place

Sections = Callable[[str], dict[str, str]]
FENCED = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.fixture
def place(tmp_path: Path, own_home: Path) -> Place:
    """Spools stay here."""
    return Place(tmp_path / "place", own_home / ".local" / "state")


@pytest.fixture
def repository(place: Place) -> Place:
    subprocess.run(["git", "init", "-q", str(place.folder)], check=True)
    return place


def test_the_reader_on_the_page_reads_what_the_recorder_leaves(place: Place, sections: Sections) -> None:
    place.wrap("--label", "suite=unit", "sh", "-c", "echo out; exit 3")

    found = FENCED.search(sections("spool-format")["A reader"])
    assert found is not None
    read = subprocess.run(
        [sys.executable, "-I", "-c", found[1], place.spool.folder], capture_output=True, text=True, check=True
    ).stdout

    assert [line.split()[0] for line in read.splitlines()] == ["start", "env", "output", "exit", "end"]
    assert "(b'label', b'suite=unit')" in read
    assert re.search(r"^output \d+ 1 b'out\\n'$", read, re.MULTILINE)
    assert re.search(r"^exit \d+ .{8}00030000", read, re.MULTILINE)
    assert re.search(r"^end \d+ 04000000000000000000000000000000$", read, re.MULTILINE)


def test_every_name_that_the_recorder_writes_is_on_the_page(repository: Place, sections: Sections) -> None:
    """With every option that leaves a name, in CI mode, and where git has no tree to give."""
    (repository.dre / "ci-mode").touch()
    (repository.folder / ".git" / "index").write_bytes(b"no index")
    words = ["env", "DRE_PARENT=none", DRE, "wrap", "--label", "a=b", "--writes", "*.py", "true"]
    subprocess.run(words, cwd=repository.folder, check=True)

    page = sections("spool-format")
    start, pre = repository.spool.start, repository.spool.pre
    assert {"label", "writes", "parent", "ci"} <= start.keys()
    assert "why" in pre
    assert [name for name in start if f"`{name}`" not in page["start"]] == []
    assert [name for name in pre if f"`{name}`" not in page["pre"]] == []


def test_every_kind_of_frame_is_on_the_page_under_its_number(sections: Sections) -> None:
    frames = sections("spool-format")["Frames"]
    assert [name for number, name in enumerate(NAMES, 1) if f"| {number} | `{name}` |" not in frames] == []


def test_every_file_in_a_spool_is_on_the_page(repository: Place, sections: Sections) -> None:
    subprocess.run([DRE, "wrap", "sh", "-c", "sleep .2 & exit 0"], cwd=repository.folder, check=True)

    files = sections("spool-format")["Files"]
    left = {path.name for path in repository.spool.folder.iterdir()}
    assert {"alive", "journal", "out.raw", "needles", "index", "objects"} <= left
    assert [name for name in left if f"`{name}`" not in files and f"`{name}/`" not in files] == []
