"""The page of evidence: every item that a run can leave, and everything that capture can say it observed."""

import ast
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docs.shop import Shop

Sections = Callable[[str], dict[str, str]]
STATES = {"seen", "partial", "stale", "not observed"}
LEAVES_EVERYTHING = (
    "dre wrap bash -c "
    "'pytest -q; cat cart.py > copy.py; echo $MY_TOKEN; (sleep 1; echo late) & exit 0' "
    "-- $(head -c 80000 /dev/zero | tr '\\0' x)"
)
_PATIENCE_S = 60


@pytest.fixture
def collected(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The items of a run that leaves one of every kind."""
    monkeypatch.setenv("MY_TOKEN", "correct-horse-battery")
    shop = Shop(own_home)
    shop.type(LEAVES_EVERYTHING)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        events = [json.loads(line) for line in shop.type("dre events --json").splitlines()]
        items = [event["data"] for event in events if event["type"] == "evidence.collected"]
        if any(item["kind"] == "late_output" for item in items) or time.monotonic() > deadline:
            return items
        time.sleep(0.2)


def test_every_item_of_a_run_stands_in_the_table_with_type_kind_and_media_type(
    collected: list[dict[str, Any]], sections: Sections
) -> None:
    section = sections("evidence")["Items"]
    rows = {tuple(cell.strip("` ") for cell in row[1:4]): row[0] for row in table(section) if len(row) == 5}
    found = {(item["evidenceType"], item["kind"], item["mediaType"]): item["name"] for item in collected}
    assert found.keys() == rows.keys()
    assert [name for place, name in found.items() if f"`{name}`" not in rows[place]] == []
    explained = {row[0].strip("`") for row in table(section) if len(row) == 3}
    assert {key for item in collected for key in item["metadata"]} - explained == set()


def test_everything_that_capture_can_observe_stands_in_the_table_with_its_states(
    root: Path, sections: Sections
) -> None:
    rows = {
        subject: set(row[1].split(", "))
        for row in table(sections("evidence")["Observations"])
        for subject in re.findall(r"`([^`]+)`", row[0])
    }
    said: dict[str, set[str]] = {}
    for file in (root / "dre" / "capture").glob("*.py"):
        for subject, states in observations(ast.parse(file.read_text())):
            said.setdefault(subject, set()).update(states)
    assert said.keys() == rows.keys()
    assert [(subject, state) for subject in said for state in said[subject] if state not in rows[subject]] == []


def observations(module: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """Where an `Observation` is made of words: its subject, and the states that stand in its second argument."""
    for node in ast.walk(module):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Observation":
            subject, state = node.args[:2]
            if isinstance(subject, ast.Constant):
                words = {each.value for each in ast.walk(state) if isinstance(each, ast.Constant)}
                yield str(subject.value), {word for word in words if isinstance(word, str)} & STATES


def table(section: str) -> list[list[str]]:
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
