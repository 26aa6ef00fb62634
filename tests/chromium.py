"""A real Chromium for the tests of the pages: the one that DRE_TEST_CHROMIUM names, else the machine's."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright, expect

_NAMED = os.environ.get("DRE_TEST_CHROMIUM")  # read now: tests take settings of ours out of the environment
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP *.example 127.0.0.1",
]

PATIENCE_MS = 60_000  # how long a browser takes is the machine's affair, and it may be busy


def path() -> str:
    found = _NAMED or next(filter(None, map(shutil.which, _NAMES)), None)
    assert found, "there is no Chromium for the tests: apt-get install chromium, or name one in DRE_TEST_CHROMIUM"
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """With a new profile, which goes with it."""
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path(), args=_ARGUMENTS)
        try:
            yield browser
        finally:
            await browser.close()
