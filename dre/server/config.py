"""`/config`: every setting with where its value comes from; the workspace's file, replaced or only checked."""

from typing import Any

import msgspec
from aiohttp import web

from dre.errors import ConfigurationError
from dre.server import answers
from dre.server.incoming import door, idempotency_key, read_body
from dre.server.routes import Route, api
from dre.server.workspace import WORKSPACE, Mistake, Setting


class Settings(msgspec.Struct, frozen=True):
    settings: list[Setting]


class Validated(msgspec.Struct, frozen=True):
    """`problems` is empty for what may be used."""

    valid: bool
    problems: list[Mistake]


async def show(request: web.Request) -> web.Response:
    return answers.as_json(request, Settings(request.app[WORKSPACE].configuring.settings()))


async def replace(request: web.Request) -> web.Response:
    document = await read_body(request)
    configuring = request.app[WORKSPACE].configuring

    def expect() -> None:
        answers.refuse_if_changed(request, lambda: Settings(configuring.settings()))

    await configuring.replace(document, door(request), idempotency_key(request), expect)
    return answers.as_json(request, Settings(configuring.settings()))


async def validate(request: web.Request) -> web.Response:
    try:
        request.app[WORKSPACE].configuring.validate(await read_body(request))
    except ConfigurationError as error:
        return answers.as_json(request, Validated(valid=False, problems=[Mistake(error.message, error.hint)]))
    return answers.as_json(request, Validated(valid=True, problems=[]))


ROUTES: tuple[Route, ...] = (
    api(
        "GET", "/config", show, "Every setting, and where its value comes from", answers={200: Settings}, refuses=(422,)
    ),
    api(
        "PUT",
        "/config",
        replace,
        "Replace the workspace's configuration file",
        body=dict[str, Any],
        answers={200: Settings},
        headers=("Idempotency-Key", "If-Match"),
        refuses=(409, 412, 422, 507),
    ),
    api(
        "POST",
        "/config/validate",
        validate,
        "Check a configuration without using it",
        body=Any,
        answers={200: Validated},
    ),
)
