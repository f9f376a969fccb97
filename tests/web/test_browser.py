"""The pages in a real browser: headless Chromium, driven by playwright.

Screenshots, light and dark, wide and narrow, are left in build/screenshots/ to be looked at.
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.web.browsing import SCREENSHOTS, running_browser, visit
from tests.web.serving import Served, run_listener

PAGES = {"home": "/", "page2": "/page2", "page3": "/page3"}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


@pytest.fixture(scope="module")
def site() -> Iterator[Served]:
    with run_listener("uvloop") as served:
        yield served


async def test_the_counter_grows_by_one_with_each_page_seen(browser: Browser, site: Served) -> None:
    async with visit(browser, site.address) as here:
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
    async with visit(browser, site.address) as here:
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
    async with visit(browser, site.address) as here:
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
    async with visit(browser, site.address) as here:
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
    async with visit(browser, site.address, viewport={"width": width, "height": 740}) as here:
        await here.open(path)
        assert await here.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
async def test_screenshots_are_left_to_be_looked_at(
    browser: Browser, site: Served, scheme: str, width: int
) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    looks = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    async with visit(browser, site.address, **looks) as here:
        for name, path in {**PAGES, "404": "/nothing"}.items():
            await here.open(path)
            file = SCREENSHOTS / f"{name}-{scheme}-{width}.png"
            await here.page.screenshot(path=file, full_page=True)
            assert file.stat().st_size > 10_000
        ground = await here.page.evaluate("getComputedStyle(document.body).backgroundColor")
        red = int(ground.removeprefix("rgb(").partition(",")[0])
        assert (red > 128) == (scheme == "light")
