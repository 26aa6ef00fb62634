"""What a run changed in its work tree: no more than it did, and each file with what can be said of it."""

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from capture.recorded import History, Place, states

from dre.capture import workspace
from dre.capture.syntax import Parser, conflict_marker, project_python
from dre.domain.evidence import EvidenceComplete
from dre.domain.operation import OperationCompleted, OperationStarted


async def changes(place: Place, history: History, *words: str | bytes, **more: Any) -> dict[str, Any]:
    id = place.wrap(*words, **more)
    assert states(await history.take(place)) == ["recorded"]
    found: dict[str, Any] = json.loads(await history.content(id, "changes"))
    found["id"] = id
    found["by name"] = {str(file["path"]): file for file in found["files"]}
    return found


async def test_each_file_says_what_became_of_it(repository: Place, history: History) -> None:
    (repository.top / "old.txt").write_text("old\n")
    (repository.top / "gone.txt").write_text("gone\n")
    (repository.top / "same.txt").write_text("same\n")
    script = (
        "echo new > new.txt; echo more >> old.txt; rm gone.txt; touch same.txt; ln -s new.txt link; chmod +x kept.py"
    )
    found = await changes(repository, history, "sh", "-c", script + "; rm old.txt; mkdir old.txt; touch old.txt/inner")

    assert {name: (file["status"], file["mode"]) for name, file in found["by name"].items()} == {
        "new.txt": ("added", "100644"),
        "gone.txt": ("deleted", "100644"),
        "link": ("added", "120000"),
        "kept.py": ("modified", "100755"),
        "old.txt": ("deleted", "100644"),
        "old.txt/inner": ("added", "100644"),
    }
    new = found["by name"]["new.txt"]
    assert (new["sizeBytes"], new["digest"]) == (4, hashlib.sha256(b"new\n").hexdigest())
    assert found["by name"]["gone.txt"]["sizeBytes"] is None
    completed = await history.one(found["id"], OperationCompleted)
    started = await history.one(found["id"], OperationStarted)
    assert started.git is not None
    assert (found["treeBefore"], found["treeAfter"]) == (started.git.tree, completed.tree_after)


async def test_a_file_too_large_to_be_searched_costs_no_other_its_digest(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "MOST_CONTENT_BYTES", 3 << 20)
    script = "head -c 4000000 /dev/zero > a.bin; echo b > b.txt; head -c 3145727 /dev/zero > c.bin; echo d > d.txt"

    found = await changes(repository, history, "sh", "-c", script)

    digests = {name: file["digest"] for name, file in found["by name"].items()}
    assert digests == {
        "a.bin": None,
        "b.txt": hashlib.sha256(b"b\n").hexdigest(),
        "c.bin": None,
        "d.txt": hashlib.sha256(b"d\n").hexdigest(),
    }
    assert {name: file["sizeBytes"] for name, file in found["by name"].items()}["a.bin"] == 4_000_000
    [said] = await history.observations(found["id"], "workspace")
    assert said.state == "partial"
    assert said.detail == "no digest of a.bin and 1 more: at most 3 MiB in all are searched for secrets"


async def test_how_far_the_tree_was_from_its_commit_is_counted(repository: Place, history: History) -> None:
    assert (await changes(repository, history, "true"))["dirty"] == 0
    (repository.top / "kept.py").write_text("changed = True\n")
    (repository.top / "untracked.py").write_text("new = True\n")
    found = await changes(repository, history, "sh", "-c", "echo 3 > third.py")
    assert (found["dirty"], len(found["files"])) == (2, 1)


async def test_a_dirty_tree_is_as_good_as_any_and_stays_as_it_is(repository: Place, history: History) -> None:
    (repository.top / "kept.py").write_text("changed = True\n")
    (repository.top / "staged.py").write_text("staged = True\n")
    repository.git("add", "staged.py")
    (repository.top / "staged.py").write_text("staged = 2\n")
    before = (repository.git("status", "--porcelain"), repository.git("count-objects", "-v"))

    found = await changes(repository, history, "sh", "-c", "echo 'y = 1' > mine.py")

    assert list(found["by name"]) == ["mine.py"]
    (repository.top / "mine.py").unlink()
    assert (repository.git("status", "--porcelain"), repository.git("count-objects", "-v")) == before


async def test_nothing_changed_is_an_answer_too(repository: Place, history: History) -> None:
    found = await changes(repository, history, "true")

    assert (found["files"], found["more"], found["treeBefore"]) == ([], 0, found["treeAfter"])
    assert "diff" not in await history.items(found["id"])


@pytest.mark.parametrize("name", ["id", "a folder/[i]d\udcff*.txt", ":(top)id"])
@pytest.mark.parametrize("there", ["new", "untracked", "tracked", "behind a link"])
async def test_the_file_that_the_recorder_writes_is_no_change(
    name: str, there: str, repository: Place, history: History
) -> None:
    file = repository.top / name
    file.parent.mkdir(exist_ok=True)
    if there in ("untracked", "tracked"):
        file.write_text("the id of an earlier run\n")
    if there == "tracked":
        repository.git("add", "--", f":(literal){name}")
        repository.git("commit", "-q", "-m", "with an id in it")
    asked: str | Path = name
    if there == "behind a link":
        asked = repository.top.parent / "link"
        asked.symlink_to(file)

    script = "echo x = 1 > mine.py; echo y > idx"
    found = await changes(
        repository, history, "--id-file", os.fsencode(asked), "--writes", "mine.py", "sh", "-c", script
    )

    assert file.read_text() == f"{found['id']}\n"
    assert sorted(found["by name"]) == ["idx", "mine.py"]
    assert found["dirty"] == 0
    assert str(found["id"]) not in (await history.content(found["id"], "diff")).decode()
    complete = await history.one(found["id"], EvidenceComplete)
    [said] = [one for one in complete.observations if one.subject == "workspace"]
    assert said.state == "seen"
    assert "which --id-file names" in said.detail


async def test_a_file_for_the_id_elsewhere_is_no_matter(repository: Place, history: History, tmp_path: Path) -> None:
    found = await changes(repository, history, "--id-file", str(tmp_path / "elsewhere"), "sh", "-c", "echo x > new")
    assert list(found["by name"]) == ["new"]
    complete = await history.one(found["id"], EvidenceComplete)
    assert [one.detail for one in complete.observations if one.subject == "workspace"] == ["tree before and after"]


async def test_ignored_files_are_no_changes(repository: Place, history: History) -> None:
    (repository.top / ".gitignore").write_text("build/\n")

    found = await changes(
        repository, history, "sh", "-c", "mkdir build; echo x > build/x; git commit -q -m b --allow-empty"
    )

    assert found["files"] == []


@pytest.mark.parametrize(
    ("name", "content", "syntax", "line"),
    [
        ("a.py", b"x = 1\n", "parses", None),
        ("a.py", b"x = 1\ndef (:\n", "broken", 2),
        ("a.pyi", b"def f() -> int: ...\n", "parses", None),
        ("a.py", b"x = '\xff'\n", "broken", None),
        ("a.py", b"# coding: latin-1\nx = '\xff'\n", "parses", None),
        ("a.py", b"x = 1\0\n", "broken", None),
        ("a.py", b"x = '\\d'\n", "parses", None),
        ("a.py", b"(" * 100_000, "broken", 1),
        ("a.py", b"-" * 900_000 + b"1", "unknown", None),
        ("a.json", b'{"a": [1, 2]}', "parses", None),
        ("a.json", b'{"a": 1,\n}', "broken", 2),
        ("a.json", b"[" * 500_000, "unknown", None),
        ("a.json", b'{"a": 1}\n{"b": 2}\n', "unknown", 2),
        ("tsconfig.json", b'{ // comments are fine here\n "a": 1 }', "unknown", 1),
        ("a.toml", b"a = 1\n", "parses", None),
        ("a.toml", b"a = 1\nb = \n", "broken", 2),
        ("a.toml", b"a = " + b"[" * 400_000, "unknown", None),
        ("a.txt", b"def (:\n", "not checked", None),
        ("a.py", b"x = 1\n" * 200_000, "unknown", None),
    ],
)
async def test_sources_are_parsed_and_nothing_hostile_ends_us(
    name: str, content: bytes, syntax: str, line: int | None, repository: Place, history: History, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)

    found = await changes(repository, history, "cp", str(tmp_path / name), ".")

    [file] = found["files"]
    assert file["syntax"] == syntax
    if line is not None:
        assert file["line"] == line
    assert bool(file["syntaxDetail"]) == (syntax in ("broken", "unknown"))


def test_a_parser_that_dies_costs_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = Parser(None)
    assert parser.look(b"a.py", b"x = 1").syntax == "parses"
    assert parser._process is not None
    parser._process.kill()
    parser._process.wait()

    assert parser.look(b"a.py", b"x = 1").syntax == "unknown"
    assert parser.look(b"a.py", b"x = 1").syntax == "parses"
    parser.close()


def test_newer_python_than_ours_is_not_called_broken(tmp_path: Path) -> None:
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.99.1\n")
    python = project_python(os.fsencode(tmp_path), {})
    parser = Parser(python)

    found = parser.look(b"a.py", b"lazy import x\n")
    parser.close()

    assert python == (3, 99)
    assert found.syntax == "unknown"
    assert "3.99" in found.detail


def test_nothing_of_a_project_is_executed(tmp_path: Path, repository: Place) -> None:
    parser = Parser(None)
    found = parser.look(b"conftest.py", f"open({str(tmp_path / 'ran')!r}, 'w')".encode())
    parser.close()

    assert found.syntax == "parses"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"<<<<<<< HEAD\na\n=======\nb\n>>>>>>> other\n", 1),
        (b"x\r\n<<<<<<< HEAD\r\na\r\n=======\r\nb\r\n>>>>>>> other\r\n", 2),
        (b"a\n=======\nb\n", None),
        (b"<<<<<<< HEAD\na\n", None),
        (b">>>>>>> x\n=======\n<<<<<<< y\n", None),
        (b" <<<<<<< HEAD\n=======\n>>>>>>> other\n", None),
        (b"<<<<<<< HEAD\n" * 70_000, None),
    ],
)
def test_conflict_markers(content: bytes, line: int | None) -> None:
    assert conflict_marker(content) == line


async def test_a_conflict_that_was_left_is_seen(repository: Place, history: History) -> None:
    script = "printf 'x\\n<<<<<<< a\\ny\\n=======\\nz\\n>>>>>>> b\\n' > notes.txt"

    found = await changes(repository, history, "sh", "-c", script)

    assert found["by name"]["notes.txt"]["conflictMarker"] == 2


async def test_names_that_are_hostile(repository: Place, history: History) -> None:
    names = [b"line\nbreak", b"quote\"'s", b"caf\xe9", b"-rf", b"tab\there", b"\x1b[31mred", b"a;b", "ünï".encode()]
    script = 'for name in "$@"; do echo x > "./$name"; done'

    found = await changes(repository, history, "sh", "-c", script, "sh", *names)

    assert len(found["files"]) == len(names)
    assert {"bytes": "Y2Fm6Q=="} in [file["path"] for file in found["files"]]
    assert "line\nbreak" in [file["path"] for file in found["files"]]
    assert all(file["status"] == "added" and file["sizeBytes"] == 2 for file in found["files"])


async def test_more_files_than_are_listed(repository: Place, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MOST_FILES", 10)

    found = await changes(repository, history, "sh", "-c", "for i in $(seq 25); do echo $i > $i.txt; done")

    assert (len(found["files"]), found["more"]) == (10, 15)


async def test_ten_thousand_files(repository: Place, history: History) -> None:
    found = await changes(
        repository, history, "sh", "-c", "mkdir d; for i in $(seq 10000); do echo $i > d/$i.txt; done"
    )

    assert len(found["files"]) + found["more"] == 10_000


async def test_a_patch_that_is_too_long_is_cut_and_says_so(repository: Place, history: History) -> None:
    found = await changes(repository, history, "sh", "-c", "seq 1 1000000 > numbers.txt")

    patch = await history.content(found["id"], "diff")
    assert len(patch) == workspace.LARGEST_PATCH + len(workspace.CUT)
    assert patch.endswith(workspace.CUT)


async def test_binary_files_are_named_in_the_patch(repository: Place, history: History) -> None:
    found = await changes(repository, history, "sh", "-c", "head -c 1000 /dev/zero > zeros")

    assert b"Binary files /dev/null and b/zeros differ" in await history.content(found["id"], "diff")


async def test_a_subdirectory_sees_the_whole_work_tree(repository: Place, history: History) -> None:
    (repository.top / "sub").mkdir()

    found = await changes(
        repository, history, "sh", "-c", "echo x > here; echo x > ../there", cwd=repository.top / "sub"
    )

    assert sorted(found["by name"]) == ["sub/here", "there"]


async def test_what_comes_after_the_end_is_not_the_command_s(repository: Place, history: History) -> None:
    """The next recording's tree before is this one's tree after."""
    first = repository.wrap("sh", "-c", "echo 1 > first.txt")
    second = repository.wrap("sh", "-c", "echo 2 > second.txt")
    third = repository.wrap("true")
    (repository.top / "by-hand.txt").write_text("3")
    assert states(await history.take(repository)) == ["recorded"] * 3

    names = [
        [file["path"] for file in json.loads(await history.content(id, "changes"))["files"]]
        for id in (first, second, third)
    ]
    assert names == [["first.txt"], ["second.txt"], ["by-hand.txt"]]
    assert repository.ids() == []


async def test_a_tree_that_was_taken_long_after_the_end_says_so(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "LATE_NS", -1)
    id = repository.wrap("true")
    await history.take(repository)

    [said] = await history.observations(id, "workspace")
    assert said.state == "partial"
    assert "after the end" in said.detail


async def test_outside_of_git_it_says_why_there_is_nothing(place: Place, history: History) -> None:
    plain = place.wrap("true")
    await history.take(place)
    place.git("init", "-q")
    asked = place.wrap("--no-workspace", "true")
    await history.take(place)

    assert [one.detail for one in await history.observations(plain, "workspace")] == ["not in a git work tree"]
    [said] = await history.observations(asked, "workspace")
    assert (said.state, "--no-workspace" in said.detail) == ("not observed", True)
    assert (await history.one(plain, OperationStarted)).git is None
    assert "changes" not in await history.items(plain)


async def test_a_repository_that_is_gone_is_said(repository: Place, history: History) -> None:
    id = repository.wrap("rm", "-rf", ".git")
    await history.take(repository)

    [said] = await history.observations(id, "workspace")
    assert said.state == "not observed"
    assert "git" in said.detail
    assert (await history.one(id, OperationCompleted)).outcome == "succeeded"


async def test_an_unborn_branch_and_a_detached_head(place: Place, history: History) -> None:
    place.git("init", "-q", "-b", "begin")
    unborn = place.wrap("sh", "-c", "echo 1 > one.txt")
    await history.take(place)
    place.git("add", ".")
    place.git("commit", "-q", "-m", "one")
    place.git("checkout", "-q", "--detach")
    detached = place.wrap("true")
    await history.take(place)

    first, second = [(await history.one(id, OperationStarted)).git for id in (unborn, detached)]
    assert first is not None
    assert second is not None
    assert (first.commit, first.branch) == (None, "begin")
    assert (second.commit, second.branch) == (place.git("rev-parse", "HEAD"), None)
    assert json.loads(await history.content(unborn, "changes"))["files"][0]["path"] == "one.txt"


async def test_a_linked_work_tree(repository: Place, history: History, tmp_path: Path) -> None:
    repository.git("worktree", "add", "-q", "-b", "other", str(repository.top / "linked"))
    (repository.top / ".gitignore").write_text("linked\n")

    found = await changes(repository, history, "sh", "-c", "cd linked && pwd && echo 1 > x")

    assert found["files"] == []


async def test_repositories_within_are_known_by_their_commit(repository: Place, history: History) -> None:
    script = (
        "git init -q inner && cd inner && echo 1 > one && git add . && git commit -q -m one && cd .. && "
        "git init -q empty"
    )

    found = await changes(repository, history, "sh", "-c", script)

    inner = found["by name"]["inner"]
    assert (inner["mode"], inner["sizeBytes"], inner["syntax"]) == ("160000", None, "not checked")
    details = "; ".join(one.detail for one in await history.observations(found["id"], "workspace"))
    assert "only the commit is known" in details
    assert "could not read all of it" in details


async def test_hooks_monitors_and_outside_programs_never_run(repository: Place, history: History) -> None:
    proof = repository.top.parent / "ran"
    program = repository.top.parent / "program"
    program.write_text(f"#!/bin/sh\necho ran >> {proof}\n")
    program.chmod(0o755)
    for hook in ("pre-commit", "post-index-change", "post-checkout", "reference-transaction"):
        (repository.top / ".git" / "hooks" / hook).write_text(program.read_text())
        (repository.top / ".git" / "hooks" / hook).chmod(0o755)
    repository.git("config", "core.fsmonitor", str(program))
    repository.git("config", "diff.external", str(program))
    repository.git("config", "diff.shout.textconv", str(program))
    repository.git("config", "core.pager", str(program))
    (repository.top / ".gitattributes").write_text("*.txt diff=shout\n")
    proof.unlink(missing_ok=True)

    found = await changes(repository, history, "sh", "-c", "echo 1 > a.txt")

    assert list(found["by name"]) == ["a.txt"]
    assert b"+1" in await history.content(found["id"], "diff")
    assert not proof.exists()


async def test_clean_filters_run_and_it_says_so(repository: Place, history: History) -> None:
    repository.git("config", "filter.upper.clean", "tr a-z A-Z")
    (repository.top / ".gitattributes").write_text("*.up filter=upper\n")

    found = await changes(repository, history, "sh", "-c", "echo word > a.up")

    assert found["cleanFilters"] is True
    assert b"+WORD" in await history.content(found["id"], "diff")


async def test_what_the_caller_s_environment_says_of_git_does_not_lead_us_astray(
    repository: Place, history: History, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "other")], check=True)  # noqa: ASYNC221 - a moment
    id = repository.wrap("sh", "-c", "echo 1 > one.txt")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path / "other"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "other" / "index"))
    await history.take(repository)

    assert [file["path"] for file in json.loads(await history.content(id, "changes"))["files"]] == ["one.txt"]


async def test_without_git_it_says_so(repository: Place, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    id = repository.wrap("true")
    monkeypatch.setenv("PATH", str(repository.top.parent))
    await history.take(repository)

    [said] = await history.observations(id, "workspace")
    assert (said.state, said.detail) == ("not observed", "git cannot be run: No such file or directory")


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("rm .git/index; mkfifo .git/index", "not a regular file"),
        ("rm .git/index; truncate -s 1G .git/index", "larger than 512 MiB"),
        ("rm -rf .git; mkfifo .git", "no longer there"),
    ],
)
async def test_what_stands_in_place_of_git_s_files_holds_nobody_up(
    script: str, said: str, repository: Place, history: History
) -> None:
    id = repository.wrap("sh", "-c", script)
    assert states(await history.take(repository)) == ["recorded"]
    complete = await history.one(id, EvidenceComplete)
    assert [said in one.detail for one in complete.observations if one.subject == "workspace"] == [True]


async def test_a_pipe_in_place_of_a_virtual_environment_s_note_holds_nobody_up(
    repository: Place, history: History
) -> None:
    found = await changes(
        repository, history, "sh", "-c", "mkdir -p .venv && mkfifo .venv/pyvenv.cfg && echo x = 1 > b.py"
    )
    assert found["by name"]["b.py"]["syntax"] == "parses"


async def test_git_never_writes_through_a_link_in_place_of_its_objects(
    repository: Place, history: History, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = f"cd .dre/spool/*/ && rm -rf objects && ln -s {elsewhere} objects; cd ../../..; echo x > new"
    id = repository.wrap("sh", "-c", script)
    assert states(await history.take(repository)) == ["recorded"]
    complete = await history.one(id, EvidenceComplete)
    assert ["stands in place" in one.detail for one in complete.observations if one.subject == "workspace"] == [True]
    assert list(elsewhere.iterdir()) == []
