"""
Settling: which appends of a batch are recorded, which are repeats, which are refused.

Done before anything is numbered, so that positions have no holes and a refused append harms no other. Pure.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec

from dre.ledger.chain import Draft
from dre.ledger.entry import Entry
from dre.ports.event_store import Append, NewEvent, Receipt, Refused, StoredEvent

_ENCODER = msgspec.json.Encoder(order="sorted")


class Known(msgspec.Struct, frozen=True):
    """What an event id already stands for. `body` is None once it was erased."""

    stream: str
    type: str
    body: bytes | None


class Settled(msgspec.Struct, frozen=True):
    """`refused` and `repeated` by an append's place in the batch; `drafts`: the events of all others."""

    drafts: list[Draft]
    refused: dict[int, Refused]
    repeated: set[int]

    def answers(self, appends: Sequence[Append], entries: Mapping[UUID, Entry]) -> list[Receipt | Refused]:
        """`entries`: of all events that were known before or have been linked now."""
        return [
            self.refused.get(place)
            or Receipt(tuple(entries[event.id] for event in append.events), repeated=place in self.repeated)
            for place, append in enumerate(appends)
        ]


def settle(appends: Sequence[Append], stored: Mapping[UUID, StoredEvent], lengths: Mapping[str, int]) -> Settled:
    """`stored`: the events among the batch's ids that are recorded. `lengths`: of the streams it names, 0 if absent."""
    known = {id: Known(found.entry.stream, found.entry.type, found.body) for id, found in stored.items()}
    counts = dict(lengths)
    settled = Settled([], {}, set())
    for place, append in enumerate(appends):
        if append.events and all(_repeats(event, known.get(event.id)) for event in append.events):
            settled.repeated.add(place)  # looked up before anything is decided: whatever the streams hold by now
        elif refused := _reused_id(append, known) or _conflict(append, counts):
            settled.refused[place] = refused
        else:
            for event in append.events:
                version = counts.get(event.stream, 0)
                counts[event.stream] = version + 1
                known[event.id] = Known(event.stream, event.type, event.body)
                settled.drafts.append(Draft(event.id, event.stream, version, event.type, append.actor, event.body))
    return settled


def streams_of(appends: Sequence[Append]) -> set[str]:
    return {event.stream for append in appends for event in append.events}.union(*(a.expected for a in appends))


def _repeats(event: NewEvent, known: Known | None) -> bool:
    if known is None or (event.stream, event.type) != (known.stream, known.type):
        return False
    return known.body is None or known.body == event.body or _fact(known.body) == _fact(event.body)


def _fact(body: bytes) -> bytes:
    """The body without `meta`, which says through which door it came and may differ from try to try."""
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("meta", None)
    return _ENCODER.encode(fields)


def _reused_id(append: Append, known: Mapping[UUID, Known]) -> Refused | None:
    """An id that is known stands for its own append alone, all of it; within one append each stands once."""
    seen: set[UUID] = set()
    for event in append.events:
        if event.id in seen or (event.id in known and not _repeats(event, known[event.id])):
            return Refused("reused_id", event.stream, event_id=event.id)
        seen.add(event.id)
    part = next((event for event in append.events if event.id in known), None)
    return None if part is None else Refused("reused_id", part.stream, event_id=part.id)


def _conflict(append: Append, counts: Mapping[str, int]) -> Refused | None:
    for stream, expected in append.expected.items():
        actual = counts.get(stream, 0)
        if actual != expected:
            return Refused("conflict", stream, expected=expected, actual=actual)
    return None
