"""The pages in a real browser: headless Chromium, driven by playwright.

Screenshots, light and dark, wide and narrow, are left in build/screenshots/ to be looked at.
"""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from tests.web.serving import Served, run_listener

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
SCREENSHOTS = Path(__file__).parents[2] / "build" / "screenshots"
PAGES = {"home": "/", "page2": "/page2", "page3": "/page3"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


def find_chromium() -> str:
    """The path of a browser; skips, or fails where CI promised one."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is not None:
        return found
    reason = f"the browser test was LEFT OUT: no Chromium found; tried {', '.join(NAMES)}"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    executable = find_chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        yield running
        await running.close()


@pytest.fixture(scope="module")
def site() -> Iterator[Served]:
    with run_listener("uvloop") as served:
        yield served


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
async def visit(browser: Browser, served: Served, **context: Any) -> AsyncIterator[Visit]:
    host, port = served.address
    async with await browser.new_context(**context) as window:
        yield Visit(await window.new_page(), f"http://{host}:{port}")


async def test_the_counter_grows_by_one_with_each_page_seen(browser: Browser, site: Served) -> None:
    async with visit(browser, site) as here:
        await here.open("/")
        first = await here.number()
        await here.page.reload()
        assert await here.number() == first + 1
        await here.open("/page2")
        await here.open("/page3")
        assert await here.open("/nothing") == 404
        await here.open("/")
        assert await here.number() == first + 4
        assert site.total == first + 4  # no /favicon.ico or other request in secret


async def test_the_links_lead_round_the_three_pages(browser: Browser, site: Served) -> None:
    async with visit(browser, site) as here:
        await here.open("/")
        titles = [await here.page.title()]
        for link in ("Mail job", "On the wire", "Home"):
            await here.page.get_by_role("link", name=link, exact=True).click()
            await here.page.wait_for_load_state()
            titles.append(await here.page.title())
            marked = here.page.locator("nav [aria-current=page]")
            assert await marked.inner_text() == link
        assert len(set(titles)) == 3
        assert titles[0] == titles[3]


@pytest.mark.parametrize("path", [*PAGES.values(), "/nothing"])
async def test_a_page_asks_for_nothing_else_and_has_no_complaint(
    browser: Browser, site: Served, path: str
) -> None:
    async with visit(browser, site) as here:
        status = await here.open(path)
        await here.page.wait_for_load_state("networkidle")
        assert here.foreign_urls() == []
        assert [url for url in here.urls if url.startswith("http")] == [here.base + path]
        # Chromium itself remarks on a 404, whatever the page does.
        expected = 1 if status == 404 else 0
        assert len(here.complaints) == expected, here.complaints
        assert await here.page.evaluate("document.compatMode") == "CSS1Compat"
        assert await here.page.evaluate("document.characterSet") == "UTF-8"


async def test_the_policy_lets_the_style_in_and_no_script(browser: Browser, site: Served) -> None:
    async with visit(browser, site) as here:
        await here.open("/")
        size = await here.page.eval_on_selector(
            "#counter", "found => parseFloat(getComputedStyle(found).fontSize)"
        )
        assert size > 50, "the style sheet was not applied"
        await here.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'),"
            " {textContent: 'window.ran = true'}))"
        )
        assert await here.page.evaluate("window.ran === undefined")
        assert len(here.complaints) == 1


@pytest.mark.parametrize("path", [*PAGES.values(), "/nothing"])
@pytest.mark.parametrize("width", [320, 360, 768, 1920])
async def test_no_page_is_wider_than_its_window(
    browser: Browser, site: Served, path: str, width: int
) -> None:
    async with visit(browser, site, viewport={"width": width, "height": 740}) as here:
        await here.open(path)
        assert await here.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_screenshots_are_left_to_be_looked_at(
    browser: Browser, site: Served, scheme: str, width: int
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    looks = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    async with visit(browser, site, **looks) as here:
        for name, path in {**PAGES, "404": "/nothing"}.items():
            await here.open(path)
            file = SCREENSHOTS / f"{name}-{scheme}-{width}.png"
            await here.page.screenshot(path=file, full_page=True)
            assert file.stat().st_size > 10_000
        ground = await here.page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(ground.removeprefix("rgb(").partition(",")[0])
        assert (red > 128) == (scheme == "light")
