"""How a browser gets its cookie: by the address that opens once, or by the token typed into a form."""

from urllib.parse import parse_qs

from aiohttp import web

from dre.errors import RequestRefused, TooLarge, Unauthenticated, UnsupportedMedia
from dre.server.access import ACCESS, LONGEST_S
from dre.server.incoming import ARRIVING
from dre.server.pages.rendering import render

_LARGEST_FORM = 4096


async def by_link(request: web.Request) -> web.Response:
    """Once. Who is in already may follow a used one again, and is given nothing more."""
    access = request.app[ACCESS]
    if request.method == "HEAD":
        return render(request, "opened.html", to="/")  # whoever only looks whether an address answers uses no link up
    if access.use_link(request.match_info["link"]):
        return _opened(request)
    if access.is_alive(request.cookies.get(access.cookie, "")):
        return render(request, "opened.html", to="/")
    raise Unauthenticated("this address was used before, or is not one of this server's")


async def by_token(request: web.Request) -> web.Response:
    """By a name that is not this server's alone, it only leads to where the cookie is safe."""
    access = request.app[ACCESS]
    if not access.is_token(await _token(request)):
        raise Unauthenticated("this is not the token of this server")
    if access.is_shared(request):
        return render(request, "opened.html", to=access.new_address())
    return _opened(request)


def _opened(request: web.Request) -> web.Response:
    """Not a redirect: that would go out as part of whatever linked here, and a strict cookie would stay at home."""
    access = request.app[ACCESS]
    response = render(request, "opened.html", to="/")
    response.set_cookie(
        access.cookie,
        access.new_session(),
        httponly=True,
        secure=access.is_encrypted(request),  # over plain http a browser would not keep one that is
        samesite="Strict",
        path="/",
        max_age=LONGEST_S,
    )
    return response


async def _token(request: web.Request) -> str:
    if request.content_type != "application/x-www-form-urlencoded":
        raise UnsupportedMedia("a form is expected")
    if (request.content_length or 0) > _LARGEST_FORM:
        raise TooLarge("that is no token")
    try:
        fields = parse_qs((await request.app[ARRIVING].read(request)).decode(), max_num_fields=4)
    except ValueError:
        raise RequestRefused("the form cannot be read") from None
    shown = fields.get("token", [])
    return shown[0].strip() if len(shown) == 1 else ""
