"""Somebody who looks at the pages with a real browser."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

from chromium import PATIENCE_MS
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page
from server.served import Served

from dre.server.access import ACCESS

DRE = [sys.executable, "-P", "-m", "dre"]


class Visitor:
    """`troubles`: what browsers complained about, violations of the content security policy among them."""

    def __init__(self, browser: Browser, served: Served) -> None:
        self._browser, self.served = browser, served
        self._contexts: list[BrowserContext] = []
        self.troubles: list[str] = []

    @property
    def link(self) -> str:
        """An address that opens one browser, once."""
        return self.served.served.app[ACCESS].new_address()

    async def stranger(self, **options: Any) -> Page:
        """A browser of its own that was never here."""
        context = await self._browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        page = await context.new_page()
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.troubles.append(f"{error}"))
        return page

    async def visit(self, path: str = "/", **options: Any) -> Page:
        """A browser of its own whose session is open, at this page."""
        page = await self.stranger(**options)
        await page.goto(self.link)
        await page.wait_for_url(f"{self.served.page}/")
        if path != "/":
            await page.goto(self.served.page + path)
        return page

    async def wrap(self, *words: str | bytes) -> None:
        """Somebody records a command in the workspace, from a shell of theirs."""
        process = await asyncio.create_subprocess_exec(
            *DRE, "wrap", *words, cwd=self.served.folder, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT
        )
        await process.communicate()

    async def end_sessions(self) -> None:
        """As if twelve hours had gone by."""
        access = self.served.served.app[ACCESS]
        for context in self._contexts:
            for cookie in await context.cookies():
                access.end_session(cookie.get("value", ""))

    def forgive(self, words: str) -> None:
        """What a test makes go wrong on purpose."""
        self.troubles = [trouble for trouble in self.troubles if words not in trouble]

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(message.text)
