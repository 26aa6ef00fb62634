"""
Any sequence of appends, conflicts, repeats and reopenings, beside a log of a few plain lines.

A whole campaign: `DRE_TEST_CAMPAIGN=1 pytest tests/adapters/sqlite/test_history_machine.py --timeout 0`.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.ledger.audit import audit
from dre.ports.event_store import Append, NewEvent, Receipt, Refused

CAMPAIGN = "DRE_TEST_CAMPAIGN" in os.environ
T = TypeVar("T")

STREAMS = st.sampled_from(["default/operation-a", "default/operation-b", "default/verification-c"])
TYPES = st.sampled_from(["operation.started", "operation.completed"])
ACTORS = st.sampled_from(["local-1", "local-2"])
FACTS = st.fixed_dictionaries({"n": st.integers(0, 2)})
METAS = st.fixed_dictionaries({"schema": st.just(1)}, optional={"request": st.sampled_from(["r1", "r2"])})


class Known:
    """An event as the reference remembers it."""

    def __init__(self, position: int, version: int, stream: str, type: str, body: bytes) -> None:
        self.position, self.version, self.stream, self.type, self.body = position, version, stream, type, body
        self.fact = {key: value for key, value in json.loads(body).items() if key != "meta"}

    def is_repeated_by(self, event: NewEvent) -> bool:
        fact = {key: value for key, value in json.loads(event.body).items() if key != "meta"}
        return (self.stream, self.type, self.fact) == (event.stream, event.type, fact)


class ReferenceLog:
    """What an append must answer, said as plainly as it can be."""

    def __init__(self) -> None:
        self.known: dict[UUID, Known] = {}

    def length(self, stream: str) -> int:
        return sum(known.stream == stream for known in self.known.values())

    def append(self, append: Append) -> tuple[str, list[tuple[int, int]]]:
        """`repeated`, `reused_id`, `conflict` or `recorded`, and each event's position and version."""
        ids = [event.id for event in append.events]
        if ids and all(
            id in self.known and self.known[id].is_repeated_by(e) for id, e in zip(ids, append.events, strict=True)
        ):
            return "repeated", self.places(ids)
        if len(set(ids)) < len(ids) or any(id in self.known for id in ids):
            return "reused_id", []
        if any(self.length(stream) != expected for stream, expected in append.expected.items()):
            return "conflict", []
        for event in append.events:
            place = len(self.known), self.length(event.stream)
            self.known[event.id] = Known(*place, event.stream, event.type, event.body)
        return "recorded", self.places(ids)

    def places(self, ids: list[UUID]) -> list[tuple[int, int]]:
        return [(self.known[id].position, self.known[id].version) for id in ids]


class History(RuleBasedStateMachine):
    appends: Bundle[Append] = Bundle("appends")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        self.log = ReferenceLog()
        self.opened = contextlib.AsyncExitStack()
        self.store: SQLiteEventStore
        self.number = 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @initialize()
    def open(self) -> None:
        path = os.path.join(self.folder.name, "ledger.db")
        self.store = self.run(self.opened.enter_async_context(open_event_store(path)))

    @rule()
    def reopen(self) -> None:
        self.run(self.opened.aclose())
        self.open()

    @rule(
        target=appends,
        events=st.lists(st.tuples(STREAMS, TYPES, FACTS, METAS), max_size=4),
        actor=ACTORS,
        data=st.data(),
    )
    def make(
        self, events: list[tuple[str, str, dict[str, int], dict[str, Any]]], actor: str, data: st.DataObject
    ) -> Append:
        """New events, mostly with the right expectations."""
        streams = data.draw(st.sets(STREAMS, max_size=2))
        expected = {
            stream: self.log.length(stream) + data.draw(st.sampled_from([0, 0, 0, 1])) for stream in sorted(streams)
        }
        new = tuple(NewEvent(self.next_id(), stream, type, body_of(fact, meta)) for stream, type, fact, meta in events)
        return Append(actor, new, expected)

    @rule(target=appends, known=appends, meta=METAS, cut=st.integers(0, 3), data=st.data())
    def vary(self, known: Append, meta: dict[str, Any], cut: int, data: st.DataObject) -> Any:
        """Ids that were used before: in full with another meta, in part, with something new, with another fact."""
        same = tuple(NewEvent(e.id, e.stream, e.type, with_meta(e.body, meta)) for e in known.events)
        kind = data.draw(st.sampled_from(["whole", "part", "more", "other", "twice"]))
        if kind == "part":
            same = same[:cut]
        elif kind == "more":
            same = (*same, NewEvent(self.next_id(), "default/operation-a", "operation.started", body_of({"n": 0}, {})))
        elif kind == "other":
            same = tuple(NewEvent(e.id, e.stream, e.type, body_of({"n": 7}, {})) for e in same)
        elif kind == "twice":
            same = (*same, *same)
        return multiple(Append(known.actor, same, data.draw(st.sampled_from([{}, known.expected]))))

    @rule(batch=st.lists(appends, min_size=1, max_size=5))
    def append(self, batch: list[Append]) -> None:
        answers = self.run(self.store.append(batch))
        assert len(answers) == len(batch)
        for append, answer in zip(batch, answers, strict=True):
            self.compare(append, answer)

    def compare(self, append: Append, answer: Receipt | Refused) -> None:
        said, places = self.log.append(append)
        if isinstance(answer, Refused):
            assert answer.reason == said
            if said == "conflict":
                assert (answer.expected, answer.actual) == (
                    append.expected[answer.stream],
                    self.log.length(answer.stream),
                )
            else:
                assert answer.event_id in {event.id for event in append.events}
            return
        assert said == ("repeated" if answer.repeated else "recorded")
        assert [(entry.position, entry.version) for entry in answer.entries] == places
        assert [entry.event_id for entry in answer.entries] == [event.id for event in append.events]

    @rule(stream=STREAMS, after=st.integers(-1, 5))
    def read_a_stream(self, stream: str, after: int) -> None:
        found = self.run(self.store.stream(stream, after))
        known = [known for known in self.log.known.values() if known.stream == stream and known.version > after]
        assert [(s.entry.version, s.body) for s in found] == [(one.version, one.body) for one in known]

    @invariant()
    def the_store_holds_what_the_reference_holds(self) -> None:
        if hasattr(self, "store"):
            stored = self.run(self.everything())
            assert [(s.entry.event_id, s.entry.stream, s.entry.version, s.entry.type, s.body) for s in stored] == [
                (id, known.stream, known.version, known.type, known.body) for id, known in self.log.known.items()
            ]

    async def everything(self) -> list[Any]:
        return [stored async for page in self.store.read(page=3) for stored in page]

    def next_id(self) -> UUID:
        self.number += 1
        return UUID(int=self.number)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            assert self.run(self.findings()) == []
            self.run(self.opened.aclose())
        self.loop.close()
        self.folder.cleanup()

    async def findings(self) -> list[Any]:
        return [finding async for finding in audit(self.store)]


def body_of(fact: dict[str, int], meta: dict[str, Any]) -> bytes:
    return json.dumps({**fact, "meta": meta}, sort_keys=True, separators=(",", ":")).encode()


def with_meta(body: bytes, meta: dict[str, Any]) -> bytes:
    return body_of({key: value for key, value in json.loads(body).items() if key != "meta"}, meta)


TestHistory = History.TestCase
TestHistory.settings = settings(
    max_examples=2000 if CAMPAIGN else 40, stateful_step_count=50 if CAMPAIGN else 30, deadline=None
)
