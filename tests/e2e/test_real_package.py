"""A well-known package's own test suite, recorded, judged and proved from the command line."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

BIN = Path(sys.executable).parent
SUITE = [
    str(BIN / "python"),
    *("-m", "pytest", "-qq", "-p", "no:cacheprovider"),
    *("-W", "ignore::pytest.PytestRemovedIn10Warning", "--junitxml=report.xml"),
]
LIMIT_S = 240


def run(project: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        words, cwd=project, stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT_S, check=False
    )


def dre(project: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return run(project, str(BIN / "dre"), *words)


def shown(project: Path) -> dict[str, Any]:
    answer = dre(project, "show", "last", "--json")
    assert answer.returncode == 0, answer.stderr.decode()
    found: dict[str, Any] = json.loads(answer.stdout)
    return found


def events(project: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dre(project, "events", "--json").stdout.splitlines()]


def test_a_suite_that_passes_is_recorded_as_it_was_and_passes_strong(project: Path) -> None:
    native = run(project, *SUITE)
    (project / "report.xml").unlink()

    wrapped = dre(project, "wrap", *SUITE)

    assert (wrapped.returncode, wrapped.stdout, wrapped.stderr) == (native.returncode, native.stdout, native.stderr)
    operation = shown(project)
    assert operation["outcome"] == "succeeded"
    assert operation["exitCode"] == 0
    assert operation["argv"] == SUITE
    assert operation["git"]["branch"] == "main"
    assert (operation["verdict"]["result"], operation["verdict"]["grade"]) == ("passed", "strong")
    assert operation["verdict"]["confidence"] is None
    assert "1314 tests passed, 22 skipped (report.xml)" in operation["verdict"]["reasons"]
    assert operation["verdict"]["notObserved"]
    assert dre(project, "show", "--output", "--raw").stdout == native.stdout
    assert dre(project, "verify").returncode == 0
    assert dre(project, "ledger", "verify").returncode == 0

    recorded = events(project)
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


def test_a_broken_test_fails_and_is_named(project: Path) -> None:
    with (project / "tests" / "test_basic.py").open("a") as file:
        file.write("\n\ndef test_total():\n    assert 41 == 42\n")

    assert dre(project, "wrap", *SUITE).returncode == 1

    operation = shown(project)
    assert operation["outcome"] == "failed"
    assert operation["verdict"]["result"] == "failed"
    assert operation["verdict"]["reasons"][0] == "1 of 1337 tests failed"
    screen = dre(project, "show").stdout.decode()
    assert "test_total" in screen
    assert "41 == 42" in screen
    assert dre(project, "verify").returncode == 1
    assert dre(project, "ledger", "verify").returncode == 0


def test_a_killed_recorder_is_inconclusive_never_passed(project: Path) -> None:
    recorder = subprocess.Popen(
        [BIN / "dre", "wrap", *SUITE], cwd=project, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert recorder.stdout is not None
    assert recorder.stdout.read(1) == b"."
    os.kill(recorder.pid, signal.SIGKILL)
    recorder.stdout.read()  # until the suite has met its broken pipe, or ended
    assert recorder.wait() == -signal.SIGKILL
    recorder.stdout.close()

    operation = shown(project)

    assert operation["outcome"] == "interrupted"
    assert operation["verdict"]["result"] == "inconclusive"
    assert operation["verdict"]["grade"] is None
    assert any("recorder was killed" in reason for reason in operation["verdict"]["reasons"])
    assert dre(project, "verify").returncode == 3
    assert dre(project, "ledger", "verify").returncode == 0


def test_one_flipped_byte_is_found_and_its_position_named(project: Path) -> None:
    dre(project, "wrap", "true")
    assert dre(project, "ledger", "verify").returncode == 0
    position = next(event["position"] for event in events(project) if event["type"] == "operation.completed")

    database = sqlite3.connect(project / ".dre" / "ledger.db")
    for (trigger,) in database.execute("select name from sqlite_master where type = 'trigger'").fetchall():
        database.execute(f"drop trigger {trigger}")
    [[body]] = database.execute("select body from body where position = ?", [position])
    changed = body.replace(b'"exitCode":0', b'"exitCode":1')
    assert changed != body
    database.execute("update body set body = ? where position = ?", [changed, position])
    database.commit()
    database.close()

    answer = dre(project, "ledger", "verify")
    assert answer.returncode == 1
    assert f"{position}" in (answer.stdout + answer.stderr).decode()
    assert dre(project, "verify").returncode == 1
