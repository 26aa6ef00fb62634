"""What a fact is, and a fact in its place: the base of every event."""

from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

import msgspec

if TYPE_CHECKING:
    from eventsourcing.domain import DomainEventProtocol

Millis = int
"""Milliseconds since 1970-01-01T00:00:00Z, as wall clocks show them."""
Micros = int
"""A duration in microseconds."""
Ratio = float
"""Between 0 and 1, rounded to four decimals when it is written."""


class Bytes(msgspec.Struct, frozen=True):
    """Bytes that are not UTF-8, in place of a string: base64 on the wire."""

    bytes: bytes


Text = str | Bytes


def text(raw: bytes) -> Text:
    """The string where there is one, the bytes where there is none (or a NUL, which no body may hold)."""
    try:
        found = raw.decode()
    except UnicodeDecodeError:
        return Bytes(raw)
    return Bytes(raw) if "\0" in found else found


def raw(text: Text) -> bytes:
    return text.bytes if isinstance(text, Bytes) else text.encode()


class DomainEvent(msgspec.Struct, frozen=True, rename="camel"):
    """
    A fact: past tense, frozen, pure payload.

    `type` outlives every refactoring; `schema` counts the forms its body has had.
    """

    type: ClassVar[str]
    schema: ClassVar[int] = 1


class Door(msgspec.Struct, frozen=True):
    """Through which request a fact came in, from which address, and what the asking program called itself."""

    request: UUID
    address: str
    agent: str


class Meta(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Beside the payload: its form's number, the event that caused it, and the door that it came through."""

    schema: int = 0  # never the default on the wire: the number is always written
    causation: UUID | None = None
    request: UUID | None = None
    address: str | None = None
    agent: str | None = None


class UnknownEvent(DomainEvent, frozen=True):
    """A fact of a kind this DRE does not know: a newer one wrote it. Kept, shown, folded by nobody."""

    type: ClassVar[str] = "unknown"


class ErasedEvent(DomainEvent, frozen=True):
    """A fact whose body was destroyed on purpose; its entry still stands."""

    type: ClassVar[str] = "erased"


class Recorded(msgspec.Struct, frozen=True):
    """
    A fact in its place.

    `position`: in all history, 0-based, gapless. `version`: in its stream, likewise.
    `type` is the stored tag, also where `event` could not be read.
    """

    position: int
    id: UUID
    stream: str
    version: int
    type: str
    recorded_at: Millis
    actor: str
    event: DomainEvent
    meta: Meta

    @property
    def originator_id(self) -> str:
        """The eventsourcing library's word for the stream."""
        return self.stream

    @property
    def originator_version(self) -> int:
        """The eventsourcing library's word for the version."""
        return self.version


if TYPE_CHECKING:
    _keeps_the_protocol: type[DomainEventProtocol[str]] = Recorded


def stream_name(project: str, kind: str, id: object) -> str:
    return f"{project}/{kind}-{id}"


def stream_id(stream: str) -> tuple[str, str, str]:
    """Project, kind and id of a stream's name."""
    project, _, rest = stream.partition("/")
    kind, _, id = rest.partition("-")
    return project, kind, id
