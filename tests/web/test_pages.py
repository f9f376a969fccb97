"""The pages as documents: well-formed, self-contained, linked, and with a policy that fits."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from asyncnet.spool.job_schema import job_schema
from asyncnet.web.pages.frame import Page
from asyncnet.web.pages.home import COUNTER_SLOT, HOME, fill_counter_slot
from asyncnet.web.pages.mail import PAGE2
from asyncnet.web.pages.notes import NOT_FOUND, REFUSED
from asyncnet.web.pages.wire import PAGE3

ALL = [
    pytest.param(page, id=name)
    for name, page in {
        **{"home": HOME, "page2": PAGE2, "page3": PAGE3},
        **{"not found": NOT_FOUND, "refused": REFUSED},
    }.items()
]
# https://html.spec.whatwg.org/multipage/syntax.html#void-elements, as far as we use them;
# the drawing elements are written as <path .../>, which the parser reports as such.
VOID = {"meta", "link", "img"}


class Outline(HTMLParser):
    """Collects what the tests ask about, and every tag that is closed by the wrong one."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(page.text.replace(COUNTER_SLOT.decode(), fill_counter_slot(1).decode()))
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def values(self, tag: str, name: str) -> list[str | None]:
        return [value for one, other, value in self.attributes if (one, other) == (tag, name)]


@pytest.mark.parametrize("page", ALL)
def test_every_tag_is_closed_in_order(page: Page) -> None:
    outline = Outline(page)
    assert (outline.wrong, outline.open) == ([], [])


@pytest.mark.parametrize("page", ALL)
def test_a_page_has_what_every_page_needs(page: Page) -> None:
    outline = Outline(page)
    assert page.text.startswith("<!DOCTYPE html>\n")
    assert outline.values("html", "lang") == ["en"]
    assert outline.values("meta", "charset") == ["utf-8"]
    assert "viewport" in outline.values("meta", "name")
    assert outline.values("link", "href") == ["data:,"]
    assert outline.tags.count("title") == outline.tags.count("h1") == 1
    assert set(outline.values("a", "href")) >= {"/", "/page2", "/page3"}


@pytest.mark.parametrize("page", ALL)
def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    outline = Outline(page)
    assert "script" not in outline.tags
    assert all(value in {"/", "/page2", "/page3"} for value in outline.values("a", "href"))
    named = {name for _, name, _ in outline.attributes}
    assert named.isdisjoint({"src", "srcset", "style", "action"})
    assert not any(name.startswith("on") for name in named)
    assert "url(" not in page.text
    assert "@import" not in page.text


@pytest.mark.parametrize("page", ALL)
def test_the_policy_names_the_style_sheet_of_its_page(page: Page) -> None:
    found = re.search(r"<style>(.*)</style>", page.text)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page.policy
    assert "frame-ancestors 'none'" in page.policy


@pytest.mark.parametrize("number", [1, 9, 10, 999_999, 10**19])
def test_the_slot_keeps_its_length_whatever_the_number(number: int) -> None:
    filled = fill_counter_slot(number)
    assert len(filled) == len(COUNTER_SLOT)
    assert filled.rstrip() == b"%d</strong>" % number


def test_the_slot_is_in_the_home_page_once_and_nowhere_else() -> None:
    slot = COUNTER_SLOT.decode()
    assert HOME.text.count(slot) == 1
    assert "\x01" not in HOME.text.replace(slot, "") + PAGE2.text + PAGE3.text


@pytest.mark.parametrize("key", job_schema()["properties"])
def test_the_cheat_sheet_names_every_key(key: str) -> None:
    names = ",".join(re.findall("<dt>(.*?)</dt>", PAGE2.text)).replace(" ", "").split(",")
    assert key in names


@pytest.mark.parametrize("word", ["SYN", "ACK", "GET / HTTP/1.1", "MAIL FROM", "RCPT TO", "DATA"])
def test_the_wire_page_shows_the_words_on_the_wire(word: str) -> None:
    assert word in PAGE3.text


def test_the_not_found_page_says_so() -> None:
    assert "The information was not found." in NOT_FOUND.text
