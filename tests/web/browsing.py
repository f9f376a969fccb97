"""A real browser for the pages: headless Chromium, driven by playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"


def find_chromium() -> str:
    """The path of a browser; skips, or fails where CI promised one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    reason = f"the browser test was LEFT OUT: no Chromium found; tried {', '.join(NAMES)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@asynccontextmanager
async def running_browser() -> AsyncIterator[Browser]:
    executable = find_chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield running
        await running.close()


class Visit:
    """One page of the browser, and what it asked for and complained about."""

    def __init__(self, page: Page, base: str) -> None:
        self.page = page
        self.base = base
        self.complaints: list[str] = []
        self.urls: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.urls.append(request.url))

    async def open(self, path: str) -> int:
        """Go there by its address and return the status."""
        response = await self.page.goto(self.base + path)
        assert response is not None
        return response.status

    async def number(self) -> int:
        return int(await self.page.inner_text("#counter"))

    def foreign_urls(self) -> list[str]:
        return [url for url in self.urls if not url.startswith((self.base + "/", "data:"))]


@asynccontextmanager
async def visit(browser: Browser, address: tuple[str, int], **context: Any) -> AsyncIterator[Visit]:
    host, port = address
    async with await browser.new_context(**context) as window:
        yield Visit(await window.new_page(), f"http://{host}:{port}")
