"""
What a request costs the server: CPU of the server's process, user and system, per request.

    python bench/http.py [--quick] [--json FILE]

`dre serve` over a real ledger, asked with its token over kept connections: a page of a hundred events of 600 bytes,
beside the same rows from FastAPI with SQLAlchemy and pydantic; one operation, beside a handler of aiohttp that answers
constant bytes; the first page of a browser with ten thousand operations; and a minute in which nobody asks. Every rival
is a process of its own; they alternate, medians are compared. CPU holds on a busy machine.

Our server keeps answers as long as nobody commits: `events.100` and `operation` are asked again and again. What the
first answer costs is measured beside it: `events.100.first` asks for another page each time, and
`operation.committed` after commits of another process.
"""

import os.path
import sys

sys.path.insert(0, os.path.dirname(sys.path.pop(0)))  # this folder holds an http.py, which is not the library's

import argparse
import asyncio
import json
import platform
import re
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import aiohttp
import fastapi
import msgspec
import sqlalchemy

from bench import rivals
from bench.children import DRE, Child, Place, child, dre_serve
from dre.adapters.sqlite.event_store import open_event_store
from dre.application.execute import new_events, read_stream
from dre.composition import Engine, open_engine, read_settings
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent, stream_name
from dre.domain.ids import uuid7
from dre.domain.operation import OperationCompleted, OperationStarted
from dre.domain.verification import VerificationComplete
from dre.ports.event_store import Append, NewEvent
from dre.projections.operations import newest

OPERATIONS = 10_000
PAGES, PAGE, BODY = 10, 100, 600
CONNECTIONS = 8
LIMITS = {
    ("events.100", "fastapi"): "at most 0.050",
    ("operation", "bare"): "at least 0.60",
    ("page.cpu", "limit"): "at most 1",
    ("page.bytes", "limit"): "at most 1",
}


class Answer(NamedTuple):
    status: int
    head: str
    body: bytes

    @property
    def size(self) -> int:
        return len(self.head) + len(self.body)


class Asker:
    """Kept connections, each with one request on its way at a time; nothing is parsed but the length."""

    def __init__(self, port: int, headers: Mapping[str, str], connections: int = CONNECTIONS) -> None:
        self._port = port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._sockets = [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(connections)]

    def ask(self, *paths: str) -> list[Answer]:
        """At most one for each connection."""
        for path, connection in zip(paths, self._sockets, strict=False):
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._headers}\r\n"
            connection.sendall(head.encode())
        return [_answer(connection) for _, connection in zip(paths, self._sockets, strict=False)]

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()


def _answer(connection: socket.socket) -> Answer:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length, head
    while len(body) < int(length[1]):
        body += _some(connection)
    return Answer(int(head[9:12]), head.decode() + "\r\n\r\n", body)


def _some(connection: socket.socket) -> bytes:
    found = connection.recv(1 << 18)
    assert found, "the server has closed the connection"
    return found


class Server(NamedTuple):
    child: Child
    asker: Asker

    def cost_us(self, paths: Sequence[str], requests: int, before: Callable[[], object] = lambda: None) -> float:
        """CPU per request; `before` each round of requests, one a connection."""
        began = self.child.cpu_s()
        for at in range(0, requests, CONNECTIONS):
            before()
            for answer in self.asker.ask(*(paths[(at + of) % len(paths)] for of in range(CONNECTIONS))):
                assert answer.status == 200, answer
        return (self.child.cpu_s() - began) / requests * 1e6


class History(NamedTuple):
    """`after`: the position before the first of the events with long bodies. `operation`: a whole one."""

    after: int
    operation: UUID
    actor: str


async def record(place: Place) -> History:
    """A thousand events with bodies of 600 bytes, and ten thousand operations with their verdicts."""
    async with open_engine(read_settings(place.folder, place.environment)) as engine:
        await engine.following.catch_up()
        [recorded] = await newest(engine.tables, limit=1)
        assert recorded.verification_id is not None
        operation = await read_stream(engine.store, stream_name("default", "operation", recorded.id))
        verification = await read_stream(engine.store, stream_name("default", "verification", recorded.verification_id))
        facts = [one.event for one in (*operation, *verification)]
        after = (await engine.store.head()).size - 1
        await append_all(engine, [long_body(engine) for _ in range(PAGES * PAGE)])
        await append_all(engine, [one for number in range(1, OPERATIONS) for one in again(facts, number)])
        assert await engine.following.catch_up() == []
        return History(after, recorded.id, engine.actor)


async def append_all(engine: Engine, events: Sequence[NewEvent]) -> None:
    for start in range(0, len(events), 512):
        await engine.store.append([Append(engine.actor, tuple(events[start : start + 512]))])


def long_body(engine: Engine) -> NewEvent:
    stream = stream_name("default", "configuration", engine.ledger_id)

    def of(filler: int) -> NewEvent:
        fact = ConfigurationChanged("evidence.retention", "x" * filler, None, "workspace")
        return new_events(stream, [fact], [uuid4()])[0]

    return of(BODY - len(of(0).body))


def again(facts: Sequence[DomainEvent], number: int) -> list[NewEvent]:
    """The recorded operation's start, end and verdict, as those of another."""
    [start] = [fact for fact in facts if isinstance(fact, OperationStarted)]
    began = start.timestamp + number
    id, verification = uuid7(began), uuid7(began)
    found: list[NewEvent] = []
    for fact in facts:
        match fact:
            case OperationStarted():
                stream = stream_name("default", "operation", id)
                new: DomainEvent = msgspec.structs.replace(fact, id=id, timestamp=began)
            case OperationCompleted():
                stream = stream_name("default", "operation", id)
                new = msgspec.structs.replace(fact, operation_id=id)
            case VerificationComplete():
                stream = stream_name("default", "verification", verification)
                new = msgspec.structs.replace(fact, operation_id=id, verification_id=verification)
            case _:
                continue
        found += new_events(stream, [new], [uuid4()])
    return found


class Committer:
    """Another process that commits, as `dre wrap` does; here it is the benchmark's own."""

    def __init__(self, runner: asyncio.Runner, place: Place, actor: str) -> None:
        self._runner, self._actor = runner, actor
        self._opened = open_event_store(place.within("ledger.db"))
        self._store = runner.run(self._opened.__aenter__())

    def commit(self) -> None:
        event = NewEvent(uuid4(), f"default/bench-{uuid4()}", "bench.noted", b'{"meta":{"schema":1}}')
        self._runner.run(self._store.append([Append(self._actor, (event,))]))

    def close(self) -> None:
        self._runner.run(self._opened.__aexit__(None, None, None))


def rows_of(server: Server, paths: Sequence[str]) -> list[dict[str, Any]]:
    """What our API shows, for the rival's table."""
    return [row for path in paths for row in json.loads(server.asker.ask(path)[0].body)["items"]]


def first_view(port: int, once: str) -> tuple[Asker, int]:
    """A browser that was opened, and how much it is sent to show the first page with all that belongs to it."""
    opening = Asker(port, {"Accept": "text/html"}, 1)
    [opened] = opening.ask(once)
    opening.close()
    cookie = re.search(r"(?i)set-cookie: ([^;]+)", opened.head)
    assert cookie, opened.head
    browser = Asker(port, {"Accept": "text/html", "Accept-Encoding": "gzip", "Cookie": cookie[1]})
    [page] = browser.ask("/")
    assert page.status == 200, page
    text = page.body.decode()
    parts = set(re.findall(r"""<(?:link|script|img)[^>]+(?:href|src)=["']?(/[^"' >]+)""", text))
    return browser, page.size + sum(browser.ask(part)[0].size for part in parts)


class Scene(NamedTuple):
    """Our server and its rivals, over the same rows. `others`: pages of events that nobody has asked for yet."""

    ours: Server
    browser: Server
    fastapi: Server
    bare: Server
    committer: Committer
    transferred: int
    operation: str
    operation_bytes: int
    pages: Sequence[str]
    others: Iterator[str]

    def commit(self) -> None:
        """Until the server has followed it."""
        self.committer.commit()
        time.sleep(0.12)

    def cost_of_commits(self, commits: int) -> float:
        began = self.ours.child.cpu_s()
        for _ in range(commits):
            self.commit()
        return (self.ours.child.cpu_s() - began) / commits * 1e6

    def works(self, *, quick: bool) -> dict[str, Callable[[], float]]:
        """What is measured in each round, in microseconds of CPU per request."""
        requests, commits = (160, 4) if quick else (400, 10)
        return {
            "events.100": lambda: self.ours.cost_us(self.pages, requests),
            "events.100.first": lambda: self.ours.cost_us(list(islice(self.others, 80)), 80),
            "fastapi": lambda: self.fastapi.cost_us(self.pages, requests // 2),
            "operation": lambda: self.ours.cost_us([self.operation], requests * 5),
            "bare": lambda: self.bare.cost_us([self.operation], requests * 5),
            "operation.committed": lambda: self.ours.cost_us([self.operation], commits * CONNECTIONS, self.commit),
            "commit": lambda: self.cost_of_commits(commits),
            "page": lambda: self.browser.cost_us(["/"], requests // 4),
        }


@contextmanager
def scene(folder: str) -> Iterator[Scene]:
    place = Place(folder)
    wrap = [DRE, "wrap", "--verify", "sh", "-c", "echo one line"]
    subprocess.run(wrap, cwd=place.folder, env=place.environment, check=True, capture_output=True)
    history = asyncio.run(record(place))
    pages = [f"/api/v1/events?limit={PAGE}&after={history.after + at * PAGE}" for at in range(PAGES)]
    operation = f"/api/v1/operations/{history.operation}"
    with ExitStack() as stack:
        serving, port, token, once = stack.enter_context(dre_serve(place))
        shows = {"Authorization": f"Bearer {token}"}
        ours = Server(serving, Asker(port, shows))
        time.sleep(1.5)  # until it has caught up
        database = os.path.join(folder, "rival.db")
        asyncio.run(rivals.fill(database, rows_of(ours, pages)))
        [whole] = ours.asker.ask(operation)

        beside = stack.enter_context(child("bench.rivals", "fastapi", database, token))
        theirs = Server(beside, Asker(beside.hear()["port"], shows))
        nothing = stack.enter_context(child("bench.rivals", "bare", str(len(whole.body))))
        assert rows_of(theirs, pages) == rows_of(ours, pages)

        committer = Committer(stack.enter_context(asyncio.Runner()), place, history.actor)
        browser, transferred = first_view(port, once)
        yield Scene(
            ours,
            Server(serving, browser),
            theirs,
            Server(nothing, Asker(nothing.hear()["port"], shows)),
            committer,
            transferred,
            operation,
            len(whole.body),
            pages,
            iter(f"/api/v1/events?limit={PAGE}&after={history.after + at}" for at in range((PAGES - 1) * PAGE)),
        )
        committer.close()
        health = Asker(port, shows, 1).ask("/api/v1/health")[0].body
        assert json.loads(health)["status"] == "ok", health


def median_costs(works: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    costs: dict[str, list[float]] = {name: [] for name in works}
    for at in range(rounds + 1):
        for name, work in works.items() if at % 2 else reversed(works.items()):
            cost = work()
            if at:  # the first one warms up
                costs[name].append(cost)
    return {name: statistics.median(each) for name, each in costs.items()}


def idle_ms(*servers: Server, seconds: float) -> list[float]:
    """CPU of each in a minute in which nobody asks."""
    time.sleep(1)
    began = [one.child.cpu_s() for one in servers]
    time.sleep(seconds)
    return [(one.child.cpu_s() - cpu) / seconds * 60e3 for one, cpu in zip(servers, began, strict=True)]


def run(folder: str, *, quick: bool) -> tuple[list[dict[str, Any]], str]:
    with scene(folder) as there:
        cpu = median_costs(there.works(quick=quick), rounds=3 if quick else 9)
        wake, asleep = idle_ms(there.ours, there.bare, seconds=5 if quick else 60)
    apart = cpu["operation.committed"] * CONNECTIONS - cpu["commit"]
    note = (
        f"one operation has {there.operation_bytes} bytes; following a commit costs {cpu['commit']:.0f} us, which are "
        f"not in operation.committed ({CONNECTIONS} requests after each)"
    )
    return [
        compared("events.100", "fastapi", cpu["events.100"], cpu["fastapi"], "us CPU per request"),
        compared("events.100.first", "fastapi", cpu["events.100.first"], cpu["fastapi"], "us CPU per request"),
        compared("operation", "bare", 1e6 / cpu["operation"], 1e6 / cpu["bare"], "requests per CPU second"),
        compared("operation.committed", "bare", apart / CONNECTIONS, cpu["bare"], "us CPU per request"),
        compared("page.cpu", "limit", cpu["page"] / 1e3, 50, "ms CPU per request"),
        compared("page.bytes", "limit", there.transferred, 60_000, "bytes"),
        compared("wake", "bare", wake, asleep, "ms CPU per minute"),
    ], note


def compared(work: str, peer: str, ours: float, theirs: float, unit: str) -> dict[str, Any]:
    return {
        "work": work,
        "ours": round(ours, 1),
        "theirs": round(theirs, 1),
        "peer": peer,
        "ratio": round(ours / theirs, 4) if theirs else None,
        "unit": unit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results, note = run(folder, quick=asked.quick)
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, FastAPI {fastapi.__version__}, "
        f"SQLAlchemy {sqlalchemy.__version__}\n"
    )
    print(f"{'work':<20} {'ours':>10} {'theirs':>10}  {'peer':<8} {'ratio':>7}  unit")
    for one in results:
        limit = LIMITS.get((one["work"], one["peer"]))
        print(
            f"{one['work']:<20} {one['ours']:>10.1f} {one['theirs']:>10.1f}  {one['peer']:<8} "
            f"{one['ratio'] or 0:>7.3f}  {one['unit']}{f'  ({limit})' if limit else ''}"
        )
    print(f"\n{note}")
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"results": results}, file, indent=2)


if __name__ == "__main__":
    main()
