"""What comes back: read within bounds, problems (RFC 9457) as the errors that they are, by their code."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import aiohttp
import msgspec

from dre import errors
from dre.client.shown import Problem
from dre.errors import DREError, NotFound, RequestRefused, ServerUnreachable

MOST_BYTES = 64 << 20
_PROBLEM = "application/problem+json"
_LONGEST = 500

Value = TypeVar("Value")


@contextlib.contextmanager
def reaching(base: str) -> Iterator[None]:
    """Whatever keeps a server from answering is one error."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise unreachable(base, _why(error)) from None


def _why(error: Exception) -> str:
    """The system's words where it has some: the library's repeat the address, and speak of TLS where none is."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refused = error.certificate_error
        return f"TLS: {getattr(refused, 'verify_message', None) or refused}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):  # its number is OpenSSL's, not the system's
        reason = getattr(error.os_error, "reason", None) or str(error.os_error)
        return f"TLS: {reason.replace('_', ' ').lower()}"
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.errno or 0
        return os.strerror(number) if number > 0 else error.strerror or str(error)  # a resolver's numbers are its own
    return str(error) or type(error).__name__


def unreachable(base: str, why: str) -> ServerUnreachable:
    return ServerUnreachable(f"{base}: {why}", hint="is this what dre serve printed, and does it run?")


async def read(base: str, response: aiohttp.ClientResponse) -> bytes:
    """The body of a good answer. Raises what a bad one says."""
    body = bytearray()
    async for piece in response.content.iter_chunked(1 << 16):
        body += piece
        if len(body) > MOST_BYTES:
            raise unreachable(base, f"its answer has more than {MOST_BYTES} bytes")
    if response.status == 200:
        return bytes(body)
    if response.content_type != _PROBLEM:
        raise unreachable(base, f"answers with status {response.status}, and not as a DRE server does")
    raise error_of(base, decode(base, bytes(body), Problem), response.status)


def decode(base: str, body: bytes, kind: type[Value]) -> Value:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise unreachable(base, f"does not answer as a DRE server does: {error}") from None


def error_of(base: str, problem: Problem, status: int = 400) -> DREError:
    """Of the class that has the problem's code; of one that fits the status where this DRE knows none."""
    kind: Callable[..., DREError] | None = _KINDS.get(problem.code)
    detail = problem.detail[:_LONGEST]
    if kind is not None:
        return kind(detail, hint=problem.hint)
    if status == 404:
        return NotFound(detail, hint=problem.hint)
    if 400 <= status < 500:
        return RequestRefused(f"{problem.code}: {detail}", hint=problem.hint)
    return unreachable(base, f"{problem.code}: {detail}")


def _every(kind: type[DREError]) -> Iterator[type[DREError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _every(one)


_KINDS: dict[str, type[DREError]] = {one.code: one for one in _every(errors.DREError) if "code" in vars(one)}
"""A class without a code of its own is for those who raise it: who hears of it knows its parent."""
