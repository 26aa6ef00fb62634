"""A connection: the HTTP library's own, where what arrives comes to the gateway, or is refused as it would be there."""

from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler
from yarl import URL

from dre.errors import RequestRefused
from dre.server import problems
from dre.server.answers import HEADERS

LOG = structlog.get_logger("dre")


class Runner(web.AppRunner):
    """Runs an application on connections of this kind."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()

        def request(message: RawRequestMessage, *rest: Any) -> web.BaseRequest:
            return made.request_factory(message if message.path.startswith("/") else _with_path(message), *rest)

        parts = {"request_factory": request, "loop": made._loop, **made._kwargs}  # noqa: SLF001
        return _Server(made.request_handler, **parts)


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it may hold what was sent
    ) -> web.StreamResponse:
        """
        Of what never became a request, and of what failed behind the gateway. The connection ends: where the next
        request would begin, nobody knows.
        """
        if isinstance(exc, ConnectionError) or request.writer.output_size > 0:
            raise ConnectionError("there is nobody to tell, or too much was told already") from exc
        error: Any = RequestRefused("this is no HTTP/1.1 request that can be answered") if status == 400 else exc
        LOG.info("request_refused", status=status, address=request.remote, error=type(exc).__name__)
        answer = problems.response(error or RuntimeError())
        answer.headers.update(HEADERS)
        answer.force_close()
        return answer


def _with_path(message: RawRequestMessage) -> RawRequestMessage:
    """
    `OPTIONS *`, `CONNECT host:1` and `GET http://host` have none (RFC 9112, 3.2). The library looks for no route then,
    not even for the one of whatever has none, and answers by itself what nobody has checked, counted or logged.
    """
    url = message.url
    if url.absolute:
        return message._replace(url=url.with_path(url.raw_path, encoded=True, keep_query=True))
    return message._replace(url=URL.build(path=f"/{url.raw_path}", query_string=url.raw_query_string, encoded=True))
