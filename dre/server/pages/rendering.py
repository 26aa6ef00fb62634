"""Templates: Jinja2, with everything that is told made safe before it is marked up."""

from typing import Any

import jinja2
from aiohttp import web

from dre.documentation import safe, words

_ENVIRONMENT: web.AppKey[jinja2.Environment] = web.AppKey("templates", jinja2.Environment)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types dre"
)


def set_up(app: web.Application) -> None:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dre.server.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": words.size, "length": words.length, "safe_line": safe.line}
    app[_ENVIRONMENT] = environment


def render(request: web.Request, template: str, *, status: int = 200, **values: Any) -> web.Response:
    text = request.app[_ENVIRONMENT].get_template(template).render(**values)
    return web.Response(status=status, text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY})
