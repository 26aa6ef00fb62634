"""The composition root: settings become an Engine, a frozen struct of parts that know only their ports."""

import asyncio
import contextlib
import os
import pwd
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec

from dre.adapters.filesystem import begin, dot_dre
from dre.adapters.filesystem.blob_store import FileBlobStore
from dre.adapters.filesystem.dot_dre import DotDre
from dre.adapters.filesystem.state_home import KeptHead, StateHome
from dre.adapters.sqlite.event_store import open_event_store
from dre.adapters.sqlite.table_store import open_table_store
from dre.application.execute import Appender, new_events
from dre.application.follow import Follower, Following
from dre.domain.account import AccountRegistered, actor_id
from dre.domain.events import stream_name
from dre.domain.ledger import DEFAULT_PROJECT, LedgerCreated, origin_of
from dre.errors import (
    DREError,
    LedgerBehind,
    LedgerCopied,
    LedgerDeleted,
    LedgerError,
    LedgerMissing,
    WorkspaceRefused,
)
from dre.ledger import FORMAT_DIGEST
from dre.ledger.entry import Entry
from dre.ledger.event_id import derived_id
from dre.ports.blob_store import BlobStore
from dre.ports.event_store import Append, EventStore
from dre.ports.table_store import Query, TableStore
from dre.projections import PROJECTIONS
from dre.projections.compare import altered_tables
from dre.projections.operations import RUNNING, OperationRow
from dre.projections.projection import Projecting
from dre.settings import Configuration, Settings, load, state_home
from dre.verification import follower as verification

if TYPE_CHECKING:
    from dre.capture.ingest import Ingested
    from dre.capture.waiting import Waiting


CACHE, TABLES = "cache", "tables.db"
_REMEMBERED_AFTER_S = 0.05


class Engine(msgspec.Struct, frozen=True):
    """
    Everything that works together on one workspace.

    `blocked`: why nothing may be appended (the history is behind what was seen, or is a copy); reading goes on.
    `notes`: what the user should be told once, such as that the folder was moved.
    """

    settings: Settings
    dot_dre: DotDre
    state: StateHome
    actor: str
    store: EventStore
    tables: TableStore
    blobs: BlobStore
    appender: Appender
    following: Following
    blocked: LedgerError | None
    notes: tuple[str, ...]

    @property
    def ledger_id(self) -> UUID:
        return self.dot_dre.ledger_id


def read_settings(directory: str, environment: Mapping[str, str]) -> Settings:
    """Raises ConfigurationError."""
    return load(directory, dot_dre.find(directory), environment)


async def record_pending(
    engine: Engine,
    *,
    patience_s: float = 0.0,
    configured: Callable[[], Configuration] | None = None,
    waiting: "Waiting[Ingested] | None" = None,
) -> "list[Ingested]":
    """
    What waits in the spool becomes history. Spools that another ingest holds are waited for, `patience_s` in all.
    `configured`: what holds now, where it may have changed since the engine was opened; asked if anything waits.
    `waiting`: for whoever asks again and again, so that what has not changed is not read again.

    Nothing is recorded while the engine is blocked.
    """
    if engine.blocked is not None or not _anything_in(engine.dot_dre.spools):
        return []
    from dre.capture.ingest import Into, Rules, ingest_one, ingest_pending  # noqa: PLC0415 - 40 ms, if something waits

    into = Into(engine.store, engine.appender, engine.blobs, engine.actor)
    holds = engine.settings.configuration if configured is None else configured()
    rules = Rules(holds.reports.globs, holds.redaction.patterns)
    found = await ingest_pending(engine.dot_dre.spools, into, rules, waiting)
    deadline = time.monotonic() + patience_s
    for place, ingested in enumerate(found):
        left = deadline - time.monotonic()
        if ingested.state == "busy" and left > 0:
            found[place] = await ingest_one(engine.dot_dre.spools, ingested.operation_id, into, rules, patience_s=left)
    return found


async def end_lost(engine: Engine) -> list[UUID]:
    """
    Operations that history has begun, and whose recordings were deleted before they could become history: they end
    there as interrupted; answers which. One that the tables do not know of yet is found the next time.
    """
    if engine.blocked is not None:
        return []
    running = await engine.tables.query(OperationRow, Query(where={"status": RUNNING}))
    spools = engine.dot_dre.spools
    if not (begun := [row.id for row in running if _is_missing(spools, row.id)]):
        return []
    from dre.capture import lost  # noqa: PLC0415 - 40 ms, if anything is
    from dre.capture.ingest import Into  # noqa: PLC0415

    return await lost.end_lost(spools, begun, Into(engine.store, engine.appender, engine.blobs, engine.actor))


async def compare_tables(engine: Engine) -> list[str]:
    """The tables that say something else than history does: they were changed by hand, or are damaged."""
    async with open_table_store(":memory:") as scratch:
        return await altered_tables(engine.store, engine.tables, scratch, PROJECTIONS)


@contextlib.asynccontextmanager
async def open_engine(settings: Settings) -> AsyncIterator[Engine]:
    """
    The engine of the workspace that the directory is in.

    Raises LedgerMissing, WorkspaceRefused (with what to do), LedgerDeleted, LedgerNewer.
    """
    state = StateHome(settings.state_home)
    found, kept, new = _renewed(*_find(settings.directory, state), state)
    async with contextlib.AsyncExitStack() as stack:
        folder = os.open(found.path, dot_dre.FOLDER)
        stack.callback(os.close, folder)
        store = await stack.enter_async_context(open_event_store(found.ledger))
        tables = await stack.enter_async_context(open_table_store(found.within(CACHE, TABLES)))
        remembering = _Remembering(state, found.ledger_id)
        stack.callback(remembering.now)
        appender = Appender(store, remembering.newest)
        stack.push_async_callback(appender.close)
        actor = state.actor()
        if kept is None and (await store.head()).size == 0:  # an emptied one that was seen here is not begun again
            await _begin_ledger(appender, found.ledger_id, actor, state)
        blocked = _copied(found) or await _behind(store, found, kept)
        dot_dre.mark_blocked(found.path, blocked=blocked is not None)
        notes = (*new, *_settle(found, state))
        if blocked is None:
            head = await store.head()
            state.remember(found.ledger_id, KeptHead(head.size, head.prev.hex()))
            stack.push_async_callback(_leave, appender, remembering, store, folder, found.ledger_id, state)
        blobs = FileBlobStore(found.within("evidence"))
        following: list[Follower] = [Projecting(projection, tables) for projection in PROJECTIONS]
        if blocked is None:
            following += verification.followers(store, appender, blobs, actor)
        yield Engine(
            settings=settings,
            dot_dre=found,
            state=state,
            actor=actor,
            store=store,
            tables=tables,
            blobs=blobs,
            appender=appender,
            following=Following(store, tables, following),
            blocked=blocked,
            notes=notes,
        )


def find_workspace(directory: str, environment: Mapping[str, str]) -> DotDre:
    """The `.dre/` that the directory is in, without opening it. Raises what `open_engine` raises of the folder."""
    return _find(directory, StateHome(state_home(environment)))[0]


async def look_at_history(directory: str, environment: Mapping[str, str]) -> DREError | None:
    """
    Why the history here is not the one that this machine has seen, or may not be used, for commands that read nothing
    of it. None also where nothing was recorded yet.
    """
    try:
        found, kept = _find(directory, StateHome(state_home(environment)))
        async with open_event_store(found.ledger, create=False) as store:
            return _copied(found) or await _behind(store, found, kept)
    except LedgerMissing:
        return None
    except DREError as error:
        return error


def _is_missing(spools: str, id: UUID) -> bool:
    return not os.path.lexists(os.path.join(spools, str(id)))


def _anything_in(folder: str) -> bool:
    try:
        return bool(os.listdir(folder))
    except FileNotFoundError:
        return False


def _find(directory: str, state: StateHome) -> tuple[DotDre, KeptHead | None]:
    path = dot_dre.find(directory) or dot_dre.place_for(directory)
    if not os.path.lexists(path) and (lost := state.ledger_at(path)):
        raise _deleted(path, lost, state.head(lost))
    found = dot_dre.inspect(path, state)
    if found.standing == "unknown":
        raise WorkspaceRefused(
            f"{found.path} was not made on this machine (ledger {found.ledger_id})",
            hint="dre trust shows what accepting it would mean",
        )
    kept = state.head(found.ledger_id)
    if kept is not None and not os.path.exists(found.ledger) and not found.is_stand_in:
        raise _deleted(found.path, found.ledger_id, kept)
    return found, kept


def _renewed(found: DotDre, kept: KeptHead | None, state: StateHome) -> tuple[DotDre, KeptHead | None, tuple[str, ...]]:
    """Where a ledger stood that has moved, and `dre wrap` could not know yet, a new one begins."""
    if not found.is_stand_in:
        return found, kept, ()
    renewed = begin.renew_stand_in(found, state)
    note = f"the history that stood at {found.path} is at {found.seen_at} now; a new one begins here"
    return renewed, state.head(renewed.ledger_id), (note,)


def _deleted(path: str, ledger_id: UUID, kept: KeptHead | None) -> LedgerDeleted:
    size = f"{kept.size} events, newest {kept.leaf[:16]}…" if kept else "an unknown number of events"
    return LedgerDeleted(
        f"the ledger that stood at {path} is gone: {ledger_id}, {size}",
        hint="put it back from a copy, or run dre log where it is now if it was moved; "
        "dre init begins a new one and admits the loss",
    )


def _copied(found: DotDre) -> LedgerCopied | None:
    if found.standing != "copied":
        return None
    return LedgerCopied(
        f"{found.path} is a copy: the original still stands at {found.seen_at}; nothing is recorded here",
        hint="dre trust makes it a ledger of its own",
    )


async def _behind(store: EventStore, found: DotDre, kept: KeptHead | None) -> LedgerBehind | None:
    if kept is None:
        return None
    head = await store.head()
    if head.size < kept.size:
        what = "it is an older copy" if head.size else "its ledger.db was emptied"
        return LedgerBehind(
            f"{found.path} holds {head.size} events, but this machine has seen {kept.size}: {what}",
            hint="put the newer one back; until then nothing is recorded here and recordings wait",
        )
    async for page in store.read(kept.size - 2, kept.size):
        if page[-1].leaf.hex() == kept.leaf:
            return None
    return LedgerBehind(
        f"{found.path} holds another history than this machine has seen: event {kept.size - 1} is not the same",
        hint="dre ledger verify says whether it is intact in itself; put the one that was seen back",
    )


def _settle(found: DotDre, state: StateHome) -> tuple[str, ...]:
    if found.standing != "moved":
        return ()
    state.adopt(found.ledger_id, found.path)
    return (f"{found.path} was moved from {found.seen_at}; its history goes on here",)


class _Remembering:
    """
    Keeps the newest head outside the workspace, a moment after it was committed: neither who waits for a commit nor who
    listens to it waits for that file, and many commits are kept at once. It may be older than the ledger, never newer.
    """

    def __init__(self, state: StateHome, ledger_id: UUID) -> None:
        self._state, self._ledger_id = state, ledger_id
        self._newest: Entry | None = None
        self._due: asyncio.TimerHandle | None = None

    def newest(self, entry: Entry) -> None:
        self._newest = entry
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(_REMEMBERED_AFTER_S, self.now)

    def now(self) -> None:
        """Raises what the state home raises."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        if (entry := self._newest) is not None:
            self._newest = None
            self._state.remember(self._ledger_id, KeptHead(entry.position + 1, entry.leaf().hex()))


async def _leave(
    appender: Appender,
    remembering: _Remembering,
    store: EventStore,
    folder: int,
    ledger_id: UUID,
    state: StateHome,
) -> None:
    """So that the next `dre wrap` can tell an older copy, with nothing to read but two lines."""
    await appender.close()
    with contextlib.suppress(DREError):  # nobody leaves the worse for it: the next reader settles it
        remembering.now()
        size = (await store.head()).size
        state.settle(ledger_id, size, lambda: dot_dre.write_settled(folder, ledger_id, size))


async def _begin_ledger(appender: Appender, ledger_id: UUID, actor: str, state: StateHome) -> None:
    """Position 0 and the local account. Everything in it derives from what is on disk, so two who begin agree."""
    from dre.adapters.keyfile import public_keys  # noqa: PLC0415 - cryptography costs 40 ms, once in a ledger's life
    from dre.ledger.note import verifier_keys  # noqa: PLC0415

    origin = origin_of(ledger_id)
    signer, cosigner = public_keys(state.folder(ledger_id))
    created = LedgerCreated(ledger_id, origin, verifier_keys(origin, ledger_id, signer, cosigner), FORMAT_DIGEST)
    account = AccountRegistered(
        id=actor_id(actor),
        actor=actor,
        kind="local",
        name=_login(),
        host=os.uname().nodename,
        registered_at=ledger_id.int >> 80,
    )
    ledger_stream = stream_name(DEFAULT_PROJECT, "ledger", ledger_id)
    account_stream = stream_name(DEFAULT_PROJECT, "account", actor_id(actor))
    first = new_events(ledger_stream, [created], [derived_id(actor, f"{ledger_id}", 0)])
    second = new_events(account_stream, [account], [derived_id(actor, f"{ledger_id}", 1)])
    await appender.append(Append(actor, first + second, {ledger_stream: 0, account_stream: 0}))


def _login() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


__all__ = ["Engine", "find_workspace", "look_at_history", "open_engine", "read_settings", "state_home"]
