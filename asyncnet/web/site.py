"""Which request gets which answer on port 8080: three pages, 404 and 400.

Answers lie ready as octets and are dated once a second; a request costs a look-up, and the
home page two concatenations around its number.
"""

import time
from collections.abc import Callable
from http import HTTPStatus

from asyncnet.http1.request import Request
from asyncnet.http1.response import ReadyResponse, compose, format_date
from asyncnet.web.counter import RequestCounter
from asyncnet.web.pages.frame import Page
from asyncnet.web.pages.home import COUNTER_SLOT, HOME, fill_counter_slot
from asyncnet.web.pages.mail import PAGE2
from asyncnet.web.pages.notes import NOT_FOUND, REFUSED
from asyncnet.web.pages.wire import PAGE3

_HOME_PATH = b"/"


class ThreePages:
    """The site.  clock gives POSIX seconds."""

    def __init__(self, counter: RequestCounter, clock: Callable[[], float] = time.time) -> None:
        self._counter = counter
        self._clock = clock
        self._pages = {
            _HOME_PATH: _ready(HTTPStatus.OK, HOME),
            b"/page2": _ready(HTTPStatus.OK, PAGE2),
            b"/page3": _ready(HTTPStatus.OK, PAGE3),
        }
        self._not_found = _ready(HTTPStatus.NOT_FOUND, NOT_FOUND)
        self._refused = _ready(HTTPStatus.BAD_REQUEST, REFUSED)
        # RFC 9110 section 9.3.2: a HEAD is never answered with content, a refused one neither.
        self._refused_head = compose(HTTPStatus.BAD_REQUEST, b"")
        self._date_s = -1
        self._date = b""
        self._dated: dict[bytes, bytes] = {}
        self._home = (b"", b"")  # before and after the number

    async def answer(self, request: Request) -> bytes:
        """The whole response.  It is counted by then, whether or not the client waits for it."""
        now_s = int(self._clock())
        if now_s != self._date_s:
            self._put_date(now_s)
        if request.fault is not None:
            await self._counter.count_answer()
            refused = self._refused_head if request.method == b"HEAD" else self._refused
            return refused.octets(self._date)
        if request.path == _HOME_PATH:
            before, after = self._home
            number = await self._counter.count_answer()
            return b"".join((before, fill_counter_slot(number), after))
        page = self._dated.get(request.path)
        if page is None:
            await self._counter.count_not_found()
            return self._not_found.octets(self._date)
        await self._counter.count_answer()
        return page

    def _put_date(self, now_s: int) -> None:
        self._date_s = now_s
        self._date = format_date(now_s)
        self._dated = {path: page.octets(self._date) for path, page in self._pages.items()}
        before, after = self._dated[_HOME_PATH].split(COUNTER_SLOT)
        self._home = (before, after)


def _ready(status: HTTPStatus, page: Page) -> ReadyResponse:
    return compose(status, page.text.encode("utf-8"), policy=page.policy)
