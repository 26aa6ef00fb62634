"""`dre log`, `dre show`, `dre events`: what was recorded comes back, whole for programs and safe for people."""

import base64
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cli.conftest import Flip
from cli.shop import BROKEN_REPORT, LIMIT_S, PYTHON, Shop

ROW = {
    *("id", "short", "command", "cwd", "status", "outcome", "exitCode", "signal", "startedAt", "completedAt"),
    *("durationUs", "git", "labels", "parent", "items", "verdict", "position"),
}
SHOWN = {
    "id",
    "command",
    "argv",
    "outcome",
    "exitCode",
    "signal",
    "startedAt",
    "completedAt",
    "git",
    "evidence",
    "verdict",
}
HOSTILE = r"printf '\033]0;owned\007\033[2J\377\302\2332J\342\200\256x\r\n'"


def test_the_log_is_newest_first_and_a_program_reads_all_of_it(shop: Shop) -> None:
    first = shop.record("--label", "suite=unit", "true")
    second = shop.record("sh", "-c", "exit 3", status=3)
    third = shop.record("sh", "-c", "kill -TERM $$", status=-signal.SIGTERM)

    rows = shop.dre("log", "--json").json_lines()

    assert [row["id"] for row in rows] == [third, second, first]
    assert [set(row) for row in rows] == [ROW] * 3
    assert [row["outcome"] for row in rows] == ["signaled", "failed", "succeeded"]
    assert [row["exitCode"] for row in rows] == [None, 3, 0]
    assert [row["signal"] for row in rows] == ["SIGTERM", None, None]
    assert rows[2]["labels"] == [["suite", "unit"]]
    assert rows[2]["verdict"]["grade"] == "weak"
    assert rows[2]["verdict"]["confidence"] is None
    assert rows[0]["verdict"]["result"] == "failed"
    assert rows[2]["startedAt"] <= rows[2]["completedAt"] <= time.time() * 1000
    assert [row["id"] for row in shop.dre("log", "--json", "--limit", "2").json_lines()] == [third, second]
    people = shop.dre("log").out.splitlines()
    assert [row["short"] in line for row, line in zip(rows, people, strict=True)] == [True] * 3


def test_since_leaves_out_what_began_before(shop: Shop) -> None:
    shop.record("true")
    time.sleep(0.05)
    between = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + f".{time.time_ns() // 1_000_000 % 1000:03}Z"
    time.sleep(0.05)
    second = shop.record("true")
    assert [row["id"] for row in shop.dre("log", "--json", "--since", between).json_lines()] == [second]
    assert len(shop.dre("log", "--json", "--since", "1h").json_lines()) == 2
    assert shop.dre("log", "--json", "--since", "2200-01-01").json_lines() == []


def test_the_log_is_searched_by_command_verdict_and_end(shop: Shop) -> None:
    passed = shop.record("echo", "Suite One")
    failed = shop.record("sh", "-c", "echo suite two; exit 3", status=3)
    killed = shop.record("sh", "-c", "kill -TERM $$", status=-signal.SIGTERM)

    def found(*words: str) -> list[str]:
        return [row["id"] for row in shop.dre("log", "--json", *words).json_lines()]

    assert found("--command", "suite") == [failed, passed]
    assert found("--result", "failed") == [killed, failed]
    assert found("--result", "passed") == [passed]
    assert found("--status", "signaled") == [killed]
    assert found("--command", "suite", "--status", "failed", "--since", "1h") == [failed]
    nothing = shop.dre("log", "--command", "suite", "--result", "inconclusive")
    assert (nothing.status, nothing.out) == (0, "")
    assert nothing.err == "dre: no operation matches\n"
    unknown = shop.dre("log", "--result", "good")
    assert unknown.status == 2
    assert "'passed', 'failed', 'inconclusive'" in unknown.err
    unwritten = shop.dre("log", "--command", os.fsdecode(b"\xff"))
    assert (unwritten.status, unwritten.out) == (2, "")
    assert "--command '\\udcff'" in unwritten.err
    assert "damaged" not in unwritten.err


def test_without_operations_the_log_is_empty_and_says_so_aside(shop: Shop) -> None:
    shop.dre("init")
    answer = shop.dre("log")
    assert (answer.status, answer.out) == (0, "")
    assert answer.err == "dre: no operations here yet: dre wrap COMMAND records one\n"
    assert shop.dre("log", "--quiet").err == ""


def test_show_has_the_fields_that_programs_rely_on(shop: Shop) -> None:
    id = shop.passes()
    shown = shop.dre("show", id, "--json").json()
    assert set(shown) >= SHOWN
    assert shown["id"] == id
    assert shown["argv"][:2] == ["sh", "-c"]
    assert shown["command"].startswith("sh -c ")
    assert (shown["outcome"], shown["exitCode"], shown["signal"]) == ("succeeded", 0, None)
    assert shown["git"]["branch"] == "main"
    assert set(shown["verdict"]) >= {"result", "confidence", "grade", "reasons", "notObserved"}
    assert (shown["verdict"]["result"], shown["verdict"]["grade"]) == ("passed", "strong")
    assert {item["name"] for item in shown["evidence"]} >= {"output.txt", "environment.json", "report-1.xml"}
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=shop.folder, capture_output=True, text=True, check=True)
    assert shown["git"]["commit"] == head.stdout.strip()


def test_show_finds_one_by_every_name(shop: Shop) -> None:
    first, second = shop.record("true"), shop.record("true")
    for typed, meant in (("last", second), ("-", first), (first, first), (first.upper(), first)):
        assert shop.dre("show", typed, "--json").json()["id"] == meant
    short = shop.dre("show", first, "--json").json()["short"]
    assert shop.dre("show", short.lower(), "--json").json()["id"] == first
    unknown = shop.dre("show", "ZZZZ")
    assert (unknown.status, unknown.out) == (2, "")
    assert unknown.err == "dre: there is no operation ZZZZ\n     dre log shows the newest\n"
    for typed in ("LATE", "01a210", "0190A1B2-0000-7000-8000-000000000000"):  # and none as it is read
        assert shop.dre("show", typed).err == f"dre: there is no operation {typed}\n     dre log shows the newest\n"


def test_output_comes_back_byte_for_byte_when_it_is_asked_for_raw(shop: Shop) -> None:
    native = subprocess.run(["sh", "-c", HOSTILE], capture_output=True, check=True).stdout
    shop.record("sh", "-c", HOSTILE)
    assert shop.dre("show", "--output", "--raw").out_bytes == native


def test_no_escape_of_a_recording_reaches_the_reader(shop: Shop) -> None:
    hostile = "\x1b]0;owned\x07\u202e"
    (shop.folder / f"new{hostile}.py").write_text("(\n")
    (shop.folder / "report.in").write_text(
        '<testsuite><testcase classname="a" name="b&#x9b;2J\u202e">'
        '<failure message="&#x9b;31m\u2066"/></testcase></testsuite>'
    )
    words = ["sh", "-c", f"{HOSTILE}; cat report.in > report.xml; echo > 'x{hostile}.py'; echo '(' >> 'x{hostile}.py'"]
    shop.record("--label", f"note={hostile}", *words)
    screens = [
        ["show"],
        ["show", "--output"],
        ["show", "--json"],
        ["show", "--output", "--json"],
        ["log"],
        ["log", "--json"],
        ["verify"],
        ["events"],
    ]
    for screen in (*screens, ["verify", "--json"], ["events", "--json"], ["events", "--proofs"], ["doctor"]):
        answer = shop.dre(*screen)
        told = answer.out + answer.err
        assert answer.status in (0, 1)
        assert told
        assert [c for c in told if (ord(c) < 0x20 and c not in "\n\t") or 0x7F <= ord(c) < 0xA0] == [], screen
        assert [c for c in told if c in "\u202e\u2066"] == [], screen


def test_colours_are_dropped_from_excerpts_and_output_and_all_else_stays_visible(shop: Shop) -> None:
    (shop.folder / "report.in").write_text(BROKEN_REPORT)
    (shop.folder / "output.in").write_text(
        "\x1b[1m\x1b[31mFAILED\x1b[0m tests/test_cart.py::\x1b[1mtest_total\x1b[0m - \x1b[2Jassert 41 == 42\n"
    )
    shop.record("sh", "-c", "cat output.in; cat report.in > report.xml; exit 1", status=1)

    seen = "FAILED tests/test_cart.py::test_total - ␛[2Jassert 41 == 42"
    for screen in (["show"], ["verify"]):
        assert f"              | {seen}\n" in shop.dre(*screen).out
    assert shop.dre("show", "--output").out == f"{seen}\n"
    assert shop.dre("show", "--output", "--raw").out_bytes == (shop.folder / "output.in").read_bytes()


@pytest.mark.parametrize(
    ("script", "key"),
    [
        (r"printf 'one \303\244 \033[31m\342\200\256 \377\n'", "bytes"),
        (r"printf 'one \303\244 \033[31m\342\200\256 \n'", "text"),
        (r"printf 'cut \303'", "bytes"),
        (r"head -c 700001 /dev/zero | tr '\0' 'x'; printf '\303\244'", "text"),
        (r"head -c 700001 /dev/zero | tr '\0' '\377'", "bytes"),
    ],
)
def test_output_as_json_is_the_same_output(shop: Shop, script: str, key: str) -> None:
    native = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout
    id = shop.record("sh", "-c", script)
    [item] = [one for one in shop.dre("show", "--json").json()["evidence"] if one["kind"] == "output"]

    answer = shop.dre("show", "--output", "--json")

    [shown] = answer.json_lines()
    assert list(shown) == ["id", "evidenceId", "sizeBytes", key]
    assert (shown["id"], shown["evidenceId"], shown["sizeBytes"]) == (id, item["id"], len(native))
    assert (shown["text"].encode() if key == "text" else base64.b64decode(shown["bytes"], validate=True)) == native
    assert [c for c in answer.out if (ord(c) < 0x20 and c != "\n") or c == "\u202e"] == []


def test_output_that_was_altered_is_no_json(shop: Shop) -> None:
    shop.record("echo", "hi")
    [item] = [one for one in shop.dre("show", "--json").json()["evidence"] if one["kind"] == "output"]
    blob = shop.folder / ".dre" / "evidence" / item["hash"][:2] / item["hash"][2:]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    answer = shop.dre("show", "--output", "--json")
    assert (answer.status, answer.out) == (1, "")
    assert json.loads(answer.err)["code"] == "blob_altered"
    assert shop.dre("show", "--output", "--raw", "--json").status == 2


def test_raw_bytes_do_not_go_to_a_terminal(shop: Shop) -> None:
    shop.record("echo", "hi")
    outer, inner = os.openpty()
    done = subprocess.run(
        [*PYTHON, "show", "--output", "--raw"],
        cwd=shop.folder,
        stdout=inner,
        stderr=subprocess.PIPE,
        timeout=LIMIT_S,
        check=False,
    )
    os.close(inner)
    os.close(outer)
    assert done.returncode == 2
    assert b"does not go to a terminal" in done.stderr


def test_an_item_of_the_evidence_is_printed_by_the_name_that_is_listed_or_its_own(shop: Shop) -> None:
    (shop.folder / "report.in").write_text(BROKEN_REPORT)
    shop.record("sh", "-c", r"cp report.in report.xml; printf 'total \033[31m=\033[0m \033[2J\377\n' > cart.py")

    assert shop.dre("show", "--evidence", "report.xml").out == BROKEN_REPORT
    assert shop.dre("show", "last", "--evidence=report-1.xml", "--raw").out == BROKEN_REPORT
    assert '"cart.py"' in shop.dre("show", "--evidence", "changes.json").out
    changed = shop.dre("show", "--evidence", "changes.diff")
    assert (changed.status, changed.err) == (0, "")
    assert "-total = 42\n+total = ␛[2J\\xff\n" in changed.out
    raw = shop.dre("show", "--evidence", "changes.diff", "--raw")
    assert b"+total \x1b[31m=\x1b[0m \x1b[2J\xff\n" in raw.out_bytes
    told = shop.dre("show", "--evidence", "changes.diff", "--json").json()
    assert base64.b64decode(told["bytes"]) == raw.out_bytes


def test_an_unknown_name_is_answered_with_those_that_there_are(shop: Shop) -> None:
    shop.passes()
    [short] = shop.short_ids()
    answer = shop.dre("show", "--evidence", "changes.difff")
    assert (answer.status, answer.out) == (2, "")
    assert answer.err == (
        f'dre: there is no evidence "changes.difff" of {short}\n'
        "     there is output.txt, timing.json, report.xml, changes.json, environment.json\n"
    )
    assert shop.dre("show", "--evidence", "output.txt", "--output").status == 2
    assert "--evidence NAME" in shop.dre("show", "--raw").err
    assert "--evidence NAME" in shop.dre("show", "--help").out


def test_a_damaged_item_is_named_with_its_operation_and_what_to_do(shop: Shop) -> None:
    shop.record("echo", "hi")
    [item] = [one for one in shop.dre("show", "--json").json()["evidence"] if one["kind"] == "output"]
    [short] = shop.short_ids()
    blob = shop.folder / ".dre" / "evidence" / item["hash"][:2] / item["hash"][2:]
    blob.chmod(0o600)
    blob.write_bytes(blob.read_bytes()[:-1])
    for words in (["--output"], ["--output", "--raw"], ["--evidence", "output.txt"]):
        answer = shop.dre("show", *words)
        assert (answer.status, answer.out) == (1, "")
        first, hint = answer.err.splitlines()
        assert first.startswith(
            f"dre: output.txt of {short} is not what was recorded: blob {item['hash']} is not as long"
        )
        assert hint == "     dre ledger verify names all that is wrong; then restore it from a copy"
    blob.unlink()
    answer = shop.dre("show", "--output")
    assert answer.err.startswith(f"dre: output.txt of {short} is not what was recorded: blob {item['hash']} is missing")


def test_output_that_is_not_there_is_said(shop: Shop) -> None:
    shop.record("true")
    answer = shop.dre("show", "--output")
    assert (answer.status, answer.out) == (2, "")
    assert "there is no output" in answer.err


def test_a_running_operation_shows_as_running(shop: Shop) -> None:
    running = subprocess.Popen(
        [*PYTHON, "wrap", "sh", "-c", "echo begun; read line"],
        cwd=shop.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert running.stdout is not None
    assert running.stdin is not None
    assert running.stdout.readline() == b"begun\n"
    row = shop.dre("log", "--json").json()
    assert (row["status"], row["outcome"], row["verdict"]) == ("running", None, None)
    assert "running" in shop.dre("log").out
    screen = shop.dre("show").out
    assert "RUNNING" in screen.splitlines()[0]
    assert "it has not ended yet" in screen
    assert shop.dre("verify").status == 3
    running.communicate(b"\n", timeout=LIMIT_S)
    assert shop.dre("show", "--json").json()["outcome"] == "succeeded"


def test_events_are_the_whole_history_in_one_form(shop: Shop) -> None:
    id = shop.passes()
    events = shop.events()
    assert [event["position"] for event in events] == list(range(len(events)))
    assert all(
        set(event) == {"position", "id", "stream", "version", "type", "recordedAt", "actor", "data"} for event in events
    )
    assert events[0]["type"] == "ledger.created"
    assert {event["stream"] for event in events if event["type"].startswith(("operation.", "evidence."))} == {
        f"default/operation-{id}"
    }
    assert all("meta" not in event["data"] for event in events)
    after = shop.dre("events", "--after", "3", "--json").json_lines()
    assert after == events[4:]
    assert len(shop.dre("events").out.splitlines()) == len(events)


def test_events_name_the_operation_that_can_be_shown_and_who_judged_it(shop: Shop) -> None:
    shop.passes()
    [short] = shop.short_ids()
    told = [line.split()[5:] for line in shop.dre("events").out.splitlines() if "verification." in line]
    assert told == [
        ["operation", short, "default/1"],
        ["operation", short, "programmatic/3", "passed"],
        ["operation", short, "structural/1", "passed"],
        ["operation", short, "passed"],
    ]


def test_beyond_the_end_of_history_it_says_where_that_is(shop: Shop) -> None:
    shop.record("true")
    newest = len(shop.events()) - 1

    at_the_end = shop.dre("events", "--after", str(newest), "--json")
    beyond = shop.dre("events", "--after", "9999", "--json")
    quiet = shop.dre("events", "--after", "9999", "--quiet")
    followed = shop.dre("events", "--after", "9999", "--follow")

    assert (at_the_end.status, at_the_end.out, at_the_end.err) == (0, "", "")
    assert (beyond.status, beyond.out, beyond.err) == (
        0,
        "",
        f"dre: after 9999: this history ends at position {newest}\n",
    )
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    assert (followed.status, followed.out) == (1, "")
    assert f"after 9999: this history ends at position {newest}" in followed.err


def test_with_proofs_a_stranger_recomputes_the_chain(shop: Shop) -> None:
    shop.fails()
    prev = "0" * 64
    for at, event in enumerate(shop.dre("events", "--proofs", "--json").json_lines()):
        lines = event["entry"].split("\n")
        salt, body = bytes.fromhex(event["salt"]), event["body"].encode()
        assert (lines[0], lines[1], lines[2]) == ("dre.event.v1", str(at), prev)
        assert (lines[3], lines[4], lines[6]) == (event["id"], event["stream"], event["type"])
        assert lines[9] == sha256(b"dre.body.v1\x00" + salt + body).hexdigest()
        assert {**event["data"], "meta": json.loads(body)["meta"]} == json.loads(body)
        prev = sha256(b"\x00" + event["entry"].encode()).hexdigest()


def test_following_prints_what_others_record(shop: Shop) -> None:
    shop.record("true")
    known = len(shop.events())
    following = subprocess.Popen(
        [*PYTHON, "events", "--follow", "--json", "--after", str(known - 1)], cwd=shop.folder, stdout=subprocess.PIPE
    )
    assert following.stdout is not None
    shop.record("echo", "new")
    seen = [json.loads(following.stdout.readline()) for _ in range(2)]
    following.terminate()
    following.communicate(timeout=LIMIT_S)
    assert [event["position"] for event in seen] == [known, known + 1]
    assert seen[0]["data"]["command"] == "echo new"


@pytest.mark.parametrize("words", [["log"], ["show"], ["events"], ["verify"], ["ledger", "verify"]])
def test_readers_record_what_waits_first(shop: Shop, words: list[str]) -> None:
    shop.dre("init")
    blocked = shop.folder / ".dre" / "spool"
    kept = shop.folder.parent / "kept"
    _capture_only(shop)
    assert [path for path in blocked.iterdir() if not path.name.startswith(".")]
    answer = shop.dre(*words)
    assert answer.status == 0, answer.err
    assert [path for path in blocked.iterdir() if not path.name.startswith(".")] == []
    assert not kept.exists()
    assert shop.dre("show", "--json").json()["command"] == "true"


def _capture_only(shop: Shop) -> None:
    """Captured, and the ingest that is started then cannot do anything: as after a kill."""
    program = (
        "import sys; from dre.shim import recorder, ingest; ingest.spawn = lambda root: None; recorder.main(['true'])"
    )
    done = subprocess.run([PYTHON[0], "-c", program], cwd=shop.folder, timeout=LIMIT_S, check=False)
    assert done.returncode == 0


@contextlib.contextmanager
def _running(shop: Shop) -> Iterator[tuple[Path, "subprocess.Popen[bytes]"]]:
    """A command that history knows to run, for as long as the block: its spool, its recorder."""
    shop.dre("init")
    waiting = ["sh", "-c", "while ! [ -e go ]; do sleep .02; done"]
    running = subprocess.Popen(
        [*PYTHON, "wrap", *waiting], cwd=shop.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    until = time.monotonic() + LIMIT_S
    while [row["status"] for row in shop.dre("log", "--json").json_lines()] != ["running"]:
        assert time.monotonic() < until
    [spool] = (shop.folder / ".dre" / "spool").iterdir()
    yield spool, running
    (shop.folder / "go").touch()
    running.wait(LIMIT_S)


def test_what_was_spoiled_while_it_ran_is_shown_as_interrupted_with_the_reason(shop: Shop) -> None:
    with _running(shop) as (spool, _):
        (spool / "needles").write_bytes(b"\x20\0\0\0short")

    log, show, verify = (shop.dre(*words) for words in (["log"], ["show"], ["verify"]))

    assert "recording interrupted" in log.out
    assert "captured, not recorded" in log.err
    assert "its recording was damaged or forged before it could become history" in show.out
    assert "there is no evidence to judge" in show.out
    assert "not judged it yet" not in show.out
    assert verify.status == 3
    assert spool.is_dir()


def test_what_was_deleted_after_its_recorder_was_killed_is_shown_as_interrupted_with_the_reason(shop: Shop) -> None:
    with _running(shop) as (spool, recorder):
        recorder.kill()
        recorder.wait()
        shutil.rmtree(spool)

        log, again, show, verify = (shop.dre(*words) for words in (["log"], ["log"], ["show"], ["verify"]))

    assert "recording interrupted" in log.out
    assert f"{shop.short_ids()[0]} its recording was deleted before it could become history" in log.err
    assert again.out == log.out
    assert again.err == ""
    assert "its recording was deleted before it could become history" in show.out
    assert verify.status == 3


def test_a_history_that_was_altered_is_still_shown(shop: Shop, flip: Flip) -> None:
    shop.record("true")
    lines = shop.dre("events", "--json").json_lines()
    flip("body", 2, b"true", b"\xff\xfe\xff\xfe")
    flip("stream", 3, b"operation", "opération".encode())
    flip("actor", 4, b"local", b"l\xc3\xb6cal")
    [ended] = [line["position"] for line in lines if line["type"] == "operation.completed"]
    flip("body", ended, b'"exitCode":0', b'"exitCode":1e999')

    for words in ([], ["--proofs"], ["--json"], ["--json", "--proofs"]):
        answer = shop.dre("events", *words)
        assert (answer.status, answer.err) == (0, ""), words
    shown = shop.dre("events", "--json").json_lines()
    lines[ended]["data"]["exitCode"] = math.inf
    assert shown[:2] + shown[5:] == lines[:2] + lines[5:]
    assert shown[2] == lines[2] | {"data": None}
    assert shown[3]["stream"] == lines[3]["stream"].replace("operation", r"op\xc3\xa9ration")
    assert shown[4]["actor"] == lines[4]["actor"].replace("local", r"l\xc3\xb6cal")
