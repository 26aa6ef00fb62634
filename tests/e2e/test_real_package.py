"""A well-known package's own test suite, recorded, judged and proved from the command line."""

import os
import signal
import sqlite3
import subprocess

from e2e.console import BIN, Console

SUITE = [
    str(BIN / "python"),
    *("-m", "pytest", "-qq", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestRemovedIn10Warning", "--junitxml=report.xml"),
]


def test_a_suite_that_passes_is_recorded_as_it_was_and_passes_strong(project: Console) -> None:
    native = project.run(*SUITE)
    (project.folder / "report.xml").unlink()

    wrapped = project.wrap(*SUITE)

    assert (wrapped.code, wrapped.out, wrapped.err) == (native.code, native.out, native.err)
    operation = project.show()
    assert operation["outcome"] == "succeeded"
    assert operation["exitCode"] == 0
    assert operation["argv"] == SUITE
    assert operation["git"]["branch"] == "main"
    assert (operation["verdict"]["result"], operation["verdict"]["grade"]) == ("passed", "strong")
    assert operation["verdict"]["confidence"] is None
    assert "1,314 tests passed, 22 skipped (report.xml)" in operation["verdict"]["reasons"]
    assert operation["verdict"]["notObserved"]
    assert project.dre("show", "--output", "--raw").out == native.out
    assert project.dre("verify").code == 0
    assert project.dre("ledger", "verify").code == 0

    recorded = project.events()
    assert [event["position"] for event in recorded] == list(range(len(recorded)))
    types = [event["type"] for event in recorded]
    assert types[:3] == ["ledger.created", "account.registered", "operation.started"]
    assert types[-5:] == [
        "evidence.complete",
        "verification.requested",
        "verification.judged",
        "verification.judged",
        "verification.complete",
    ]
    between = set(types[3:-5])
    assert between == {"evidence.collected", "operation.completed"}


def test_a_broken_test_fails_and_is_named(project: Console) -> None:
    with (project.folder / "tests" / "test_basic.py").open("a") as file:
        file.write("\n\ndef test_total():\n    assert 41 == 42\n")

    assert project.wrap(*SUITE).code == 1

    operation = project.show()
    assert operation["outcome"] == "failed"
    assert operation["verdict"]["result"] == "failed"
    assert operation["verdict"]["reasons"][0] == "1 of 1,315 tests failed"
    screen = project.dre("show").text
    assert "test_total" in screen
    assert "41 == 42" in screen
    assert project.dre("verify").code == 1
    assert project.dre("ledger", "verify").code == 0


def test_a_killed_recorder_is_inconclusive_never_passed(project: Console) -> None:
    recorder = subprocess.Popen(
        [BIN / "dre", "wrap", *SUITE], cwd=project.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert recorder.stdout is not None
    assert recorder.stdout.read(1) == b"."
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.stdout.read()  # until the suite has met its broken pipe, or ended
    assert recorder.wait() == -signal.SIGKILL
    recorder.stdout.close()

    operation = project.show()

    assert operation["outcome"] == "interrupted"
    assert operation["verdict"]["result"] == "inconclusive"
    assert operation["verdict"]["grade"] is None
    assert any("recorder was killed" in reason for reason in operation["verdict"]["reasons"])
    assert project.dre("verify").code == 3
    assert project.dre("ledger", "verify").code == 0


def test_one_flipped_byte_is_found_and_its_position_named(project: Console) -> None:
    project.wrap("true")
    assert project.dre("ledger", "verify").code == 0
    position = next(event["position"] for event in project.events() if event["type"] == "operation.completed")

    database = sqlite3.connect(project.folder / ".dre" / "ledger.db")
    for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        database.execute(f"drop trigger {trigger}")
    [[body]] = database.execute("select body from body where position = ?", [position])
    changed = body.replace(b'"exitCode":0', b'"exitCode":1')
    assert changed != body
    database.execute("update body set body = ? where position = ?", [changed, position])
    database.commit()
    database.close()

    answer = project.dre("ledger", "verify")
    assert answer.code == 1
    assert f"{position}" in answer.text
    assert project.dre("verify").code == 1
