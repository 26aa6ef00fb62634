"""The gateway: every request passes here, is allowed or refused, and what goes wrong becomes a problem."""

import contextlib
from collections.abc import AsyncIterator, Iterable

import aiohttp.http_parser
import structlog
from aiohttp import HttpVersion11, web

from dre.errors import DREError
from dre.server import (
    absent,
    answers,
    audit,
    config,
    events,
    evidence,
    health,
    openapi,
    operations,
    pages,
    problems,
    server_sent,
    verification,
)
from dre.server.access import ACCESS, PRINCIPAL, Access
from dre.server.health import COUNTED, Counted
from dre.server.incoming import ARRIVING, LARGEST_BODY, Arriving, no_parameters
from dre.server.kept import KEPT, Kept
from dre.server.live import LIVE, Live
from dre.server.routes import PREFIX, Media, Route, api
from dre.server.workspace import WORKSPACE, Workspace

LOG = structlog.get_logger("dre")
_READING = ("GET", "HEAD")
_LINK = "/open/"

STREAM = api(
    "GET",
    "/stream",
    server_sent.stream,
    "The live stream: a WebSocket, or server-sent events",
    takes=server_sent.Which,
    answers={101: None, 200: Media(server_sent.MEDIA_TYPE, "Server-sent events")},
    headers=("Last-Event-ID",),
)

ROUTES: tuple[Route, ...] = (
    *operations.ROUTES,
    *evidence.ROUTES,
    *verification.ROUTES,
    *events.ROUTES,
    *audit.ROUTES,
    *config.ROUTES,
    *health.ROUTES,
    STREAM,
    *openapi.ROUTES,
    *absent.ROUTES,
)
"""Everything under `/api/v1`, and the probes. The pages have their own table."""
_WHATEVER = r"/{whatever:[\s\S]*}"

SEEN: web.AppKey[set[object]] = web.AppKey("seen", set)
"""Connections that have asked something. Whoever watches connections takes out those that are gone."""


def build_app(workspace: Workspace, access: Access) -> web.Application:
    """The application over this workspace. Raises RuntimeError where aiohttp has no C parser."""
    _check_parser()
    app = web.Application(client_max_size=LARGEST_BODY)
    app[WORKSPACE], app[ACCESS], app[SEEN], app[COUNTED] = workspace, access, set(), Counted()
    app[LIVE], app[ARRIVING] = Live(workspace, access), Arriving()
    app[KEPT] = Kept(lambda: (workspace.store.commits(), workspace.tables.commits()))
    gateway = Gateway(access, app[SEEN], app[COUNTED])
    for route in (*ROUTES, *pages.ROUTES):
        methods = ["GET", "HEAD"] if route.method == "GET" and route is not STREAM else [route.method]
        gateway.guard(app, route, methods)
    gateway.guard(app, Route("*", _WHATEVER, _nothing, "owner", "", {}), ["*"])
    pages.set_up(app)
    app[openapi.DOCUMENT] = openapi.document(ROUTES)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(_live)
    app.on_shutdown.append(_say_goodbye)
    return app


class Gateway:
    """
    What stands before every handler, and where there is none. No middleware of the library's: that costs each request
    as much again as all that is looked at here.
    """

    def __init__(self, access: Access, seen: set[object], counted: Counted) -> None:
        self._access, self._seen, self._counted = access, seen, counted

    def guard(self, app: web.Application, route: Route, methods: Iterable[str]) -> None:
        """Adds the route, for who may ask and for what can be asked."""
        access, seen, handler = self._access, self._seen, route.handler
        is_owners, takes_no_query = route.relation == "owner", route in ROUTES and route.takes is None
        name = "" if route.path == _WHATEVER else route.path

        def check(request: web.Request) -> None:
            access.check_place(request)
            if is_owners:
                request[PRINCIPAL] = access.principal(request)

        async def expected(request: web.Request) -> None:
            """Whoever may not ask is refused by the handler, and is not told to send a body first."""
            with contextlib.suppress(DREError):
                check(request)
                await _go_on(request)

        async def passed(request: web.Request) -> web.StreamResponse:
            seen.add(request.protocol)
            try:
                check(request)
                if takes_no_query:
                    no_parameters(request)
                response = await handler(request)
            except (DREError, web.HTTPException) as error:
                response = _refusal(request, error)
            except ConnectionError:
                raise  # whoever asked has gone, and was not answered
            except Exception as error:
                LOG.exception("request_failed", method=request.method, path=_logged(request.path))
                response = _refusal(request, error)
            self._count(name, request, response.status)
            return response

        for method in methods:
            app.router.add_route(method, route.path, passed, expect_handler=expected)

    def _count(self, route: str, request: web.Request, status: int) -> None:
        self._counted.requests[request.method, route, status] += 1
        if status >= 500 or status in (401, 403, 421) or request.method not in _READING:
            path = _logged(request.path)
            LOG.info("request", method=request.method, path=path, status=status, address=request.remote)


async def _go_on(request: web.Request) -> None:
    """RFC 9110, 10.1.1. What else may be expected is not known here, and is left alone."""
    if request.headers["Expect"].lower() == "100-continue" and request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # of the answer


async def _nothing(request: web.Request) -> web.StreamResponse:
    """No such address, or none that takes this method: then it is said which ones it takes (RFC 9110, 15.5.6)."""
    allowed: set[str] = set()
    for resource in request.app.router.resources():
        _, methods = await resource.resolve(request)
        allowed |= methods
    allowed.discard("*")  # of this very route
    if allowed:
        raise web.HTTPMethodNotAllowed(request.method, allowed)
    raise web.HTTPNotFound


def _refusal(request: web.Request, error: Exception) -> web.Response:
    if request.path.startswith((PREFIX, "/livez", "/readyz")):
        return problems.response(error)
    return pages.refusal(request, error)


def _logged(path: str) -> str:
    """What was refused may have shown an address that still opens; a log is read by more people than may have it."""
    return f"{_LINK}…" if path.startswith(_LINK) else path[:200]


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    if response.headers["Server"] == answers.HEADERS["Server"]:
        return  # it was made with all of them
    for name, value in answers.HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = answers.HEADERS["Server"]  # the library has put its own name and version there


async def _live(app: web.Application) -> AsyncIterator[None]:
    async with app[LIVE].running():
        yield


async def _say_goodbye(app: web.Application) -> None:
    """Whatever goes wrong with one of them is told, and the others are said all the same."""
    for goodbye in (app[ARRIVING].end, *(listener.leave for listener in app[LIVE].listeners)):
        try:
            goodbye()
        except Exception:
            LOG.exception("goodbye_failed")


def _check_parser() -> None:
    """Most request smuggling that was found in aiohttp was found in its parser in Python."""
    if aiohttp.http_parser.HttpRequestParser is aiohttp.http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp was installed without its C parser; install a wheel that has it")
