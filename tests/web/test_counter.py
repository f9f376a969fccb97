"""The request counter: no number twice, none skipped, 404s apart."""

import asyncio
import contextlib
import re
import socket
from concurrent.futures import ThreadPoolExecutor

from asyncnet.http1.request import Request
from asyncnet.web import descriptors
from asyncnet.web.counter import RequestCounter
from asyncnet.web.site import ThreePages
from tests.web.alone import listener_alone
from tests.web.serving import CLIENT_TIMEOUT_S, Served, read_to_end, reset

HOME = Request(b"GET", b"/", b"/", None, False)
UNKNOWN = Request(b"GET", b"/x", b"/x", None, False)
REFUSED = Request(b"POST", b"/", b"", "method is not GET", True)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
GETS, ABORTED = 10_000, 500


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


def test_ten_thousand_gets_and_aborted_ones_leave_no_gap(loop_name: str) -> None:
    """All are open before the first is answered.

    Who resets its connection inside the head has asked nothing and is not counted; who resets it
    with the answer before it was counted, and its number is the only one that nobody sees.
    """
    descriptors.fit_connections(GETS + ABORTED)
    with listener_alone(loop_name) as server, contextlib.ExitStack() as stack:
        clients: list[socket.socket] = []
        aborted: list[socket.socket] = []
        for number in range(GETS + ABORTED):
            if number % (1 + GETS // ABORTED):
                clients.append(open_halfway(server.port, stack))
            else:
                aborted.append(open_halfway(server.port, stack))
                reset(open_halfway(server.port, stack))
        for client in (*aborted, *clients):
            client.send(GET[-1:])
        for client in aborted:
            assert client.recv(1) == b"H"
            reset(client)
        numbers = [number_in(read_to_end(client)) for client in clients]
    assert len(set(numbers)) == len(clients) == GETS
    assert server.total == GETS + len(aborted)
    unseen = set(range(1, server.total + 1)) - set(numbers)
    assert len(unseen) == len(aborted), "a number was left out, or is beyond the total"


def open_halfway(port: int, stack: contextlib.ExitStack) -> socket.socket:
    """A connection with all of a request but its last octet."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port), CLIENT_TIMEOUT_S))
    client.sendall(GET[:-1])
    return client


def test_sixteen_clients_at_once_see_each_number_once(served: Served) -> None:
    before = served.total
    with ThreadPoolExecutor(16) as pool:
        pages = list(pool.map(served.ask, [GET] * 1_600))
    assert sorted(map(number_in, pages)) == list(range(before + 1, before + 1_601))
