"""`dre init`, `config`, `trust`, `doctor`, `projections`: set up, adjusted, accepted, examined, made anew."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pytest
from cli.conftest import Flip
from cli.shop import LIMIT_S, PYTHON, Shop

from dre.domain.ids import short


def findings(shop: Shop, **environment: str) -> dict[str, tuple[str, str]]:
    lines = shop.dre("doctor", "--json", **environment).json_lines()
    return {line["what"]: (line["state"], line["text"]) for line in lines}


def spoil_a_spool(shop: Shop) -> UUID:
    """A recording that is none waits in the spool."""
    id = UUID("01a20b7a-79a4-772a-852c-21f212fd776b")
    spool = shop.folder / ".dre" / "spool" / str(id)
    spool.mkdir(mode=0o700)
    (spool / "journal").write_bytes(b"\x05\x00\x00\x00nonsense" * 9)
    (spool / "needles").write_bytes(b"")
    for path in spool.iterdir():
        path.chmod(0o600)
    return id


class Running(NamedTuple):
    """A server of this workspace."""

    process: "subprocess.Popen[str]"
    base: str

    @property
    def pid(self) -> int:
        return self.process.pid


def test_init_makes_a_ledger_and_may_be_repeated(shop: Shop) -> None:
    made = shop.dre("init", "--json").json()
    assert made["made"] is True
    assert made["path"] == str(shop.folder / ".dre")
    assert stat.S_IMODE((shop.folder / ".dre").stat().st_mode) == 0o700
    again = shop.dre("init", "--json").json()
    assert (again["made"], again["ledgerId"], again["events"]) == (False, made["ledgerId"], 2)
    ignored = subprocess.run(["git", "status", "--short"], cwd=shop.folder, capture_output=True, check=True)
    assert ignored.stdout == b""


def test_init_below_the_top_makes_it_at_the_top(shop: Shop) -> None:
    (shop.folder / "deep" / "er").mkdir(parents=True)
    assert shop.dre("-C", "deep/er", "init", "--json").json()["path"] == str(shop.folder / ".dre")


def test_ci_mode_lets_wrap_wait(shop: Shop) -> None:
    assert shop.dre("init", "--ci-mode", "--json").json()["ciMode"] is True
    answer = shop.dre("wrap", "true")
    assert answer.status == 0
    assert answer.err.startswith("dre: recorded ")
    assert len(answer.err.splitlines()) == 1


def test_a_setting_is_checked_written_and_recorded(shop: Shop) -> None:
    shop.dre("init")
    answer = shop.dre("config", "set", "evidence.retention", "1d")
    assert (answer.status, answer.out) == (0, "evidence.retention: 1d (workspace)\n")
    kept = shop.folder / ".dre" / "config.json"
    assert json.loads(kept.read_text()) == {"evidence": {"retention": "1d"}}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert shop.dre("config", "get", "evidence.retention").out == "1d\n"
    assert shop.events()[-1]["data"] == {
        "key": "evidence.retention",
        "value": "1d",
        "previous": None,
        "scope": "workspace",
    }

    shop.dre("config", "set", "reports.globs", "a.xml, b/*.xml")
    assert shop.dre("config", "get", "reports.globs").out == "a.xml\nb/*.xml\n"
    assert shop.dre("config", "get", "reports.globs", "--json").json() == ["a.xml", "b/*.xml"]
    shop.dre("config", "set", "evidence.retention", "null")
    assert json.loads(kept.read_text()) == {"reports": {"globs": ["a.xml", "b/*.xml"]}}
    assert shop.dre("config", "get", "evidence.retention").out == ""
    assert shop.events()[-1]["data"]["previous"] == "1d"
    assert [path.name for path in kept.parent.glob("config.json*")] == ["config.json"]


def test_setting_what_is_set_already_is_no_event(shop: Shop) -> None:
    shop.dre("init")
    for _ in range(2):
        assert shop.dre("config", "set", "evidence.retention", "1d").status == 0
    assert [event["type"] for event in shop.events()].count("configuration.changed") == 1


@pytest.mark.parametrize(
    ("key", "value"), [("evidence.retention", "banana"), ("evidence.retention", "0d"), ("reports.globs", "3")]
)
def test_a_value_that_cannot_be_is_refused_and_nothing_written(shop: Shop, key: str, value: str) -> None:
    shop.dre("init")
    before = len(shop.events())
    answer = shop.dre("config", "set", key, value)
    assert (answer.status, answer.out) == (2, "")
    assert key in answer.err
    assert not (shop.folder / ".dre" / "config.json").exists()
    assert len(shop.events()) == before


def test_why_a_value_cannot_be_is_one_line_with_one_prefix(shop: Shop) -> None:
    answer = shop.dre("config", "set", "--user", "redaction.patterns", "a(?=b)")
    assert answer.err == 'dre: redaction.patterns: "a(?=b)" is no RE2 expression: invalid perl operator: (?=\n'


def test_what_a_setting_is_without_a_value_is_said(shop: Shop) -> None:
    shop.dre("init")
    for words, told in (
        (["reports.globs", ""], "reports.globs: none (workspace)\n"),
        (["--user", "reports.globs", "a.xml"], "reports.globs: a.xml (user)\n"),
        (["reports.globs", "null"], "reports.globs: not set (workspace); what counts is a.xml (user)\n"),
        (["evidence.retention", "null"], "evidence.retention: not set (workspace)\n"),
    ):
        assert shop.dre("config", "set", *words).out == told
    told = shop.dre("config", "set", "--user", "reports.globs", "null").out
    assert told.startswith("reports.globs: not set (user); what counts is report.xml, junit.xml, ")
    assert told.endswith(" (default)\n")


def test_your_own_settings_need_no_workspace_and_come_second(shop: Shop, tmp_path: Path) -> None:
    assert shop.dre("config", "set", "evidence.retention", "1d").status == 3
    assert shop.dre("config", "set", "--user", "evidence.retention", "9w").status == 0
    kept = Path(os.environ["XDG_CONFIG_HOME"]) / "dre" / "config.json"
    assert json.loads(kept.read_text()) == {"evidence": {"retention": "9w"}}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    shop.dre("init")
    assert listed(shop)["evidence.retention"] == ["9w", "user"]
    shop.dre("config", "set", "evidence.retention", "2d")
    assert listed(shop)["evidence.retention"] == ["2d", "workspace"]
    assert listed(shop, DRE_EVIDENCE_RETENTION="3d")["evidence.retention"] == ["3d", "environment"]
    shop.dre("config", "set", "--user", "redaction.patterns", "tok_[a-z]+")
    assert shop.events()[-1]["data"]["scope"] == "user"


def listed(shop: Shop, **environment: str) -> dict[str, list[object]]:
    lines = shop.dre("config", "list", "--json", **environment).json_lines()
    return {line["key"]: [line["value"], line["source"]] for line in lines}


def test_two_who_set_at_once_lose_nothing(shop: Shop) -> None:
    shop.dre("init")
    settings = [("evidence.retention", "5d"), ("reports.globs", "x.xml")] * 3
    running = [
        subprocess.Popen([*PYTHON, "config", "set", key, value], cwd=shop.folder, stdout=subprocess.DEVNULL)
        for key, value in settings
    ]
    assert [process.wait(LIMIT_S) for process in running] == [0] * len(settings)
    kept = json.loads((shop.folder / ".dre" / "config.json").read_text())
    assert kept == {"evidence": {"retention": "5d"}, "reports": {"globs": ["x.xml"]}}
    assert [event["type"] for event in shop.events()].count("configuration.changed") == 2


def test_validate_names_file_line_and_key_and_readers_refuse(shop: Shop) -> None:
    shop.record("true")
    (shop.folder / ".dre" / "config.json").write_text('{\n  "evidence": {\n    "retention": "banana"\n  }\n}\n')
    answer = shop.dre("config", "validate", DRE_REPORTS_GLOBS="x.xml")
    assert answer.status == 2
    assert 'config.json line 3: evidence.retention: "banana" is not a duration (try 30d, 12h)' in answer.out
    assert "DRE_REPORTS_GLOBS" in answer.out
    log = shop.dre("log")
    assert (log.status, "line 3: evidence.retention" in log.err) == (2, True)
    assert shop.dre("wrap", "echo", "runs").out == "runs\n"
    doctor = shop.dre("doctor")
    assert (doctor.status, "FAIL  configuration" in doctor.out) == (1, True)
    (shop.folder / ".dre" / "config.json").write_text('{"evidence": {"retention": 1},\n"reports": {"globs": ["/a"]}}')
    answer = shop.dre("config", "validate")
    assert (answer.status, answer.out.count("WRONG")) == (2, 2)
    assert " line 1: evidence.retention: 1 is not" in answer.out
    assert ' line 2: reports.globs: "/a" leads out of' in answer.out
    (shop.folder / ".dre" / "config.json").write_text("{}")
    assert shop.dre("config", "validate").status == 0
    assert len(shop.dre("log", "--json").json_lines()) == 2


def test_an_unknown_dot_dre_is_refused_until_it_is_trusted(shop: Shop, tmp_path: Path) -> None:
    id = shop.record("true")
    elsewhere = {"XDG_STATE_HOME": str(tmp_path / "another machine")}
    for words in (["log"], ["init"], ["ledger", "verify"]):
        answer = shop.dre(*words, **elsewhere)
        assert (answer.status, "was not made on this machine" in answer.err) == (3, True)
        assert "dre trust shows" in answer.err
    asked = shop.dre("trust", **elsewhere)
    assert asked.status == 2
    assert "came from elsewhere" in asked.err
    assert shop.dre("log", **elsewhere).status == 3
    accepted = shop.dre("trust", "--yes", **elsewhere)
    assert accepted.status == 0, accepted.err
    assert shop.dre("log", "--json", **elsewhere).json()["id"] == id
    assert "nothing to do" in shop.dre("trust", **elsewhere).out


def test_a_copy_is_read_and_becomes_its_own_by_trust(shop: Shop, tmp_path: Path) -> None:
    id = shop.record("true")
    copy = tmp_path / "copy"
    shutil.copytree(shop.folder, copy, symlinks=True)
    other = Shop(copy)
    log = other.dre("log", "--json")
    assert log.json()["id"] == id
    assert "is a copy" in log.err
    assert other.dre("config", "set", "evidence.retention", "1d").status == 3
    assert other.dre("trust", "--yes").status == 0
    assert other.dre("log", "--json").out == ""
    assert (other.dre("ledger", "verify").status, shop.dre("ledger", "verify").status) == (0, 0)


def test_one_that_git_tracks_is_refused(shop: Shop) -> None:
    shop.record("true")
    subprocess.run(["git", "add", "-f", ".dre/ledger-id"], cwd=shop.folder, check=True)
    answer = shop.dre("log")
    assert (answer.status, "git tracks" in answer.err) == (3, True)
    assert "FAIL" in shop.dre("doctor").out


def test_a_healthy_workspace_makes_a_content_doctor(shop: Shop) -> None:
    shop.record("true")
    answer = shop.dre("doctor")
    assert answer.status == 0, answer.out
    found = findings(shop)
    assert {what: state for what, (state, _) in found.items() if state != "ok"} == {"tracing": "note"}
    assert found["history"][1].startswith("verified 11 of 11")
    assert "blobs there, as long as recorded; not read again (dre ledger verify)" in found["evidence"][1]
    assert shop.dre("doctor", "--quiet").out == ""


def test_the_doctor_does_not_advise_to_fold_an_altered_history_into_the_tables(shop: Shop, flip: Flip) -> None:
    shop.record("sh", "-c", "exit 7", status=7)
    flip("body", shop.position_of("operation.completed"), b'"exitCode":7', b'"exitCode":0')

    answer = shop.dre("doctor")

    assert answer.status == 1
    assert "FAIL  history" in answer.out
    [line] = [line for line in answer.out.splitlines() if "FAIL  tables" in line]
    assert line.endswith(
        "not what history says   ->  mend the history first: made anew from it, they would say what it says now"
    )
    assert "projections rebuild" not in answer.out


@pytest.mark.parametrize("done", ["deleted", "cut", "a pipe"])
def test_the_doctor_misses_evidence_that_is_not_there_as_it_was_stored(shop: Shop, done: str) -> None:
    id = shop.record("echo", "hi")
    [item] = [one for one in shop.dre("show", id, "--json").json()["evidence"] if one["kind"] == "output"]
    blob = shop.folder / ".dre" / "evidence" / item["hash"][:2] / item["hash"][2:]
    content = blob.read_bytes()
    blob.unlink()
    if done == "cut":
        blob.write_bytes(content[:-1])
    elif done == "a pipe":
        os.mkfifo(blob)

    answer = shop.dre("doctor")

    assert answer.status == 1
    [line] = [line for line in answer.out.splitlines() if "FAIL" in line]
    assert line.startswith(f"  FAIL  evidence         output.txt of event {item['position']}")
    assert {"deleted": "is missing", "cut": "are there", "a pipe": "is not a file"}[done] in line


def test_before_anything_is_recorded_the_doctor_only_notes(tmp_path: Path) -> None:
    answer = Shop(tmp_path).dre("doctor")
    assert answer.status == 0
    assert "note  recording" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_asks_the_server_of_the_workspace_how_it_is(shop: Shop) -> None:
    shop.record("true")
    with serving(shop) as running:
        assert findings(shop)["server"] == ("ok", f"{running.base} (process {running.pid}) says that it is ok")
        os.kill(running.pid, signal.SIGSTOP)
        answer = shop.dre("doctor")
        os.kill(running.pid, signal.SIGCONT)
        assert answer.status == 1
        assert f"FAIL  server           {running.base} (process {running.pid}) does not answer" in answer.out
        spoil_a_spool(shop)
        until(lambda: "degraded" in findings(shop)["server"][1])
        assert findings(shop)["server"][0] == "note"
    assert findings(shop)["server"] == ("ok", "none runs for this workspace")


def test_the_doctor_tells_a_server_that_was_killed_from_one_that_runs(shop: Shop) -> None:
    shop.dre("init")
    with serving(shop, ends_with=-signal.SIGKILL) as running:
        os.kill(running.pid, signal.SIGKILL)
        os.waitid(os.P_PID, running.pid, os.WEXITED | os.WNOWAIT)  # its number is still taken
        answer = shop.dre("doctor")
    assert answer.status == 0
    assert f"note  server           {running.base} (process {running.pid}) is gone" in answer.out


@pytest.mark.parametrize("said", [b"nonsense", b"[]", b'{"pid": "1", "url": 2}', b"\xff", b'{"pid": 1'])
def test_what_is_no_server_s_address_is_taken_for_none(shop: Shop, said: bytes) -> None:
    shop.dre("init")
    (shop.folder / ".dre" / "serving").write_bytes(said)
    assert findings(shop)["server"] == ("ok", "none runs for this workspace")


@contextlib.contextmanager
def serving(shop: Shop, ends_with: int = 0) -> Iterator[Running]:
    process = subprocess.Popen([*PYTHON, "serve", "--port", "0"], cwd=shop.folder, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Running(process, process.stdout.readline().strip())
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=LIMIT_S)
    assert process.returncode == ends_with


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_doctor_names_an_unreadable_spool(shop: Shop) -> None:
    shop.record("true")
    id = spoil_a_spool(shop)
    answer = shop.dre("doctor")
    assert answer.status == 1
    [line] = [line for line in answer.out.splitlines() if "FAIL" in line]
    assert f"spool {short(id)}" in line
    assert "journal" in line
    assert "->" in line
    log = shop.dre("log")
    assert log.status == 0
    assert "captured, not recorded" in log.err
    assert (shop.folder / ".dre" / "spool" / str(id)).is_dir()


def test_the_doctor_sees_a_folder_open_to_others_and_one_without_git(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.record("true")
    state = Path(os.environ["XDG_STATE_HOME"]) / "dre"
    state.chmod(0o755)
    assert findings(shop)["memory"][0] == "FAIL"
    state.chmod(0o700)
    (shop.folder / ".dre").chmod(0o770)
    assert findings(shop)["recording"][0] == "FAIL"
    (shop.folder / ".dre").chmod(0o700)
    (tmp_path / "bin").mkdir()
    assert findings(shop, PATH=str(tmp_path / "bin"))["git"] == (
        "note",
        "not installed: the work tree is not seen",
    )


def test_tables_are_made_anew_and_are_the_same(shop: Shop) -> None:
    shop.passes()
    shop.fails()
    before = shop.dre("log", "--json").out
    tables = sqlite3.connect(shop.folder / ".dre" / "cache" / "tables.db")
    tables.execute("update operations set command = 'something else'")
    tables.commit()
    tables.close()
    assert "something else" in shop.dre("log").out
    answer = shop.dre("projections", "rebuild", "operations")
    assert answer.status == 0, answer.err
    assert answer.out == f"operations: made anew from {len(shop.events())} events\n"
    assert shop.dre("log", "--json").out == before
    assert shop.dre("projections", "rebuild", "--json").json()["rebuilt"] == [
        *("operations", "evidence", "verifications", "audit_trail", "users", "configuration")
    ]
    assert shop.dre("log", "--json").out == before


@pytest.mark.parametrize("table", ["operations", "cursor"])
def test_tables_that_cannot_be_read_any_more_are_made_anew_with_all_others(shop: Shop, table: str) -> None:
    shop.record("true")
    before = shop.dre("log", "--json").out
    path = shop.folder / ".dre" / "cache" / "tables.db"
    with contextlib.closing(sqlite3.connect(path)) as tables:
        [[page]] = tables.execute("pragma page_size")
        [[root]] = tables.execute("select rootpage from sqlite_master where name = ?", [table])
    with open(path, "r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\xff" * page)
    with serving(shop):  # it has them open, and goes on with those that are made
        one = shop.dre("projections", "rebuild", "operations")
        assert (one.status, f"{path} is damaged" in one.err) == (3, True), one.err
        assert "dre projections rebuild makes all tables anew" in one.err
        everything = shop.dre("projections", "rebuild")
        assert everything.status == 0, everything.err
        assert shop.dre("log", "--json").out == before
        shop.record("true")
        assert shop.dre("log", "--json").out.endswith(before)
        until(lambda: findings(shop)["server"][0] == "ok")
    assert len(shop.dre("log", "--json").json_lines()) == 2
    assert shop.dre("doctor").status == 0


def test_what_a_killed_rebuild_left_is_swept_away_and_what_another_works_on_is_not(shop: Shop) -> None:
    shop.record("true")
    cache = shop.folder / ".dre" / "cache"
    for name in ("rebuild-left", "rebuild-held"):
        (cache / name).mkdir()
        (cache / name / "tables.db").write_bytes(b"half")
    held = os.open(cache / "rebuild-held", os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert shop.dre("projections", "rebuild").status == 0
    finally:
        os.close(held)
    assert [path.name for path in cache.glob("rebuild-*")] == ["rebuild-held"]


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [("body", b"{", b"["), ("body", b"meta", b"\xff\xff\xff\xff"), ("stream", b"operation", b"op\xc3\xa9ration")],
)
def test_tables_that_cannot_go_on_say_where_and_the_doctor_fails(
    shop: Shop, flip: Flip, column: str, old: bytes, new: bytes
) -> None:
    shop.record("true")
    position = shop.position_of("operation.completed")
    flip(column, position, old, new)
    shutil.rmtree(shop.folder / ".dre" / "cache")
    log = shop.dre("log")
    assert log.status == 0
    assert f"stuck at event {position}" in log.err
    doctor = shop.dre("doctor")
    assert (doctor.status, f"stuck at event {position}" in doctor.out) == (1, True)
    rebuild = shop.dre("projections", "rebuild", "operations")
    assert (rebuild.status, f"stuck at event {position}" in rebuild.err) == (3, True)
