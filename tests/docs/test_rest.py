"""The page of the API: every route, each of its parameters, every status, and examples that run."""

import asyncio
import os
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families
from server.served import make_workspace, serve

from dre.server import problems
from dre.server.gateway import ROUTES
from dre.server.openapi import _refusals
from dre.server.routes import Route

Sections = Callable[[str], dict[str, str]]
EXAMPLE = re.compile(r"^```bash\n(.*?)^```", re.MULTILINE | re.DOTALL)
METRICS = "GET /api/v1/health/metrics"
TOLD = [route for route in ROUTES if route.is_told]
BUILT = [route for route in TOLD if route.answers]


@pytest.mark.parametrize("route", BUILT, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_explained_with_each_of_its_parameters(route: Route, sections: Sections) -> None:
    explained = sections("rest").get(f"{route.method} {route.path}", "")
    assert explained, f"docs/reference/rest.md has no section {route.method} {route.path}"
    taken = [field.encode_name for field in msgspec.structs.fields(route.takes)] if route.takes else []
    assert [name for name in taken if f"`{name}`" not in explained] == []
    assert ("Idempotency-Key" in route.headers) == ("Idempotency-Key" in explained)


def test_no_route_is_explained_that_does_not_exist(sections: Sections) -> None:
    headed = {name for name in sections("rest") if re.match(r"[A-Z]+ /", name)}
    assert headed == {f"{route.method} {route.path}" for route in BUILT}


def test_what_is_not_built_is_listed_as_that(sections: Sections) -> None:
    section = sections("rest")["Not built yet"]
    assert [route.path for route in TOLD if not route.answers and f"{route.path}`" not in section] == []


def test_every_status_is_explained(sections: Sections) -> None:
    section = sections("rest")["Errors"]
    answered = {405, *(status for route in TOLD for status in _refusals(route))} | set(problems.STATUS.values())
    listed = {int(row) for row in re.findall(r"^\| (\d{3}) \|", section, re.MULTILINE)}
    assert listed == answered


async def test_every_metric_is_explained_as_it_is_exposed_and_no_other(sections: Sections, tmp_path: Path) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) ?\| (.+) \|$", sections("rest")[METRICS], re.MULTILINE)
    explained = {name: (type, frozenset(re.findall(r"`(\w+)`", labels))) for name, type, labels, _ in rows}
    async with serve(make_workspace(tmp_path / "shop")) as served:
        await served.record("true")  # so that every part has told of itself, and requests were counted
        async with served.http.get(f"{served.api}/health/metrics") as response:
            exposed = list(text_string_to_metric_families(await response.text()))
    samples = [(sample, family.type) for family in exposed for sample in family.samples]
    assert {sample.name: (type, frozenset(sample.labels)) for sample, type in samples} == explained
    assert all(family.samples for family in exposed)


async def test_the_examples_run_one_after_the_other(root: Path, tmp_path: Path) -> None:
    """In one shell, as they stand on the page; each ends well and prints what the API answers."""
    examples = EXAMPLE.findall((root / "docs" / "reference" / "rest.md").read_text())
    assert len(examples) > 5
    async with serve(make_workspace(tmp_path / "shop")) as served:
        await served.record("sh", "-c", "echo out")
        script = "set -eu -o pipefail\n" + "\necho; echo ----\n".join(examples)
        running = await asyncio.create_subprocess_exec(
            *("bash", "-c", script.replace("curl -s", "curl --fail -s")),
            cwd=served.folder,
            env=os.environ | {"no_proxy": "*"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, wrong = await running.communicate()
    assert running.returncode == 0, (said, wrong)
    first, second, third, fourth, fifth, sixth = (part.strip() for part in said.decode().split("----"))
    assert msgspec.json.decode(first)["items"][0]["id"] == served.operation
    assert [event["position"] for event in msgspec.json.decode(second)["items"]] == [2, 3]
    assert third == "304"
    assert fourth == "out"
    assert msgspec.json.decode(fifth)["operationId"] == served.operation
    assert msgspec.json.decode(sixth)["settings"][0]["value"] == "30d"
