"""What goes wrong on a desk, and what DRE then says: nothing lost, nothing half-written, the reason named."""

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from e2e.console import BIN, Console

READING = (["log"], ["show"], ["events"], ["verify"], ["ledger", "verify"])
SETTING = (["config", "list"], ["config", "get", "reports.globs"], ["config", "validate"], ["trust"], ["doctor"])


def refused(console: Console, *said: str) -> None:
    """Every reading command says the reason, shows nothing and leaves everything as it is."""
    for words in READING:
        answer = console.dre(*words)
        assert answer.code in (1, 3), (words, answer.text)
        for part in said:
            assert part in answer.text, (words, answer.text)
        assert "Traceback" not in answer.text


def unrecorded(console: Console, *said: str) -> None:
    """The command runs as it would have, with one line on stderr; with --strict it does not run."""
    answer = console.wrap("sh", "-c", "echo out; exit 4")
    assert (answer.code, answer.out) == (4, b"out\n")
    assert answer.err.count(b"\n") == 1, answer.text
    for part in said:
        assert part in answer.text
    strict = console.wrap("--strict", "sh", "-c", "echo out; exit 4")
    assert (strict.code, strict.out) == (125, b"")


def spools(console: Console) -> list[str]:
    return [name for name in os.listdir(console.dot_dre / "spool") if not name.startswith(".")]


def test_outside_a_repository_the_folder_itself_is_the_place(tmp_path: Path) -> None:
    plain = Console(tmp_path)
    assert plain.wrap("sh", "-c", "echo hi").out == b"hi\n"
    operation = plain.show()
    assert operation["git"] is None
    assert operation["verdict"]["result"] == "inconclusive"
    assert plain.dot_dre.is_dir()


def test_nothing_recorded_yet_is_said_with_what_to_do(shop: Console) -> None:
    for words in READING:
        answer = shop.dre(*words)
        assert answer.code == 3
        assert "dre wrap" in answer.text


def test_a_folder_that_others_could_write_is_not_used(shop: Console) -> None:
    shop.wrap("true")
    shop.show()
    shop.dot_dre.chmod(0o770)
    unrecorded(shop, "chmod 700")
    refused(shop, "0770", "chmod 700")


def test_a_folder_from_another_machine_is_not_used_until_trusted(shop: Console, tmp_path: Path) -> None:
    shop.wrap("true")
    shop.show()
    elsewhere = os.environ | {"XDG_STATE_HOME": str(tmp_path / "another machine")}
    answer = shop.dre("log", environment=elsewhere)
    assert answer.code == 3
    assert "dre trust" in answer.text
    recorded = shop.dre("wrap", "sh", "-c", "exit 4", environment=elsewhere)
    assert recorded.code == 4
    assert "dre trust" in recorded.text

    trusted = shop.dre("trust", "--yes", environment=elsewhere)
    assert trusted.code == 0, trusted.text
    assert shop.dre("log", environment=elsewhere).code == 0


def test_a_folder_behind_a_link_is_not_used(shop: Console, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir(mode=0o700)
    shop.dot_dre.symlink_to(tmp_path / "target")
    unrecorded(shop, "link")
    refused(shop, "symbolic link")


def test_one_that_git_tracks_is_refused_and_the_spool_waits(shop: Console) -> None:
    shop.wrap("true")
    shop.show()
    subprocess.run(["git", "add", "-f", ".dre/ledger-id"], cwd=shop.folder, check=True)
    assert shop.wrap("sh", "-c", "exit 5").code == 5
    refused(shop, "came with the repository")
    assert len(spools(shop)) == 1

    subprocess.run(["git", "rm", "-q", "--cached", ".dre/ledger-id"], cwd=shop.folder, check=True)
    assert shop.show()["exitCode"] == 5
    assert spools(shop) == []


def test_a_broken_configuration_is_named_and_the_command_still_runs(shop: Console) -> None:
    shop.wrap("true")
    shop.show()
    (shop.dot_dre / "config.json").write_text('{\n  "evidence": {"retention": "banana"}\n}')
    assert shop.wrap("sh", "-c", "exit 6").code == 6
    for words in (*READING, ["config", "list"], ["config", "validate"]):
        answer = shop.dre(*words)
        assert answer.code == 2, (words, answer.text)
        assert 'config.json line 2: evidence.retention: "banana" is not a duration (try 30d, 12h)' in answer.text
    (shop.dot_dre / "config.json").unlink()
    assert shop.show()["exitCode"] == 6


def test_a_deleted_history_is_said_by_everything_and_begins_anew_only_by_init(shop: Console) -> None:
    shop.wrap("sh", "-c", "exit 7")
    size = len([shop.show(), *shop.events()]) - 1
    shutil.rmtree(shop.dot_dre)

    refused(shop, "is gone", f"{size} events", "dre init")
    for words in SETTING[:3]:
        answer = shop.dre(*words)
        assert (answer.code, "is gone" in answer.text) == (0, True), (words, answer.text)
    assert shop.wrap("sh", "-c", "exit 8").code == 8
    refused(shop, "is gone", f"{size} events", "dre init")
    assert len(spools(shop)) == 1
    assert not (shop.dot_dre / "ledger.db").exists()

    begun = shop.dre("init")
    assert begun.code == 0, begun.text
    assert f"{size} events" in begun.text
    assert [row["exitCode"] for row in shop.log()] == [8]
    elsewhere = Console(shop.folder.parent / "elsewhere")
    elsewhere.folder.mkdir()
    assert elsewhere.wrap("sh", "-c", "exit 9").code == 9
    assert [row["exitCode"] for row in elsewhere.log()] == [9]


def test_a_command_that_deletes_its_own_recording_never_passes(shop: Console) -> None:
    gate = shop.wrap("--gate", "sh", "-c", "rm -r .dre/spool/$DRE_PARENT; echo done")
    assert (gate.code, gate.out) == (3, b"done\n")
    assert "was deleted or replaced while it ran; it was written again" in gate.text
    assert "inconclusive: recording was deleted or replaced" in gate.text
    [row] = shop.log()
    assert (row["exitCode"], row["verdict"]["result"]) == (0, "inconclusive")
    assert "was deleted or replaced" in shop.dre("show").text
    assert shop.dre("verify").code == 3


def test_a_command_that_deletes_the_history_is_recorded_in_the_next(shop: Console) -> None:
    shop.wrap("true")
    shop.show()
    cleaned = shop.wrap("git", "clean", "-fdxq")
    assert cleaned.code == 0
    assert "it was written again" in cleaned.text
    refused(shop, "is gone")
    assert shop.dre("init").code == 0
    assert [row["command"] for row in shop.log()] == ["git clean -fdxq"]


def test_an_older_copy_is_said_and_recordings_wait(shop: Console, tmp_path: Path) -> None:
    shop.wrap("sh", "-c", "exit 1")
    shop.show()
    shutil.copytree(shop.dot_dre, tmp_path / "old")
    shop.wrap("sh", "-c", "exit 2")
    newest = len([shop.show(), *shop.events()]) - 1
    shutil.move(shop.dot_dre, tmp_path / "new")
    shutil.copytree(tmp_path / "old", shop.dot_dre)

    first = shop.wrap("sh", "-c", "exit 3")
    assert first.code == 3
    assert first.err.count(b"\n") == 1
    assert b"is not the newest, or a copy; recordings wait there" in first.err
    for words in (*READING, *SETTING):
        answer = shop.dre(*words)
        assert f"this machine has seen {newest}" in answer.text, (words, answer.text)
    init = shop.dre("init")
    assert (init.code, init.out) == (1, b"")
    assert init.text.count("this machine has seen") == 1
    assert shop.dre("ledger", "verify").code == 1
    assert len(spools(shop)) == 1
    said = shop.wrap("true")
    assert b"recordings wait there" in said.err
    assert said.code == 0

    for name in spools(shop):
        shutil.move(shop.dot_dre / "spool" / name, tmp_path / "new" / "spool" / name)
    shutil.rmtree(shop.dot_dre)
    shutil.move(tmp_path / "new", shop.dot_dre)
    assert [row["exitCode"] for row in shop.log()] == [0, 3, 2, 1]
    assert shop.wrap("true").err == b""
    assert shop.dre("ledger", "verify").code == 0


def test_a_moved_one_goes_on_and_a_copied_one_waits(shop: Console) -> None:
    shop.wrap("sh", "-c", "exit 1")
    shop.show()
    moved = Console(shop.folder.rename(shop.folder.parent / "moved"))
    answer = moved.dre("log")
    assert answer.code == 0
    assert "was moved from" in answer.text
    assert "was moved" not in moved.dre("log").text

    shutil.copytree(moved.folder, moved.folder.parent / "copy", symlinks=True)
    copy = Console(moved.folder.parent / "copy")
    wrapped = copy.wrap("sh", "-c", "exit 2")
    assert wrapped.code == 2
    assert b"is not the newest, or a copy; recordings wait there" in wrapped.err
    answer = copy.dre("log")
    assert answer.code == 0
    assert "is a copy" in answer.text
    assert len(spools(copy)) == 1

    assert copy.dre("trust", "--yes").code == 0
    assert [row["exitCode"] for row in copy.log()] == [2]
    assert [row["exitCode"] for row in moved.log()] == [1]


@pytest.fixture
def moved_and_new(shop: Console) -> tuple[Console, Console]:
    """A project with a recording, moved; and a new one in its old place, wrapped in before anybody looked at either."""
    shop.wrap("sh", "-c", "exit 1")
    shop.show()
    old_place = shop.folder
    moved = Console(shop.folder.rename(shop.folder.parent / "moved"))
    old_place.mkdir()
    subprocess.run(["git", "init", "-q"], cwd=old_place, check=True)
    new = Console(old_place)
    said = new.wrap("sh", "-c", "exit 2")
    assert (said.code, said.err.count(b"\n")) == (2, 1)
    assert b"is gone; recordings wait there" in said.err
    return moved, new


def test_a_new_project_where_a_moved_one_stood_gets_a_history_of_its_own(
    moved_and_new: tuple[Console, Console],
) -> None:
    moved, new = moved_and_new
    refused(new, "is gone", "if it was moved")
    answer = moved.dre("log")
    assert answer.code == 0
    assert "was moved from" in answer.text
    assert [row["exitCode"] for row in moved.log()] == [1]

    first = new.dre("log")
    assert first.code == 0
    assert f"is at {moved.dot_dre} now; a new one begins here" in first.text
    assert [row["exitCode"] for row in new.log()] == [2]
    for project, code in ((new, 3), (moved, 4)):
        assert project.wrap("sh", "-c", f"exit {code}").err == b""
        assert project.show()["exitCode"] == code
        assert project.dre("ledger", "verify").code == 0
        assert project.dre("log").err == b""


def test_a_wrap_in_the_moved_project_is_enough(moved_and_new: tuple[Console, Console]) -> None:
    moved, new = moved_and_new
    assert moved.wrap("--wait", "sh", "-c", "exit 3").code == 3
    assert new.wrap("--wait", "sh", "-c", "exit 4").err.count(b"\n") == 1
    assert [row["exitCode"] for row in moved.log()] == [3, 1]
    assert [row["exitCode"] for row in new.log()] == [4, 2]


def test_init_where_a_moved_one_stood_gives_nothing_up(moved_and_new: tuple[Console, Console]) -> None:
    moved, new = moved_and_new
    assert moved.dre("log").code == 0
    begun = new.dre("init")
    assert begun.code == 0, begun.text
    assert "given up" not in begun.text
    assert [row["exitCode"] for row in new.log()] == [2]
    assert [row["exitCode"] for row in moved.log()] == [1]


def test_a_moved_one_that_was_given_up_before_it_was_looked_at_is_accepted_by_trust(
    moved_and_new: tuple[Console, Console],
) -> None:
    """That it had moved could not be known: the loss was admitted by a person."""
    moved, new = moved_and_new
    assert "given up" in new.dre("init").text
    assert [row["exitCode"] for row in new.log()] == [2]
    assert moved.dre("log").code == 3
    assert moved.dre("trust", "--yes").code == 0
    assert [row["exitCode"] for row in moved.log()] == [1]
    assert [row["exitCode"] for row in new.log()] == [2]


def test_two_at_once_in_one_folder_are_both_recorded(shop: Console) -> None:
    running = [
        subprocess.Popen([BIN / "dre", "wrap", "sh", "-c", f"sleep 0.3; exit {code}"], cwd=shop.folder)
        for code in (11, 12, 13)
    ]
    assert sorted(process.wait() for process in running) == [11, 12, 13]
    assert sorted(row["exitCode"] for row in shop.log()) == [11, 12, 13]
    assert shop.dre("ledger", "verify").code == 0


def test_a_megabyte_of_words_is_whole_as_evidence_and_cut_in_the_body(shop: Console) -> None:
    words = [f"word-{number:06}" for number in range(90_000)]
    assert shop.wrap("true", *words).code == 0
    operation = shop.show()
    assert operation["argvWords"] == 90_001
    assert operation["argvBytes"] == len("true\0") + 12 * 90_000
    assert 0 < len(operation["argv"]) < 90_001
    assert [item["kind"] for item in operation["evidence"]].count("argv") == 1
    assert shop.dre("ledger", "verify").code == 0


def test_bytes_that_are_no_text_are_kept_exactly(shop: Console) -> None:
    answer = shop.wrap(b"printf", b"%s", b"caf\xe9 \xff\xfe")
    assert (answer.code, answer.out) == (0, b"caf\xe9 \xff\xfe")
    operation = shop.show()
    assert operation["argv"][2] == {"bytes": "Y2Fm6SD//g=="}
    assert shop.dre("show", "--output", "--raw").out == b"caf\xe9 \xff\xfe"
    assert shop.dre("ledger", "verify").code == 0


def test_nothing_recorded_reaches_the_readers_terminal(shop: Console) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\x1b]52;c;ZWNobyBvd25lZA==\x07"
    shop.wrap("--label", f"note={hostile}", "sh", "-c", f"printf '%s' '{hostile}'; exit 1")
    (shop.folder / "evil\x1b[31m.py").write_text("def (\n")
    shop.wrap("sh", "-c", f"echo 1 > 'new\x1b[2J.py'; printf '%s\\n' '{hostile}'")
    for words in (["log"], ["show"], ["show", "-"], ["show", "--output"], ["events"], ["verify"], ["doctor"]):
        answer = shop.dre(*words)
        for character in ("\x1b", "\x07", "\x9b", "\u202e"):
            assert character not in answer.text, (words, character)


def test_modules_of_the_work_tree_do_not_run_in_our_place(shop: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop.folder / "src").mkdir()
    for name in ("select", "struct", "click", "msgspec", "asyncio", "apsw", "json"):
        (shop.folder / "src" / f"{name}.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", "src")
    assert shop.wrap("sh", "-c", 'test "$PYTHONPATH" = src').code == 0
    for words in (["log"], ["show"], ["events"], ["ledger", "verify"], ["doctor"]):
        assert shop.dre(*words).code == 0, words


def test_a_gate_answers_for_the_verdict(shop: Console) -> None:
    assert shop.wrap("--gate", "true").code == 0
    assert shop.wrap("--gate", "sh", "-c", "exit 9").code == 9
    (shop.folder / "cart.py").write_text("TOTAL = 42\n")
    outside = shop.wrap("--gate", "--writes", "docs/**", "sh", "-c", "echo 1 >> cart.py")
    assert outside.code == 1
    assert "cart.py" in shop.dre("show").text
    assert shop.wrap("--gate", "--no-workspace", "true").code == 3


def test_waiting_says_recorded_and_verifying_says_the_verdict(shop: Console) -> None:
    waited = shop.wrap("--wait", "true")
    assert waited.code == 0
    assert b"recorded" in waited.err
    verified = shop.wrap("--verify", "sh", "-c", "exit 3")
    assert verified.code == 3
    assert b"failed" in verified.err.lower()


def test_a_ledger_of_a_newer_dre_is_refused_untouched(shop: Console) -> None:
    shop.wrap("true")
    shop.show()
    path = shop.dot_dre / "ledger.db"
    database = sqlite3.connect(path)
    [[version]] = database.execute("pragma user_version")
    database.execute(f"pragma user_version = {version + 1}")
    database.commit()
    database.close()
    refused(shop, "newer")


@pytest.mark.parametrize(
    "words",
    [
        ["show", "ZZZZ"],
        ["show", "01932c07-2a10-7d0e-8f6a-6f0c53a1b2c3"],
        ["show", "7q"],
        ["show", "../../etc/passwd"],
        ["verify", "ZZZZ"],
        ["log", "--limit", "0"],
        ["log", "--limit", "-1"],
        ["log", "--limit", "99999999999"],
        ["log", "--limit", "many"],
        ["log", "--since", "yesterdayish"],
        ["log", "--since", "2026-02-30"],
        ["events", "--after", "-2"],
        ["events", "--after", "x"],
        ["config", "get", "no.such"],
        ["config", "set", "evidence.retention", "banana"],
        ["config", "set", "redaction.patterns", ".*"],
        ["projections", "rebuild", "nothing"],
        ["frobnicate"],
        ["log", "--frobnicate"],
    ],
)
def test_what_makes_no_sense_is_named(shop: Console, words: list[str]) -> None:
    shop.wrap("true")
    before = len([shop.show(), *shop.events()])
    answer = shop.dre(*words)
    assert answer.code == 2, answer.text
    assert answer.err
    assert "Traceback" not in answer.text
    assert len([shop.show(), *shop.events()]) == before


def test_events_past_the_end_are_none_and_a_closed_reader_is_no_error(shop: Console) -> None:
    shop.wrap("true")
    shop.show()
    assert shop.events("--after", "999999") == []
    piped = shop.run("sh", "-c", f"{BIN}/dre events | head -n 1")
    assert (piped.code, piped.err) == (0, b"")


def test_a_table_that_was_edited_is_noticed_and_made_anew(shop: Console) -> None:
    shop.wrap("sh", "-c", "exit 1")
    assert shop.show()["verdict"]["result"] == "failed"
    assert shop.dre("doctor").code == 0

    with sqlite3.connect(shop.dot_dre / "cache" / "tables.db") as database:
        tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
        [table] = [name for name in tables if "operations" in name]
        database.execute(f"update {table} set result = 'passed', grade = 'strong', status = 'succeeded'")  # noqa: S608 - its own name
    database.close()

    assert shop.show()["verdict"]["result"] == "failed"
    assert shop.dre("verify").code == 1
    doctor = shop.dre("doctor")
    assert doctor.code == 1
    assert "operations: not what history says" in doctor.text
    assert shop.dre("projections", "rebuild").code == 0
    assert shop.dre("doctor").code == 0
    assert [row["verdict"]["result"] for row in shop.log()] == ["failed"]
