"""A browser for every test of the pages, somebody who looks with it, and operations to be looked at."""

from collections.abc import AsyncIterator

import pytest
from chromium import chromium
from playwright.async_api import Browser
from server.pages.facts import Facts
from server.pages.visiting import Visitor
from server.served import Served


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as opened:
        yield opened


@pytest.fixture
def facts(served: Served) -> Facts:
    return Facts(served)


@pytest.fixture
async def visitor(browser: Browser, served: Served) -> AsyncIterator[Visitor]:
    """Nothing went wrong in any of their browsers when the test ends."""
    visitor = Visitor(browser, served)
    yield visitor
    await visitor.close()
    assert visitor.troubles == []
