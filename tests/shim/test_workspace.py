"""The tree before: whatever lies in a work tree, the command starts."""

import os
from pathlib import Path

import pytest

from dre.shim import workspace


def test_git_that_never_answers_is_given_up(tmp_path: Path) -> None:
    os.system(f"git init -q {tmp_path}")
    os.mkfifo(tmp_path / ".gitignore")

    with pytest.raises(TimeoutError, match="took longer than"):
        workspace._ask(os.fsencode(tmp_path), b"add", b"-A", patience_s=0.5)

    assert workspace._ask(os.fsencode(tmp_path), b"rev-parse", b"--is-inside-work-tree") == b"true"


def test_pipes_in_the_place_of_gits_own_files_hold_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    os.mkfifo(tmp_path / ".git" / "HEAD")
    found = workspace.find(os.fsencode(tmp_path))
    assert found is not None
    assert found.head() == (b"", b"")
