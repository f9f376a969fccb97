"""The request counter: no number twice, none skipped, 404s apart."""

import asyncio
import re
import socket
from concurrent.futures import ThreadPoolExecutor

from asyncnet.http1.request import Request
from asyncnet.web.counter import RequestCounter
from asyncnet.web.site import ThreePages
from tests.web.serving import Served, read_to_end

HOME = Request(b"GET", b"/", b"/", None, False)
UNKNOWN = Request(b"GET", b"/x", b"/x", None, False)
REFUSED = Request(b"POST", b"/", b"", "method is not GET", True)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def number_in(response: bytes) -> int:
    found = re.search(rb'<strong id="counter">(\d+)</strong>', response)
    assert found is not None
    return int(found[1])


async def test_ten_thousand_concurrent_requests_get_ten_thousand_numbers() -> None:
    counter = RequestCounter()
    site = ThreePages(counter)
    answers = await asyncio.gather(*(site.answer(HOME) for _ in range(10_000)))
    assert sorted(map(number_in, answers)) == list(range(1, 10_001))
    assert (counter.total, counter.not_found) == (10_000, 0)


async def test_200_and_400_are_counted_and_404_apart() -> None:
    counter = RequestCounter()
    site = ThreePages(counter)
    for request in (HOME, REFUSED, UNKNOWN, UNKNOWN):
        await site.answer(request)
    assert (counter.total, counter.not_found) == (2, 2)
    assert number_in(await site.answer(HOME)) == 3


async def test_an_answer_waits_while_another_holds_the_lock() -> None:
    counter = RequestCounter()
    async with counter._lock:
        waiting = asyncio.create_task(counter.count_answer())
        await asyncio.sleep(0)
        assert not waiting.done()
        assert counter.total == 0
    assert await waiting == 1


async def test_a_cancelled_answer_is_not_counted() -> None:
    counter = RequestCounter()
    async with counter._lock:
        waiting = asyncio.create_task(counter.count_answer())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
    assert await counter.count_answer() == 1


def test_two_thousand_open_connections_see_each_number_once(served: Served) -> None:
    clients: list[socket.socket] = []
    for count in range(2_000):
        clients.append(served.connect())
        clients[-1].sendall(GET[:-1])
        if count % 50 == 0:
            served.ask(GET)  # all before it are accepted then: the backlog may hold but 100
    before = served.total
    for client in clients:
        client.sendall(GET[-1:])
    numbers = []
    for client in clients:
        with client:
            numbers.append(number_in(read_to_end(client)))
    assert sorted(numbers) == list(range(before + 1, before + 2_001))


def test_sixteen_clients_at_once_see_each_number_once(served: Served) -> None:
    before = served.total
    with ThreadPoolExecutor(16) as pool:
        pages = list(pool.map(served.ask, [GET] * 1_600))
    assert sorted(map(number_in, pages)) == list(range(before + 1, before + 1_601))
