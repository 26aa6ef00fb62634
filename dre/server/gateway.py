"""The gateway: every request passes here, is allowed or refused, and what goes wrong becomes a problem."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import aiohttp.http_parser
import structlog
from aiohttp import web

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
from dre.server.access import ACCESS, PRINCIPAL, Access, Relation
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
_WITHOUT_QUERY = frozenset(route.handler for route in ROUTES if route.takes is None)


class Rules:
    """Who may use what, by the function that does it. What has no entry is the owner's alone."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._relations: dict[object, Relation] = {route.handler: route.relation for route in routes}

    def relation(self, handler: object) -> Relation:
        return self._relations.get(handler, "owner")


SEEN: web.AppKey[set[object]] = web.AppKey("seen", set)
"""Connections that have asked something. Whoever watches connections takes out those that are gone."""
RULES: web.AppKey[Rules] = web.AppKey("rules", Rules)


def build_app(workspace: Workspace, access: Access) -> web.Application:
    """The application over this workspace. Raises RuntimeError where aiohttp has no C parser."""
    _check_parser()
    app = web.Application(middlewares=[gateway], client_max_size=LARGEST_BODY)
    app[WORKSPACE], app[ACCESS] = workspace, access
    app[LIVE], app[KEPT], app[COUNTED], app[ARRIVING] = Live(workspace, access), Kept(), Counted(), Arriving()
    routes = (*ROUTES, *pages.ROUTES)
    app[RULES], app[SEEN] = Rules(routes), set()
    for route in routes:
        app.router.add_route(route.method, route.path, route.handler)
        if route.method == "GET" and route is not STREAM:
            app.router.add_route("HEAD", route.path, route.handler)
    pages.set_up(app)
    app[openapi.DOCUMENT] = openapi.document(ROUTES)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(_live)
    app.on_shutdown.append(_say_goodbye)
    return app


@web.middleware
async def gateway(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    app = request.app
    app[SEEN].add(request.protocol)
    try:
        access = app[ACCESS]
        access.check_place(request)
        if app[RULES].relation(request.match_info.handler) == "owner":
            request[PRINCIPAL] = access.principal(request)
        if request.match_info.handler in _WITHOUT_QUERY:
            no_parameters(request)
        response = await handler(request)
    except (DREError, web.HTTPException) as error:
        response = _refusal(request, error)
    except ConnectionError:
        raise  # whoever asked has gone, and was not answered
    except Exception as error:
        LOG.exception("request_failed", method=request.method, path=_logged(request.path))
        response = _refusal(request, error)
    _count(request, response.status)
    return response


def _refusal(request: web.Request, error: Exception) -> web.Response:
    if request.path.startswith((PREFIX, "/livez", "/readyz")):
        return problems.response(error)
    return pages.refusal(request, error)


def _count(request: web.Request, status: int) -> None:
    resource = request.match_info.route.resource
    request.app[COUNTED].requests[(request.method, resource.canonical if resource else "", status)] += 1
    if status >= 500 or status in (401, 403, 421) or request.method not in _READING:
        path = _logged(request.path)
        LOG.info("request", method=request.method, path=path, status=status, address=request.remote)


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
