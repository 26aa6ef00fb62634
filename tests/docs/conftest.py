"""The documentation as its tests read it: pages, and the parts of a page under their headings."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"^(#+) +(.+?) *$", re.MULTILINE)

Sections = Callable[[str], dict[str, str]]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def pages() -> list[Path]:
    """Everything that people read."""
    at_top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    elsewhere = [path for folder in ("docs", "examples", "changes") for path in (ROOT / folder).rglob("*.md")]
    return [*at_top, *sorted(elsewhere)]


@pytest.fixture(scope="session")
def sections() -> Sections:
    """Of a reference page: heading without its backticks, to the text below it down to the next heading."""

    def read(page: str) -> dict[str, str]:
        text = (ROOT / "docs" / "reference" / f"{page}.md").read_text()
        heads = list(HEADING.finditer(text))
        ends = [*(head.start() for head in heads[1:]), len(text)]
        return {head[2].replace("`", ""): text[head.end() : end] for head, end in zip(heads, ends, strict=True)}

    return read
