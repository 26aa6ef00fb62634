"""What the documentation tells people to type can be typed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from docs.commands import every_command, wrap_misses

CONSOLE = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)
BEFORE_WRAP = ("-C", "--quiet", "--no-color")


def typed(pages: list[Path], program: str) -> Iterator[tuple[Path, list[str]]]:
    """The words of each command line that begins with `program`, with the page it stands on."""
    for page in pages:
        for console in CONSOLE.findall(page.read_text()):
            for line in console.splitlines():
                if line.strip().startswith("$ "):
                    yield from ((page, words) for words in commands(line.strip()[2:]) if words[:1] == [program])


def commands(line: str) -> Iterator[list[str]]:
    """What a shell would run one after the other."""
    words: list[str] = []
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for word in lexer:
        if set(word) <= set("&|;<>()"):
            yield words
            words = []
        else:
            words.append(word)
    yield words


def test_every_make_target_exists(pages: list[Path], root: Path) -> None:
    targets = set(TARGET.findall((root / "Makefile").read_text()))
    asked = [(page.name, word) for page, words in typed(pages, "make") for word in words[1:] if "=" not in word]
    assert asked
    assert [(page, word) for page, word in asked if word not in targets] == []


def test_every_dre_command_line_names_what_exists(pages: list[Path]) -> None:
    lines = list(typed(pages, "dre"))
    assert len({words[1] for _, words in lines}) > 5
    wrong = [f"{page.name}: {shlex.join(words)}: {why}" for page, words in lines if (why := unknown(words[1:]))]
    assert wrong == []


@pytest.mark.parametrize(
    "line",
    [
        "dre wrop true",
        "dre wrap --waitt true",
        "dre show --outputs",
        "dre config gett x",
        "dre log --limit",
        "dre wrap",
    ],
)
def test_a_line_that_could_not_be_typed_would_be_noticed(line: str) -> None:
    assert unknown(line.split()[1:])


def unknown(words: list[str]) -> str:
    """What of this command line DRE would not understand."""
    at = 0
    while at < len(words) and words[at] in BEFORE_WRAP:
        at += 2 if words[at] == "-C" else 1
    if words[at : at + 1] == ["wrap"]:
        return wrap_misses(words[:at] + words[at + 1 :])
    known = every_command()
    name, names = "", words[at:]
    while names and f"{name} {names[0]}".strip() in known:
        name, names = f"{name} {names[0]}".strip(), names[1:]
    if not name or isinstance(known[name], click.Group):
        return f"no command {name} {' '.join(names[:1])}"
    try:
        known[name].make_parser(click.Context(known[name], info_name=name)).parse_args(names)
    except click.UsageError as error:
        return error.format_message()
    return ""
