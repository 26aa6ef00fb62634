"""The client: asks a server, reads its history page by page, and listens to what happens."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Literal, Self, TypeVar, overload
from urllib.parse import quote
from uuid import UUID

import aiohttp

from dre.client import answers
from dre.client.answers import reaching
from dre.client.chain import Chain
from dre.client.following import Following, Subscription
from dre.client.shown import Event, Evidence, Health, Operation, OperationDetail, Page, Proved
from dre.errors import BlobAltered, RequestRefused

TIMEOUT_S = 60.0
PAGE = 500
_PIECE = 64 << 10

Value = TypeVar("Value")
Token = str | Callable[[], str]
Base = str | Callable[[], str]


class Client:
    """
    `base`: where the server is; `token`: what it wants to be shown. Either may be a function that says it: it is asked
    for every connection, so that a server which was started anew, elsewhere and with a token of its own, is reached
    again.

    `timeout_s`: how long an answer may take; of an item's bytes, which are read at the caller's own pace, each piece.

    Whatever is asked raises ServerUnreachable where no DRE server answers, and what the server refuses as the error of
    that code.
    """

    def __init__(self, base: Base, token: Token, *, timeout_s: float = TIMEOUT_S) -> None:
        self._where = base
        self.base = base.rstrip("/") if isinstance(base, str) else ""
        self._token = token
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._timeout_of_bytes = aiohttp.ClientTimeout(total=None, sock_connect=timeout_s, sock_read=timeout_s)
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def operations(
        self, *, limit: int = 50, cursor: str | None = None, **filters: str | int | None
    ) -> Page[Operation]:
        """Newest first. `filters`: `since`, `until`, `command`, `status`, `result`, `short`."""
        return await self._get("/operations", Page[Operation], {"limit": limit, "cursor": cursor, **filters})

    async def operation(self, id: UUID | str) -> OperationDetail:
        return await self._get(f"/operations/{_in_path(id)}", OperationDetail)

    async def evidence(self, id: UUID | str) -> Evidence:
        return await self._get(f"/evidence/{_in_path(id)}", Evidence)

    async def evidence_content(self, id: UUID | str, *, digest: str | None = None) -> AsyncIterator[bytes]:
        """
        The bytes of one item, piece by piece; the last piece comes only when size and digest are right. `digest`: the
        one to believe, where you have it from a chain that you checked; else the server's word is taken.

        Raises BlobAltered.
        """
        item = await self.evidence(id)
        wanted, found, size, held = digest or item.digest, sha256(), 0, b""
        async with self._asked(f"/evidence/{_in_path(id)}/content", limits=self._timeout_of_bytes) as response:
            if response.status != 200:
                await answers.read(self.base, response)
            while True:
                with reaching(self.base):
                    piece = await response.content.read(_PIECE)
                if not piece:
                    break
                if held:
                    yield held
                held = piece
                found.update(piece)
                size += len(piece)
        if (size, found.hexdigest()) != (item.size_bytes, wanted):
            raise BlobAltered(f"evidence {item.id} came with {size} bytes that are not those that were recorded")
        if held:
            yield held

    async def newest(self) -> int:
        """The position of the newest event; -1 where there is none."""
        return (await self._get("/health/detailed", Health)).events - 1

    @overload
    def events(
        self, *, after: int = -1, proofs: Literal[True], leaf: bytes | None = None
    ) -> AsyncGenerator[Proved, None]: ...
    @overload
    def events(self, *, after: int = -1, proofs: bool, leaf: bytes | None = None) -> AsyncGenerator[Event, None]: ...
    @overload
    def events(
        self, *, after: int = -1, proofs: Literal[False] = False, leaf: bytes | None = None, **filters: str | int | None
    ) -> AsyncGenerator[Event, None]: ...
    async def events(
        self, *, after: int = -1, proofs: bool = False, leaf: bytes | None = None, **filters: str | int | None
    ) -> AsyncGenerator[Event, None]:
        """
        History up to now, oldest first. Without `filters` (`stream`, `type`, `actor`, `since`, `until`) nothing may be
        missing; with them positions must grow. With `proofs`, which go without filters only, each event is checked and
        linked to the one before, the first of them to `leaf`.

        Raises ChainBroken, and RequestRefused for proofs with filters: they would prove nothing.
        """
        filters = {name: value for name, value in filters.items() if value is not None}
        if proofs and filters:
            raise RequestRefused(
                f"proofs go with every event: between those of one {next(iter(filters))} the chain has gaps",
                hint="ask without filters and pick, or without proofs",
            )
        kind = Page[Proved] if proofs else Page[Event]
        chain, cursor = Chain(after, leaf), None
        check = chain.pick if filters else chain.follow
        while True:
            asked = {"after": after, "limit": PAGE, "proofs": "true" if proofs else None, "cursor": cursor, **filters}
            page: Page[Any] = await self._get("/events", kind, asked)
            for event in page.items:
                check(event)
                yield event
            if page.next is None:
                return
            cursor = page.next

    @overload
    def follow(
        self, *, after: int | None = None, proofs: Literal[True], leaf: bytes | None = None
    ) -> AsyncGenerator[Proved, None]: ...
    @overload
    def follow(
        self,
        *,
        after: int | None = None,
        proofs: bool = False,
        leaf: bytes | None = None,
        channels: Sequence[str] | None = None,
        projects: Sequence[str] = (),
        operations: Sequence[UUID] = (),
        types: Sequence[str] = (),
    ) -> AsyncGenerator[Event, None]: ...
    async def follow(
        self,
        *,
        after: int | None = None,
        proofs: bool = False,
        leaf: bytes | None = None,
        channels: Sequence[str] | None = None,
        projects: Sequence[str] = (),
        operations: Sequence[UUID] = (),
        types: Sequence[str] = (),
    ) -> AsyncGenerator[Event, None]:
        """
        Every event behind `after` (-1: from the start; None: from now on), then each as it is recorded, for ever:
        nothing missing, nothing twice, in order, however often the connection is lost. Only the first connection must
        succeed; after it the server is waited for.

        With `proofs` each event is checked and linked to the one before, across connections too.

        Raises ChainBroken; HistoryDiffers where what was read is not this server's history (any more).
        """
        wanted = Subscription(
            channels=None if channels is None else list(channels),
            projects=list(projects),
            operations=list(operations),
            types=list(types),
            proofs=proofs,
        )
        async with contextlib.aclosing(Following(self, wanted, after, leaf).events()) as events:
            async for event in events:
                yield event

    def place(self) -> str:
        """Where the server is now; `base` is where it was when that was last asked."""
        if not isinstance(self._where, str):
            self.base = self._where().rstrip("/")
        return self.base

    def token(self) -> str:
        """Without the line end of the file that it lies in."""
        return (self._token if isinstance(self._token, str) else self._token()).strip()

    def http(self) -> aiohttp.ClientSession:
        if self._http is None:
            raise RuntimeError("a client asks inside `async with Client(...)`")
        return self._http

    async def check(self) -> None:
        """Raises what keeps this client from asking this server."""
        await self._get("/health/detailed", dict)

    async def _get(self, path: str, kind: type[Value], parameters: Mapping[str, Any] | None = None) -> Value:
        async with self._asked(path, parameters) as response:
            with reaching(self.base):
                body = await answers.read(self.base, response)
        return answers.decode(self.base, body, kind)

    @contextlib.asynccontextmanager
    async def _asked(
        self,
        path: str,
        parameters: Mapping[str, Any] | None = None,
        limits: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        asked = {name: str(value) for name, value in (parameters or {}).items() if value is not None}
        base = self.place()
        with reaching(base):
            response = await self.http().get(
                f"{base}/api/v1{path}",
                params=asked,
                headers=headers(self.token()),
                allow_redirects=False,  # a token is for the server that was named
                timeout=limits or self._timeout,
            )
        try:
            yield response
        finally:
            response.close()


def headers(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _in_path(id: UUID | str) -> str:
    return quote(str(id), safe="")
