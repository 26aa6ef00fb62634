"""What the documentation tells people to type can be typed."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

CONSOLE = re.compile(r"^ *```console\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
TARGET = re.compile(r"^([a-z-]+):", re.MULTILINE)


def typed(pages: list[Path], program: str) -> Iterator[tuple[Path, list[str]]]:
    """The words of each command line that begins with `program`, with the page it stands on."""
    for page in pages:
        for console in CONSOLE.findall(page.read_text()):
            lines = [line.strip()[2:] for line in console.splitlines() if line.strip().startswith("$ ")]
            commands = [shlex.split(each) for line in lines for each in re.split(r" && | \| ", line)]
            yield from ((page, words) for words in commands if words[:1] == [program])


def test_every_make_target_exists(pages: list[Path], root: Path) -> None:
    targets = set(TARGET.findall((root / "Makefile").read_text()))
    asked = [(page.name, word) for page, words in typed(pages, "make") for word in words[1:] if "=" not in word]
    assert asked
    assert [(page, word) for page, word in asked if word not in targets] == []
