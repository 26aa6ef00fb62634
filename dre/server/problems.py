"""Errors as HTTP says them: one table from DRE's errors to a status, and RFC 9457 problems that carry their code."""

from http import HTTPStatus

import msgspec
from aiohttp import web

from dre import errors
from dre.errors import DREError

MEDIA_TYPE = "application/problem+json"
RETRY_S = 1

STATUS: dict[type[DREError], int] = {
    errors.UsageError: 400,
    errors.NotFound: 404,
    errors.AmbiguousId: 400,
    errors.ConfigurationError: 422,
    errors.CommandRefused: 409,
    errors.WorkspaceRefused: 503,
    errors.LedgerError: 503,
    errors.LedgerAltered: 500,
    errors.HistoryDiffers: 409,
    errors.BodyRefused: 422,
    errors.BlobMissing: 410,
    errors.BlobAltered: 500,
    errors.RequestRefused: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.Misdirected: 421,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.RangeRefused: 416,
    errors.TooSlow: 408,
    errors.Conflict: 409,
    errors.GoingAway: 503,
    errors.PreconditionFailed: 412,
    errors.NotBuilt: 501,
    errors.StoreBusy: 503,
    errors.StoreFull: 507,
}
"""The nearest class counts: what is not named here is answered as its parent is, and at last with 500."""

_CODES = {404: "no_such_route", 405: "method_not_allowed", 413: "too_large", 414: "too_large", 431: "too_large"}
"""Of what the HTTP library refuses by itself."""

_DETAILS = {404: "there is nothing at this address", 405: "not with this method; Allow says with which"}
"""Its own words are the title once more."""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457. `code` is stable and is what programs read; `hint` says what to do."""

    title: str
    status: int
    code: str
    detail: str
    hint: str | None = None


def status_of(error: DREError) -> int:
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def problem_of(error: Exception) -> Problem:
    """What is told of an error. An unexpected one is told by its kind alone: its words may hold anything."""
    match error:
        case DREError():
            status = status_of(error)
            return Problem(_title(status), status, error.code, error.message, error.hint)
        case web.HTTPException():
            status = error.status
            detail = _DETAILS.get(status, error.reason)
            return Problem(_title(status), status, _CODES.get(status, "request_refused"), detail)
        case _:
            detail = f"{type(error).__name__}: nothing was changed that was not answered for"
            return Problem(_title(500), 500, "internal", detail, "the server's own log says more")


def response(error: Exception) -> web.Response:
    problem = problem_of(error)
    body = msgspec.json.encode(problem)
    return web.Response(
        status=problem.status, body=body, content_type=MEDIA_TYPE, headers=headers(error, problem.status)
    )


def headers(error: Exception, status: int) -> dict[str, str]:
    """What HTTP wants to be said with some of them, in whatever form the problem itself is told."""
    found = {}
    if status == HTTPStatus.UNAUTHORIZED:
        found["WWW-Authenticate"] = 'Bearer realm="dre"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        found["Retry-After"] = str(RETRY_S)
    if isinstance(error, errors.RangeRefused):
        found["Content-Range"] = f"bytes */{error.size_bytes}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        found["Allow"] = ", ".join(sorted(error.allowed_methods))
    return found


def _title(status: int) -> str:
    return HTTPStatus(status).phrase
