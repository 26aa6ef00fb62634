"""No link inside the documentation leads nowhere."""

import re
from pathlib import Path

from ruamel.yaml import YAML

FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def links(page: Path) -> list[str]:
    prose = CODE.sub("", FENCED.sub("", page.read_text()))
    return [link for link in LINK.findall(prose) if "://" not in link and not link.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    words = [re.sub(r"[^\w\s-]", "", heading).strip().lower() for heading in headings]
    return {re.sub(r"[-\s]+", "-", each) for each in words}


def test_every_link_leads_to_a_page_and_a_heading_on_it(pages: list[Path], root: Path) -> None:
    broken = []
    for page in pages:
        for link in links(page):
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                broken.append(f"{page.relative_to(root)}: {link}")
    assert broken == []


def test_every_page_of_the_site_can_be_reached_from_its_navigation(root: Path) -> None:
    def leaves(node: object) -> set[str]:
        if isinstance(node, str):
            return {node}
        children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        return {leaf for child in children for leaf in leaves(child)}

    navigation = leaves(YAML(typ="safe").load(root / "mkdocs.yml")["nav"])
    assert navigation == {str(path.relative_to(root / "docs")) for path in (root / "docs").rglob("*.md")}
