"""
What the live stream costs the server, and how long a message is on its way.

    python bench/stream.py [--quick] [--json FILE]

Facts of 500 bytes are really appended to a ledger and told to 500 listeners at a thousand a second: with a token, some
of the listeners filtered, some resumed. Beside it, with the same messages made up as they are sent: a server of aiohttp
that awaits `send_str` for each client, and `broadcast` of the websockets library. The figure is the CPU of the server's
process, user and system (ours appends and keeps its tables besides), per message that reached a listener; where a rival
cannot keep up, its CPU is divided by what it delivered. Then latencies, and listeners that never read.
"""

import os.path
import sys

sys.path.insert(0, os.path.dirname(sys.path.pop(0)))  # this folder holds an http.py, which is not the library's

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import aiohttp
import websockets.version

from bench.children import Child, Place, child

SUBSCRIBERS, RATE = 500, 1000
FILTER = {"types": ["configuration.changed"]}
LIMITS = {
    ("fanout.500", "send_str"): "at most 0.25",
    ("fanout.500", "broadcast"): "at most 0.25",
    ("latency.own", "commit"): "at most 2 ms more",
    ("latency.elsewhere", "commit"): "at most 60 ms",
    ("stalled.p99", "without"): "at most 1.30",
    ("stalled.memory", "limit"): "at most 1",
}
_DRAIN_S = 20.0
_WATCHED = 50
_UNTIL_CUT_S = 25.0  # what the network takes is full within a second, and twenty more are waited


class Server(NamedTuple):
    child: Child
    port: int
    token: str = ""


class Delivery(NamedTuple):
    """`offered`: what should have reached all listeners; `delivered`: what did, by when all had it or time was up."""

    cpu_s: float
    offered: int
    delivered: int
    seconds: float

    @property
    def us(self) -> float:
        return self.cpu_s / self.delivered * 1e6


def ours_fanout(server: Server, clients: Child, seconds: float, newest: int) -> tuple[Delivery, int]:
    """The position of the newest event comes back: the next run's listeners resume from there."""
    tenth = SUBSCRIBERS // 10
    resumed = min(200, newest + 1)
    groups = [
        group(SUBSCRIBERS - 2 * tenth, {}),
        group(tenth, FILTER),
        group(tenth, {"after": newest - resumed}),
    ]
    clients.ask(do="connect", port=server.port, token=server.token, groups=groups)
    wait_for(clients, 0, tenth * resumed)
    cpu, began = server.child.cpu_s(), time.monotonic()
    told = server.child.ask(rate=RATE, seconds=seconds)
    sent = told["sent"]
    filtered = tenth * (sent // 2)
    due = (SUBSCRIBERS - tenth) * sent + filtered
    got = wait_for(clients, due + tenth * resumed, due + tenth * resumed) - tenth * resumed
    found = Delivery(server.child.cpu_s() - cpu, due, got, time.monotonic() - began)
    report = clients.ask(do="report")
    whole = [gaps for gaps, (_, last) in zip(report["gaps"], report["ends"], strict=True) if last == told["last"]]
    assert got == due, f"{got} of {due} messages came"
    assert sum(1 for gaps in whole if gaps) <= tenth // _WATCHED + 1, report
    clients.ask(do="leave")
    return found, told["last"]


def rival_fanout(server: Server, clients: Child, seconds: float) -> Delivery:
    clients.ask(do="connect", port=server.port, token="", groups=[group(SUBSCRIBERS, None)])
    cpu, began = server.child.cpu_s(), time.monotonic()
    server.child.tell(rate=RATE, seconds=seconds)
    time.sleep(seconds)
    got = sum(clients.ask(do="counts")["counts"])
    found = Delivery(server.child.cpu_s() - cpu, int(RATE * seconds * SUBSCRIBERS), got, time.monotonic() - began)
    server.child.hear()
    clients.ask(do="leave")
    time.sleep(1)
    return found


def group(count: int, subscribe: dict[str, Any] | None, *, watched: int = _WATCHED, **more: Any) -> dict[str, Any]:
    return {"count": count, "subscribe": subscribe, "watched": watched, **more}


def wait_for(clients: Child, *wanted: int) -> int:
    """Until so many messages have come in all (the largest of these), or for as long as any still come."""
    most, moved, got = max(wanted), time.monotonic(), -1
    while True:
        now = sum(clients.ask(do="counts")["counts"])
        if now != got:
            got, moved = now, time.monotonic()
        if got >= most or time.monotonic() - moved > _DRAIN_S:
            return got
        time.sleep(0.02)


class Latency(NamedTuple):
    commit_p50: float
    p50: float
    p99: float


def latency(server: Server, source: Child, clients: Child, seconds: float) -> Latency:
    clients.ask(do="connect", port=server.port, token=server.token, groups=[group(50, {}, watched=1)])
    told = source.ask(rate=100, seconds=seconds)
    got = wait_for(clients, 50 * told["sent"])
    assert got == 50 * told["sent"], f"{got} messages came"
    report = clients.ask(do="report")
    assert not any(report["gaps"]), report
    clients.ask(do="leave")
    return Latency(told["p50"], report["p50"], report["p99"])


class Stall(NamedTuple):
    p99: float
    grown_kib: int
    cuts: int


def stall(server: Server, clients: Child, seconds: float, *, stalled: int) -> Stall:
    """Two hundred listeners, so many of which read nothing until it is over."""
    clients.ask(
        do="connect",
        port=server.port,
        token=server.token,
        groups=[group(200 - stalled, {}, watched=10), group(stalled, {}, stalls=True)],
    )
    before = server.child.rss_kib()
    told = server.child.ask(rate=RATE, seconds=seconds)
    got = wait_for(clients, (200 - stalled) * told["sent"])
    assert got == (200 - stalled) * told["sent"], f"{got} messages came"
    grown = server.child.rss_kib() - before
    report = clients.ask(do="report")
    resumed = clients.ask(do="resume", upto=told["last"])
    assert not any(resumed["gaps"]), resumed
    assert all(start == told["first"] for start in resumed["starts"]), resumed
    clients.ask(do="leave")
    time.sleep(0.5)
    return Stall(report["p99"], grown, resumed["cuts"])


def run(folder: str, *, quick: bool) -> tuple[list[dict[str, Any]], list[str]]:
    place = Place(folder)
    rounds, seconds = (1, 2.0) if quick else (3, 8.0)
    with ExitStack() as stack:
        ours_child = stack.enter_context(child("bench.streaming", place.folder, environment=place.environment))
        said = ours_child.hear()
        ours = Server(ours_child, said["port"], place.token())
        elsewhere = stack.enter_context(
            child("bench.streaming", place.folder, said["actor"], environment=place.environment)
        )
        rivals = {}
        for name in ("send_str", "broadcast"):
            one = stack.enter_context(child("bench.rivals", name))
            rivals[name] = Server(one, one.hear()["port"])
        clients = stack.enter_context(child("bench.clients"))

        newest = ours_child.ask(rate=2500, seconds=4.2)["last"]  # as many as the server keeps in memory
        fanned: dict[str, list[Delivery]] = {name: [] for name in ("ours", *rivals)}
        for _ in range(rounds):
            delivery, newest = ours_fanout(ours, clients, seconds, newest)
            fanned["ours"].append(delivery)
            for name, rival in rivals.items():
                fanned[name].append(rival_fanout(rival, clients, seconds))

        own = [latency(ours, ours_child, clients, seconds / 2) for _ in range(rounds)]
        others = [latency(ours, elsewhere, clients, seconds / 2) for _ in range(rounds)]
        without, among = [], []
        for _ in range(rounds):
            without.append(stall(ours, clients, seconds, stalled=0))
            among.append(stall(ours, clients, seconds, stalled=20))
        cut = [] if quick else [stall(ours, clients, _UNTIL_CUT_S, stalled=20)]
        assert all(one.cuts == 20 for one in cut), cut
    return results_of(fanned, own, others, without, among), notes_of(fanned, others, without, among, cut)


def results_of(
    fanned: Mapping[str, Sequence[Delivery]],
    own: Sequence[Latency],
    others: Sequence[Latency],
    without: Sequence[Stall],
    among: Sequence[Stall],
) -> list[dict[str, Any]]:
    median = statistics.median
    us = {name: median(one.us for one in each) for name, each in fanned.items()}
    grown = max(median(one.grown_kib for one in among) - median(one.grown_kib for one in without), 0) / 20
    return [
        compared("fanout.500", "send_str", us["ours"], us["send_str"], "us CPU per delivered message"),
        compared("fanout.500", "broadcast", us["ours"], us["broadcast"], "us CPU per delivered message"),
        compared("latency.own", "commit", median(o.p50 for o in own), median(o.commit_p50 for o in own), "ms p50"),
        compared(
            "latency.elsewhere", "commit", median(o.p50 for o in others), median(o.commit_p50 for o in others), "ms p50"
        ),
        compared("stalled.p99", "without", median(s.p99 for s in among), median(s.p99 for s in without), "ms p99"),
        compared("stalled.memory", "limit", grown, 256, "KiB per stalled listener"),
    ]


def notes_of(
    fanned: Mapping[str, Sequence[Delivery]],
    others: Sequence[Latency],
    without: Sequence[Stall],
    among: Sequence[Stall],
    cut: Sequence[Stall],
) -> list[str]:
    notes = [
        f"{name}: {sum(one.delivered for one in each) / sum(one.offered for one in each):.0%} delivered of "
        f"{each[0].offered / each[0].seconds / 1e3:.0f} thousand messages a second, "
        f"{statistics.median(one.cpu_s / one.seconds for one in each):.2f} CPUs"
        for name, each in fanned.items()
    ]
    notes.append(f"commits of another process: p99 {statistics.median(one.p99 for one in others):.1f} ms")
    notes.append(
        f"stalled listeners: {sum(one.cuts for one in (*among, *cut))} were cut, all complete after they resumed; "
        f"memory grew by {[one.grown_kib for one in among]} KiB, "
        f"without them by {[one.grown_kib for one in without]} KiB"
    )
    return notes


def compared(work: str, peer: str, ours: float, theirs: float, unit: str) -> dict[str, Any]:
    return {
        "work": work,
        "ours": round(ours, 3),
        "theirs": round(theirs, 3),
        "peer": peer,
        "ratio": round(ours / theirs, 3) if theirs else None,
        "unit": unit,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", metavar="FILE", help="write the results there too")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results, notes = run(folder, quick=asked.quick)
    print(
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; "
        f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, websockets {websockets.version.version}\n"
    )
    print(f"{'work':<18} {'ours':>9} {'theirs':>9}  {'peer':<10} {'ratio':>7}  unit")
    for one in results:
        limit = LIMITS.get((one["work"], one["peer"]))
        print(
            f"{one['work']:<18} {one['ours']:>9.2f} {one['theirs']:>9.2f}  {one['peer']:<10} "
            f"{one['ratio'] or 0:>7.3f}  {one['unit']}{f'  ({limit})' if limit else ''}"
        )
    print("\n" + "\n".join(notes))
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump({"results": results}, file, indent=2)


if __name__ == "__main__":
    main()
