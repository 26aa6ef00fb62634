"""
What the server is measured beside, each as people write it, each a process of its own.

    python -m bench.rivals NAME [ARGUMENT ...]

Each prints `{"port": ...}` once it listens. Those that send are then told `{"rate", "seconds"}`, send so many messages
a second to everybody who is connected, and answer how many they have sent; the messages are those that our server
sends, 500 bytes each.
"""

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

import uvicorn
from aiohttp import WSMsgType, web
from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel
from sqlalchemy import JSON, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from websockets.asyncio.server import ServerConnection, broadcast, serve

Payload = Callable[[int], str]
TICK_S = 0.01


class Base(DeclarativeBase):
    pass


class EventRecord(Base):
    __tablename__ = "event"

    position: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    stream: Mapped[str]
    version: Mapped[int]
    type: Mapped[str]
    recorded_at: Mapped[int]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class EventOut(BaseModel):
    model_config = ConfigDict(from_attributes=True, alias_generator=to_camel, populate_by_name=True)

    position: int
    id: UUID
    stream: str
    version: int
    type: str
    recorded_at: int
    actor: str
    data: dict[str, Any]


class PageOut(BaseModel):
    items: list[EventOut]
    next: str | None


def fastapi_app(database: str, token: str) -> FastAPI:
    """The page of events over a table of the same rows, with the same token."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = FastAPI()
    shown = HTTPBearer()

    async def session() -> AsyncIterator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    async def owner(bearer: Annotated[HTTPAuthorizationCredentials, Depends(shown)]) -> None:
        if bearer.credentials != token:
            raise HTTPException(401)

    @app.get("/api/v1/events", response_model=PageOut, dependencies=[Depends(owner)])
    async def events(
        opened: Annotated[AsyncSession, Depends(session)],
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: int = -1,
    ) -> dict[str, Any]:
        query = select(EventRecord).where(EventRecord.position > after).order_by(EventRecord.position).limit(limit + 1)
        found = (await opened.scalars(query)).all()
        items = found[:limit]
        return {"items": items, "next": str(items[-1].position) if len(found) > limit else None}

    return app


async def fill(database: str, events: list[dict[str, Any]]) -> None:
    """`events`: as our API shows them."""
    engine = create_async_engine(f"sqlite+aiosqlite:///{database}")
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_sessionmaker(engine)() as session:
        session.add_all(EventRecord(**EventOut.model_validate(event).model_dump()) for event in events)
        await session.commit()
    await engine.dispose()


def run_fastapi(database: str, token: str) -> None:
    listening = listen()
    app = fastapi_app(database, token)
    config = uvicorn.Config(app, access_log=False, log_level="warning", timeout_keep_alive=75)
    asyncio.run(uvicorn.Server(config).serve([listening]))


async def run_bare(size: str) -> None:
    """A handler of aiohttp that does nothing but answer."""
    body = b"{" + b" " * (int(size) - 2) + b"}"

    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    async with served({"/api/v1/operations/{id}": answer}):
        await until_left()


async def run_send_str() -> None:
    """Every client is awaited, one after the other, for each message."""
    clients: set[web.WebSocketResponse] = set()

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        clients.add(socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:
                    break
        finally:
            clients.discard(socket)
        return socket

    async def send(message: str) -> None:
        for client in list(clients):
            await client.send_str(message)

    async with served({"/api/v1/stream": stream}):
        await answer_lines(send)


async def run_broadcast() -> None:
    """`websockets.broadcast`, which waits for nobody."""
    clients: set[ServerConnection] = set()

    async def stream(connection: ServerConnection) -> None:
        clients.add(connection)
        try:
            await connection.wait_closed()
        finally:
            clients.discard(connection)

    async def send(message: str) -> None:
        broadcast(clients, message)
        await asyncio.sleep(0)

    listening = listen()
    async with serve(stream, sock=listening, compression=None, ping_interval=None):
        await answer_lines(send)


@asynccontextmanager
async def served(handlers: dict[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]) -> AsyncIterator[None]:
    """As our server runs aiohttp."""
    app = web.Application()
    for path, handler in handlers.items():
        app.router.add_get(path, handler)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, keepalive_timeout=75, auto_decompress=False)
    await runner.setup()
    await web.SockSite(runner, listen(), backlog=512).start()
    try:
        yield
    finally:
        await runner.cleanup()


def listen() -> socket.socket:
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
    return listening


async def lines() -> AsyncIterator[dict[str, Any]]:
    """What the benchmark tells, until it tells nothing any more."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


async def until_left() -> None:
    async for _ in lines():
        pass


async def answer_lines(send: Callable[[str], Awaitable[None]]) -> None:
    async for asked in lines():
        sent = 0
        async for due in ticks(asked["rate"], asked["seconds"]):
            for _ in range(due):
                await send(message(sent))
                sent += 1
        print(json.dumps({"sent": sent}), flush=True)


async def ticks(rate: int, seconds: float) -> AsyncIterator[int]:
    """How many are due now, a hundred times a second. Whoever comes late is given what was missed, until time is up."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    given = 0
    while given < rate * seconds:
        due = min(int((loop.time() - began) * rate), int(rate * seconds)) - given
        if due:
            yield due
            given += due
        if loop.time() - began > seconds + 1:
            return
        await asyncio.sleep(TICK_S)


def message(position: int) -> str:
    """Five hundred bytes, of the form that our server sends."""
    shown = {
        "position": position + 10_000,
        "id": str(uuid4()),
        "stream": "default/configuration-019a0000-0000-7000-8000-000000000000",
        "version": position,
        "type": "configuration.changed",
        "recordedAt": time.time_ns() // 1_000_000,
        "actor": "local-0b2f6d1e-9c1d-4f0e-8a77-1d2c3b4a5960",
        "data": {"key": "evidence.retention", "value": "", "scope": "workspace"},
    }
    text = json.dumps(shown, separators=(",", ":"))
    value = f"@{time.monotonic_ns():020}".ljust(500 - len(text), "x")
    return text.replace('"value":""', f'"value":"{value}"')


RIVALS: dict[str, Callable[..., Any]] = {
    "fastapi": run_fastapi,
    "bare": lambda size: asyncio.run(run_bare(size)),
    "send_str": lambda: asyncio.run(run_send_str()),
    "broadcast": lambda: asyncio.run(run_broadcast()),
}

if __name__ == "__main__":
    RIVALS[sys.argv[1]](*sys.argv[2:])
