"""
Who may ask: the one place that decides about requests and about events.

The owner of the workspace shows the token that lies in `.dre/token`, or the cookie that a browser gets for it. No
address grants anything: other programs and other people's pages reach the loopback too.
"""

import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Literal

import msgspec
from aiohttp import web

from dre.domain.events import stream_id
from dre.errors import Forbidden, Misdirected, Unauthenticated
from dre.ports.event_store import StoredEvent

Relation = Literal["anyone", "owner"]
"""Who may use a route. Every route names one."""

IDLE_S = 30 * 60
LONGEST_S = 12 * 3600
_SECRET_BYTES = 32
_READING = ("GET", "HEAD")
_OPEN_LINKS = 10


class Principal(msgspec.Struct, frozen=True):
    """
    Who is asking right now. `session`: of the browser that asks; None for whoever showed the token.
    `projects`: whose history it may see; None for all that the ledger holds.
    """

    actor: str
    session: str | None = None
    projects: frozenset[str] | None = None


class _Session:
    def __init__(self, now: float) -> None:
        self.began = self.used = now


class Access:
    """
    `token`: what programs show. `hosts`: the names (with port) by which this server may be asked, so that a foreign
    name that resolves to this machine (DNS rebinding) is none. `proxied`: those of a proxy with TLS, which passes on
    the name that it is asked by, and whose pages are https. `page`: where a browser of this machine looks. `shared`:
    those of `hosts` that other accounts' servers have too, on other ports.
    """

    def __init__(
        self,
        *,
        actor: str,
        token: str,
        hosts: frozenset[str],
        port: int,
        page: str,
        shared: frozenset[str] = frozenset(),
        proxied: frozenset[str] = frozenset(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._actor, self._token, self._clock = actor, token, clock
        self._owner = Principal(actor)
        self.hosts = hosts | proxied
        self.origins = frozenset(f"http://{host}" for host in hosts) | {f"https://{host}" for host in proxied}
        self.cookie = f"dre-{port}"  # browsers keep cookies by host, whatever the port
        self._page, self._shared, self._encrypted = page, shared, proxied - hosts
        self._sessions: dict[str, _Session] = {}
        self._links: list[str] = []

    def new_address(self) -> str:
        """Opens a browser's session, once."""
        self._links.append(secrets.token_urlsafe(_SECRET_BYTES))
        del self._links[:-_OPEN_LINKS]
        return f"{self._page}/open/{self._links[-1]}"

    def use_link(self, link: str) -> bool:
        """Whether it is the end of such an address that was not used yet; it is used now."""
        found = next((one for one in self._links if _same(link, one)), None)
        if found is not None:
            self._links.remove(found)
        return found is not None

    def is_token(self, shown: str) -> bool:
        return _same(shown, self._token)

    def is_shared(self, request: web.BaseRequest) -> bool:
        """Whether a cookie that it is given would go to other accounts' servers too."""
        return (request.host or "").lower() in self._shared

    def is_encrypted(self, request: web.BaseRequest) -> bool:
        """Whether its browser came over TLS: its page says so, or else a name by which only a proxy with TLS asks."""
        origin = request.headers.get("Origin")
        if origin is not None:
            return origin.startswith("https://")
        return (request.host or "").lower() in self._encrypted

    def new_session(self) -> str:
        """The value of its cookie."""
        self._forget_old()
        value = secrets.token_urlsafe(_SECRET_BYTES)
        self._sessions[value] = _Session(self._clock())
        return value

    def check_place(self, request: web.BaseRequest) -> None:
        """Raises Misdirected, Forbidden: asked by a foreign name, or by a page that is not ours."""
        named = request.headers.getall("Host", [])
        if len(named) != 1 or not self.hosts.issuperset(_asked(request, named[0])):
            raise Misdirected(
                f"this server does not answer to the name {', '.join(named)[:80]!r}",
                hint="use the address that dre serve printed",
            )
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self.origins:
            raise Forbidden("a page of another origin may not ask this server")
        if request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site") and not _is_navigation(request):
            raise Forbidden("a page of another origin may not ask this server")

    def principal(self, request: web.BaseRequest) -> Principal:
        """Raises Unauthenticated, and Forbidden where a cookie comes without saying from which page."""
        shown = request.headers.getall("Authorization", [])
        if shown:
            scheme, _, token = shown[0].partition(" ")
            if len(shown) == 1 and scheme.lower() == "bearer" and self.is_token(token.strip()):
                return self._owner
            raise Unauthenticated("the token is not this server's", hint="it lies in .dre/token")
        cookie = request.cookies.get(self.cookie)
        if cookie is None:
            raise Unauthenticated("no token was shown", hint="send Authorization: Bearer with what lies in .dre/token")
        if not self.is_alive(cookie):
            raise Unauthenticated("this session is over", hint="open the address that dre serve prints")
        is_reading = request.method in _READING and request.headers.get("Upgrade") is None
        if not is_reading and request.headers.get("Origin") is None:
            raise Forbidden("with a cookie, what changes something and the live stream must name their page (Origin)")
        return Principal(self._actor, cookie)

    def is_alive(self, session: str) -> bool:
        """Whether this session may go on; asking counts as using it."""
        self._forget_old()
        found = self._sessions.get(session)
        if found is not None:
            found.used = self._clock()
        return found is not None

    def is_over(self, principal: Principal) -> bool:
        """Whether it asked from a browser whose session has ended since; if not, the session was used just now."""
        return principal.session is not None and not self.is_alive(principal.session)

    def end_session(self, session: str) -> None:
        """Before its time."""
        self._sessions.pop(session, None)

    def _forget_old(self) -> None:
        now = self._clock()
        over = [one for one, at in self._sessions.items() if now - at.used > IDLE_S or now - at.began > LONGEST_S]
        for session in over:
            del self._sessions[session]


def may_see(principal: Principal, stored: StoredEvent) -> bool:
    """
    The decision about each event, where history itself is told: `/events` and the stream. What is made of it
    (operations, evidence, the audit trail) is the owner's alone, by its routes.
    """
    return principal.projects is None or stream_id(stored.entry.stream)[0] in principal.projects


def _same(shown: str, known: str) -> bool:
    return hmac.compare_digest(shown.encode("utf-8", "surrogateescape"), known.encode())


def _asked(request: web.BaseRequest, host: str) -> tuple[str, ...]:
    """By which names. RFC 9112, 3.2.2: a request line may name the server too, and then that is what counts."""
    target = request.raw_path
    if (target.startswith("/") and not target.startswith("//")) or target == "*":
        return (host.lower(),)
    scheme, _, rest = target.partition("://")
    return host.lower(), re.split("[/?#]", rest)[0].lower() if scheme.lower() == "http" else target


def _is_navigation(request: web.BaseRequest) -> bool:
    """Somebody followed a link to a page of ours: nothing that the linking page could read or cause."""
    return request.method == "GET" and request.headers.get("Sec-Fetch-Mode") == "navigate"


PRINCIPAL: web.RequestKey[Principal] = web.RequestKey("principal", Principal)
ACCESS: web.AppKey[Access] = web.AppKey("access", Access)
