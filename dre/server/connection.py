"""A connection: the HTTP library's own, where what is no HTTP is refused as everything else is."""

from typing import Any

import structlog
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from dre.errors import RequestRefused
from dre.server import problems
from dre.server.answers import HEADERS

LOG = structlog.get_logger("dre")


class Runner(web.AppRunner):
    """Runs an application on connections of this kind."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        parts = {"request_factory": made.request_factory, "loop": made._loop, **made._kwargs}  # noqa: SLF001
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
