"""The listener under siege: whatever others do, a real visitor gets the whole answer.

Promises are counted, never timed: who is answered, what is held, what is logged, who is gone.
"""

import asyncio
import contextlib
import logging
import os
import resource
import socket
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from asyncnet.http1.request import MAX_HEAD_OCTETS, RequestReader
from asyncnet.web import descriptors
from asyncnet.web import listener as listener_module
from tests.web.alone import listener_alone
from tests.web.serving import CLIENT_TIMEOUT_S, Serve, Served, read_to_end, reset

GET = b"GET /page2 HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n"
IDLE = 5_000
CROWD = 60  # of each kind of attacker
SPARE = 40  # descriptors that stay free until they are taken away


def is_whole(answer: bytes) -> bool:
    head, _, body = answer.partition(b"\r\n\r\n")
    return answer.startswith(OK) and b"\r\nContent-Length: %d\r\n" % len(body) in head


def silent(client: socket.socket) -> None:
    """Connects and says nothing."""


def half(client: socket.socket) -> None:
    """Begins and does not end."""
    client.sendall(GET[:-3])


def half_closed(client: socket.socket) -> None:
    """Begins, and says that nothing more comes."""
    client.sendall(GET[:10])
    client.shutdown(socket.SHUT_WR)


def unread(client: socket.socket) -> None:
    """Asks, and never reads what comes back."""
    client.sendall(GET)


def endless(client: socket.socket) -> None:
    """Asks for what is refused, sends on, and never reads."""
    client.sendall(b"POST / HTTP/1.1\r\n" + bytes(50_000))


def garbage(client: socket.socket) -> None:
    client.sendall(bytes(range(256)))


def wide(client: socket.socket) -> None:
    """Fills the head up to its limit and stops there."""
    client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 16_000)


def gone(client: socket.socket) -> None:
    client.sendall(GET[:20])
    reset(client)


ATTACKS: tuple[Callable[[socket.socket], None], ...] = (
    *(silent, half, half_closed, unread, endless, garbage, wide, gone),
)


def test_visitors_are_answered_under_siege_and_the_log_stays_empty(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener_module, "ENDING_S", 0.5)
    with (
        caplog.at_level(logging.DEBUG),
        serve(head_timeout="2s") as served,
        contextlib.ExitStack() as stack,
    ):
        for number in range(CROWD):
            for attack in ATTACKS:
                client = stack.enter_context(served.connect())
                with contextlib.suppress(ConnectionError):
                    attack(client)
            if number % 4 == 0:
                assert is_whole(served.ask(GET))
        assert is_whole(served.ask(GET))  # all that came before it has been accepted by now
        served.wait_until_idle()
        assert served.listener.open_connections == 0, "attackers are still held"
        assert is_whole(served.ask(GET))
        assert served.complaints == []
    assert [record.getMessage() for record in caplog.records if record.levelno > 10] == []


def test_a_reset_at_any_octet_leaves_no_trace(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    steps = GET + b"POST / HTTP/1.1\r\n" + bytes(3)
    with caplog.at_level(logging.DEBUG), serve() as served:
        for cut in range(len(steps) + 1):
            client = served.connect()
            client.sendall(steps[:cut])
            reset(client)
            assert is_whole(served.ask(GET))
        served.wait_until_idle()
        assert served.listener.open_connections == 0
        assert served.complaints == []
    assert [record.getMessage() for record in caplog.records if record.levelno > 10] == []


def test_five_thousand_idle_connections_keep_nobody_out(loop_name: str) -> None:
    descriptors.fit_connections(IDLE)
    with listener_alone(loop_name) as server, contextlib.ExitStack() as stack:
        address = ("127.0.0.1", server.port)
        idle = [
            stack.enter_context(socket.create_connection(address, CLIENT_TIMEOUT_S))
            for _ in range(IDLE)
        ]
        for client in idle[::2]:
            client.sendall(GET[:-1])
        for _ in range(100):
            with socket.create_connection(address, CLIENT_TIMEOUT_S) as visitor:
                visitor.sendall(GET)
                assert is_whole(read_to_end(visitor))
        for client in idle[:400:2]:
            client.sendall(GET[-1:])
            assert is_whole(read_to_end(client)), "an idle one has lost its turn"


def test_who_holds_every_place_keeps_nobody_out(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    places = 50
    with serve(max_connections=places) as served, contextlib.ExitStack() as stack:
        for number in range(4 * places):
            client = stack.enter_context(served.connect())
            (silent, half)[number % 2](client)
            assert is_whole(served.ask(GET))
            assert served.listener.open_connections <= places + 1
        assert served.complaints == []
    assert [record.getMessage() for record in caplog.records if record.levelno > 10] == []


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Every descriptor of the process is taken; given back at the end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + SPARE, hard))
    try:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        for number in taken:
            os.close(number)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_it_waits_and_serves_again(serve: Serve) -> None:
    with serve() as served:
        address = served.address
        assert is_whole(served.ask(GET))
        clients = [socket.socket() for _ in range(20)]
        with no_descriptors():
            for client in clients:
                client.settimeout(CLIENT_TIMEOUT_S)
                client.connect(address)  # the system takes it, the listener cannot
                with contextlib.suppress(ConnectionError):
                    client.sendall(GET)
            for _ in range(5):  # turns of the loop, in which it tries and fails
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), served.loop).result()
        # Who came meanwhile waits for a descriptor or is closed; nobody gets half an answer.
        for client in clients:
            with client, contextlib.suppress(ConnectionError):
                answer = read_to_end(client)
                assert answer == b"" or is_whole(answer)
        assert is_whole(served.ask(GET))
        # asyncio's own loop tells of every accept that fails: a hundred in one go, left alone.
        assert len(served.complaints) < 50
        told = {str(complaint["message"]) for complaint in served.complaints}
        assert told <= {"socket.accept() out of system resource"}
        served.complaints.clear()


def test_heads_without_end_are_held_up_to_the_limit() -> None:
    part = (b"X-Endless: " + b"y" * 500 + b"\r\n") * 20
    tracemalloc.start()
    try:
        readers = [RequestReader() for _ in range(50)]
        before, _ = tracemalloc.get_traced_memory()
        for reader in readers:
            assert reader.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n") is None
            requests = [reader.receive_data(part), reader.receive_data(part)]
            assert requests[0] is None
            assert requests[1] is not None
            assert requests[1].fault == "head too large"
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # A bytearray that grows keeps an eighth in reserve.
    assert (after - before) / len(readers) < 1.5 * MAX_HEAD_OCTETS


def test_an_endless_client_is_read_no_further_than_the_bound(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "DROPPED_OCTETS", 1_000_000)
    sent_octets = 0
    with served.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while sent_octets < 50_000_000:
                sent_octets += client.send(bytes(65_536))
    assert 1_000_000 <= sent_octets < 50_000_000
    assert is_whole(served.ask(GET))
