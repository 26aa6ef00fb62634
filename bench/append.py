"""
What an append costs on SQLite: CPU per event by the size of the batch, beside the disk's own latency.

    python bench/append.py [--quick] [--json FILE]

Every commit waits for the disk (WAL, synchronous=FULL); bodies have 600 bytes. All sizes alternate in one run, beside
them the recorder of the `eventsourcing` library on the same disk with the same settings. CPU is the whole process's,
user and system, so it holds on a busy machine where wall times do not.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import uuid4

import apsw
from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

from dre.adapters.sqlite.event_store import SQLiteEventStore, open_event_store
from dre.ledger.audit import audit
from dre.ports.event_store import Append, NewEvent

BATCHES = (1, 32, 256, 512)
BODY = b'{"meta":{"schema":1},"s":"' + b"x" * 572 + b'"}'
LIMITS = {("sqlite.256", "batch-1"): 1 / 5}


class Cost(NamedTuple):
    cpu_us: float
    wall_us: float


def measured(work: Callable[[], object], events: int) -> Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost((time.process_time() - cpu) / events * 1e6, (time.perf_counter() - wall) / events * 1e6)


def one_event(stream: str) -> Append:
    return Append("local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960", (NewEvent(uuid4(), stream, "bench.noted", BODY),))


class Ours:
    """Batches as group commit makes them: so many appends of one event, each to a stream of its own."""

    def __init__(self, runner: asyncio.Runner, store: SQLiteEventStore) -> None:
        self._runner, self._store = runner, store

    def append(self, batch: int, events: int) -> Cost:
        batches = [[one_event(f"default/bench-{uuid4()}") for _ in range(batch)] for _ in range(events // batch)]

        async def work() -> None:
            for each in batches:
                await self._store.append(each)

        return measured(lambda: self._runner.run(work()), events)


class Library:
    """The recorder of the eventsourcing library: no chain, no idempotency, the same number of rows and syncs."""

    def __init__(self, path: str) -> None:
        self._datastore = SQLiteDatastore(path)
        with self._datastore.transaction(commit=False) as cursor:
            cursor.execute("PRAGMA synchronous")
            assert tuple(cursor.fetchone()) == (2,), "this Python's SQLite does not wait for the disk by default"
        self._recorder = SQLiteApplicationRecorder(self._datastore)
        self._recorder.create_table()

    def append(self, batch: int, events: int) -> Cost:
        batches = [[StoredEvent(uuid4(), 0, "bench:Noted", BODY) for _ in range(batch)] for _ in range(events // batch)]

        def work() -> None:
            for each in batches:
                self._recorder.insert_events(each)

        return measured(work, events)

    def close(self) -> None:
        self._datastore.close()


def sync_latencies(folder: str, count: int) -> list[float]:
    """Microseconds that the disk takes for four kilobytes."""
    taken = []
    fd = os.open(os.path.join(folder, "synced"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for _ in range(count):
        start = time.perf_counter()
        os.write(fd, bytes(4096))
        os.fdatasync(fd)
        taken.append((time.perf_counter() - start) * 1e6)
    os.close(fd)
    return taken


def run(folder: str, *, rounds: int) -> tuple[dict[str, list[Cost]], float, int]:
    """Every size in every round; the cost of an audit of all that was written, per event, and how much that was."""
    costs: dict[str, list[Cost]] = {}
    with asyncio.Runner() as runner:
        opened = open_event_store(os.path.join(folder, "ledger.db"))
        store = runner.run(opened.__aenter__())
        ours, library = Ours(runner, store), Library(os.path.join(folder, "library.db"))
        for round_number in range(rounds + 1):
            for batch in BATCHES:
                events = batch * max(4, min(400, 2048 // batch))
                pair = [(f"sqlite.{batch}", ours.append), (f"eventsourcing.{batch}", library.append)]
                for name, append in pair if round_number % 2 else reversed(pair):
                    cost = append(batch, events)
                    if round_number:  # the first one warms up
                        costs.setdefault(name, []).append(cost)
        library.close()
        size = runner.run(store.head()).size
        audited = measured(lambda: runner.run(everything_holds(store)), size)
        runner.run(opened.__aexit__(None, None, None))
    return costs, audited.cpu_us, size


async def everything_holds(store: SQLiteEventStore) -> None:
    assert [finding async for finding in audit(store)] == []


def compared(costs: dict[str, list[Cost]]) -> list[dict[str, Any]]:
    cpu = {name: statistics.median(cost.cpu_us for cost in each) for name, each in costs.items()}
    pairs = [("sqlite.256", "batch-1", cpu["sqlite.1"])]
    pairs += [(f"sqlite.{batch}", f"eventsourcing.{batch}", cpu[f"eventsourcing.{batch}"]) for batch in BATCHES]
    return [
        {
            "work": work,
            "ours": round(cpu[work], 2),
            "theirs": round(theirs, 2),
            "peer": peer,
            "ratio": round(cpu[work] / theirs, 3),
            "unit": "us CPU per event",
        }
        for work, peer, theirs in pairs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    parser.add_argument("--folder", metavar="DIR", help="measure on this disk (default: the temporary folder's)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        syncs = sync_latencies(folder, 100 if asked.quick else 500)
        costs, audited_us, size = run(folder, rounds=3 if asked.quick else 11)
    results = compared(costs)

    print(f"Python {platform.python_version()}, SQLite {apsw.sqlitelibversion()}, load {os.getloadavg()[0]:.1f}")
    slowest = statistics.quantiles(syncs, n=100)[98]
    print(f"write and sync 4 KiB: p50 {statistics.median(syncs):.0f} us, p99 {slowest:.0f} us\n")
    print(f"{'batch':>6} {'CPU us/event':>13} {'events/s':>10}   {'eventsourcing CPU':>17} {'events/s':>10}")
    for batch in BATCHES:
        row = [costs[f"{who}.{batch}"] for who in ("sqlite", "eventsourcing")]
        (cpu, wall), (their_cpu, their_wall) = (
            [statistics.median(cost[at] for cost in each) for at in (0, 1)] for each in row
        )
        print(f"{batch:>6} {cpu:>13.1f} {1e6 / wall:>10.0f}   {their_cpu:>17.1f} {1e6 / their_wall:>10.0f}")
    print(f"\naudit of {size} events: {audited_us:.1f} us CPU per event\n")
    for result in results:
        limit = LIMITS.get((result["work"], result["peer"]))
        wanted = f"  (at most {limit:.3f})" if limit else ""
        print(f"{result['work']:>12} / {result['peer']:<18} {result['ratio']:>7.3f}{wanted}")
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"results": results}, file, indent=2)


if __name__ == "__main__":
    main()
