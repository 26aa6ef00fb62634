"""The page of commands: each command, each option with its meaning, and none that does not exist."""

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from docs.commands import EVERYWHERE, every_command, option_names

from dre.cli.commands import dre
from dre.cli.topics import TOPICS

Sections = Callable[[str], dict[str, str]]
OPTION = re.compile(r"`(-{1,2}[A-Za-z-]+)")
COMMANDS = {name: command for name, command in every_command().items() if not isinstance(command, click.Group)}


def explained(section: str) -> dict[str, str]:
    """From each option in a table's first column to its meaning."""
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `-")]
    return {name: row[1] for row in rows for name in OPTION.findall(row[0])}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_explained_with_its_options_and_no_others(name: str, sections: Sections) -> None:
    page = sections("cli")
    assert f"dre {name}" in page, f"docs/reference/cli.md has no section dre {name}"
    found = explained(page[f"dre {name}"])
    assert found.keys() == option_names(COMMANDS[name])
    assert [option for option, meaning in found.items() if len(meaning.split()) < 3] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "wrap"])  # whose words are the command's
def test_what_a_command_takes_is_written_as_its_help_writes_it(name: str, sections: Sections) -> None:
    arguments = [each for each in COMMANDS[name].params if isinstance(each, click.Argument)]
    taken = " ".join(each.make_metavar(click.Context(COMMANDS[name])) for each in arguments)
    section = sections("cli")[f"dre {name}"]
    assert f"dre {name} {taken}".strip() in section or not taken


def test_no_command_is_explained_that_does_not_exist(sections: Sections) -> None:
    headings = {name.removeprefix("dre ") for name in sections("cli") if name.startswith("dre ")}
    assert headings == COMMANDS.keys()


def test_what_every_command_understands_is_explained_once(root: Path) -> None:
    head = (root / "docs" / "reference" / "cli.md").read_text().partition("\n## ")[0]
    own = {name for each in dre().params if isinstance(each, click.Option) for name in each.opts}
    assert explained(head).keys() == EVERYWHERE | own


def test_every_idea_that_help_explains_is_listed(sections: Sections) -> None:
    assert [name for name in TOPICS if f"`{name}`" not in sections("cli")["dre help"]] == []
