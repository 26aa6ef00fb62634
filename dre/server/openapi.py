"""The OpenAPI 3.1 document: made from the table of routes, and from the types that decode and encode."""

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from aiohttp import web

from dre.server import answers
from dre.server.problems import MEDIA_TYPE, Problem
from dre.server.routes import PREFIX, Media, Route, api

_REF = "#/components/schemas/{name}"
_COMMON: Mapping[int, str] = {
    400: "The request cannot be understood",
    421: "Asked by a name that is not this server's",
    500: "Something failed; nothing was changed that was not answered for",
    503: "The ledger cannot be used now; try again",
}
_OWNED: Mapping[int, str] = {401: "Nobody who may ask", 403: "From a page that may not ask"}
_OF_ONE: Mapping[int, str] = {404: "There is no such thing"}
_OF_BODIES: Mapping[int, str] = {
    408: "The body took too long to arrive",
    409: "It contradicts what is there",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "The body is well-formed and cannot be used",
    507: "There is no room on the disk",
}
_HEADERS = {
    "Idempotency-Key": "Of two requests with the same key, the second is answered as the first was.",
    "Last-Event-ID": "The position behind which to go on.",
    "Range": "Which bytes, as RFC 9110 has it.",
}

DOCUMENT: web.AppKey[bytes] = web.AppKey("openapi", bytes)


async def show(request: web.Request) -> web.Response:
    return answers.encoded(request, request.app[DOCUMENT])


def document(routes: Sequence[Route]) -> bytes:
    types = list({id(kind): kind for route in routes for kind in _types(route)}.values())
    schemas, components = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    schema_of = dict(zip(map(id, types), schemas, strict=False))
    taken = {id(route.takes): components.pop(_named(schema_of[id(route.takes)])) for route in _taking(routes)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        fields = taken[id(route.takes)]["properties"] if route.takes else {}
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, fields, schema_of)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Development Reality Engine",
                "version": version("development-reality-engine"),
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "What lies in `.dre/token`."},
                },
            },
        }
    )


def _types(route: Route) -> list[Any]:
    given = [kind for kind in route.answers.values() if kind is not None and not isinstance(kind, Media)]
    return [*given, *(kind for kind in (route.body, route.takes) if kind is not None)]


def _taking(routes: Sequence[Route]) -> list[Route]:
    """One route of each kind of query string."""
    return list({id(route.takes): route for route in routes if route.takes is not None}.values())


def _named(schema: Mapping[str, Any]) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _operation(route: Route, fields: Mapping[str, Any], schema_of: Mapping[int, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name(route),
        "parameters": _parameters(route, fields),
        "responses": _responses(route, schema_of),
        "security": [] if route.relation == "anyone" else [{"token": []}],
    }
    if route.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema_of[id(route.body)]}},
        }
    return described


def _parameters(route: Route, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _in_path(name, route)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    for name, schema in fields.items():
        found.append({"name": name, "in": "query", "required": False, "schema": schema})
    found += [
        {"name": name, "in": "header", "required": False, "description": _HEADERS[name], "schema": {"type": "string"}}
        for name in route.headers
    ]
    return found


def _in_path(name: str, route: Route) -> dict[str, str]:
    return {"type": "string", "format": "uuid"} if name in route.ids else {"type": "string"}


def _responses(route: Route, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    found = {str(status): _answer(kind, schema_of) for status, kind in route.answers.items()}
    if route.method == "GET" and 200 in route.answers:
        found["304"] = {"description": "Known already (If-None-Match)"}
    problems = {**_COMMON}
    if route.relation == "owner":
        problems |= _OWNED
    if "{" in route.path or not route.answers:
        problems |= _OF_ONE
    if route.method != "GET":
        problems |= _OF_BODIES
    if "Range" in route.headers:
        problems |= {410: "It was erased, or is missing", 416: "Bytes that it does not have"}
    if not route.answers:
        problems[501] = "Part of the design, and not built yet"
    for status, description in problems.items():
        found.setdefault(
            str(status),
            {"description": description, "content": {MEDIA_TYPE: {"schema": {"$ref": _REF.format(name="Problem")}}}},
        )
    return found


def _answer(kind: Any, schema_of: Mapping[int, Any]) -> dict[str, Any]:
    match kind:
        case None:
            return {"description": "Switched to the stream"}
        case Media():
            return {"description": kind.description, "content": {kind.type: {}}}
        case _:
            return {"description": "Done", "content": {"application/json": {"schema": schema_of[id(kind)]}}}


def _name(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix(PREFIX))
    return "_".join([route.method.lower(), *words])


ROUTES: tuple[Route, ...] = (
    api("GET", "/openapi.json", show, "This document", answers={200: Media("application/json", "OpenAPI 3.1")}),
)
