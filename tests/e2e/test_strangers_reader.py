"""A verifier that somebody else wrote, from the format's page alone, agrees with what `dre events` prints."""

import json
import subprocess
import sys
from pathlib import Path

from e2e.console import Console

READER = Path(__file__).parents[1] / "ledger" / "independent_reader.py"


def read(lines: bytes) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-I", "-S", READER], input=lines, capture_output=True, timeout=60, check=False
    )


def test_it_recomputes_the_chain_of_a_real_history(shop: Console) -> None:
    shop.wrap("sh", "-c", "echo 'caf\u00e9 \u202e'; echo 2 > cart.py")
    shop.wrap(b"printf", b"%s", b"\xff\xfe")
    shop.dre("config", "set", "evidence.retention", "1d")
    shop.dre("verify")

    lines = shop.dre("events", "--proofs", "--json").out
    answer = read(lines)

    events = [json.loads(line) for line in lines.splitlines()]
    assert answer.returncode == 0, answer.stderr
    count, leaf = answer.stdout.decode().split()
    assert int(count) == len(events) > 20
    assert events[-1]["type"] == "configuration.changed"
    assert len(leaf) == 64
    [kept] = Path.home().glob(".local/state/dre/*/head")
    assert json.loads(kept.read_bytes()) == {"size": len(events), "leaf": leaf, "settled": len(events)}


def test_it_finds_what_was_changed(shop: Console) -> None:
    shop.wrap("sh", "-c", "exit 3")
    shop.show()
    lines = shop.dre("events", "--proofs", "--json").out.splitlines(keepends=True)
    position = next(at for at, line in enumerate(lines) if b'"operation.completed"' in line)

    changed = [*lines]
    changed[position] = lines[position].replace(rb"\"exitCode\":3", rb"\"exitCode\":0")
    assert changed != lines
    assert f"{position}".encode() in read(b"".join(changed)).stderr
    assert read(b"".join(lines[:position] + lines[position + 1 :])).returncode == 1
    assert read(b"".join(lines)).returncode == 0
