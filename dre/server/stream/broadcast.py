"""The broadcast: whenever something is new, every session is moved on; the more there are, the more is joined."""

import asyncio

import structlog

from dre.ports.event_store import EventStore
from dre.server.stream.ring import Entry, Ring
from dre.server.stream.session import Joined, Session

LOG = structlog.get_logger("dre")
_SHORTEST_GAP_S = 0.0005
_LONGEST_GAP_S = 0.05
_GAP_FACTOR = 4.0  # a fifth of the time at most goes into telling: what comes meanwhile is one write, not many
_AGAIN_S = 0.005


class Broadcast:
    """`sessions`: those that are told from the ring. The others are still, or again, being told history."""

    def __init__(self, ring: Ring, store: EventStore) -> None:
        self.ring, self._store = ring, store
        self.sessions: set[Session] = set()
        self._catching_up: dict[Session, asyncio.Task[None]] = {}
        self._next_at = 0.0
        self._due: asyncio.TimerHandle | None = None

    def add(self, session: Session) -> None:
        """From history what the ring does not have (any more), then what happens."""
        if self.ring.joins(session.position):
            session.index = self.ring.after(session.position)
            self.sessions.add(session)
            self.tick()
        else:
            self._catching_up[session] = asyncio.create_task(self._catch_up(session))

    def remove(self, session: Session) -> None:
        self.sessions.discard(session)
        if (task := self._catching_up.pop(session, None)) is not None:
            task.cancel()

    def beat(self) -> None:
        """Tells each listener how far it is, also where nothing was for it."""
        for session in (*self.sessions, *self._catching_up):
            if session.link.unsent() == 0 and session.link.is_open():
                session.link.beat(session.position)

    def say(self, entry: Entry) -> None:
        """A message that only passes."""
        self.ring.add(entry)
        self.tick()

    def tick(self) -> None:
        """Tells it now, or as soon as the last telling was long enough ago; those behind keep nobody waiting."""
        if self.sessions:
            loop = asyncio.get_running_loop()
            at = max(self._next_at, loop.time())
            if self._due is not None and self._due.when() > at:
                self._due.cancel()
                self._due = None
            if self._due is None:
                self._due = loop.call_at(at, self._tell)

    def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self._due = None
        joined: Joined = {}
        behind = [session for session in list(self.sessions) if not session.advance(self.ring, joined, began)]
        ended = loop.time()
        for session in [one for one in self.sessions if one.index is None]:
            self.sessions.discard(session)
            self.add(session)
        self._next_at = ended + min(_LONGEST_GAP_S, max(_SHORTEST_GAP_S, _GAP_FACTOR * (ended - began)))
        if behind:
            self._due = loop.call_at(max(self._next_at, ended + _AGAIN_S), self._tell)

    async def _catch_up(self, session: Session) -> None:
        """Whatever goes wrong is told: the listener must not wait for what will not come."""
        try:
            await session.catch_up(self._store, self.ring)
        except Exception as error:
            LOG.exception("listener_failed")
            session.link.fail(error, session.position)
        del self._catching_up[session]
        if session.link.is_open():
            self.add(session)
