"""What DRE writes is what its page says: a reader made from that page alone agrees, and finds what is altered."""

import ast
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.ports.event_store import Append, NewEvent, StoredEvent

HERE = Path(__file__).parent
READER = HERE / "independent_reader.py"
PAGE = HERE.parents[1] / "docs" / "reference" / "ledger-format.md"
ACTOR = "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960"
BODIES = [
    b'{"meta":{"schema":1},"n":0}',
    '{"meta":{"schema":1},"s":"\\"\\\\/\\b\\t\\n\\f\\r\\u0001 é€\U0001f600\u2028"}'.encode(),
    b'{"a":[1,-9007199254740991,0.0001,0.9812,true,false,null,{"b":[]}],"meta":{"schema":1}}',
    b'{"meta":{"schema":1},"s":"' + b"x" * 200_000 + b'"}',
]


@pytest.fixture(scope="module")
def reader() -> ModuleType:
    spec = importlib.util.spec_from_file_location("independent_reader", READER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line_of(stored: StoredEvent) -> dict[str, Any]:
    """As docs/reference/ledger-format.md has it under "As lines"."""
    entry, body = stored.entry, stored.body
    return {
        "position": entry.position,
        "id": str(entry.event_id),
        "stream": entry.stream,
        "version": entry.version,
        "type": entry.type,
        "recordedAt": entry.recorded_at_us // 1000,
        "actor": entry.actor,
        "data": None if body is None else {k: v for k, v in json.loads(body).items() if k != "meta"},
        "entry": entry.encode().decode(),
        "salt": None if stored.salt is None else stored.salt.hex(),
        "body": None if body is None else body.decode(),
    }


async def written(store: SQLiteEventStore) -> list[dict[str, Any]]:
    return [line_of(stored) async for page in store.read() for stored in page]


@pytest.fixture
async def lines(tmp_path: Path) -> list[dict[str, Any]]:
    """Of a real ledger: several streams, every kind of value, one erased body."""
    async with open_event_store(str(tmp_path / "ledger.db")) as store:
        events = [NewEvent(uuid4(), f"default/operation-{n % 2}", "a.b", body) for n, body in enumerate(BODIES)]
        await store.append([Append(ACTOR, tuple(events))])
        erasing = {"by": ACTOR, "event": str(events[1].id), "meta": {"schema": 1}, "position": 1, "reason": "asked"}
        body = msgspec.json.encode(erasing, order="sorted")
        await store.append([Append(ACTOR, (NewEvent(UUID(int=1), "default/ledger-1", "body.erased", body),))])
        whole = await written(store)
        await store._database.run(lambda connection: connection.execute("delete from body where position = 1"))
        assert [line["body"] for line in whole if line["position"] != 1] == [
            line["body"] for line in await written(store) if line["position"] != 1
        ]
        return await written(store)


def as_text(lines: list[dict[str, Any]]) -> list[str]:
    return [json.dumps(line) for line in lines]


def test_the_reader_knows_nothing_of_dre() -> None:
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(READER.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names])
    }
    assert imported <= sys.stdlib_module_names


async def test_it_arrives_at_the_same_head(reader: ModuleType, lines: list[dict[str, Any]], tmp_path: Path) -> None:
    async with open_event_store(str(tmp_path / "ledger.db")) as store:
        head = await store.head()

    assert reader.verify(as_text(lines)) == (head.size, head.prev.hex())


def test_it_can_be_run_on_a_stream_of_lines(lines: list[dict[str, Any]]) -> None:
    text = "".join(f"{line}\n" for line in as_text(lines))

    ran = subprocess.run([sys.executable, "-I", READER], input=text, capture_output=True, check=True, text=True)
    cut = subprocess.run(
        [sys.executable, "-I", READER],
        input=text.replace('"a.b"', '"a.c"', 1),
        capture_output=True,
        check=False,
        text=True,
    )

    assert ran.stdout.startswith("5 ")
    assert (cut.returncode, cut.stderr[:12]) == (1, "position 0: ")


def test_the_example_on_the_page_holds(reader: ModuleType) -> None:
    page = PAGE.read_text()
    example = page[page.index("## An example") :]
    found = re.search(r"```text\n([0-9a-f]{64})\n```.*?```json\n(.*?)```", example, re.DOTALL)
    assert found is not None

    assert reader.verify(found[2].splitlines()) == (3, found[1])


def change(line: int, field: str, value: Any) -> Callable[[list[dict[str, Any]]], None]:
    def alter(lines: list[dict[str, Any]]) -> None:
        lines[line][field] = value(lines[line][field]) if callable(value) else value

    return alter


@pytest.mark.parametrize(
    ("alter", "position"),
    [
        (change(2, "stream", "default/operation-9"), 2),
        (change(2, "version", 7), 2),
        (change(2, "id", str(UUID(int=9))), 2),
        (change(2, "actor", "local-2"), 2),
        (change(2, "recordedAt", lambda at: at + 1), 2),
        (change(2, "data", {}), 2),
        (change(2, "body", lambda body: body.replace("true", "null")), 2),
        (change(2, "body", lambda body: body.replace(",", ", ")), 2),
        (change(2, "salt", "00" * 32), 2),
        (change(2, "entry", lambda entry: entry.replace("\na.b\n", "\na.c\n")), 2),
        (change(2, "entry", lambda entry: entry[:-1]), 2),
        (change(2, "entry", lambda entry: entry.replace("\n", "\r\n")), 2),
        (change(1, "body", "{}"), 1),
        (change(0, "body", None), 0),
        (lambda lines: lines.pop(0), 0),
        (lambda lines: lines.pop(2), 2),
        (lambda lines: lines.pop(), 1),
        (lambda lines: lines.reverse(), 0),
        (lambda lines: lines.insert(3, lines[2]), 3),
    ],
)
def test_it_finds_what_is_altered(
    reader: ModuleType, lines: list[dict[str, Any]], alter: Callable[[list[dict[str, Any]]], None], position: int
) -> None:
    alter(lines)

    with pytest.raises(reader.Wrong) as wrong:
        reader.verify(as_text(lines))
    assert wrong.value.position == position
