"""The structural verifier beyond its table: what it can say of syntax, several faults at once, erasures, limits."""

import msgspec
import pytest
from verification.recordings import AFTER, BEFORE, TOP, Recording, changed

from dre.domain import codec
from dre.domain.events import Bytes, Text
from dre.domain.verification import Finding, VerificationJudged
from dre.domain.workspace import ChangedFile
from dre.ledger.body import MAX_BYTES


async def judged(recording: Recording) -> VerificationJudged:
    return (await recording.verdicts())[1]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ([changed("a.py")], "1 file changed, it parses"),
        ([changed("a.py"), changed("b.py", status="deleted", syntax="not checked")], "2 files changed, all parse"),
        ([changed("b.py", status="deleted", syntax="not checked")], "1 file changed"),
        ([changed("a.c", syntax="not checked")], "1 file changed, none of a kind that is parsed here"),
        (
            [changed("a.py"), changed("b.toml"), changed("c.c", syntax="not checked")],
            "3 files changed, 2 of a kind that is parsed here, and they parse",
        ),
    ],
)
async def test_it_says_of_syntax_what_was_seen_and_no_more(
    recording: Recording, files: list[ChangedFile], words: str
) -> None:
    await recording.changes(*files)
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("passed", 1)
    assert verdict.reasons == [words]


async def test_a_source_that_could_not_be_parsed_is_named(recording: Recording) -> None:
    await recording.changes(changed("a.py", syntax="unknown", syntaxDetail="larger than 1 MiB"))
    assert (await judged(recording)).reasons[1:] == ["a.py could not be parsed: larger than 1 MiB"]


async def test_files_beyond_the_cap_lower_what_was_observed(recording: Recording) -> None:
    await recording.changes(changed("a.py"), changed("b.py"), changed("c.py"), more=1)
    verdict = await judged(recording)
    assert verdict.coverage == 0.75
    assert verdict.reasons == ["4 files changed, all parse", "1 changed file beyond the first 3 not looked at"]
    assert verdict.summary == "4 files changed"


async def test_clean_filters_are_said(recording: Recording) -> None:
    await recording.changes(cleanFilters=True)
    assert "clean filters ran" in (await judged(recording)).reasons[1]


async def test_every_fault_is_told_those_of_the_evidence_first(recording: Recording) -> None:
    recording.lose(await recording.output())
    recording.writes = ["src/**"]
    await recording.changes(
        changed("src/a.py", syntax="broken", syntaxDetail="invalid syntax", line=3, conflictMarker=3), changed("b.py")
    )
    verdict = await judged(recording)
    assert (verdict.status, verdict.veto, verdict.summary) == ("failed", True, "evidence missing")
    assert verdict.reasons == [
        "evidence output.txt is missing",
        "1 file changed outside --writes src/**: b.py",
        "src/a.py does not parse (line 3)",
        "src/a.py holds a conflict marker (line 3)",
    ]


async def test_what_was_seen_in_the_tree_is_cited(recording: Recording) -> None:
    item = await recording.changes(changed("a.py", syntax="broken", line=3))
    verdict = await judged(recording)
    assert verdict.findings == [Finding("a.py", "", 3, item.id)]
    assert verdict.evidence == [item.id]


async def test_many_broken_files_are_counted(recording: Recording) -> None:
    await recording.changes(*(changed(f"f{number}.py", syntax="broken", line=1) for number in range(8)))
    verdict = await judged(recording)
    assert verdict.summary == "8 files do not parse"
    assert verdict.reasons[-2:] == ["f4.py does not parse (line 1)", "the same of 3 more files"]
    assert len(verdict.findings) == 8


async def test_altered_changes_are_condemned_and_not_read(recording: Recording) -> None:
    recording.damage(await recording.changes(changed("a.py")))
    verdict = await judged(recording)
    assert verdict.veto
    assert verdict.reasons == ["evidence changes.json is not what was recorded"]


async def test_changes_that_no_reader_understands_are_not_observed(recording: Recording) -> None:
    await recording.collect("changes", "changes.json", b'{"treeBefore": 7}', "structural")
    verdict = await judged(recording)
    assert (verdict.status, verdict.coverage) == ("abstained", 0)
    assert verdict.reasons[0].startswith("workspace not observed: what changed cannot be read from changes.json: ")


@pytest.mark.parametrize(
    ("trees", "why"),
    [
        ({"treeBefore": None, "treeAfter": AFTER}, "the tree before the run was not taken"),
        ({"treeBefore": BEFORE, "treeAfter": None}, "the tree after the run was not taken"),
    ],
)
async def test_one_tree_is_no_comparison(recording: Recording, trees: dict[str, str | None], why: str) -> None:
    await recording.changes(**trees)
    verdict = await judged(recording)
    assert verdict.status == "abstained"
    assert verdict.reasons == [f"workspace not observed: {why}"]


async def test_a_workspace_nobody_spoke_of_is_not_observed(recording: Recording) -> None:
    verdict = await judged(recording)
    assert verdict.reasons == ["workspace not observed: neither the tree before nor the one after was taken"]


async def test_an_erasure_does_not_excuse_what_is_still_there(recording: Recording) -> None:
    output = await recording.output()
    recording.erase(output)
    recording.damage(await recording.changes())
    assert (await judged(recording)).veto


async def test_hostile_paths_stay_what_they_are_and_fit_a_body(recording: Recording) -> None:
    path = "a\x1b]0;\x07\u202e" + "\x01" * 4000
    await recording.changes(*(changed(f"{path}{number}", syntax="broken") for number in range(300)))
    verdict = await judged(recording)
    assert verdict.findings[0].subject.startswith("a\x1b]0;\x07\u202e\x01")
    more = verdict.findings[-1].subject
    assert more == f"and {300 - len(verdict.findings) + 1} more"
    assert len(codec.encode(verdict)) < MAX_BYTES


@pytest.mark.parametrize(
    ("globs", "cwd", "path", "expected"),
    [
        (["build/**"], TOP, "build/a/b.o", True),
        (["build/**"], TOP, "build/b.o", True),
        (["build/"], TOP, "build/a/b.o", True),
        (["build/*"], TOP, "build/a/b.o", False),
        (["build"], TOP, "build/a", False),
        (["*.o"], TOP, "a.o", True),
        (["*.o"], TOP, "src/a.o", False),
        (["**/*.o"], TOP, "a.o", True),
        (["**/*.o"], TOP, "src/deep/a.o", True),
        (["src/**/test_*.py"], TOP, "src/test_a.py", True),
        (["src/**/test_*.py"], TOP, "src/a/b/test_a.py", True),
        (["src/**/test_*.py"], TOP, "src/a/b/a.py", False),
        (["**"], TOP, "anything/at/all", True),
        (["a?c", "[xy].txt"], TOP, "abc", True),
        (["a?c", "[xy].txt"], TOP, "y.txt", True),
        (["a?c"], TOP, "a/c", False),
        (["A.txt"], TOP, "a.txt", False),
        (["dist/*"], f"{TOP}/web", "web/dist/app.js", True),
        (["dist/*"], f"{TOP}/web", "dist/app.js", False),
        (["/dist/*"], f"{TOP}/web", "dist/app.js", True),
        (["../dist/*"], f"{TOP}/web", "dist/app.js", True),
        (["./dist/*"], TOP, "dist/app.js", True),
        (["*.js"], f"{TOP}/[web]", "[web]/app.js", True),
        (["*.js"], f"{TOP}/[web]", "w/app.js", False),
        (["dist/*"], "/elsewhere", "dist/app.js", True),
        (["dist/*"], f"{TOP}-old", "dist/app.js", True),
        (["*"], TOP, Bytes(b"caf\xe9"), True),
        (["caf?"], TOP, Bytes(b"caf\xe9"), True),
        (["*"], Bytes(TOP.encode() + b"/caf\xe9"), Bytes(b"caf\xe9/menu"), True),
        (["*"], TOP, "two\nlines", True),
    ],
)
async def test_globs_of_writes(
    recording: Recording, globs: list[str], cwd: Text, path: Text, *, expected: bool
) -> None:
    recording.writes, recording.cwd = globs, cwd
    await recording.changes(changed(path))
    verdict = await judged(recording)
    assert verdict.veto is not expected
    assert (verdict.summary == "wrote outside --writes") is not expected


async def test_all_within_writes_is_said(recording: Recording) -> None:
    recording.writes = ["src/**", "docs/**"]
    await recording.changes(changed("src/a.py"))
    assert (await judged(recording)).reasons == ["1 file changed, it parses", "all within --writes src/** and docs/**"]


async def test_a_glob_of_many_stars_is_matched_without_trying_everything(recording: Recording) -> None:
    recording.writes = ["/".join(["**"] * 40) + "/" + "*a" * 60]
    await recording.changes(changed("/".join(["a" * 100] * 40) + "/b"))
    assert (await judged(recording)).veto


def test_the_shape_of_changes_on_disk() -> None:
    """Capture writes it, this room reads it: a name that changes is a format that changes."""
    file = changed("a.py", oldPath="b.py", sizeBytes=3, digest="ab" * 32, conflictMarker=2)
    assert msgspec.to_builtins(file) == {
        "path": "a.py",
        "status": "modified",
        "mode": "100644",
        "oldPath": "b.py",
        "sizeBytes": 3,
        "digest": "ab" * 32,
        "syntax": "parses",
        "syntaxDetail": "",
        "line": None,
        "conflictMarker": 2,
    }
