"""A browser, `dre serve`, and a well-known package's own test suite with one broken test."""

import asyncio
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator

import pytest
from chromium import PATIENCE_MS, chromium
from e2e.console import BIN, Console
from e2e.test_real_package import SUITE
from playwright.async_api import Page, expect


@pytest.fixture
async def addresses(project: Console) -> AsyncIterator[list[str]]:
    """What `dre serve` prints: the base URL, and the address that opens one browser."""
    assert project.dre("init").code == 0
    server = await asyncio.create_subprocess_exec(
        BIN / "dre", "serve", "--port", "0", cwd=project.folder, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL
    )
    assert server.stdout is not None
    yield [(await server.stdout.readline()).decode().strip() for _ in range(2)]
    server.send_signal(signal.SIGINT)
    assert await server.wait() == 0


@pytest.fixture
async def page(addresses: list[str]) -> AsyncIterator[Page]:
    _, once = addresses
    async with chromium() as browser:
        page = await browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await page.goto(once)
        await page.wait_for_url(f"{once.partition('/open/')[0]}/")
        yield page


async def test_somebody_watches_a_suite_fail_and_finds_the_broken_test(project: Console, page: Page) -> None:
    with (project.folder / "tests" / "test_basic.py").open("a") as file:
        file.write("\n\ndef test_total():\n    assert 41 == 42\n")
    await expect(page.locator("#live")).to_have_text("live")

    suite = await asyncio.create_subprocess_exec(
        BIN / "dre", "wrap", *SUITE, cwd=project.folder, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
    )
    row = page.locator("#operations li")
    await expect(row).to_contain_text("running")
    assert suite.returncode is None
    await suite.communicate()
    assert suite.returncode == 1

    await expect(row.locator(".verdict")).to_contain_text("failed")
    await expect(row.locator(".reason")).to_have_text("1 of 1,315 failed")
    await row.locator("a").click()

    await expect(page.locator(".headline")).to_contain_text("failed")
    first = page.locator(".reasons > li").first
    await expect(first).to_contain_text("1 of 1,315 tests failed")
    await expect(first.locator(".findings strong")).to_contain_text("tests/test_basic.py::test_total")
    await expect(first.locator(".around")).to_contain_text("assert 41 == 42")

    await page.get_by_role("link", name="Verify here").last.click()
    await expect(page.locator(".headline")).to_contain_text("intact")
