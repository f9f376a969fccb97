"""The queue page in a real browser, with hostile texts in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Word
from tests.mailqueue.messages import NOW, SMALL, message
from tests.web.browsing import SCREENSHOTS, running_browser, visit
from tests.web.operating import MARKUP, Operated, fill, listening, operated_store

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with running_browser() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SqliteStore]:
    async with operated_store(tmp_path_factory.mktemp("spool")) as store:
        await fill(store)
        yield store


@pytest.fixture
def operated(filled: SqliteStore, tmp_path: Path) -> Operated:
    return Operated(filled, tmp_path)


async def test_hostile_texts_are_shown_and_do_nothing(browser: Browser, operated: Operated) -> None:
    async with listening(operated) as address, visit(browser, address) as here:
        assert await here.open("/queue") == 200
        assert await here.page.title() == "Queue \N{EM DASH} asyncnet"
        assert MARKUP in await here.page.inner_text("main")
        assert await here.page.locator("main script, main img").count() == 0
        assert here.complaints == []
        assert [url for url in here.urls if url.startswith("http")] == [f"{here.base}/queue"]


async def test_the_page_goes_on_by_itself_and_leaves_alone_what_has_not_changed(
    browser: Browser, operated: Operated, filled: SqliteStore
) -> None:
    async with listening(operated) as address, visit(browser, address) as here:
        await here.open("/queue")
        number = here.page.locator(".screen .number")
        before = int(await number.inner_text())
        await here.page.evaluate("document.querySelector('main section:last-child').kept = true")
        await filled.accept(message("NEW", at=NOW), SMALL, NOW)
        await expect(number).to_have_text(str(before + 1))
        assert await here.page.evaluate("document.querySelector('main section:last-child').kept")
        await filled.instruct(Word.CANCEL, ["NEW"], NOW, "no longer wanted")
        await expect(number).to_have_text(str(before))
        await expect(here.page.get_by_text("no longer wanted")).to_be_visible()
        assert await here.page.locator("main section").count() == 2
        assert await here.page.title() == "Queue \N{EM DASH} asyncnet"
        assert here.complaints == []


async def test_a_daemon_that_is_gone_is_told_beside_what_was_last_known(
    browser: Browser, operated: Operated
) -> None:
    async with listening(operated) as address, visit(browser, address) as here:
        await here.open("/queue")
        await expect(here.page.locator("body")).not_to_have_class("away")
        await here.page.route("**/queue", lambda route: route.abort())
        await expect(here.page.locator("body")).to_have_class("away")
        shown = await here.page.evaluate(
            "getComputedStyle(document.querySelector('main'), '::before').content"
        )
        assert "No answer from the daemon" in shown
        await expect(here.page.locator(".how .status")).to_be_hidden()
        await here.page.unroute("**/queue")
        await expect(here.page.locator("body")).not_to_have_class("away")
        await expect(here.page.locator(".how .status")).to_be_visible()


async def test_without_a_script_the_page_is_whole_and_loads_itself_again(
    browser: Browser, operated: Operated
) -> None:
    async with (
        listening(operated) as address,
        visit(browser, address, java_script_enabled=False) as here,
    ):
        await here.open("/queue")
        assert "535 Login Fail." in await here.page.content()
        again = here.page.locator("noscript meta[http-equiv=refresh], meta[http-equiv=refresh]")
        assert await again.first.get_attribute("content") == "10"


@pytest.mark.parametrize(("scheme", "width"), [("light", 320), ("dark", 390), ("light", 1280)])
async def test_no_page_is_wider_than_its_window(
    browser: Browser, operated: Operated, scheme: str, width: int
) -> None:
    """Screenshots are left in build/screenshots/ to be looked at."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    looks = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme}
    async with listening(operated) as address, visit(browser, address, **looks) as here:
        for name in ("nothing", "queue"):
            await here.open(f"/{name}")
            assert await here.page.evaluate("document.documentElement.scrollWidth") <= width
            file = SCREENSHOTS / f"ops-{name}-{scheme}-{width}.png"
            await here.page.screenshot(path=file, full_page=True)
            assert file.stat().st_size > 10_000
