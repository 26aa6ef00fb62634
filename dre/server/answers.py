"""What goes out: JSON with a tag, so that whoever has it already is told so and nothing more."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

from dre.errors import PreconditionFailed

HEADERS = {
    "Server": "dre",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
"""Of every answer, unless it has a stricter or a looser one of its own."""

_OF_JSON = web.Response(headers=HEADERS, content_type="application/json").headers  # made once, copied for each answer
_TAG_DIGITS = 32
_ENCODER = msgspec.json.Encoder()


def as_json(request: web.Request, value: Any, *, status: int = 200) -> web.Response:
    """`value`: anything msgspec encodes."""
    return encoded(request, _ENCODER.encode(value), status=status)


def encoded(request: web.Request, body: bytes, *, status: int = 200, tag: str | None = None) -> web.Response:
    """JSON that is encoded already; `tag` where it is known, else it is made."""
    if status != 200:
        return web.Response(status=status, body=body, content_type="application/json")
    tag = tag or tag_of(body)
    if is_known(request, tag):
        return web.Response(status=304, headers={"ETag": tag})
    headers = _OF_JSON.copy()
    headers["ETag"] = tag
    return web.Response(body=body, headers=headers)


def tag_of(body: bytes) -> str:
    return f'"{sha256(body).hexdigest()[:_TAG_DIGITS]}"'


def is_known(request: web.BaseRequest, tag: str) -> bool:
    """RFC 9110, 13.1.2: whether the asker holds this already. What changed something was never held."""
    if "If-None-Match" not in request.headers or request.method not in ("GET", "HEAD"):
        return False
    known = _tags(request, "If-None-Match")
    return known == ["*"] or tag in [one.removeprefix("W/") for one in known]


def refuse_if_changed(request: web.BaseRequest, standing: Callable[[], Any]) -> None:
    """RFC 9110, 13.1.1. Raises PreconditionFailed where what stands is not what the asker holds any more."""
    if "If-Match" not in request.headers:
        return
    held = _tags(request, "If-Match")
    if held != ["*"] and tag_of(_ENCODER.encode(standing())) not in held:
        raise PreconditionFailed("it was changed since it was read", hint="read it again, and send the change anew")


def _tags(request: web.BaseRequest, name: str) -> list[str]:
    return [one.strip() for one in ",".join(request.headers.getall(name)).split(",")]
