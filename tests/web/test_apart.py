"""The listener apart: what keeps the loop that started it does not keep a visitor."""

import asyncio
import http.client
import socket
import threading
from collections.abc import AsyncIterator

import pytest

from asyncnet.config.sections import HttpSettings
from asyncnet.http1.request import Request
from asyncnet.web.apart import ListenerApart
from asyncnet.web.listener import HttpListener
from tests.web.serving import ANY_PORT, CLIENT_TIMEOUT_S

SETTINGS = HttpSettings.model_validate({"listen": (ANY_PORT,)})


@pytest.fixture
async def apart() -> AsyncIterator[ListenerApart]:
    listener = ListenerApart(HttpListener(SETTINGS))
    await listener.start()
    yield listener
    await listener.stop(0)


def visit(listener: ListenerApart) -> int:
    """The status of a visit by the thread that calls."""
    place = listener.endpoints[0]
    client = http.client.HTTPConnection(place.host, place.port, timeout=CLIENT_TIMEOUT_S)
    client.request("GET", "/")
    return client.getresponse().status


def pages_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pages"]


async def test_a_visitor_is_answered_while_the_loop_that_started_it_stands_still(
    apart: ListenerApart,
) -> None:
    assert visit(apart) == 200  # called without await: the loop stands until the answer is here


async def test_its_loop_is_of_the_kind_of_the_one_that_started_it() -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def answer(request: Request) -> bytes:
        loops.append(asyncio.get_running_loop())
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    listener = ListenerApart(HttpListener(SETTINGS, answer))
    await listener.start()
    visit(listener)
    await listener.stop(0)
    here = asyncio.get_running_loop()
    assert [type(loop) for loop in loops] == [type(here)]
    assert loops[0] is not here
    assert loops[0].is_closed()


async def test_a_port_that_is_taken_is_told_and_no_thread_stays() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        taken = ListenerApart(HttpListener(HttpSettings.model_validate({"listen": place})))
        with pytest.raises(OSError, match=f"cannot listen on {place}"):
            await taken.start()
    assert pages_threads() == []


async def test_a_stop_lets_a_running_request_have_its_answer_and_ends_the_thread() -> None:
    asked, go_on = threading.Event(), threading.Event()

    async def answer(request: Request) -> bytes:
        asked.set()
        await asyncio.to_thread(go_on.wait, CLIENT_TIMEOUT_S)
        return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    listener = ListenerApart(HttpListener(SETTINGS, answer))
    await listener.start()
    visitor = asyncio.create_task(asyncio.to_thread(visit, listener))
    assert await asyncio.to_thread(asked.wait, CLIENT_TIMEOUT_S)
    stopping = asyncio.create_task(listener.stop(CLIENT_TIMEOUT_S))
    go_on.set()
    assert await visitor == 200
    await stopping
    assert pages_threads() == []
