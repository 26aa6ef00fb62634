"""
Following: one subscription over as many connections as it takes.

What was handed out is remembered as a position and a hash. A new connection asks for what is behind that position, and
what comes must hang on that hash; so it does not matter where and how the one before it ended.
"""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol
from uuid import UUID

import aiohttp
import msgspec

from dre.client import answers
from dre.client.answers import reaching, unreachable
from dre.client.chain import Chain, broken
from dre.client.shown import Event, Problem, Proved
from dre.errors import HistoryDiffers, ServerUnreachable, StoreBusy, Unauthenticated

SILENCE_S = 50.0
"""A server says something every 20 seconds; one that is silent for longer is not there any more."""
CONNECT_S = 20.0
LARGEST_MESSAGE = 1 << 20
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 30.0
_CLOSE_S = 2.0
_LONGEST_DOUBLING = 10


class Subscription(msgspec.Struct, kw_only=True, tag_field="type", tag="subscribe", omit_defaults=True):
    channels: list[str] | None = None
    projects: list[str] = []
    operations: list[UUID] = []
    types: list[str] = []
    after: int | None = None
    generation: int | None = None
    proofs: bool = False

    @property
    def is_whole(self) -> bool:
        return self.channels is None and not (self.projects or self.operations or self.types)


class _Head(msgspec.Struct):
    position: int
    leaf: str


class _Subscribed(msgspec.Struct):
    ledger: UUID
    generation: int
    head: _Head


class _Message(msgspec.Struct):
    """What tells messages apart. A stored event has a position and an id."""

    type: str
    id: UUID | None = None
    position: int | None = None


class Server(Protocol):
    """The client, as far as following needs it."""

    base: str

    def place(self) -> str: ...
    def token(self) -> str: ...
    def http(self) -> aiohttp.ClientSession: ...
    async def check(self) -> None: ...


class _Lost(Exception):
    """The connection ended; another one may do better."""


class Following:
    """
    `after` and `leaf`: what was seen before, by position and hash. One that sees everything checks that nothing is
    missing; a filtered one cannot, and goes by positions that only grow.
    """

    def __init__(self, server: Server, wanted: Subscription, after: int | None, leaf: bytes | None) -> None:
        self._server, self._wanted = server, wanted
        self._chain = None if after is None else Chain(after, leaf)
        self._known: _Subscribed | None = None
        self._failures = 0
        self._shown = ""

    async def events(self) -> AsyncGenerator[Event, None]:
        while True:
            try:
                async with contextlib.aclosing(self._one_connection()) as events:
                    async for event in events:
                        yield event
            except _Lost:
                pass
            except StoreBusy:
                if self._known is None:
                    raise
            except Unauthenticated:
                if self._known is None or not self._has_new_token():
                    raise
            await asyncio.sleep(self._pause())

    async def _one_connection(self) -> AsyncGenerator[Event, None]:
        async with self._connected() as socket:
            await self._subscribe(socket)
            while True:
                event = self._taken(await _next(socket))
                if event is not None:
                    yield event

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        try:
            socket = await self._connect()
        except ServerUnreachable:
            if self._known is None:
                raise
            raise _Lost from None  # it may come back; one that is there and talks nonsense will not talk sense
        async with socket:
            yield socket

    async def _connect(self) -> aiohttp.ClientWebSocketResponse:
        base = self._server.place()
        self._shown = self._server.token()
        try:
            with reaching(base):
                async with asyncio.timeout(CONNECT_S):
                    return await self._server.http().ws_connect(
                        f"{base}/api/v1/stream",
                        headers={"Authorization": f"Bearer {self._shown}"},
                        max_msg_size=LARGEST_MESSAGE,
                        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
                    )
        except ServerUnreachable:
            await self._server.check()  # a refused handshake has no words: ask once more, where there are some
            raise

    async def _subscribe(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        asked = self._wanted
        if self._chain is not None:
            generation = self._known.generation if self._known else None
            asked = msgspec.structs.replace(asked, after=self._chain.position, generation=generation)
        try:
            await socket.send_str(msgspec.json.encode(asked).decode())
        except ConnectionError:
            raise _Lost from None
        base = self._server.base
        answer = await _next(socket)
        kind = answers.decode(base, answer, _Message).type
        self._end_if(kind, answer)
        if kind != "subscribed":
            raise unreachable(base, f"answers {kind!r} to a subscription, and not as a DRE server does")
        self._met(answers.decode(base, answer, _Subscribed))

    def _met(self, found: _Subscribed) -> None:
        """The history that is here now must be the one that was here before."""
        if self._known is not None and found.ledger != self._known.ledger:
            raise HistoryDiffers(
                f"{self._server.base} now serves the ledger {found.ledger}, not {self._known.ledger}",
                hint="another workspace is served there",
            )
        try:
            leaf = bytes.fromhex(found.head.leaf)
        except ValueError:
            raise unreachable(self._server.base, "names a head that is none") from None
        if self._chain is None:
            self._chain = Chain(found.head.position, leaf)
        self._chain.meets(found.head.position, leaf)
        self._known = found

    def _taken(self, message: bytes) -> Event | None:
        base, chain = self._server.base, self._chain
        assert chain is not None  # noqa: S101 - there is one since the first answer
        head = answers.decode(base, message, _Message)
        self._end_if(head.type, message)
        self._failures = 0
        if head.type == "heartbeat" and head.position is not None:
            self._is_told(chain, head.position)
        if head.id is None or head.position is None:
            return None  # what only passes is not history
        event = answers.decode(base, message, Proved if self._wanted.proofs else Event)
        if self._wanted.is_whole:
            chain.follow(event)
        else:
            chain.pick(event)
        return event

    def _is_told(self, chain: Chain, position: int) -> None:
        if position <= chain.position:
            return
        if self._wanted.is_whole:
            raise broken(chain.position + 1, f"was never told, and the server says that it told up to {position}")
        chain.pass_over(position)

    def _end_if(self, kind: str, message: bytes) -> None:
        if kind == "error":
            raise answers.error_of(self._server.base, answers.decode(self._server.base, message, Problem))
        if kind == "cut":
            raise _Lost

    def _has_new_token(self) -> bool:
        """A server that was started anew has one of its own; between two servers there is none."""
        try:
            return self._server.token() != self._shown
        except ServerUnreachable:
            return True

    def _pause(self) -> float:
        """Longer each time, and never the same for all clients."""
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(self._failures, _LONGEST_DOUBLING))
        self._failures += 1
        return random.uniform(0.0, longest)  # noqa: S311 - no secret


async def _next(socket: aiohttp.ClientWebSocketResponse) -> bytes:
    try:
        message = await socket.receive(timeout=SILENCE_S)
    except TimeoutError:
        raise _Lost from None
    if message.type is not aiohttp.WSMsgType.TEXT:
        raise _Lost
    text: str = message.data
    return text.encode()
