"""
A route: method, path, who may use it, what it takes and what it answers, and the function that does it.

The application, the permission of each request and the OpenAPI document are all made from the one table of these.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from dre.server.access import Relation

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
PREFIX = "/api/v1"


class Media(msgspec.Struct, frozen=True):
    """An answer that is not JSON."""

    type: str
    description: str


class Route(msgspec.Struct, frozen=True):
    """
    `takes`: the query string as a struct; without one, a query string is refused. `body`: the JSON body. `answers`: by
    status, a type, a Media, or None for no body. `refuses`: with which other statuses, beside those that follow from
    the rest. `headers`: which request headers it reads. `is_told` False: the document keeps silent about it.
    """

    method: str
    path: str
    handler: Handler
    relation: Relation
    summary: str
    answers: Mapping[int, Any]
    takes: type[msgspec.Struct] | None = None
    body: Any = None
    headers: tuple[str, ...] = ()
    ids: tuple[str, ...] = ("id",)
    refuses: tuple[int, ...] = ()
    is_told: bool = True


def api(method: str, path: str, handler: Handler, summary: str, **more: Any) -> Route:
    """A route of the API, for the owner unless it says otherwise."""
    relation = more.pop("relation", "owner")
    return Route(method=method, path=PREFIX + path, handler=handler, relation=relation, summary=summary, **more)
