"""
The chain, as a reader checks it: each event is the next one, its entry says what it says, and hangs on the one before.

What is not checked here needs all of history at once: that versions of a stream have no gaps, and that a missing body
was erased by a later event. `dre ledger verify` looks for that.
"""

from typing import Any

import msgspec

from dre.client.shown import Event, Proved
from dre.errors import ChainBroken
from dre.ledger import entry as entries
from dre.ledger.commitment import commitment
from dre.ledger.entry import GENESIS, Entry

_HINT = "believe nothing that this server sends before you know why; dre ledger verify checks the ledger itself"


class Chain:
    """
    `position`: the last event that was checked. `leaf`: its hash; None as long as it is not known, and the first event
    is then taken as it comes.
    """

    def __init__(self, after: int = -1, leaf: bytes | None = None) -> None:
        self.position = after
        self.leaf = GENESIS if after == -1 else leaf

    def follow(self, event: Event) -> None:
        """Raises ChainBroken, naming the position, for an event that is not the next one, whole and linked."""
        if event.position != self.position + 1:
            what = "was told again" if event.position <= self.position else "came instead"
            raise broken(self.position + 1, f"was to come, and event {event.position} {what}")
        leaf = self._checked(event) if isinstance(event, Proved) else None
        self.position, self.leaf = event.position, leaf

    def pick(self, event: Event) -> None:
        """Of a filtered history, where gaps are as it should be. Raises ChainBroken for one that does not go on."""
        if event.position <= self.position:
            raise broken(event.position, f"came behind event {self.position}")
        self.pass_over(event.position)

    def pass_over(self, position: int) -> None:
        """Up to there nothing was for us."""
        self.position, self.leaf = position, None

    def meets(self, position: int, leaf: bytes) -> None:
        """Raises ChainBroken where a head at our own position is not our own."""
        if position == self.position and self.leaf not in (None, leaf):
            raise broken(position, "has another hash than the one that was received before")

    def _checked(self, event: Proved) -> bytes:
        entry = _entry(event)
        if self.leaf is not None and entry.prev != self.leaf:
            raise broken(event.position, "is not linked to the event before it")
        _check_names(event, entry)
        _check_body(event, entry)
        return entry.leaf()


def broken(position: int, what: str) -> ChainBroken:
    return ChainBroken(f"event {position} {what}", position=position, hint=_HINT)


def _entry(event: Proved) -> Entry:
    try:
        return entries.decode(event.entry.encode("ascii"))
    except ValueError as error:
        raise broken(event.position, f"has no entry of this format: {error}") from None


def _check_names(event: Proved, entry: Entry) -> None:
    """What is read is what is hashed."""
    outside = (event.position, event.id, event.stream, event.version, event.type, event.actor, event.recorded_at)
    inside = (entry.position, entry.event_id, entry.stream, entry.version, entry.type, entry.actor)
    if outside != (*inside, entry.recorded_at_us // 1000):
        raise broken(event.position, "says other things than its hashed entry")


def _check_body(event: Proved, entry: Entry) -> None:
    if event.body is None and event.salt is None:
        if event.fields is not None:
            raise broken(event.position, "has no body, and shows data all the same")
        return
    if not isinstance(event.body, str) or event.salt is None:
        raise broken(event.position, "has half of what its entry commits to")
    body = event.body.encode()
    try:
        committed = commitment(bytes.fromhex(event.salt), body)
        fact = msgspec.json.decode(body, type=dict[str, Any])
    except (ValueError, msgspec.MsgspecError):
        raise broken(event.position, "has a salt or a body that is none") from None
    if committed != entry.commitment or len(body) != entry.body_len:
        raise broken(event.position, "has another body than its entry commits to")
    if {name: value for name, value in fact.items() if name != "meta"} != event.fields:
        raise broken(event.position, "shows other data than its body")
