"""The site apart from its listener: the date, and which answer is chosen."""

import re

from asyncnet.http1.request import Request
from asyncnet.web.counter import RequestCounter
from asyncnet.web.site import ThreePages

PATHS = (b"/", b"/page2", b"/page3", b"/x")


def asked(path: bytes, method: bytes = b"GET", fault: str | None = None) -> Request:
    return Request(method, path, path, fault, False)


def date_in(response: bytes) -> bytes:
    found = re.search(rb"\r\nDate: (.*?)\r\n", response)
    assert found is not None
    return found[1]


async def test_the_date_follows_the_clock_on_every_answer() -> None:
    now_s = 784111777.9
    site = ThreePages(RequestCounter(), clock=lambda: now_s)
    requests = [*map(asked, PATHS), asked(b"", fault="bad"), asked(b"", b"HEAD", "bad")]
    for request in requests:
        assert date_in(await site.answer(request)) == b"Sun, 06 Nov 1994 08:49:37 GMT"
    now_s += 0.2
    for request in requests:
        assert date_in(await site.answer(request)) == b"Sun, 06 Nov 1994 08:49:38 GMT"


async def test_the_fault_decides_before_the_path() -> None:
    site = ThreePages(RequestCounter())
    for path in PATHS:
        answer = await site.answer(asked(path, b"POST", "method is not GET"))
        assert answer.startswith(b"HTTP/1.1 400 ")
