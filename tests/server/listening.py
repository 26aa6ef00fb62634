"""Listeners as the tests need them: a socket, server-sent events, and a connection whose bytes are written by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from server.served import Served

PATIENCE_S = 10.0


class Socket:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def say(self, **message: Any) -> None:
        await self.socket.send_str(json.dumps(message))

    async def subscribe(self, **fields: Any) -> Any:
        """The answer."""
        await self.say(type="subscribe", **fields)
        return await self.next()

    async def next(self) -> Any:
        message = await self.socket.receive(timeout=PATIENCE_S)
        assert message.type is aiohttp.WSMsgType.TEXT, (message, self.socket.close_code)
        return json.loads(message.data)

    async def events(self, count: int) -> list[Any]:
        """The next stored events; heartbeats are passed over."""
        found: list[Any] = []
        while len(found) < count:
            message = await self.next()
            assert message["type"] not in ("error", "cut"), message
            if "id" in message:
                found.append(message)
        return found

    async def positions(self, count: int) -> list[int]:
        return [event["position"] for event in await self.events(count)]

    async def is_quiet(self, for_s: float = 0.3) -> bool:
        try:
            message = await self.socket.receive(timeout=for_s)
        except TimeoutError:
            return True
        raise AssertionError(message)

    def transport(self) -> asyncio.Transport:
        """To hold it back, or to let it vanish."""
        found = self.socket.get_extra_info("socket") and self.socket._response.connection
        assert found
        assert isinstance(found.transport, asyncio.Transport)
        return found.transport

    async def until_closed(self) -> tuple[list[Any], int | None]:
        """What is said before it ends, and the close code."""
        found = []
        while (message := await self.socket.receive(timeout=PATIENCE_S)).type is aiohttp.WSMsgType.TEXT:
            found.append(json.loads(message.data))
        return found, self.socket.close_code


@asynccontextmanager
async def socket(served: Served, **more: Any) -> AsyncIterator[Socket]:
    async with served.http.ws_connect(f"{served.api}/stream", max_msg_size=1 << 20, **more) as opened:
        yield Socket(opened)


class Told:
    """One server-sent event."""

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = "message"
        self.data: Any = None


class Sent:
    """Server-sent events, parsed as a browser does."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.last_id = ""

    async def next(self) -> Told:
        told = Told()
        while True:
            line = await asyncio.wait_for(self.response.content.readline(), PATIENCE_S)
            assert line, "the stream has ended"
            field, _, value = line.decode().rstrip("\n").partition(": ")
            match field:
                case "id":
                    told.id = self.last_id = value
                case "event":
                    told.name = value
                case "data":
                    told.data = json.loads(value)
                case "" if told.data is not None:
                    return told
                case "":
                    told = Told()

    async def positions(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            told = await self.next()
            if told.name == "message":
                assert told.id == str(told.data["position"])
                found.append(told.data["position"])
        return found


@asynccontextmanager
async def sent(
    served: Served, query: str = "", *, last: str | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Sent]:
    asked = {"Accept": "text/event-stream", **(headers or {})}
    if last is not None:
        asked["Last-Event-ID"] = last
    async with served.http.get(f"{served.api}/stream{query}", headers=asked) as response:
        assert response.status == 200, await response.text()
        yield Sent(response)


@asynccontextmanager
async def by_hand(served: Served, head: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """`head`: the request's lines after Host."""
    host, _, port = served.base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{head.replace('HOST', f'Host: {host}:{port}')}\r\n\r\n".encode())
    try:
        yield reader, writer
    finally:
        writer.close()
