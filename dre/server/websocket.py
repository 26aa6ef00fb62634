"""
The WebSocket: a listener says what it wants and is told.

Frames are built once and written to the transport as they are (RFC 6455, 5.2: from a server they are not masked), each
write whole frames, so they stand well beside what aiohttp itself writes: answers to pings, and the end.
"""

import asyncio
import contextlib
import struct
from socket import SO_SNDBUF, SOL_SOCKET
from typing import Any, Literal
from uuid import UUID

import msgspec
import structlog
from aiohttp import WSMsgType, web

from dre.errors import DREError, HistoryDiffers, RequestRefused
from dre.ledger.chain import Head
from dre.server import problems
from dre.server.access import ACCESS, PRINCIPAL
from dre.server.incoming import check_json, decode
from dre.server.live import LIVE
from dre.server.stream.session import FAILED, GOING_AWAY, SESSION_OVER, TOO_SLOW, Session
from dre.server.stream.subscription import Subscribe, wanted
from dre.server.workspace import WORKSPACE

LOG = structlog.get_logger("dre")
LARGEST_MESSAGE = 64 << 10
HEARTBEAT_S = 20.0
SEND_BUFFER = 64 << 10
A_SECOND, AT_ONCE = 5.0, 20
"""How many messages a listener may send: a listener listens."""

UNSUPPORTED, FLOOD, OVER, SLOW = 1003, 4429, 4401, 4408
"""Why a socket is closed, beside what RFC 6455 names."""

GRACE_S = 10.0
_TEXT, _CLOSE = 0x81, 0x88
_CODES = {TOO_SLOW: SLOW, SESSION_OVER: OVER, GOING_AWAY: 1001, FAILED: 1011}


class Message(Subscribe, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The one that a listener sends. Others may come, so it says which one it is."""

    type: Literal["subscribe"]


class SocketLink:
    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport) -> None:
        self._socket, self._transport = socket, transport
        self._is_cut = False

    def unsent(self) -> int:
        return self._transport.get_write_buffer_size()

    def frame(self, message: bytes, _position: int | None) -> bytes:
        return _frame(_TEXT, message)

    def write(self, frames: bytes) -> None:
        self._transport.write(frames)

    def say(self, message: dict[str, Any]) -> None:
        if self.is_open():
            self.write(_frame(_TEXT, msgspec.json.encode(message)))

    def beat(self, position: int) -> None:
        self.say({"type": "heartbeat", "position": position})

    def cut(self, position: int | None, why: str) -> None:
        if self._is_cut:
            return
        self.say({"type": "cut", "code": why, "position": position})
        self._is_cut = True
        self._transport.write(_frame(_CLOSE, struct.pack("!H", _CODES[why]) + why.encode()))
        close_soon(self._transport)

    def fail(self, error: Exception, position: int | None) -> None:
        self.say(in_words(error))
        self.cut(position, FAILED)

    def is_open(self) -> bool:
        return not (self._is_cut or self._socket.closed or self._transport.is_closing())


class Allowance:
    """A bucket that fills with time and is emptied by messages."""

    def __init__(self) -> None:
        self._left, self._at = float(AT_ONCE), asyncio.get_running_loop().time()

    def takes_one(self) -> bool:
        now = asyncio.get_running_loop().time()
        self._left = min(float(AT_ONCE), self._left + (now - self._at) * A_SECOND)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Listener:
    """One socket and at most one subscription on it; a new one takes the place of the one before."""

    def __init__(self, request: web.Request, link: SocketLink) -> None:
        self._workspace, self._live = request.app[WORKSPACE], request.app[LIVE]
        self._access, self.principal, self._link = request.app[ACCESS], request[PRINCIPAL], link
        self._session: Session | None = None

    async def take(self, text: str) -> None:
        """What is wrong with a message is answered; the socket stays."""
        try:
            body = text.encode()
            check_json(body)
            await self._subscribe(decode(body, Message))
        except DREError as error:
            self._link.say(in_words(error))
        except Exception as error:
            LOG.exception("listener_failed")
            self._link.fail(error, self._position)

    async def _subscribe(self, asked: Subscribe) -> None:
        want = wanted(asked)
        head = await self._workspace.store.head()
        if self._access.is_over(self.principal):
            self.leave(SESSION_OVER)
            return
        after = checked(asked, head.size, head.generation)
        self.end()
        self._link.say(subscribed(self._workspace.ledger_id, head))
        self._session = Session(self._link, self.principal, want, after, asyncio.get_running_loop().time())
        self._live.broadcast.add(self._session)

    def leave(self, why: str = GOING_AWAY) -> None:
        self._link.cut(self._position, why)

    @property
    def _position(self) -> int | None:
        return self._session.position if self._session else None

    def end(self) -> None:
        if self._session is not None:
            self._live.broadcast.remove(self._session)
            self._session = None


async def serve_socket(request: web.Request) -> web.WebSocketResponse:
    live = request.app[LIVE]
    socket = web.WebSocketResponse(
        heartbeat=HEARTBEAT_S, compress=False, max_msg_size=LARGEST_MESSAGE + 1, timeout=GRACE_S
    )  # aiohttp wants messages to be smaller than that
    if not socket.can_prepare(request).ok:
        raise RequestRefused("this is no WebSocket handshake (RFC 6455)")
    with contextlib.suppress(ConnectionError):
        await socket.prepare(request)
    transport = request.transport
    if transport is None or transport.is_closing():
        return socket  # whoever asked has gone
    bound_send_buffer(transport)
    link, allowance = SocketLink(socket, transport), Allowance()
    listener = Listener(request, link)
    live.listeners.add(listener)
    try:
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                await socket.close(code=UNSUPPORTED, message=b"messages are JSON, as text")
            elif not allowance.takes_one():
                await socket.close(code=FLOOD, message=b"too many messages")
            elif message.type is WSMsgType.TEXT:
                await listener.take(message.data)
    finally:
        listener.end()
        live.listeners.discard(listener)
    return socket


def bound_send_buffer(transport: asyncio.Transport) -> None:
    """Else the system keeps megabytes for each listener that does not read, and `unsent` knows nothing of them."""
    transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_SNDBUF, SEND_BUFFER)


def close_soon(transport: asyncio.Transport) -> None:
    """What was written still goes out, if it is taken within a moment."""
    transport.close()
    asyncio.get_running_loop().call_later(GRACE_S, _abort, transport)


def _abort(transport: asyncio.Transport) -> None:
    if transport.get_protocol() is not None:  # else all was taken: asyncio cannot abort what has ended by itself
        transport.abort()


def checked(asked: Subscribe, size: int, generation: int) -> int:
    """The position behind which to go on. Raises HistoryDiffers for one that this history does not have."""
    if asked.generation is not None and asked.generation != generation:
        raise HistoryDiffers(
            f"this ledger is in generation {generation}, not {asked.generation}: that position is in another history",
            hint="begin again: after -1",
        )
    if asked.after is None:
        return size - 1
    if asked.after < -1:
        raise RequestRefused(f"after {asked.after}: -1 is before the first event")
    if asked.after >= size:
        raise HistoryDiffers(
            f"after {asked.after}: this history holds events 0 to {size - 1}",
            hint="what was seen beyond it is gone, or is another history: begin again with after -1",
        )
    return asked.after


def subscribed(ledger: UUID, head: Head) -> dict[str, Any]:
    place = {"position": head.size - 1, "leaf": head.prev.hex()}
    return {"type": "subscribed", "ledger": ledger, "generation": head.generation, "head": place}


def in_words(error: Exception) -> dict[str, Any]:
    problem = problems.problem_of(error)
    return {"type": "error", "code": problem.code, "detail": problem.detail, "hint": problem.hint}


def _frame(kind: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes((kind, length)) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", kind, 126, length) + payload
    return struct.pack("!BBQ", kind, 127, length) + payload
