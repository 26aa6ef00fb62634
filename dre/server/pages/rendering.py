"""Templates: Jinja2, with everything that is told made safe before it is marked up."""

import time
from datetime import UTC, datetime
from typing import Any

import jinja2
from aiohttp import web
from markupsafe import Markup

from dre.documentation import safe, telling, words
from dre.domain.events import Bytes
from dre.server.pages.assets import ASSETS, Assets

_ENVIRONMENT: web.AppKey[jinja2.Environment] = web.AppKey("templates", jinja2.Environment)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types dre"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",  # under `no-referrer` browsers send our own form with the origin `null`
}


def set_up(app: web.Application) -> None:
    app[ASSETS] = assets = Assets()
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dre.server.pages"),
        autoescape=True,
        auto_reload=False,
        undefined=jinja2.StrictUndefined,
        finalize=_safe,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "size": words.size,
        "duration": words.length,
        "age": words.age,
        "moment": words.moment,
        "counted": words.counted,
        "utc": _utc,
        "cut": _cut,
    }
    environment.globals |= {"asset": assets.addresses.__getitem__, "telling": telling}
    for name in environment.list_templates():
        environment.get_template(name)  # compiled now, not while somebody waits
    app[_ENVIRONMENT] = environment


def render(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    now_ms = time.time_ns() // 1_000_000
    text = request.app[_ENVIRONMENT].get_template(template).render(now_ms=now_ms, **values)
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)


def _safe(value: Any) -> Any:
    """Whatever a template says passes here, and is escaped after that: no template can forget it."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return ""
    return safe.line(value if isinstance(value, str | Bytes) else str(value))


def _utc(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: Any, longest: int) -> str:
    shown = safe.line(text)
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"
