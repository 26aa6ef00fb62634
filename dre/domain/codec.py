"""
Facts as bytes and back.

A body is JSON with sorted camelCase keys (docs/reference/ledger-format.md). The stored bytes are the truth: they are
hashed and served as they are, and nothing here is used to check a proof.
"""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from dre.domain.account import AccountRegistered
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent, Door, ErasedEvent, Meta, Recorded, UnknownEvent
from dre.domain.evidence import EvidenceCollected, EvidenceComplete, EvidenceErased
from dre.domain.ledger import BodyErased, LedgerCreated
from dre.domain.operation import OperationCompleted, OperationInterrupted, OperationStarted
from dre.domain.verification import VerificationComplete, VerificationJudged, VerificationRequested
from dre.errors import BodyRefused
from dre.ledger.body import check_body
from dre.ledger.entry import Entry

EVENT_TYPES: dict[str, type[DomainEvent]] = {
    event.type: event
    for event in (
        LedgerCreated,
        BodyErased,
        AccountRegistered,
        ConfigurationChanged,
        OperationStarted,
        OperationCompleted,
        OperationInterrupted,
        EvidenceCollected,
        EvidenceComplete,
        EvidenceErased,
        VerificationRequested,
        VerificationJudged,
        VerificationComplete,
    )
}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: Mapping[tuple[str, int], Upcast] = {}
"""From a tag and an older schema number to a function that makes the next form of the body. Bytes never change."""

_ENCODER = msgspec.json.Encoder(order="sorted")


class _OnlyMeta(msgspec.Struct):
    meta: Meta


_DECODERS = {tag: msgspec.json.Decoder(event) for tag, event in EVENT_TYPES.items()}
_META = msgspec.json.Decoder(_OnlyMeta)


def encode(event: DomainEvent, causation: UUID | None = None, door: Door | None = None) -> bytes:
    """The body. Raises BodyRefused for what a body cannot hold (a NUL, a huge integer, more than 256 KiB)."""
    fields = _exact(msgspec.to_builtins(event))
    came = (door.request, door.address, door.agent) if door else ()
    fields["meta"] = msgspec.to_builtins(Meta(event.schema, causation, *came))
    body = _ENCODER.encode(fields)
    check_body(body)
    return body


def decode(tag: str, body: bytes, upcasts: Mapping[tuple[str, int], Upcast] = UPCASTS) -> tuple[DomainEvent, Meta]:
    """The fact that a stored body holds, in today's form. Raises BodyRefused when it cannot be read."""
    try:
        meta = _META.decode(body).meta
        known = EVENT_TYPES.get(tag)
        if known is None:
            return UnknownEvent(), meta
        if meta.schema == known.schema:
            return _DECODERS[tag].decode(body), meta
        return _upcast(known, body, meta, upcasts), meta
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyRefused(f"{tag}: {error}") from error


def recorded(entry: Entry, body: bytes | None) -> Recorded:
    """A stored row as a fact in its place."""
    event, meta = (ErasedEvent(), Meta()) if body is None else decode(entry.type, body)
    return Recorded(
        entry.position,
        entry.event_id,
        entry.stream,
        entry.version,
        entry.type,
        entry.recorded_at_us // 1000,
        entry.actor,
        event,
        meta,
    )


def _upcast(
    known: type[DomainEvent], body: bytes, meta: Meta, upcasts: Mapping[tuple[str, int], Upcast]
) -> DomainEvent:
    if meta.schema > known.schema:
        raise BodyRefused(
            f"{known.type} has schema {meta.schema}; this DRE knows up to {known.schema}", hint="use a newer DRE"
        )
    fields = msgspec.json.decode(body)
    for schema in range(meta.schema, known.schema):
        step = upcasts.get((known.type, schema))
        if step is None:
            raise BodyRefused(f"{known.type} has schema {schema}, and nothing says how to read that")
        fields = step(fields)
    return msgspec.convert(fields, known)


def _exact(value: Any) -> Any:
    """Ratios are the only real numbers: four decimals, and 0 and 1 as integers, where every encoder agrees."""
    if isinstance(value, float):
        rounded = round(value, 4)
        return int(rounded) if rounded in (0, 1) else rounded
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    return value
