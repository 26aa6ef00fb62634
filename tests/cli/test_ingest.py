"""`dre ingest`: what the recorder starts. One line for who waits, 0, 1 or 3 for a gate, nothing for nobody."""

import os
import shutil
import subprocess
from pathlib import Path

from cli.shop import LIMIT_S, PYTHON, REPORT, Shop


def test_waiting_says_recorded_and_keeps_the_commands_status(shop: Shop) -> None:
    answer = shop.dre("wrap", "--wait", "sh", "-c", "exit 7")
    assert (answer.status, answer.out) == (7, "")
    assert answer.err.startswith("dre: recorded ")
    assert len(answer.err.splitlines()) == 1


def test_verifying_says_the_verdict(shop: Shop) -> None:
    (shop.folder / "report.in").write_text(REPORT)
    answer = shop.dre("wrap", "--verify", "sh", "-c", "cat report.in > report.xml")
    assert answer.status == 0
    assert answer.err.endswith(" passed strong: 2 tests passed\n")
    assert len(answer.err.splitlines()) == 1


def test_a_gate_turns_0_into_what_the_verdict_is(shop: Shop) -> None:
    assert shop.dre("wrap", "--gate", "true").status == 0
    (shop.folder / "report.in").write_text(
        REPORT.replace("/>\n  <testcase classname", "><failure/></testcase>\n  <testcase classname", 1)
    )
    lied = shop.dre("wrap", "--gate", "sh", "-c", "cat report.in > report.xml")
    assert (lied.status, "failed" in lied.err) == (1, True)
    (shop.folder / "report.in").write_text("<testsuite/>")
    nothing_ran = shop.dre("wrap", "--gate", "sh", "-c", "cat report.in > report.xml")
    assert (nothing_ran.status, "inconclusive" in nothing_ran.err) == (3, True)
    assert shop.dre("wrap", "--gate", "sh", "-c", "exit 9").status == 9


def test_what_cannot_be_recorded_is_one_line_and_a_gate_is_inconclusive(shop: Shop, tmp_path: Path) -> None:
    shop.record("true")
    shutil.copytree(shop.folder / ".dre", tmp_path / "older")
    shop.record("true")
    shutil.rmtree(shop.folder / ".dre")
    shutil.copytree(tmp_path / "older", shop.folder / ".dre")
    answer = shop.dre("wrap", "--gate", "true")
    assert answer.status == 3
    [line] = answer.err.splitlines()
    assert "captured, not recorded" in line
    assert "older copy" in line
    assert len([path for path in (shop.folder / ".dre" / "spool").iterdir() if path.name[0] != "."]) == 1


def test_a_broken_configuration_lets_the_recording_wait(shop: Shop) -> None:
    shop.record("true")
    (shop.folder / ".dre" / "config.json").write_text("{")
    answer = shop.dre("wrap", "--gate", "echo", "runs")
    assert (answer.status, answer.out) == (3, "runs\n")
    assert "config.json line 1" in answer.err
    (shop.folder / ".dre" / "config.json").unlink()
    assert shop.dre("show", "--json").json()["command"] == "echo runs"


def test_an_unknown_operation_is_said(shop: Shop) -> None:
    shop.record("true")
    root = str(shop.folder / ".dre")
    answer = shop.dre("ingest", "--root", root, "--operation", "01a20b7a-79a4-772a-852c-21f212fd776b", "--wait")
    assert (answer.status, "its spool is gone" in answer.err) == (3, True)
    assert shop.dre("ingest", "--root", root).status == 0
    assert shop.dre("ingest", "--root", str(shop.folder / "none" / ".dre")).status == 3


def test_nobody_who_listens_stops_nothing(shop: Shop) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PYTHON, "wrap", "--wait", "true"], cwd=shop.folder, stderr=write, timeout=LIMIT_S, check=False
    )
    os.close(write)
    assert done.returncode == 0
    assert shop.dre("show", "--json").json()["verdict"]["result"] == "passed"
