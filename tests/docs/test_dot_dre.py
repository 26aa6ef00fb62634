"""The page of what lies in `.dre/` and outside: every name that using DRE leaves there is on it."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from docs.shop import Shop

Sections = Callable[[str], dict[str, str]]
ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OBJECT = re.compile(r"[0-9a-f]{2}")
USED = (
    "dre init --ci-mode",
    "dre config set evidence.retention 30d",
    "dre wrap pytest -q",
    "dre show",
    "dre ledger verify",
    "dre projections rebuild",
    "dre doctor",
)


def test_every_name_in_the_repository_and_in_the_state_home_is_on_the_page(own_home: Path, sections: Sections) -> None:
    shop = Shop(own_home)
    for line in USED:
        shop.type(line)
    inside = set(names(own_home / "src" / "shop" / ".dre", {"evidence": 1, "cache": 1, "spool": 0}))
    outside = set(names(own_home / ".local" / "state" / "dre", {"<ledger id>": 1}))
    assert {"ledger.db", "evidence/incoming/", "cache/tables.db", "config.json", "ci-mode"} <= inside
    assert {"actor", "<ledger id>/head", "<ledger id>/signer.key"} <= outside
    page = sections("dot-dre")
    assert [name for name in sorted(inside) if not mentioned(name, page["In the repository"])] == []
    assert [name for name in sorted(outside) if not mentioned(name, page["Outside: the state home"])] == []


def test_no_name_is_taken_for_mentioned_that_is_not(sections: Sections) -> None:
    page = sections("dot-dre")
    assert not mentioned("leftover.tmp", page["In the repository"])
    assert not mentioned("cache/other.db", page["In the repository"])


def names(folder: Path, deep: dict[str, int], above: str = "") -> Iterator[str]:
    """Names below `folder`; of the folders in `deep` so many levels, what is named by a hash left out."""
    for entry in os.scandir(folder):
        name = ID.sub("<ledger id>", entry.name)
        if OBJECT.fullmatch(name):
            continue
        yield above + name + "/" * entry.is_dir()
        if deep.get(name):
            yield from names(Path(entry.path), {}, f"{above}{name}/")


def mentioned(name: str, section: str) -> bool:
    """By its path, or by its last name beside its folder's."""
    folder, _, last = name.rstrip("/").rpartition("/")
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return any(
        f"`{name}`" in line or f"`{name.rstrip('/')}`" in line or (f"`{folder}/`" in line and f"`{last}`" in line)
        for line in lines
    ) or (name.rstrip("/") == "<ledger id>" and any("`<ledger id>/" in line for line in lines))
