"""A workspace with its doors open: the parts, the token, the port, and the end of it all."""

import asyncio
import contextlib
import fcntl
import os
import re
import secrets
import socket
import stat
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from dre.adapters.filesystem import serving_file
from dre.adapters.filesystem.serving_file import Running
from dre.capture.waiting import Waiting
from dre.composition import Engine, end_lost, record_pending
from dre.composition.configuring import WorkspaceConfiguring
from dre.errors import ServerRunning, UsageError, WorkspaceRefused
from dre.server.accepting import Accepting
from dre.server.access import Access
from dre.server.connection import Runner
from dre.server.gateway import SEEN, build_app
from dre.server.workspace import Workspace

if TYPE_CHECKING:
    from dre.capture.ingest import Ingested

TOKEN = "token"  # noqa: S105 - the name of a file
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to
"""All addresses of the machine, and the one of them that is told: nobody can ask by the name of all."""
_IPV4_MAPPED = "::ffff:"
_NAME = re.compile(r"([a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?", re.ASCII | re.IGNORECASE)
"""What a `Host` can hold (RFC 9110, 7.2): anything else would never be asked by."""
_HTTP_PORT, _LAST_PORT = 80, 65535
_BACKLOG = 512
LEAST_ROOM = 8 << 20
"""The largest append there is, and SQLite's log of it. Bytes."""
_DRAIN_S = 10.0
_LINGER_S = 2.0  # how long what was refused may go on arriving, so that its sender gets to read the answer
_KEEP_ALIVE_S = 75.0
_FIRST_REQUEST_S = 15.0
_LOOK_S = 1.0
_NEW = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_TOKEN_BYTES = 32
_PAGE_NAME_BYTES = 8


class Serving(msgspec.Struct, frozen=True):
    """`base`: where programs ask. `once`: opens one browser's session, once."""

    base: str
    once: str
    app: web.Application

    async def until_vanished(self, workspace: Workspace) -> str:
        """Why the files behind the doors are not the workspace's any more; waits as long as they are."""
        while (why := workspace.vanished()) is None:  # noqa: ASYNC110 - files tell nobody
            await asyncio.sleep(_LOOK_S)
        return why


def workspace_of(engine: Engine, environment: Mapping[str, str]) -> Workspace:
    """The engine's parts, as the doors know them."""
    configuring = WorkspaceConfiguring(engine, environment)
    opened = os.stat(engine.dot_dre.ledger)
    longest = opened.st_size

    def vanished() -> str | None:
        nonlocal longest
        try:
            found = os.stat(engine.dot_dre.ledger)
        except OSError:
            return f"{engine.dot_dre.path} is gone"
        if not os.path.samestat(found, opened):
            return f"{engine.dot_dre.ledger} is another file now"
        if found.st_size < longest:  # what SQLite still has in its log and its memory hides that for a long while
            return f"{engine.dot_dre.ledger} was cut: it is shorter than it was"
        longest = found.st_size
        return None

    def has_room() -> bool:
        try:
            disk = os.statvfs(engine.dot_dre.path)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize >= LEAST_ROOM

    waiting: Waiting[Ingested] = Waiting()

    async def record() -> list[Exception]:
        found = await record_pending(engine, configured=configuring.now, waiting=waiting)
        return [one.error for one in found if one.error is not None]

    return Workspace(
        name=os.path.basename(os.path.dirname(engine.dot_dre.path)) or "/",
        ledger_id=engine.ledger_id,
        actor=engine.actor,
        store=engine.store,
        tables=engine.tables,
        blobs=engine.blobs,
        appender=engine.appender,
        following=engine.following,
        configuring=configuring,
        spools=engine.dot_dre.spools,
        secret_patterns=lambda: configuring.now().redaction.patterns,
        blocked=engine.blocked,
        record_pending=record,
        end_lost=partial(end_lost, engine),
        has_room=has_room,
        vanished=vanished,
    )


@contextlib.asynccontextmanager
async def serving(
    engine: Engine, workspace: Workspace, *, host: str, port: int, names: Sequence[str] = ()
) -> AsyncIterator[Serving]:
    """
    The doors of this workspace, open. `names`: by which else the server may be asked.

    Raises ServerRunning when another server has this workspace, or the port, and UsageError for a name that is none.
    """
    _check_names(names)
    with contextlib.ExitStack() as held:
        record = held.enter_context(_only_one(engine.dot_dre.within(serving_file.NAME)))
        listening = held.enter_context(_listening(host, port))
        number = listening.getsockname()[1]
        host = _plain(host)
        page = _page_name(host)
        hosts = _places([page, *_names(host, names)], number)
        token = held.enter_context(_new_token(engine.dot_dre.within(TOKEN)))
        proxied = frozenset(name.lower() for name in names)
        access = Access(
            actor=engine.actor,
            token=token,
            hosts=hosts,
            port=number,
            page=f"http://{page}:{number}",
            shared=_places(_LOOPBACK, number),
            proxied=proxied,
        )
        app = build_app(workspace, access)
        runner = Runner(
            app,
            access_log=None,
            handle_signals=False,
            keepalive_timeout=_KEEP_ALIVE_S,
            auto_decompress=False,
            shutdown_timeout=_DRAIN_S / 2,  # the library waits as long twice
            lingering_time=_LINGER_S,
        )
        await runner.setup()
        watching = asyncio.create_task(_end_the_silent(runner))
        try:
            await web.SockSite(runner, listening, backlog=_BACKLOG).start()
            base = f"http://{_shown(_EVERYWHERE.get(host, host))}:{number}"
            serving_file.write(record, Running(os.getpid(), base))
            yield Serving(base, access.new_address(), app)
        finally:
            watching.cancel()
            try:
                await runner.cleanup()
            finally:
                serving_file.write(record, None)


@contextlib.contextmanager
def _only_one(path: str) -> Iterator[int]:
    fd = os.open(path, _NEW | os.O_NONBLOCK, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise WorkspaceRefused(f"{path} is not a regular file", hint="find out who made it; remove it")
        _take(fd)
        yield fd
    finally:
        os.close(fd)


def _take(fd: int) -> None:
    """Who only looks whether a server lives holds the lock too, for a moment: so it is asked for more than once."""
    for pause_s in (0.05, 0.2, 0.0):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(pause_s)
        else:
            return
    raise ServerRunning(_other(fd), hint="use that one, or end it first")


def _other(fd: int) -> str:
    found = serving_file.read(fd)
    if found is None:
        return "a server for this workspace is just starting"
    return f"a server for this workspace is running already: {found.url} (process {found.pid})"


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "this is no name of a host"
        raise ServerRunning(f"--host {host}: {why}", hint="an address or a name of this machine") from None
    listening = Accepting(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen(_BACKLOG)  # here, of several who bind before one listens, Linux refuses all but one
        except OSError as error:
            raise ServerRunning(
                f"port {port} of {host} cannot be had: {error.strerror}", hint="--port 0 takes a free one"
            ) from None
        yield listening
    finally:
        listening.close()


@contextlib.contextmanager
def _new_token(path: str) -> Iterator[str]:
    """
    A fresh one for each server: what an earlier one gave out opens nothing. It goes with its server. Written aside, so
    that whoever looks finds a whole one, or none.
    """
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    aside = f"{path}.new"
    for left in (path, aside):  # by a server that was killed
        with contextlib.suppress(FileNotFoundError):
            os.unlink(left)
    with os.fdopen(os.open(aside, _NEW | os.O_EXCL, 0o600), "w") as file:
        ours = os.fstat(file.fileno())
        try:
            file.write(token + "\n")
            file.flush()
            os.rename(aside, path)
            yield token
        finally:
            for one in (path, aside):
                with contextlib.suppress(OSError):
                    if os.path.samestat(os.lstat(one), ours):
                        os.unlink(one)


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine reaches what listens there."""
    host = _plain(host)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _plain(host: str) -> str:
    """
    An address as browsers write it, whatever they are given: `127.1` and `::ffff:127.0.0.1` (RFC 4291, 2.5.5.2) are
    `127.0.0.1`. A name as it is.
    """
    try:
        address = str(socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)[0][4][0])
    except OSError:
        return host
    return address.removeprefix(_IPV4_MAPPED) if "." in address else address


def _page_name(host: str) -> str:
    """
    Browsers keep cookies by name, whatever the port: what another account of this machine serves on another port of
    127.0.0.1 is sent the cookies of 127.0.0.1. So the pages have a name that nobody else knows. Browsers look for every
    name under `localhost` on this machine (RFC 6761, 6.3).
    """
    if _shown(host).lower() in _LOOPBACK or host in _EVERYWHERE:
        return f"dre-{secrets.token_hex(_PAGE_NAME_BYTES)}.localhost"
    return _shown(host)


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        found = _NAME.fullmatch(name)
        if found is None or not 0 < int(found["port"] or _HTTP_PORT) <= _LAST_PORT:
            raise UsageError(
                f"--name {name!r} is no name: a host name is expected, with a port where the proxy has one of its own",
                hint="such as dre.example.org or dre.example.org:8443; no http://, no path, letters of ASCII alone",
            )


def _names(host: str, names: Sequence[str]) -> list[str]:
    own = [os.uname().nodename] if host in _EVERYWHERE else [_shown(host)]
    return [*_LOOPBACK, *own, *names]


def _places(names: Iterable[str], port: int) -> frozenset[str]:
    """As a `Host` names them; who asks on port 80 leaves the port out."""
    found = {name.lower() for name in names}
    return frozenset(f"{name}:{port}" for name in found) | (found if port == _HTTP_PORT else frozenset())


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _end_the_silent(runner: web.AppRunner) -> None:
    """Who connects and does not ask: a request's head has a while to arrive, then its place is somebody else's."""
    since: dict[object, float] = {}
    seen = runner.app[SEEN]
    while runner.server is not None:
        now = time.monotonic()
        connections = runner.server.connections
        since = {connection: since.get(connection, now) for connection in connections}
        seen.intersection_update(connections)
        for connection in connections:
            if connection not in seen and now - since[connection] > _FIRST_REQUEST_S and connection.transport:
                connection.transport.abort()
        await asyncio.sleep(_LOOK_S)
