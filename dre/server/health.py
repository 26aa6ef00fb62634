"""`/health`: the worst state alone for everybody, each part for the owner; what a monitor scrapes; the two probes."""

import os
from collections import Counter
from collections.abc import Iterator

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from dre.errors import DREError
from dre.server import answers
from dre.server.live import LIVE, Live, Standing, State
from dre.server.routes import Media, Route, api
from dre.server.workspace import WORKSPACE, Workspace

TEXT = "text/plain; version=0.0.4; charset=utf-8"
_ORDER: tuple[State, ...] = ("ok", "degraded", "down")


class Health(msgspec.Struct, frozen=True):
    status: State


class Detailed(msgspec.Struct, frozen=True):
    """`events`: how many the ledger holds. `parts`: each with its state, since when, and the code of its last error."""

    status: State
    events: int
    listeners: int
    parts: list[Standing]


class Counted:
    """Requests by route and status, counted where they pass."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, int]] = Counter()


COUNTED: web.AppKey[Counted] = web.AppKey("counted", Counted)


async def health(request: web.Request) -> web.Response:
    return _plain(Health(_worst(await _parts(request.app))))


async def livez(_request: web.Request) -> web.Response:
    return _plain(Health("ok"))


async def readyz(request: web.Request) -> web.Response:
    """Whether an append would be durable now. That some recordings are kept back keeps no other from it."""
    parts = {part.name: part for part in await _parts(request.app)}
    workspace, ledger, recording = (parts[name] for name in ("workspace", "ledger", "recording"))
    is_ready = workspace.state == "ok" and "down" not in (ledger.state, recording.state)
    return _plain(Health(_worst([workspace, ledger, recording])), status=200 if is_ready else 503)


async def detailed(request: web.Request) -> web.Response:
    parts = await _parts(request.app)
    live = request.app[LIVE]
    events = await _events(request.app[WORKSPACE], live)
    return answers.as_json(request, Detailed(_worst(parts), events, len(live.listeners), parts))


async def metrics(request: web.Request) -> web.Response:
    await request.app[LIVE].look()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(request.app[LIVE], request.app[COUNTED]))
    return web.Response(body=generate_latest(registry), headers={"Content-Type": TEXT})


async def _parts(app: web.Application) -> list[Standing]:
    await app[LIVE].look()
    return list(app[LIVE].standings.values())


async def _events(workspace: Workspace, live: Live) -> int:
    """What is committed now; the stream hears of it a moment later, and is asked only where the ledger cannot be."""
    try:
        return (await workspace.store.head()).size
    except DREError:
        return live.ring.position + 1


def _worst(parts: list[Standing]) -> State:
    return max((part.state for part in parts), key=_ORDER.index, default="ok")


def _plain(value: Health, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


class _Metrics(Collector):
    def __init__(self, live: Live, counted: Counted) -> None:
        self._live, self._counted = live, counted

    def collect(self) -> Iterator[Metric]:
        live, now = self._live, self._live.measured()
        yield GaugeMetricFamily("dre_events", "Events in the ledger, as seen by the stream.", now.events)
        yield GaugeMetricFamily("dre_listeners", "Connected listeners.", now.listeners)
        yield GaugeMetricFamily("dre_ring_bytes", "Bytes of messages kept for listeners.", now.ring_bytes)
        yield GaugeMetricFamily("dre_followed_events", "Events that the tables show.", now.followed_events)
        up = GaugeMetricFamily("dre_part_up", "1 where a part works, 0.5 degraded, 0 down.", labels=["part"])
        for standing in live.standings.values():
            up.add_metric([standing.name], 1 - _ORDER.index(standing.state) / 2)
        yield up
        requests = CounterMetricFamily("dre_http_requests", "Answered requests.", labels=["method", "route", "status"])
        for (method, route, status), count in self._counted.requests.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests
        cpu = os.times()
        yield CounterMetricFamily("process_cpu_seconds", "User and system CPU time in seconds.", cpu.user + cpu.system)


ROUTES: tuple[Route, ...] = (
    api("GET", "/health", health, "The worst state alone", relation="anyone", answers={200: Health}),
    api("GET", "/health/detailed", detailed, "The state of each part", answers={200: Detailed}),
    api(
        "GET", "/health/metrics", metrics, "What a monitor scrapes", answers={200: Media(TEXT, "Prometheus exposition")}
    ),
    Route("GET", "/livez", livez, "anyone", "Whether the process answers", {200: Health}),
    Route("GET", "/readyz", readyz, "anyone", "Whether an append would be durable", {200: Health, 503: Health}),
)
