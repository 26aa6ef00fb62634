"""Pages that are kept up to date while somebody looks at them."""

from playwright.async_api import expect
from server.pages.visiting import Visitor


async def test_an_operation_arrives_while_it_runs_and_gets_its_verdict(visitor: Visitor) -> None:
    page = await visitor.visit()
    await expect(page.locator("#live")).to_have_text("live")

    await visitor.wrap("sh", "-c", "echo hello")

    row = page.locator("#operations li")
    await expect(row).to_have_count(1)
    await expect(row.locator(".command")).to_have_text("sh -c 'echo hello'")
    await expect(row.locator(".verdict")).to_contain_text("passed", timeout=15_000)

    await row.locator("a").click()
    await expect(page.locator("h1")).to_have_text("sh -c 'echo hello'")
    await expect(page.locator(".output .line").first).to_contain_text("hello")
