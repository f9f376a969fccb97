"""The listener under clients that are slow, silent, many, rude or gone, and its stop."""

import asyncio
import contextlib
import errno
import gc
import logging
import select
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from http import HTTPStatus
from types import CoroutineType
from typing import Any

import pytest

from asyncnet.config.sections import HttpSettings
from asyncnet.config.values import Endpoint
from asyncnet.http1.request import Request
from asyncnet.http1.response import compose
from asyncnet.web import listener as listener_module
from asyncnet.web.at_once import begin
from asyncnet.web.listener import HttpListener
from tests.web.serving import Serve, Served, read_to_end, reset

GET = b"GET /page2 HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\n"
LISTENER_FILE = listener_module.__file__
SOON_S = 5.0  # far beyond every limit set here, far below the 10 s of an untouched listener


@pytest.fixture
def hasty(serve: Serve) -> Iterator[Served]:
    with serve(head_timeout="200ms") as served:
        yield served


def drip(client: socket.socket, octets: bytes) -> bytes:
    """Send one octet each 20 ms until the server answers; return its whole answer."""
    for at in range(len(octets)):
        if select.select([client], [], [], 0.02)[0]:
            break
        client.send(octets[at : at + 1])
    return read_to_end(client)


def read_what_is_left(client: socket.socket) -> bytes:
    """Everything until the end, be it a clean one or a reset."""
    left = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := client.recv(65536):
            left += part
    return bytes(left)


def test_a_silent_client_is_closed_by_the_deadline_without_an_answer(hasty: Served) -> None:
    begin = time.monotonic()
    with hasty.connect() as client:
        assert client.recv(1) == b""
    assert 0.2 <= time.monotonic() - begin < SOON_S
    assert hasty.total == 0


def test_an_unfinished_head_is_refused_at_the_deadline(hasty: Served) -> None:
    begin = time.monotonic()
    assert hasty.ask(GET[:-2]).startswith(BAD)
    assert 0.2 <= time.monotonic() - begin < SOON_S
    assert hasty.total == 1


def test_dripping_does_not_put_the_deadline_off(hasty: Served) -> None:
    begin = time.monotonic()
    with hasty.connect() as client:
        answer = drip(client, b"GET / HTTP/1.1\r\nX: " + b"x" * 1000)
    assert answer.startswith(BAD)
    assert time.monotonic() - begin < SOON_S


def test_an_unfinished_head_request_gets_no_body(hasty: Served) -> None:
    answer = hasty.ask(b"HEAD / HTTP/1.1")
    assert answer.startswith(BAD)
    assert answer.endswith(b"\r\n\r\n")


def test_the_deadline_is_for_the_head_and_not_for_the_answer(serve: Serve) -> None:
    async def answer_slowly(request: Request) -> bytes:
        await asyncio.sleep(0.4)
        return OK + b"\r\n"

    with serve(answer=answer_slowly, head_timeout="100ms") as served:
        assert served.ask(GET).startswith(OK)


def test_a_slow_client_disturbs_nobody(hasty: Served) -> None:
    with hasty.connect() as slow:
        slow.sendall(GET[:5])
        assert hasty.ask(GET).startswith(OK)


def test_beyond_the_limit_the_one_longest_at_its_head_makes_room(serve: Serve) -> None:
    with serve(max_connections=2) as served, served.connect() as one, served.connect() as two:
        two.sendall(GET[:10])
        assert served.ask(GET).startswith(OK)  # a third
        assert read_what_is_left(one) == b""
        assert served.total == 1
        two.sendall(GET[10:])
        assert read_to_end(two).startswith(OK)


def test_beyond_the_limit_who_is_being_answered_stays(serve: Serve) -> None:
    async def answer(request: Request) -> bytes:
        asked.set()
        await answered.wait()
        return OK + b"\r\n"

    asked, answered = threading.Event(), asyncio.Event()
    with serve(answer=answer, max_connections=1) as served, served.connect() as one:
        one.sendall(GET)
        assert asked.wait(SOON_S)
        with served.connect() as two:
            assert two.recv(1) == b""
        served.loop.call_soon_threadsafe(answered.set)
        assert read_to_end(one).startswith(OK)


def linger(served: Served) -> socket.socket:
    """One that has its 400 and stays open, with a place of its own."""
    client = served.connect()
    client.sendall(b"POST / HTTP/1.1\r\n")
    assert read_to_end(client).startswith(BAD)
    return client


def test_who_has_had_its_answer_makes_room(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 60.0)
    with serve(max_connections=3) as served, contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(linger(served))
        assert len(served.listener._endings) <= 3
        assert served.ask(GET).startswith(OK)


def test_who_has_had_its_answer_makes_room_before_who_is_at_its_head(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 60.0)
    with serve(max_connections=2) as served, served.connect() as slow:
        slow.sendall(GET[:10])
        assert served.ask(GET).startswith(OK)  # the part before it has been read by now
        with linger(served):
            assert served.ask(GET).startswith(OK)
            slow.sendall(GET[10:])
            assert read_to_end(slow).startswith(OK)


def held_by_connections() -> list[object]:
    kinds = (listener_module._Connection, asyncio.StreamReader, asyncio.StreamWriter)
    return [one for one in gc.get_objects() if isinstance(one, kinds)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="silent"),
        pytest.param(GET[:10], id="inside the head"),
        pytest.param(b"POST / HTTP/1.1\r\n" + bytes(100_000), id="refused"),
    ],
)
def test_who_is_cut_off_leaves_nothing_to_the_cycle_collector(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 0.1)
    with serve(head_timeout="100ms") as served, contextlib.ExitStack() as stack:
        gc.collect()
        before = len(held_by_connections())
        gc.disable()
        stack.callback(gc.enable)
        clients = [stack.enter_context(served.connect()) for _ in range(20)]
        for client in clients:
            client.sendall(data)
        for client in clients:
            read_what_is_left(client)
        served.wait_until_idle()
        for _ in range(3):  # the last transports tell their protocols that they are closed
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), served.loop).result(SOON_S)
        assert len(held_by_connections()) <= before


def octets_held(served: Served) -> list[bytes]:
    """What the local names of the listener's coroutines hold, short texts left out."""

    async def look() -> list[object]:  # where none of them runs
        coroutines = (one for one in gc.get_objects() if isinstance(one, CoroutineType))
        frames = [one.cr_frame for one in coroutines if one.cr_code.co_filename == LISTENER_FILE]
        return [held for frame in frames if frame is not None for held in frame.f_locals.values()]

    held = asyncio.run_coroutine_threadsafe(look(), served.loop).result(SOON_S)
    assert any(isinstance(one, listener_module._Connection) for one in held)
    return [one for one in held if isinstance(one, bytes) and len(one) > 500]


def test_who_lingers_holds_no_octets(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 60.0)
    with serve() as served, served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\n" + bytes(150_000))
        assert read_to_end(client).startswith(BAD)
        assert octets_held(served) == []
        assert [one.head for one in served.listener._endings] == [None]


def test_who_drips_after_its_400_holds_no_octets(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 60.0)
    with serve() as served, linger(served) as client:
        client.sendall(bytes(150_000))
        assert served.ask(GET).startswith(OK)  # they have been read by now
        assert octets_held(served) == []


def test_half_a_head_is_held_once(serve: Serve) -> None:
    with serve() as served, served.connect() as client:
        for part in (GET[:-2] + b"X: " + b"x" * 1_000, b"x" * 1_000):
            client.sendall(part)
            assert served.ask(GET).startswith(OK)  # it has been read by now
            assert octets_held(served) == []
        client.sendall(b"\r\n\r\n")
        assert read_to_end(client).startswith(OK)


def test_a_connection_that_gets_no_task_is_closed_and_forgotten(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin_wrongly(work: Coroutine[Any, Any, None]) -> object:
        rest = begin(work)
        assert rest is not None
        rest.close()
        return iter(())  # what no task takes

    with serve() as served:
        monkeypatch.setattr(listener_module, "begin", begin_wrongly)
        for data in (b"", b"POST / HTTP/1.1\r\n"):
            with served.connect() as client:
                client.sendall(data)
                read_what_is_left(client)
        assert served.listener.open_connections == 0
        assert served.listener._endings == {}
        assert {type(one["exception"]) for one in served.complaints} == {TypeError}
        served.complaints.clear()


def test_a_flood_behind_a_400_is_dropped_up_to_the_bound(served: Served) -> None:
    sent_octets = 0
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while sent_octets < 100_000_000:
                sent_octets += client.send(bytes(262_144))
    assert sent_octets >= listener_module.DROPPED_OCTETS
    assert sent_octets < 2 * listener_module.DROPPED_OCTETS


def test_a_client_that_goes_on_dripping_after_its_400_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 0.2)
    begin = time.monotonic()
    with serve() as served, served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\n")
        assert read_to_end(client).startswith(BAD)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - begin < SOON_S:
                client.send(b"x")
                select.select([], [], [client], 0.02)
    assert time.monotonic() - begin < SOON_S


@pytest.mark.parametrize("request_head", [GET, b"POST / HTTP/1.1\r\n"])
def test_a_client_that_never_reads_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, request_head: bytes
) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 0.2)
    large = compose(HTTPStatus.OK, bytes(20_000_000)).octets(b"")

    async def answer(request: Request) -> bytes:
        return large

    begin = time.monotonic()
    with serve(answer=answer) as served, served.connect() as client:
        client.sendall(request_head)
        select.select([client], [], [], SOON_S)
        served.wait_until_idle()
        assert served.listener.open_connections == 0
        assert time.monotonic() - begin < SOON_S
        assert len(read_what_is_left(client)) < len(large), "the rest is still held for it"


def test_a_slow_reader_gets_all_of_a_large_answer(serve: Serve) -> None:
    large = compose(HTTPStatus.OK, bytes(20_000_000)).octets(b"")

    async def answer(request: Request) -> bytes:
        return large

    with serve(answer=answer) as served:
        assert served.ask(GET) == large


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="before a request"),
        pytest.param(GET[:10], id="inside the head"),
        pytest.param(GET, id="after a request"),
        pytest.param(b"POST / HTTP/1.1\r\n" + bytes(1000), id="after a refused one"),
        pytest.param(GET * 3, id="after several"),
    ],
)
def test_resets_leave_no_trace_in_the_log(
    serve: Serve, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), serve() as served:
        for _ in range(100):
            client = served.connect()
            client.sendall(data)
            reset(client)
        assert served.ask(GET).startswith(OK)
        served.wait_until_idle()
        assert served.complaints == []
    assert [record.getMessage() for record in caplog.records if record.levelno > 10] == []


def test_a_reset_during_the_answer_leaves_no_trace(serve: Serve) -> None:
    async def answer(request: Request) -> bytes:
        client = clients.pop()
        reset(client)
        await asyncio.sleep(0)
        return compose(HTTPStatus.OK, bytes(1_000_000)).octets(b"")

    clients: list[socket.socket] = []
    with serve(answer=answer) as served:
        for head in (GET, b"POST / HTTP/1.1\r\n"):
            clients.append(served.connect())
            clients[0].sendall(head)
            while clients:
                select.select([], [], [], 0.01)
        served.wait_until_idle()


def test_a_fault_of_ours_is_reported_and_closes_the_connection(serve: Serve) -> None:
    async def answer(request: Request) -> bytes:
        raise LookupError("a bug")

    with serve(answer=answer) as served:
        assert served.ask(GET) == b""
        served.wait_until_idle()
        assert [str(one["exception"]) for one in served.complaints] == ["a bug"]
        served.complaints.clear()


def test_a_fault_in_the_pages_themselves_is_reported_and_closes_the_connection(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def count() -> int:
        raise LookupError("a bug")

    with serve() as served:
        monkeypatch.setattr(served.listener.counter, "count_answer", count)
        assert served.ask(GET) == b""
        with served.connect() as slow:  # whose answer has a task
            slow.sendall(GET[:5])
            assert served.ask(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n") != b""
            slow.sendall(GET[5:])
            assert read_to_end(slow) == b""
        served.wait_until_idle()
        assert [str(one["exception"]) for one in served.complaints] == ["a bug", "a bug"]
        served.complaints.clear()


def test_those_cut_off_before_their_task_has_begun_are_closed_too(serve: Serve) -> None:
    standing, go_on = threading.Event(), threading.Event()

    def stand() -> None:
        standing.set()
        go_on.wait(SOON_S)

    with serve(max_connections=2) as served, contextlib.ExitStack() as stack:
        served.loop.call_soon_threadsafe(stand)
        assert standing.wait(SOON_S)
        # All are accepted in one go, and each makes room for the next in one turn of the loop.
        clients = [stack.enter_context(served.connect()) for _ in range(10)]
        go_on.set()
        closed: list[socket.socket] = []
        while len(closed) < len(clients) - 2:
            ready, _, _ = select.select([it for it in clients if it not in closed], [], [], SOON_S)
            assert ready
            closed += ready
        assert served.ask(GET).startswith(OK)


def test_stopping_lets_a_running_request_finish(serve: Serve) -> None:
    with serve() as served, served.connect() as client:
        address = served.address
        client.sendall(GET[:10])
        assert served.ask(GET).startswith(OK)  # the part before it has been read by now
        stopped = served.begin_stop(grace_s=SOON_S)
        client.sendall(GET[10:])
        assert read_to_end(client).startswith(OK)
        stopped.result(SOON_S)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_stopping_cuts_off_what_outlasts_the_grace(serve: Serve) -> None:
    begin = time.monotonic()
    with serve() as served, served.connect() as client:
        client.sendall(GET[:10])
        assert served.ask(GET).startswith(OK)
        served.begin_stop(grace_s=0.5).result(SOON_S)
        assert client.recv(1) == b""
    assert 0.5 <= time.monotonic() - begin < SOON_S


def test_stopping_does_not_wait_for_silent_connections(serve: Serve) -> None:
    begin = time.monotonic()
    with serve() as served, served.connect() as client:
        assert served.ask(GET).startswith(OK)
        served.begin_stop(grace_s=60).result(SOON_S)
        assert client.recv(1) == b""
    assert time.monotonic() - begin < SOON_S


def test_stopping_twice_is_stopping_once(serve: Serve) -> None:
    with serve() as served:
        served.begin_stop(0).result(SOON_S)
        served.begin_stop(0).result(SOON_S)


def test_a_taken_port_is_named_and_nothing_stays_bound(serve: Serve) -> None:
    with serve() as served:
        taken = Endpoint(*served.address)
        second = HttpListener(HttpSettings(listen=(Endpoint("127.0.0.1", 0), taken)))
        with pytest.raises(OSError, match=f"cannot listen on {taken}: Address already in use"):
            asyncio.run(second.start())
        assert second.endpoints == ()


def test_a_name_that_does_not_resolve_is_named() -> None:
    lost = HttpListener(HttpSettings(listen=(Endpoint("nowhere.invalid", 0),)))
    with pytest.raises(OSError, match=r"cannot listen on nowhere\.invalid:0: "):
        asyncio.run(lost.start())


def test_both_loopback_addresses_are_served_and_told(serve: Serve) -> None:
    listen = ["127.0.0.1:0", "[::1]:0"]
    with serve(listen=listen) as served:
        assert [endpoint.host for endpoint in served.listener.endpoints] == ["127.0.0.1", "::1"]
        for endpoint in served.listener.endpoints:
            assert endpoint.port > 0
            with socket.create_connection((endpoint.host, endpoint.port), SOON_S) as client:
                client.sendall(GET)
                assert read_to_end(client).startswith(OK)


async def test_without_ipv6_the_other_address_serves_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start_server = asyncio.start_server

    async def without_ipv6(served: object, host: str, *rest: object, **more: object) -> object:
        if host == "::1":
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return await start_server(served, host, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "start_server", without_ipv6)
    spare = HttpListener(HttpSettings(listen=(Endpoint("127.0.0.1", 0), Endpoint("::1", 0))))
    await spare.start()
    assert [endpoint.host for endpoint in spare.endpoints] == ["127.0.0.1"]
    await spare.stop(0)
    alone = HttpListener(HttpSettings(listen=(Endpoint("::1", 0),)))
    with pytest.raises(OSError, match=r"cannot listen on \[::1\]:0"):
        await alone.start()


def test_the_access_log_tells_each_request_in_one_entry(serve: Serve) -> None:
    with serve(access_log=True) as served:
        served.ask(GET)
        served.ask(b"GET /" + b"x" * 500 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        served.ask(b"POST /a\x1b[31m HTTP/1.1\r\n")
        answer = served.ask(b"HEAD /back\\slash HTTP/1.1\r\n\r\n")
        served.wait_until_idle()
        page, unknown, control, head = served.entries
    assert (page.method, page.target, page.status, page.fault) == ("GET", "/page2", 200, None)
    assert page.peer == "127.0.0.1"
    assert page.time_ms >= 0
    assert (unknown.status, len(unknown.target)) == (404, 200)
    assert (control.method, control.fault) == ("POST", "control")
    assert control.target == r"/a\x1b[31m"
    assert (head.target, head.octets) == ("/back\\\\slash", len(answer))


def test_without_access_log_nothing_is_told(served: Served) -> None:
    served.ask(GET)
    assert served.entries == []
