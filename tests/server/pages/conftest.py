"""A browser for every test of the pages, and pages in it that may not do what a policy forbids."""

from collections.abc import AsyncIterator

import pytest
from chromium import chromium
from playwright.async_api import Browser
from server.pages.visiting import Visitor
from server.served import Served


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest.fixture
async def visitor(browser: Browser, served: Served) -> AsyncIterator[Visitor]:
    """Somebody whose browser has opened this server's session; nothing went wrong in it when the test ends."""
    visitor = Visitor(browser, served)
    yield visitor
    await visitor.close()
    assert visitor.troubles == []
