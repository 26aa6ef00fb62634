"""A server that says what a test tells it to say: to each connection its lines, to each question for history a page."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web


class Liar:
    """`asked`: what was subscribed to, connection by connection."""

    def __init__(self, scripts: Sequence[Sequence[Any]], pages: Sequence[Any]) -> None:
        self._scripts, self._pages = list(scripts), list(pages)
        self.asked: list[Any] = []
        self.base = ""

    async def stream(self, request: web.Request) -> web.StreamResponse:
        if not self._scripts:
            raise web.HTTPServiceUnavailable
        script = self._scripts.pop(0)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.asked.append(json.loads((await socket.receive()).data))
        for message in script:
            await socket.send_str(message if isinstance(message, str) else json.dumps(message))
        if self._scripts:
            await socket.close()
        else:
            await socket.receive()
        return socket

    async def events(self, _request: web.Request) -> web.Response:
        return web.json_response(self._pages.pop(0))


@asynccontextmanager
async def lying(*scripts: Sequence[Any], pages: Sequence[Any] = ()) -> AsyncIterator[Liar]:
    """After the last script it says nothing more, and stays."""
    liar = Liar(scripts, pages)
    app = web.Application()
    app.router.add_get("/api/v1/stream", liar.stream)
    app.router.add_get("/api/v1/events", liar.events)
    app.router.add_get("/api/v1/health/detailed", healthy)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    liar.base = f"http://{host}:{port}"
    try:
        yield liar
    finally:
        await runner.cleanup()


async def healthy(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})
