"""What the first pages show is what a reader sees: their commands are typed at a terminal, and the screens compared."""

import shlex
from pathlib import Path

import pytest
from docs.shop import PAGES, Shop, alike, typed


@pytest.mark.parametrize("page", PAGES)
def test_the_screens_of_a_page_are_those_that_its_commands_print(page: str, root: Path, own_home: Path) -> None:
    lines = typed(root / page)
    assert sum(shlex.split(each.line)[0] == "dre" and each.shown != "" for each in lines) > 3
    shop = Shop(own_home)
    if before := PAGES[page]:
        shop.type(before)
    wrong = []
    for line, shown in lines:
        seen = shop.type(line)
        if alike(seen) != alike(shown):
            wrong.append(f"{page} shows after $ {line}\n{shown}\nbut it prints\n{seen}")
    assert not wrong, "\n".join([*wrong, "make screens writes what is printed now into the pages"])
