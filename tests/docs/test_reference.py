"""Whatever has a name in the code has a place in the reference."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dre import settings
from dre.domain.codec import EVENT_TYPES
from dre.domain.events import Bytes, DomainEvent, Meta
from dre.errors import DREError
from dre.ledger.audit import CONTINUED
from dre.projections import PROJECTIONS
from dre.projections.projection import Projection
from dre.server.problems import status_of

Sections = Callable[[str], dict[str, str]]


@pytest.mark.parametrize("event", EVENT_TYPES.values(), ids=lambda event: event.type)
def test_every_event_and_each_field_of_its_body_is_explained(event: type[DomainEvent], sections: Sections) -> None:
    page = sections("events")
    explained = page.get(event.type, "")
    assert explained, f"docs/reference/events.md has no section {event.type}"
    assert [
        each.encode_name for each in msgspec.structs.fields(event) if f"`{each.encode_name}`" not in explained
    ] == []
    inside = wire_names(msgspec.inspect.type_info(event))  # of structs that several events share: once on the page
    assert [name for name in inside if not any(f"`{name}`" in section for section in page.values())] == []


def test_no_event_is_explained_that_does_not_exist(sections: Sections) -> None:
    assert {name for name in sections("events") if "." in name} <= set(EVENT_TYPES)


def test_what_else_bodies_and_heads_know_of_stands_on_the_page_of_events(root: Path) -> None:
    page = (root / "docs" / "reference" / "events.md").read_text()
    assert f"`{CONTINUED}`" in page
    assert [name for name in wire_names(msgspec.inspect.type_info(Meta)) if f"`{name}`" not in page] == []


@pytest.mark.parametrize("projection", PROJECTIONS, ids=lambda projection: projection.name)
def test_every_table_and_each_column_is_explained(projection: Projection[Any], sections: Sections) -> None:
    explained = sections("projections").get(projection.name, "")
    assert explained, f"docs/reference/projections.md has no section {projection.name}"
    columns = [field.name for field in msgspec.structs.fields(projection.row)]
    assert [name for name in columns if f"`{name}`" not in explained] == []


def test_every_error_is_explained_with_the_exit_status_and_the_http_status_it_ends_with(root: Path) -> None:
    rows = table_rows(root / "docs" / "reference" / "errors.md")
    explained = {row[0].strip("`"): (row[1], row[2]) for row in rows if row[0].startswith("`")}
    expected = {error.code: (str(error.exit_status), str(status_of(error("")))) for error in every_error()}
    assert explained == expected


def test_every_exit_status_of_an_error_is_in_the_list_of_exit_codes(sections: Sections) -> None:
    listed = sections("exit-codes")["Every command but dre wrap"]
    assert [error.code for error in every_error() if f"| {error.exit_status} |" not in listed] == []


@pytest.mark.parametrize("key", settings.KEYS.values(), ids=lambda key: key.name)
def test_every_setting_is_explained_with_its_variable_its_default_and_who_may_set_it(
    key: settings.Key, root: Path
) -> None:
    rows = {row[0]: row for row in table_rows(root / "docs" / "reference" / "configuration.md")}
    _, variable, default, scopes, _ = rows[f"`{key.name}`"]
    assert variable == f"`{key.variable}`"
    assert scopes == ", ".join(key.scopes)
    value = settings.value_of(settings.Configuration(), key.name)
    assert default == ", ".join(f"`{each}`" for each in value) if value else default.startswith("none")


def every_error(root: type[DREError] = DREError) -> Iterator[type[DREError]]:
    for error in root.__subclasses__():
        yield error
        yield from every_error(error)


def wire_names(info: msgspec.inspect.Type) -> Iterator[str]:
    """The names of a struct's fields as they are written, and those of the structs inside it."""
    if isinstance(info, msgspec.inspect.StructType) and info.cls is not Bytes:
        for field in info.fields:
            yield field.encode_name
            yield from wire_names(field.type)
    elif isinstance(info, msgspec.inspect.UnionType):
        for each in info.types:
            yield from wire_names(each)
    elif isinstance(info, msgspec.inspect.CollectionType):
        yield from wire_names(info.item_type)


def table_rows(page: Path) -> list[list[str]]:
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
