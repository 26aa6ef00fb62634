"""The OpenAPI 3.1 document: made from the table of routes, and from the types that decode and encode."""

import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import msgspec
from aiohttp import web

from dre.server import answers
from dre.server.problems import MEDIA_TYPE, Problem
from dre.server.routes import PREFIX, Media, Route, api

_REF = "#/components/schemas/{name}"
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")  # what a component's name may not hold
_MEANING: Mapping[int, str] = {
    400: "The request cannot be understood",
    401: "Nobody who may ask",
    403: "From a page that may not ask",
    404: "There is no such thing",
    408: "The body took too long to arrive",
    409: "It contradicts what is there",
    410: "It was erased, or is missing",
    412: "It is not what If-Match names",
    413: "The body is too large",
    415: "The body is not application/json",
    416: "Bytes that it does not have",
    421: "Asked by a name that is not this server's",
    422: "It is well-formed and cannot be used",
    500: "Something failed; nothing was changed that was not answered for",
    501: "Part of the design, and not built yet",
    503: "The ledger cannot be used now; try again",
    507: "There is no room on the disk",
}
_HEADERS = {
    "Idempotency-Key": (
        "Of two requests with the same key, the second is answered as the first was.",
        {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[ -~]+$"},
    ),
    "If-Match": ("Only where the resource still has one of these tags.", {"type": "string"}),
    "Last-Event-ID": (
        "The position behind which to go on; -1: from the start.",
        {"type": "string", "pattern": "^(-1|[0-9]{1,16})$"},
    ),
    "Range": (
        "Which bytes (RFC 9110, 14); what is no single range is answered whole.",
        {"type": "string"},
    ),
}
_ABOUT = (
    "What the workspace has recorded, and what may be asked of it. Who asks shows the token in `.dre/token`. "
    "HEAD is answered wherever GET is, as GET would be, without the body. Any other method is answered with 405 and "
    "`Allow`, and any other path with 404, both as a problem."
)

DOCUMENT: web.AppKey[bytes] = web.AppKey("openapi", bytes)


async def show(request: web.Request) -> web.Response:
    return answers.encoded(request, request.app[DOCUMENT])


def document(routes: Sequence[Route]) -> bytes:
    told = [route for route in routes if route.is_told]
    schemas = _Schemas([Problem, *(kind for route in told for kind in _types(route))])
    fields = {id(route): schemas.fields_of(route.takes) for route in told if route.takes is not None}
    paths: dict[str, dict[str, Any]] = {}
    for route in told:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, fields.get(id(route), {}), schemas)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Development Reality Engine",
                "version": version("development-reality-engine"),
                "description": _ABOUT,
                "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            },
            "paths": paths,
            "components": {
                "schemas": schemas.components(),
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "description": "What lies in `.dre/token`."},
                },
            },
        }
    )


class _Schemas:
    """The schema of each type, and the components that they refer to by names that a document may use."""

    def __init__(self, types: Sequence[Any]) -> None:
        kinds = list({id(kind): kind for kind in types}.values())
        schemas, self._components = msgspec.json.schema_components(kinds, ref_template=_REF)
        self._schema_of = dict(zip(map(id, kinds), schemas, strict=True))
        self._taken: set[str] = set()

    def of(self, kind: Any) -> Any:
        return _fit(self._schema_of[id(kind)])

    def fields_of(self, kind: Any) -> Mapping[str, Any]:
        """Of a query string. None of them can be null there: what is not set is left out."""
        name = str(self._schema_of[id(kind)]["$ref"]).rpartition("/")[2]
        self._taken.add(name)
        return {field: _not_null(schema) for field, schema in self._components[name]["properties"].items()}

    def components(self) -> dict[str, Any]:
        """All but those that are told as parameters."""
        return {_fit_name(name): _fit(one) for name, one in self._components.items() if name not in self._taken}


def _types(route: Route) -> Iterator[Any]:
    for kind in (*route.answers.values(), route.body, route.takes):
        if kind is not None and not isinstance(kind, Media):
            yield kind


def _operation(route: Route, fields: Mapping[str, Any], schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name(route),
        "tags": [_tag(route)],
        "parameters": _parameters(route, fields),
        "responses": _responses(route, schemas),
        "security": [] if route.relation == "anyone" else [{"token": []}],
    }
    if route.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schemas.of(route.body)}},
        }
    return described


def _parameters(route: Route, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": _in_path(name, route)}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    found += [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in fields.items()]
    for name in route.headers:
        meaning, schema = _HEADERS[name]
        found.append({"name": name, "in": "header", "required": False, "description": meaning, "schema": schema})
    return found


def _in_path(name: str, route: Route) -> dict[str, str]:
    return {"type": "string", "format": "uuid"} if name in route.ids else {"type": "string"}


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    found = {str(status): _answer(kind, schemas) for status, kind in route.answers.items()}
    if _has_tag(route):
        found["304"] = {"description": "Known already (If-None-Match)"}
    problem = {MEDIA_TYPE: {"schema": schemas.of(Problem)}}
    for status in sorted(_refusals(route)):
        found.setdefault(str(status), {"description": _MEANING[status], "content": problem})
    return found


def _refusals(route: Route) -> set[int]:
    """The statuses of the problems that this route may answer with."""
    found = {400, 421, 500, 503, *route.refuses}
    if route.relation == "owner":
        found |= {401, 403}
    if any(name in route.path for name in ("{id}", "{operation}")):
        found |= {404}
    if route.body is not None:
        found |= {408, 413, 415}
    if "Range" in route.headers:
        found |= {410, 416}
    return found


def _has_tag(route: Route) -> bool:
    """Everything that is read and is one thing at a time; not the stream, and not what is open to anybody."""
    return route.method == "GET" and 200 in route.answers and 101 not in route.answers and route.relation == "owner"


def _answer(kind: Any, schemas: _Schemas) -> dict[str, Any]:
    match kind:
        case None:
            return {"description": "Switched to the stream"}
        case Media():
            return {"description": kind.description, "content": {kind.type: {}}}
        case _:
            return {"description": "Done", "content": {"application/json": {"schema": schemas.of(kind)}}}


def _not_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in schema.items() if (name, value) != ("default", None)}
    choices = [one for one in kept.pop("anyOf", []) if one != {"type": "null"}]
    return {**kept, **(choices[0] if len(choices) == 1 else {"anyOf": choices} if choices else {})}


def _fit(schema: Any) -> Any:
    """The same with names of components that a document may use."""
    match schema:
        case {"$ref": str(target), **rest}:
            return {**rest, "$ref": _REF.format(name=_fit_name(target.rpartition("/")[2]))}
        case dict():
            return {name: _fit(value) for name, value in schema.items()}
        case list():
            return [_fit(one) for one in schema]
        case _:
            return schema


def _fit_name(name: str) -> str:
    return _UNFIT.sub("_", name).strip("_")


def _tag(route: Route) -> str:
    return str(re.findall(r"\w+", route.path.removeprefix(PREFIX))[0])


def _name(route: Route) -> str:
    words = re.findall(r"\w+", route.path.removeprefix(PREFIX))
    return "_".join([route.method.lower(), *words])


ROUTES: tuple[Route, ...] = (
    api("GET", "/openapi.json", show, "This document", answers={200: Media("application/json", "OpenAPI 3.1")}),
)
