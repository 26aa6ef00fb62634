"""
What the command line costs: CPU of whole process trees, user and system, in milliseconds.

    python bench/cli.py [--quick] [--json FILE]

`dre --help`, `dre log` of a thousand operations, `dre show last`, and the ingest of ten megabytes of output, each
beside a named peer in the same run: the bare interpreter, `git log` and `git show` in a repository of a thousand
commits, `gzip` of the same output. Rivals alternate; medians are compared. CPU holds on a busy machine.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from dre.application.execute import new_events, read_stream
from dre.composition import Engine, open_engine, read_settings
from dre.domain.events import DomainEvent, Recorded, stream_name
from dre.domain.evidence import EvidenceCollected, EvidenceComplete
from dre.domain.ids import uuid7
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.ledger.event_id import operation_event_id
from dre.ports.event_store import Append, Receipt
from dre.projections.operations import newest

OPERATIONS = 1000
OUTPUT_MB = 10
DRE = [os.path.join(os.path.dirname(sys.executable), "dre")]
BARE = [sys.executable, "-c", "pass"]
CAPTURE_ONLY = (
    "from dre.shim import recorder, ingest\ningest.spawn = lambda root: None\nrecorder.main(['cat', 'log.txt'])"
)


class Rivals(NamedTuple):
    """`prepare` runs before each of ours; `at_most` is in milliseconds of CPU."""

    work: str
    ours: Sequence[str]
    peer: str
    theirs: Sequence[str]
    at_most: float
    prepare: Callable[[], object] = lambda: None


class Place:
    """A folder with a repository of a thousand commits, and as many operations, under a HOME of its own."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.join(folder, "project")
        self.home = os.path.join(folder, "home")
        os.makedirs(self.folder)
        os.makedirs(self.home, mode=0o700)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DRE_", "GIT_", "XDG_"))}
        self.environment: Mapping[str, str] = {**kept, "HOME": self.home, "GIT_CONFIG_NOSYSTEM": "1"}

    def run(self, *words: str, **more: Any) -> None:
        subprocess.run(
            words, cwd=self.folder, env=self.environment, check=True, stdout=subprocess.DEVNULL, timeout=600, **more
        )

    def make(self) -> None:
        self.run("git", "init", "-q", "-b", "main")
        who = "committer A Tester <tester@example.org>"
        commits = "".join(
            f"commit refs/heads/main\n{who} {1_700_000_000 + at} +0000\ndata 8\nchange\n\n"
            f"M 100644 inline file\ndata {len(str(at))}\n{at}\n"
            for at in range(OPERATIONS)
        )
        self.run("git", "fast-import", "--quiet", input=commits.encode())
        self.run("git", "reset", "-q", "--hard", "main")
        lines = (
            f"{at:08} test_module_{at % 97}.py::test_case_{at % 1013} PASSED [{at % 100:3} %]\n" for at in range(10**9)
        )
        with open(os.path.join(self.folder, "log.txt"), "w", encoding="ascii") as file:
            while file.tell() < OUTPUT_MB * 1_000_000:
                file.write("".join(next(lines) for _ in range(1000)))
        self.run(*DRE, "wrap", "--verify", "sh", "-c", "echo one line", stderr=subprocess.DEVNULL)
        asyncio.run(self._repeat())
        self.run(*DRE, "log")

    async def _repeat(self) -> None:
        """The recorded operation a thousand times, with ids and times of its own each, judged by the verifiers."""
        async with open_engine(read_settings(self.folder, self.environment)) as engine:
            await engine.following.catch_up()
            [recorded] = await newest(engine.tables, limit=2)
            events = await read_stream(engine.store, stream_name("default", "operation", recorded.id))
            for number in range(1, OPERATIONS):
                await _repeat(engine, events, number)
            assert await engine.following.catch_up() == []

    def capture(self) -> None:
        """Ten megabytes that wait in the spool."""
        self.run(sys.executable, "-c", CAPTURE_ONLY)

    def cpu_ms(self, words: Sequence[str]) -> float:
        with open(os.devnull, "w", encoding="ascii") as nothing:
            process = subprocess.Popen(words, cwd=self.folder, env=self.environment, stdout=nothing, stderr=nothing)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, words
        return (usage.ru_utime + usage.ru_stime) * 1000


async def _repeat(engine: Engine, events: Sequence[Recorded], number: int) -> None:
    started = events[0].event
    assert isinstance(started, OperationStarted)
    began = started.timestamp + number
    id = uuid7(began)
    facts = [_renamed(recorded.event, id, at, began) for at, recorded in enumerate(events)]
    stream = stream_name("default", "operation", id)
    ids = [operation_event_id(id, at) for at in range(len(facts))]
    answer = await engine.appender.append(Append(engine.actor, new_events(stream, facts, ids), {stream: 0}))
    assert isinstance(answer, Receipt)


def _renamed(fact: DomainEvent, id: UUID, at: int, began: int) -> DomainEvent:
    match fact:
        case OperationStarted():
            return msgspec.structs.replace(fact, id=id, timestamp=began)
        case EvidenceCollected():
            return msgspec.structs.replace(fact, id=operation_event_id(id, at), operation_id=id)
        case OperationCompleted() | OperationInterrupted() | EvidenceComplete():
            return msgspec.structs.replace(fact, operation_id=id)
        case _:
            return fact


def run(place: Place, rivals: Sequence[Rivals], rounds: int) -> list[dict[str, Any]]:
    costs: dict[tuple[str, str], list[float]] = {}
    for at in range(rounds + 1):  # the first one warms up
        for rival in rivals:
            pair = [(rival.work, "ours", rival.ours), (rival.work, "theirs", rival.theirs)]
            for work, whose, words in pair if at % 2 else reversed(pair):
                if whose == "ours":
                    rival.prepare()
                cost = place.cpu_ms(words)
                if at:
                    costs.setdefault((work, whose), []).append(cost)
    return [_compared(rival, costs) for rival in rivals]


def _compared(rival: Rivals, costs: Mapping[tuple[str, str], Sequence[float]]) -> dict[str, Any]:
    ours, theirs = (statistics.median(costs[rival.work, whose]) for whose in ("ours", "theirs"))
    return {
        "work": rival.work,
        "ours": round(ours, 1),
        "theirs": round(theirs, 1),
        "peer": rival.peer,
        "ratio": round(ours / theirs, 2) if theirs else None,
        "unit": "ms CPU",
        "atMost": rival.at_most,
    }


def all_rivals(place: Place) -> list[Rivals]:
    ingest = [*DRE, "ingest", "--root", os.path.join(place.folder, ".dre")]
    gzip = shutil.which("gzip") or "gzip"
    return [
        Rivals("dre --help", [*DRE, "--help"], "python -c pass", BARE, 150),
        Rivals(
            f"dre log, {OPERATIONS}",
            [*DRE, "log", "--limit", str(OPERATIONS)],
            f"git log -n {OPERATIONS}",
            ["git", "--no-pager", "log", "-n", str(OPERATIONS)],
            300,
        ),
        Rivals("dre log", [*DRE, "log"], "git log -n 20", ["git", "--no-pager", "log", "-n", "20"], 300),
        Rivals("dre show last", [*DRE, "show", "last"], "git show", ["git", "--no-pager", "show"], 250),
        Rivals(f"ingest, {OUTPUT_MB} MB", ingest, "gzip of it", [gzip, "-c", "log.txt"], 1500, place.capture),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Place(folder)
        place.make()
        results = run(place, all_rivals(place), 3 if asked.quick else 11)
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}; ms CPU of the whole process tree\n")
    print(f"{'work':<16} {'ours':>8} {'at most':>8}   {'peer':<18} {'theirs':>8} {'ratio':>7}")
    for result in results:
        print(
            f"{result['work']:<16} {result['ours']:>8.1f} {result['atMost']:>8}   "
            f"{result['peer']:<18} {result['theirs']:>8.1f} {result['ratio'] or 0:>7.2f}"
        )
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"results": results}, file, indent=2)


if __name__ == "__main__":
    main()
