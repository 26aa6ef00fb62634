"""The document that others make their clients from says what the routes do."""

import re
from typing import Any

import msgspec
from openapi_spec_validator import OpenAPIV31SpecValidator
from server.served import Served

from dre.server import openapi
from dre.server.gateway import ROUTES

METHODS = ("get", "put", "post", "delete", "patch")


def described() -> dict[str, Any]:
    return msgspec.json.decode(openapi.document(ROUTES), type=dict[str, Any])


def test_the_document_is_openapi_3_1() -> None:
    OpenAPIV31SpecValidator(described()).validate()


def test_the_document_has_every_route_and_no_other() -> None:
    told = {(method.upper(), path) for path, item in described()["paths"].items() for method in item}
    assert told == {(route.method, route.path) for route in ROUTES if route.is_told}


def test_only_running_commands_is_kept_silent_about() -> None:
    assert [route.path for route in ROUTES if not route.is_told] == ["/api/v1/operations/wrap"]


def test_names_of_components_are_such_as_the_specification_allows() -> None:
    components = described()["components"]["schemas"]
    assert [name for name in components if not re.fullmatch(r"[a-zA-Z0-9._-]+", name)] == []


def test_what_a_query_string_cannot_say_is_not_in_a_parameter() -> None:
    for path, item in described()["paths"].items():
        for method in item:
            for parameter in item[method]["parameters"]:
                assert "null" not in str(parameter["schema"]), (path, parameter)
                assert "$ref" not in parameter["schema"], (path, parameter)


def test_every_answer_that_is_not_200_is_a_problem_or_says_what_it_is() -> None:
    for item in described()["paths"].values():
        for operation in item.values():
            for status, answer in operation["responses"].items():
                is_problem = "application/problem+json" in answer.get("content", {})
                assert is_problem == ((status[0] in "45" and operation["operationId"] != "get_readyz") or is_problem)


async def test_the_position_that_the_server_itself_sends_before_the_first_event_is_one_of_the_document(
    served: Served,
) -> None:
    [header] = [one for one in described()["paths"]["/api/v1/stream"]["get"]["parameters"] if one["in"] == "header"]
    for position in ("-1", "0", "41"):
        assert re.search(header["schema"]["pattern"], position)
        headers = {"Accept": "text/event-stream", header["name"]: position}
        async with served.http.get(f"{served.api}/stream", headers=headers) as response:
            assert response.status in (200, 409)  # or none that this history has


async def test_the_document_is_served_as_it_is_made(served: Served) -> None:
    async with served.http.get(f"{served.api}/openapi.json") as response:
        assert await response.read() == openapi.document(ROUTES)
        assert response.content_type == "application/json"
