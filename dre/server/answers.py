"""What goes out: JSON with a tag, so that whoever has it already is told so and nothing more."""

from hashlib import sha256
from typing import Any

import msgspec
from aiohttp import web

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
    shown = request.headers.get("If-None-Match")
    if shown is None or request.method not in ("GET", "HEAD"):
        return False
    known = ",".join(request.headers.getall("If-None-Match")).split(",")
    return shown.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in known]
