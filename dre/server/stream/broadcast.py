"""The broadcast: whenever something is new, every session is moved on; the more there are, the more is joined."""

import asyncio
from collections.abc import Callable

from dre.server.stream.ring import Entry, Ring
from dre.server.stream.session import SESSION_OVER, Joined, Session

_SHORTEST_GAP_S = 0.0005
_LONGEST_GAP_S = 0.05
_GAP_FACTOR = 2.0  # a third of the time at most goes into telling: what comes meanwhile is one write, not many
_AGAIN_S = 0.005


class Broadcast:
    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.sessions: set[Session] = set()
        self._next_at = 0.0
        self._due: asyncio.TimerHandle | None = None

    def add(self, session: Session) -> None:
        self.sessions.add(session)
        self.tick()

    def remove(self, session: Session) -> None:
        self.sessions.discard(session)

    def pulse(self, is_alive: Callable[[str], bool]) -> None:
        """
        Now and then: tells each listener how far it is, also where nothing was for it, and ends those whose browser's
        session is over.
        """
        for session in list(self.sessions):
            if session.principal.session is not None and not is_alive(session.principal.session):
                session.link.cut(session.position, SESSION_OVER)
            elif session.link.unsent() == 0 and session.link.is_open():
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
        self._next_at = ended + min(_LONGEST_GAP_S, max(_SHORTEST_GAP_S, _GAP_FACTOR * (ended - began)))
        if behind:
            self._due = loop.call_at(max(self._next_at, ended + _AGAIN_S), self._tell)
