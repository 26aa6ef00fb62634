"""Routes that the design names and that are not there yet: they say so, with a code of their own."""

from aiohttp import web

from dre.errors import NotBuilt
from dre.server.routes import PREFIX, Route

_ROUTES = (
    ("POST", "/evidence"),
    ("DELETE", "/evidence/{id}"),
    *(("GET", f"/ledger/{what}") for what in ("checkpoint", "inclusion", "consistency", "witness")),
    *((method, path) for path in ("/claims", "/documents", "/accounts", "/access", "/tokens", "/sessions", "/alerts")
      for method in ("GET", "POST")),
)  # fmt: skip


async def absent(request: web.Request) -> web.Response:
    raise NotBuilt(f"{request.method} {request.path} is part of the design and is not built yet")


ROUTES: tuple[Route, ...] = tuple(
    Route(method, PREFIX + path, absent, "owner", "Not built yet", {}, refuses=(501,)) for method, path in _ROUTES
)
