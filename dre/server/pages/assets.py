"""The files that go with the pages: a table of known names, read once; no path that is asked for is ever looked up."""

import gzip
from hashlib import sha256
from importlib.resources import files

import msgspec
from aiohttp import web

_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_NAMES = ("dre.css", "live.js", "mark.svg", "vendor/idiomorph.min.js")
_HASH_DIGITS = 16
_FOREVER = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    """`packed`: with gzip, where that makes it smaller."""

    body: bytes
    packed: bytes | None
    type: str


class Assets:
    """`addresses`: where each file is served. Its hash is part of that, so a browser may keep it for ever."""

    def __init__(self) -> None:
        self.addresses: dict[str, str] = {}
        self._found: dict[str, Asset] = {}
        folder = files("dre.server.pages") / "static"
        for name in _NAMES:
            body = (folder / name).read_bytes()
            stem, _, ending = name.rpartition("/")[2].rpartition(".")
            hashed = f"{stem}.{sha256(body).hexdigest()[:_HASH_DIGITS]}.{ending}"
            packed = gzip.compress(body, mtime=0)
            self._found[hashed] = Asset(body, packed if len(packed) < len(body) else None, _TYPES[ending])
            self.addresses[name] = f"/static/{hashed}"

    def find(self, hashed: str) -> Asset | None:
        return self._found.get(hashed)


ASSETS: web.AppKey[Assets] = web.AppKey("assets", Assets)


async def asset(request: web.Request) -> web.Response:
    found = request.app[ASSETS].find(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    body = found.body
    if found.packed is not None and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"], body = "gzip", found.packed
    return web.Response(body=body, content_type=found.type, charset="utf-8", headers=headers)
