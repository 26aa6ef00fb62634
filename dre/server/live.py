"""
The server awake: history is followed, what waits in the spool is recorded, and every new event reaches the stream.

Each of these is a task that nothing may end: what goes wrong is remembered for `/health`, and tried again.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Literal, Protocol

import msgspec
import structlog
from aiohttp import web

from dre.domain.ledger import DEFAULT_PROJECT
from dre.errors import DREError, StoreBusy, StoreFull
from dre.server.access import Access, Principal
from dre.server.running import POLL_S, Running
from dre.server.stream.broadcast import Broadcast
from dre.server.stream.ring import Entry, Ring, event_entry
from dre.server.stream.session import GOING_AWAY, SESSION_OVER, missing
from dre.server.workspace import Workspace

SETTLE_S = 2.0
BEAT_S = 15.0
MEASURE_S = 5.0
MOST_LISTENERS = 2000
_POLL_S = 1.0
_AGAIN_S = 1.0
_FOLLOW_AFTER_S, _LONGEST_REST_S = 0.004, 0.05
_REST_FACTOR = 2.0  # a third of the time at most goes into the tables
_LOOK_FOR_LOST_S = 5.0
_SPOOL_POLL_S = 0.1
_PAUSE_FACTOR, _LONGEST_PAUSE_S = 10, 2.0

State = Literal["ok", "degraded", "down"]


class Standing(msgspec.Struct, frozen=True):
    """
    How one part is. `since`: milliseconds since the epoch, of when it was first seen so. `error`: the last one's code,
    None while all is well.
    """

    name: str
    state: State
    since: int
    error: str | None = None


class Measured(msgspec.Struct, frozen=True, rename="camel"):
    """How much there is. `ringBytes`: of messages kept for listeners. `followedEvents`: what the tables show."""

    at: int
    events: int
    followed_events: int
    listeners: int
    ring_bytes: int


class _MeasuredMessage(msgspec.Struct, frozen=True):
    type: str
    data: Measured


class Listening(Protocol):
    principal: Principal

    def leave(self, why: str = GOING_AWAY) -> None:
        """It is told from where it can go on, and ends."""
        ...


class Live:
    """`listeners`: everybody who is connected, subscribed or not."""

    def __init__(self, workspace: Workspace, access: Access) -> None:
        self._workspace, self._access = workspace, access
        self.ring = Ring()
        self.broadcast = Broadcast(self.ring, workspace.store)
        self.listeners: set[Listening] = set()
        self._places_taken = 0
        self.hearing = Running(workspace.spools, workspace.secret_patterns, self.broadcast)
        self._parts = {
            "history": self._tail,
            "tables": self._follow,
            "recording": self._record,
            "hearing": self._hear,
            "stream": self._pulse,
            "metrics": self._measure,
        }
        self.standings: dict[str, Standing] = {}
        for name in ("workspace", "ledger", *self._parts):
            self._fine(name)
        self._followed_commits: object = None
        self.followed = 0
        self._moved = asyncio.Event()
        self._log = structlog.get_logger("dre")

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self._begin()
        try:
            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(self._kept_up(name, work)) for name, work in self._parts.items()]
                try:
                    yield
                finally:
                    for task in running:
                        task.cancel()
        finally:
            self.hearing.close()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """
        One for a listener, taken before the first wait: of many who come at once no more get in than may. Raises
        StoreBusy.
        """
        if self._places_taken >= MOST_LISTENERS:
            raise StoreBusy(f"{MOST_LISTENERS} listeners are connected already", hint="try again later")
        self._places_taken += 1
        try:
            yield
        finally:
            self._places_taken -= 1

    async def settled(self) -> None:
        """
        Until the tables show everything that was committed before this call. At most two seconds: what is not there
        then is behind, and `/health` says so.
        """
        store = self._workspace.store
        if store.commits() == self._followed_commits:
            return
        size = (await store.head()).size
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while self.followed < size:
                    await self._moved.wait()

    async def look(self) -> None:
        """How the workspace and the ledger are: they do not tell by themselves."""
        workspace = self._workspace
        if workspace.vanished() is not None:
            self._wrong("workspace", "ledger_missing", "down")
        elif workspace.blocked is not None:
            self._wrong("workspace", workspace.blocked.code, "degraded")
        elif not workspace.has_room():
            self._wrong("workspace", StoreFull.code, "degraded")
        else:
            self._fine("workspace")
        try:
            await workspace.store.head()
        except DREError as error:
            self._wrong("ledger", error.code, "down")
        else:
            self._fine("ledger")

    async def _begin(self) -> None:
        """The stream begins at the head: what is older is read from history."""
        await self.look()
        head = await self._workspace.store.head()
        self.ring.begin(head.size - 1)

    async def _tail(self) -> None:
        """Every committed event, in order, as soon as it is there."""
        store, ring = self._workspace.store, self.ring
        while True:
            size = await store.changed(ring.position + 1, _POLL_S)
            async for page in store.read(ring.position, size):
                for stored in page:
                    if stored.entry.position != ring.position + 1:
                        raise missing(ring.position + 1)
                    ring.add(event_entry(stored))
                self.broadcast.tick()
            if ring.position + 1 != size:  # else the next look would come at once, for ever
                raise missing(min(ring.position + 1, size))
            self._fine("history")

    async def _follow(self) -> None:
        """Tables, verdicts, and whatever else reacts to history."""
        store, loop = self._workspace.store, asyncio.get_running_loop()
        rest, look_for_lost_at = _FOLLOW_AFTER_S, 0.0
        while True:
            await asyncio.sleep(rest)  # listeners first; what comes meanwhile is followed at once
            began = loop.time()
            commits = store.commits()
            size = (await store.head()).size
            parked = await self._workspace.following.catch_up()
            self._followed_commits, self.followed = None if parked else commits, size
            moved, self._moved = self._moved, asyncio.Event()
            moved.set()
            if parked:
                self._wrong("tables", f"{parked[0].name} is stuck at event {parked[0].position}", "degraded")
            else:
                self._fine("tables")
            if began >= look_for_lost_at:  # the tables know now what has no end yet
                await self._workspace.end_lost()
                look_for_lost_at = began + _LOOK_FOR_LOST_S
            rest = min(_LONGEST_REST_S, max(_FOLLOW_AFTER_S, _REST_FACTOR * (loop.time() - began)))
            if store.commits() == commits:
                await store.changed(size, _POLL_S)

    async def _record(self) -> None:
        if self._workspace.blocked is not None:
            self._wrong("recording", self._workspace.blocked.code, "degraded")
            await asyncio.Event().wait()
        loop = asyncio.get_running_loop()
        named: set[str] = set()
        while True:
            began = loop.time()
            kept_back = await self._workspace.record_pending()
            self._say_what_is_kept_back(kept_back, named)
            # a long journal of a command that still runs is read again each time: never most of the time
            await asyncio.sleep(min(_LONGEST_PAUSE_S, max(_SPOOL_POLL_S, _PAUSE_FACTOR * (loop.time() - began))))

    def _say_what_is_kept_back(self, errors: Sequence[Exception], named: set[str]) -> None:
        """Each once: it is looked at again all the time, and stays until somebody has looked at it."""
        for error in errors:
            if str(error) not in named:
                self._log.warning("recording_kept_back", error=str(error))
        named.clear()
        named.update(map(str, errors))
        if errors:
            self._wrong("recording", getattr(errors[0], "code", type(errors[0]).__name__), "degraded")
        else:
            self._fine("recording")

    async def _hear(self) -> None:
        while True:
            await self.hearing.listen()
            self._fine("hearing")
            await asyncio.sleep(POLL_S)

    async def _pulse(self) -> None:
        while True:
            self.pulse()
            self._fine("stream")
            await asyncio.sleep(BEAT_S)

    def pulse(self) -> None:
        """
        Now and then: ends whoever listens by a browser's session that is over, subscribed or not, and tells everybody
        else how far it is. A page that is open and listens keeps its session alive.
        """
        for listener in list(self.listeners):
            if self._access.is_over(listener.principal):
                listener.leave(SESSION_OVER)
        self.broadcast.beat()

    def measured(self) -> Measured:
        now = time.time_ns() // 1_000_000
        return Measured(now, self.ring.position + 1, self.followed, len(self.listeners), self.ring.size_bytes)

    async def _measure(self) -> None:
        """For the channel `metrics`, while anybody is there to listen."""
        while True:
            await self.look()  # else what nobody asks about would only be wrong since somebody asks
            if self.listeners:
                message = msgspec.json.encode(_MeasuredMessage("metrics.measured", self.measured()))
                self.broadcast.say(
                    Entry(
                        message=message,
                        type="metrics.measured",
                        channel="metrics",
                        project=DEFAULT_PROJECT,
                        operation=None,
                    )
                )
            self._fine("metrics")
            await asyncio.sleep(MEASURE_S)

    async def _kept_up(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except (DREError, OSError) as error:
                self._wrong(name, getattr(error, "code", type(error).__name__), "down")
                self._log.warning("part_failed", part=name, error=str(error))
            except Exception:  # noqa: BLE001 - whatever it is, it is told and the part goes on
                self._wrong(name, "internal", "down")
                self._log.exception("part_failed", part=name)
            await asyncio.sleep(_AGAIN_S)

    def _fine(self, name: str) -> None:
        self._stand(name, "ok", None)

    def _wrong(self, name: str, error: str, state: State) -> None:
        self._stand(name, state, error)

    def _stand(self, name: str, state: State, error: str | None) -> None:
        found = self.standings.get(name)
        if found is None or (found.state, found.error) != (state, error):
            self.standings[name] = Standing(name, state, time.time_ns() // 1_000_000, error)


LIVE: web.AppKey[Live] = web.AppKey("live", Live)
