"""
A session: one listener, where it stands, and how it gets from history to what is live.

The rule of the hand-over is one line: the next event is the cursor plus one, from the ring if it is there, otherwise
from history. A position is told once, and none is left out; a filtered listener's cursor moves on over what it does not
want to see.
"""

import asyncio
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Protocol

from dre.errors import LedgerAltered
from dre.ports.event_store import EventStore, StoredEvent
from dre.projections.history import encoded
from dre.server.access import Principal, may_see
from dre.server.stream.ring import Entry, Ring, event_entry
from dre.server.stream.subscription import Wanted

HISTORY_PAGE = 200
MOST_UNSENT = 64 << 10
MOST_AT_ONCE = 128 << 10
STALLED_S = 20.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.005, 0.1
TOO_SLOW, SESSION_OVER, GOING_AWAY, FAILED = "too_slow", "session_over", "going_away", "failed"
"""Why a listener is cut."""

Joined = MutableMapping[tuple[type, Wanted, frozenset[str] | None, int, int, int], tuple[bytes, int, int]]
"""What was joined for one listener serves every other that stands in the same place and wants the same."""


class Link(Protocol):
    """
    The way to a listener. Nothing here waits: what the network does not take lies in a buffer whose size is `unsent`,
    and who writes looks at it first.
    """

    def unsent(self) -> int: ...

    def frame(self, message: bytes, position: int | None) -> bytes: ...

    def write(self, frames: bytes) -> None: ...

    def beat(self, position: int) -> None:
        """Says how far the listener is."""
        ...

    def cut(self, position: int | None, why: str) -> None:
        """Says from where to go on, and ends. None: nothing was asked for yet."""
        ...

    def fail(self, error: Exception, position: int | None) -> None:
        """Says what keeps it from being told anything more, and ends."""
        ...

    def is_open(self) -> bool: ...


class Session:
    """
    `position`: the last event that was told or passed over. `index`: the ring's next entry for it; None while it is
    being told history: at first, and again when the ring has gone on without it. `_moved_at`: when it last had room.
    """

    def __init__(self, link: Link, principal: Principal, wanted: Wanted, position: int, now: float) -> None:
        self.link, self.principal, self.wanted, self.position = link, principal, wanted, position
        self.index: int | None = None
        self._moved_at = now

    async def catch_up(self, store: EventStore, ring: Ring) -> None:
        """Tells history until the ring has the rest. Raises LedgerAltered where history has no next event."""
        count = HISTORY_PAGE
        while self.link.is_open() and not ring.joins(self.position):
            if await self._has_room():
                before = self.position
                self._tell(map(event_entry, await _next_page(store, before, ring.position + 1, count)))
                count = min(HISTORY_PAGE, 2 * (self.position - before))  # big ones are not read in vain

    def advance(self, ring: Ring, joined: Joined, now: float) -> bool:
        """
        Writes what is pending, all of it in one piece, if the listener has taken what it got before. False when it is
        still behind afterwards.
        """
        if self.index is None or not self.link.is_open():
            return True
        end, has_room = ring.end, self.link.unsent() <= MOST_UNSENT
        if has_room:
            self._moved_at = now
        if self.index == end:
            return True
        if self.index < ring.first:
            self.index = None
            return True
        if not has_room:
            if now - self._moved_at > STALLED_S:
                self.link.cut(self.position, TOO_SLOW)
            return False
        key = (type(self.link), self.wanted, self.principal.projects, self.index, self.position, end)
        found = joined.get(key)
        if found is None:
            found = joined[key] = self._join(ring)
        frames, self.index, self.position = found
        if frames:
            self.link.write(frames)
        return self.index == end

    def _join(self, ring: Ring) -> tuple[bytes, int, int]:
        assert self.index is not None  # noqa: S101 - advance looks
        parts, size, index, position = [], 0, self.index, self.position
        for entry in ring.between(self.index, ring.end):
            if size > MOST_AT_ONCE:
                break
            index += 1
            if entry.position is not None:
                if entry.position <= position:
                    continue
                position = entry.position
            if self._may_have(entry):
                parts.append(self._frame(entry))
                size += len(parts[-1])
        return b"".join(parts), index, position

    def _tell(self, entries: Iterable[Entry]) -> None:
        """As many as one write may hold; the rest is read again, so that nobody's history lies in memory."""
        frames, size = [], 0
        for entry in entries:
            if size > MOST_AT_ONCE:
                break
            if self._may_have(entry):
                frames.append(self._frame(entry))
                size += len(frames[-1])
            self.position = entry.position if entry.position is not None else self.position
        if frames and self.link.is_open():
            self.link.write(b"".join(frames))

    def _frame(self, entry: Entry) -> bytes:
        message = entry.message
        if self.wanted.proofs and entry.stored is not None:
            message = encoded(entry.stored, proofs=True)
        return self.link.frame(message, entry.position)

    def _may_have(self, entry: Entry) -> bool:
        return self.wanted.has(entry) and (entry.stored is None or may_see(self.principal, entry.stored))

    async def _has_room(self) -> bool:
        """Waits until the listener has taken most of what it got; one that takes nothing is cut."""
        loop, pause = asyncio.get_running_loop(), _PAUSE_S
        while self.link.is_open() and self.link.unsent() > MOST_UNSENT:
            if loop.time() - self._moved_at > STALLED_S:
                self.link.cut(self.position, TOO_SLOW)
                return False
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE_S, 2 * pause)
        self._moved_at = loop.time()
        return self.link.is_open()


async def _next_page(store: EventStore, after: int, upto: int, count: int) -> Sequence[StoredEvent]:
    """Up to where one is missing, if one is."""
    async for page in store.read(after, upto, page=count):
        if page[0].entry.position == after + 1:
            return [stored for place, stored in enumerate(page, after + 1) if stored.entry.position == place]
        break
    raise missing(after + 1)


def missing(position: int) -> LedgerAltered:
    return LedgerAltered(f"event {position} is not there", position=position, hint="dre ledger verify says more")
