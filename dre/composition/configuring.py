"""The workspace's configuration behind the doors: shown, checked, and replaced with a record of each key."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, Literal
from uuid import UUID

import msgspec

from dre.adapters.filesystem import config_file
from dre.application.execute import execute, read_stream
from dre.composition import Engine, read_settings
from dre.domain.configuration import ConfigurationChanged
from dre.domain.events import DomainEvent, Door, stream_name
from dre.domain.ids import uuid7
from dre.domain.ledger import DEFAULT_PROJECT
from dre.errors import ConfigurationError, Conflict
from dre.ledger.event_id import derived_id
from dre.server.workspace import Setting
from dre.settings import FILE_NAME, KEYS, Configuration, Settings, read_document, read_file, value_of

_THE_BODY = "the body"


class WorkspaceConfiguring:
    """Settings are read anew each time: other programs write these files too."""

    def __init__(self, engine: Engine, environment: Mapping[str, str]) -> None:
        self._engine, self._environment = engine, environment
        self._path = engine.dot_dre.within(FILE_NAME)
        self._writing = asyncio.Lock()

    def now(self) -> Configuration:
        return self._read().configuration

    def settings(self) -> list[Setting]:
        settings = self._read()
        return [
            Setting(
                name,
                value_of(settings.configuration, name),
                settings.sources[name],
                list(key.scopes),
                key.help,
            )
            for name, key in KEYS.items()
        ]

    def validate(self, document: bytes) -> None:
        read_document(_THE_BODY, document, "workspace")

    async def replace(
        self, document: bytes, door: Door, idempotency_key: str | None, expect: Callable[[], None]
    ) -> None:
        values = read_document(_THE_BODY, document, "workspace")
        engine = self._engine
        if engine.blocked is not None:
            raise engine.blocked
        async with self._writing, _in_thread(config_file.locked(engine.dot_dre.path)):
            if idempotency_key is not None:
                door = msgspec.structs.replace(door, request=_request_id(engine.actor, idempotency_key, values))
            standing = await self._asked_before(door, idempotency_key, values)
            if standing == "done":
                return
            if standing == "never":
                expect()
            changes = [] if standing == "cut short" else self._changes(values)
            with config_file.replaced(engine.dot_dre.path, json.loads(document)):
                await self._record(changes, door, idempotency_key)

    async def _asked_before(
        self, door: Door, key: str | None, values: Mapping[str, Any]
    ) -> Literal["never", "cut short", "done"]:
        """
        `cut short`: recorded, and nothing since, and the file was not written. `done`: it was, or others have changed
        it since. Raises Conflict for a key that stands for something else.
        """
        if key is None:
            return "never"
        known = await read_stream(self._engine.store, self._stream())
        first = next((one for one in known if one.id == _event_id(self._engine.actor, key, 0)), None)
        if first is None:
            return "never"
        if first.meta.request != door.request:
            raise Conflict("this idempotency key stands for another configuration")
        if known[-1].meta.request != door.request:
            return "done"
        changes = [one.event for one in known if one.meta.request == door.request]
        return "cut short" if self._is_as_before(changes, values) else "done"

    def _is_as_before(self, changes: Iterable[DomainEvent], values: Mapping[str, Any]) -> bool:
        """
        Whether the file says what it said before these changes: what else it says was written by hand since. Raises
        ConfigurationError where it says nothing that can be used: whether that is somebody's work, nobody knows.
        """
        previous = {one.key: one.previous for one in changes if isinstance(one, ConfigurationChanged)}
        now = read_file(self._path, "workspace")
        return all(now.get(name) == previous.get(name, values.get(name)) for name in KEYS)

    def _changes(self, values: Mapping[str, Any]) -> list[ConfigurationChanged]:
        before = self._before()
        return [
            ConfigurationChanged(name, values.get(name), before.get(name), "workspace")
            for name in KEYS
            if values.get(name) != before.get(name)
        ]

    def _before(self) -> dict[str, Any]:
        """Nothing, where the file cannot be used: it is replaced for that."""
        try:
            return read_file(self._path, "workspace")
        except ConfigurationError:
            return {}

    def _stream(self) -> str:
        return stream_name(DEFAULT_PROJECT, "configuration", self._engine.ledger_id)

    async def _record(self, changes: list[ConfigurationChanged], door: Door, idempotency_key: str | None) -> None:
        engine = self._engine
        ids = [_event_id(engine.actor, idempotency_key, place) for place in range(len(changes))]
        await execute(
            engine.store,
            engine.appender,
            actor=engine.actor,
            stream=self._stream(),
            decide=lambda _known: list(zip(ids, changes, strict=True)),
            door=door,
        )

    def _read(self) -> Settings:
        return read_settings(os.path.dirname(self._engine.dot_dre.path), self._environment)


@contextlib.asynccontextmanager
async def _in_thread(lock: contextlib.AbstractContextManager[None]) -> AsyncIterator[None]:
    """Another program may hold it for a while: the event loop does not wait for that."""
    await asyncio.to_thread(lock.__enter__)
    try:
        yield
    finally:
        lock.__exit__(None, None, None)


def _request_id(actor: str, key: str, values: Mapping[str, Any]) -> UUID:
    """The same for what is asked again with the same key; another for another configuration under it."""
    return derived_id(actor, f"configuration {key} {json.dumps(values, sort_keys=True)}", 0)


def _event_id(actor: str, key: str | None, place: int) -> UUID:
    return derived_id(actor, f"configuration {key}", place) if key else uuid7(time.time_ns() // 1_000_000)
