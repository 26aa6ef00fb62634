"""History as it is shown: the one form of an event, on the command line, in REST and on the socket."""

from uuid import UUID

import msgspec

from dre.domain.events import Bytes, Millis, Text
from dre.ports.event_store import StoredEvent

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENCODER = msgspec.json.Encoder()
_NOTHING = msgspec.Raw(b"null")


class Shown(msgspec.Struct, frozen=True, rename="camel"):
    """
    An event. `data`: the body without its `meta`, each value in its stored bytes; null where the body was erased, or
    is no JSON object any more. A byte of a name that was altered and is no ASCII stands there in hexadecimal.
    """

    position: int
    id: UUID
    stream: str
    version: int
    type: str
    recorded_at: Millis
    actor: str
    data: msgspec.Raw


class Proved(Shown, frozen=True, rename="camel"):
    """
    An event with what a verifier needs: `entry` (the eleven lines that are hashed), `salt` (hex) and `body` (the exact
    bytes as a string). Salt and body are null once the body was erased.
    """

    entry: str
    salt: str | None
    body: Text | None


def shown(stored: StoredEvent) -> Shown:
    entry = stored.entry
    return Shown(
        entry.position,
        entry.event_id,
        _name(entry.stream),
        entry.version,
        _name(entry.type),
        entry.recorded_at_us // 1000,
        _name(entry.actor),
        _data(stored.body),
    )


def proved(stored: StoredEvent) -> Proved:
    return Proved(
        **msgspec.structs.asdict(shown(stored)),
        entry=stored.entry.encode().decode("ascii", "backslashreplace"),
        salt=None if stored.salt is None else stored.salt.hex(),
        body=None if stored.body is None else _exact(stored.body),
    )


def encoded(stored: StoredEvent, *, proofs: bool = False) -> bytes:
    """As JSON."""
    return _ENCODER.encode(proved(stored) if proofs else shown(stored))


def _name(stored: str) -> str:
    """Only an altered one is not what it is."""
    return stored if stored.isascii() else stored.encode("ascii", "surrogateescape").decode("ascii", "backslashreplace")


def _data(body: bytes | None) -> msgspec.Raw:
    if body is None:
        return _NOTHING
    try:
        body.decode()  # what stays raw is not looked at as text
        fields = _FIELDS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # altered: an audit says so
        return _NOTHING
    fields.pop("meta", None)
    return msgspec.Raw(_ENCODER.encode(fields))


def _exact(body: bytes) -> Text:
    """Only an altered body is no text."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        return Bytes(body)
