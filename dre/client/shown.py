"""What a server shows, as far as this client reads it: fields that a newer one adds are passed over."""

from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec

from dre.domain.events import Micros, Millis, Text

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True):
    """`next`: what to hand back as `cursor` for the page after this one; None at the end."""

    items: list[Item]
    next: str | None


class Event(msgspec.Struct, frozen=True, rename="camel"):
    """An event. `data`: the body without its `meta`, as the server wrote it; `null` where the body was erased."""

    position: int
    id: UUID
    stream: str
    version: int
    type: str
    recorded_at: Millis
    actor: str
    data: msgspec.Raw

    def __post_init__(self) -> None:
        if bytes(self.data)[:1] not in (b"{", b"n"):
            raise ValueError("data is neither an object nor null")

    @property
    def fields(self) -> dict[str, Any] | None:
        """`data`, decoded."""
        return msgspec.json.decode(self.data, type=dict[str, Any] | None)

    def encoded(self) -> bytes:
        """As JSON, in the one form in which an event is shown."""
        return msgspec.json.encode(self)


class Proved(Event, frozen=True):
    """With what was checked of it: the eleven lines that are hashed, the salt (hex) and the exact body."""

    entry: str
    salt: str | None
    body: Text | None


class Conclusion(msgspec.Struct, frozen=True):
    """A verdict, as far as a list knows it."""

    result: str
    confidence: float | None
    grade: str | None
    summary: str | None
    id: UUID | None = None


class Operation(msgspec.Struct, frozen=True, rename="camel"):
    """An operation in a list. `status`: `running`, or how it ended."""

    id: UUID
    short: str
    command: str
    cwd: Text
    status: str
    exit_code: int | None
    signal: str | None
    started_at: Millis
    completed_at: Millis | None
    duration_us: Micros | None
    labels: list[tuple[str, str]]
    parent: UUID | None
    verdict: Conclusion | None


class Evidence(msgspec.Struct, frozen=True, rename="camel"):
    """One item. `digest`: the SHA-256 of its bytes; `hash`: of the object that holds them where they are stored."""

    id: UUID
    type: str
    kind: str
    name: str
    path: str
    media_type: str
    hash: str
    digest: str
    size_bytes: int
    position: int
    erased: bool = False


class OperationDetail(Operation, frozen=True, kw_only=True):
    """An operation, whole."""

    argv: list[Text]
    evidence: list[Evidence]
    positions: tuple[int, int]


class Health(msgspec.Struct, frozen=True):
    """How a server is. `events`: how many its history holds."""

    status: str
    events: int


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457, and what the stream says when something is wrong."""

    code: str
    detail: str
    hint: str | None = None
