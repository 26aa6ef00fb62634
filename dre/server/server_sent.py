"""Server-sent events: the same stream for whoever speaks only HTTP; `Last-Event-ID` is the position."""

import asyncio
import contextlib
import re
from typing import Any

import msgspec
from aiohttp import HttpVersion11, web

from dre.errors import RequestRefused
from dre.server.access import PRINCIPAL
from dre.server.incoming import no_parameters, parameters, shown
from dre.server.live import LIVE
from dre.server.stream.session import FAILED, GOING_AWAY, Session
from dre.server.stream.subscription import Subscribe, wanted
from dre.server.websocket import (
    bound_send_buffer,
    checked,
    close_soon,
    in_words,
    serve_socket,
    subscribed,
)
from dre.server.workspace import WORKSPACE

MEDIA_TYPE = "text/event-stream"
_LOOK_S = 1.0
_POSITION = re.compile(r"-1|[0-9]{1,16}", re.ASCII)  # as many digits as 2^53 has
_END = b"0\r\n\r\n"


class Which(Subscribe, frozen=True, forbid_unknown_fields=True):
    """The fields of `subscribe`, in the query string."""


class EventsLink:
    """RFC 9112, 7.1: each write is one chunk, however many messages it holds."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._is_cut = False

    def unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def frame(self, message: bytes, position: int | None) -> bytes:
        return (b"" if position is None else b"id: %d\n" % position) + b"data: " + message + b"\n\n"

    def write(self, frames: bytes) -> None:
        self._transport.write(b"%x\r\n" % len(frames) + frames + b"\r\n")

    def beat(self, position: int) -> None:
        """An id without data moves `Last-Event-ID` on and is no event."""
        self.write(b"id: %d\n\n" % position)

    def say(self, message: dict[str, Any]) -> None:
        """By the name of its type, so that it is not taken for an event of history."""
        self.write(b"event: %s\ndata: %s\n\n" % (message["type"].encode(), msgspec.json.encode(message)))

    def cut(self, position: int | None, why: str) -> None:
        if self._is_cut:
            return
        self.say({"type": "cut", "code": why, "position": position})
        self._is_cut = True
        self._transport.write(_END)
        close_soon(self._transport)

    def fail(self, error: Exception, position: int | None) -> None:
        self.say(in_words(error))
        self.cut(position, FAILED)

    def is_open(self) -> bool:
        return not (self._is_cut or self._transport.is_closing())


class EventsListener:
    def __init__(self, session: Session) -> None:
        self.principal, self._session = session.principal, session

    def leave(self, why: str = GOING_AWAY) -> None:
        self._session.link.cut(self._session.position, why)


async def stream(request: web.Request) -> web.StreamResponse:
    """One resource, two ways to listen."""
    if request.headers.get("Upgrade", "").lower() == "websocket":
        no_parameters(request)  # it says in messages what it wants
        with request.app[LIVE].place():
            return await serve_socket(request)
    if MEDIA_TYPE not in request.headers.get("Accept", ""):
        raise RequestRefused(
            "this is a stream: ask for it as a WebSocket, or with Accept: text/event-stream",
            hint="GET /api/v1/events has history as pages",
        )
    with request.app[LIVE].place():
        return await _serve_events(request)


async def _serve_events(request: web.Request) -> web.StreamResponse:
    live, workspace = request.app[LIVE], request.app[WORKSPACE]
    if request.version < HttpVersion11:
        raise RequestRefused("events are sent in chunks, which HTTP/1.1 brought")
    asked = _resumed(request, parameters(request, Which))
    want = wanted(asked)
    head = await workspace.store.head()
    after = checked(asked, head.size, head.generation)
    response = web.StreamResponse(headers={"Content-Type": MEDIA_TYPE})
    response.enable_chunked_encoding()
    with contextlib.suppress(ConnectionError):
        await response.prepare(request)
    transport = request.transport
    if transport is None or transport.is_closing():
        return response  # whoever asked has gone
    bound_send_buffer(transport)
    link = EventsLink(transport)
    session = Session(link, request[PRINCIPAL], want, after, asyncio.get_running_loop().time())
    listener = EventsListener(session)
    live.listeners.add(listener)
    try:
        link.say(subscribed(workspace.ledger_id, head))
        link.beat(after)
        live.broadcast.add(session)
        while link.is_open():  # noqa: ASYNC110 - a transport tells nobody that its peer has gone
            await asyncio.sleep(_LOOK_S)
    finally:
        live.broadcast.remove(session)
        live.listeners.discard(listener)
    return response


def _resumed(request: web.Request, asked: Subscribe) -> Subscribe:
    """Raises RequestRefused for a `Last-Event-ID` that is no position."""
    last = request.headers.get("Last-Event-ID")
    if not last:
        return asked
    if _POSITION.fullmatch(last) is None:
        raise RequestRefused(f"Last-Event-ID: {shown(last)} is no position")
    return msgspec.structs.replace(asked, after=int(last))
