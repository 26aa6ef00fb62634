"""What the doors open onto: the parts of one workspace, handed in, so that no door knows how they are made."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

import msgspec
from aiohttp import web

from dre.application.execute import Appender
from dre.application.follow import Following
from dre.domain.events import Door
from dre.errors import DREError
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import EventStore
from dre.ports.table_store import TableStore


class Setting(msgspec.Struct, frozen=True, rename="camel"):
    """One setting: its value, which file or variable it comes from, and who may write it."""

    key: str
    value: Any
    source: str
    scopes: list[str]
    help: str


class Mistake(msgspec.Struct, frozen=True, rename="camel"):
    """What is wrong with a configuration, and where."""

    detail: str
    hint: str | None


class Configuring(Protocol):
    """The workspace's configuration file, as the doors know it. Raises ConfigurationError."""

    def settings(self) -> list[Setting]: ...

    def validate(self, document: bytes) -> None: ...

    async def replace(
        self, document: bytes, door: Door, idempotency_key: str | None, expect: Callable[[], None]
    ) -> None:
        """
        The workspace's file becomes this document; every key that changes is recorded first. `expect` is called when
        nobody else can write it any more, and what it raises keeps the file as it is.
        """
        ...


class Workspace(msgspec.Struct, frozen=True):
    """
    `name`: what people call it, for titles. `record_pending`: what waits in the spool becomes history; answers why some
    of it cannot. `end_lost`: what history has begun and nobody records any more ends there; answers which, as far as
    the tables know. `spools`: the folder that the recorder writes to. `secret_patterns`: those that hold now; raises
    ConfigurationError. `blocked`: why nothing may be recorded here. `has_room`: whether the disk takes what is
    appended now. `vanished`: why the files behind these parts are not the workspace's any more, None as long as they
    are.
    """

    name: str
    ledger_id: UUID
    actor: str
    store: EventStore
    tables: TableStore
    blobs: BlobStore
    appender: Appender
    following: Following
    configuring: Configuring
    spools: str
    secret_patterns: Callable[[], Sequence[str]]
    blocked: DREError | None
    record_pending: Callable[[], Awaitable[Sequence[Exception]]]
    end_lost: Callable[[], Awaitable[Sequence[UUID]]]
    has_room: Callable[[], bool]
    vanished: Callable[[], str | None]


WORKSPACE: web.AppKey[Workspace] = web.AppKey("workspace", Workspace)
