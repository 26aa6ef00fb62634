"""The pages for everybody: screen readers, keyboards, narrow and wide windows, both colour schemes."""

from typing import Any, Literal

import pytest
from axe_playwright_python.base import AXE_FILE_PATH
from cli.shop import BROKEN_OUTPUT, BROKEN_REPORT
from playwright.async_api import Page, expect
from server.pages.facts import Facts
from server.pages.visiting import Visitor

from dre.domain.workspace import ChangedFile

Scheme = Literal["light", "dark"]
LONG = "npm run build -- --mode=production " + "x" * 300


async def something_of_everything(facts: Facts) -> str:
    await facts.begin(LONG)
    await facts.run("make passed", output=b"x" * 1000 + b"\n")
    files = [ChangedFile("src/" + "deep/" * 40 + "cart.py", "modified", "100644", syntax="broken", line=3)]
    output = "\n".join(str(number) for number in range(1500)) + BROKEN_OUTPUT
    return str(await facts.run(LONG, exit_code=1, output=output.encode(), report=BROKEN_REPORT.encode(), files=files))


async def every_page(visitor: Visitor, facts: Facts, **options: Any) -> list[tuple[str, Page]]:
    id = await something_of_everything(facts)
    page = await visitor.visit(**options)
    pages = [("list", page)]
    for path in ("/?command=nothing", f"/operations/{id}", f"/operations/{id}/output", f"/operations/{id}/check"):
        another = await page.context.new_page()
        await another.goto(visitor.served.page + path)
        pages.append((path, another))
    stranger = await visitor.stranger(**options)
    await stranger.goto(visitor.served.page)
    visitor.forgive("401")
    return [*pages, ("who is asking", stranger)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing(visitor: Visitor, facts: Facts, scheme: Scheme) -> None:
    axe = AXE_FILE_PATH.read_text()
    for name, page in await every_page(visitor, facts, color_scheme=scheme):
        for details in await page.locator("details").all():
            await details.locator("summary").click()
        session = await page.context.new_cdp_session(page)  # runs beside the page's own policy
        await session.send("Runtime.evaluate", {"expression": axe})
        found = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
        told = [f"{one['id']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]]
        assert told == [], name
        assert found["passes"]


@pytest.mark.parametrize("width", [320, 1000, 2000])
async def test_no_page_is_wider_than_its_window(visitor: Visitor, facts: Facts, width: int) -> None:
    for name, page in await every_page(visitor, facts, viewport={"width": width, "height": 800}):
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, name


async def test_a_keyboard_is_enough(visitor: Visitor, facts: Facts) -> None:
    await something_of_everything(facts)
    page = await visitor.visit()
    keyboard = page.keyboard

    async def focused() -> str:
        told: str = await page.evaluate(
            "(document.activeElement.labels?.[0] ?? document.activeElement).innerText.trim().split('\\n')[0]"
        )
        return told

    walk = []
    for _ in range(8):
        await keyboard.press("Tab")
        walk.append(await focused())
    assert walk[:6] == ["Skip to content", "DRE", "Command", "Verdict", "Ended", "Filter"]
    assert walk[6].startswith("npm run build")
    assert walk[7] == "make passed"

    await keyboard.press("Enter")
    await expect(page.locator("h1")).to_have_text("make passed")
    await keyboard.press("Tab")
    assert await focused() == "Skip to content"
    await keyboard.press("Enter")
    walk = []
    for _ in range(4):
        await keyboard.press("Tab")
        walk.append(await focused())
    assert walk[:2] == ["verify here", "the bytes"]
    assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    await page.locator(".events summary").first.focus()
    await keyboard.press("Enter")
    await expect(page.locator(".proof").first).to_be_visible()


async def test_a_filter_is_typed_and_sent_with_enter(visitor: Visitor, facts: Facts) -> None:
    await something_of_everything(facts)
    page = await visitor.visit()

    await page.get_by_label("Command").focus()
    await page.keyboard.type("passed")
    await page.keyboard.press("Enter")

    await expect(page.locator("#operations .command")).to_have_text(["make passed"])


async def test_landmarks_headings_and_states_are_told(visitor: Visitor, facts: Facts) -> None:
    await something_of_everything(facts)
    page = await visitor.visit()

    for role in ("banner", "main", "navigation", "search"):
        await expect(page.get_by_role(role)).to_have_count(1)
    await expect(page.get_by_role("heading", level=1)).to_have_text("Operations")
    await expect(page.get_by_role("status")).to_have_text("live")
    await expect(page.get_by_role("list", name="Operations, newest first").get_by_role("listitem")).to_have_count(3)
