"""The end of a connection: the answer arrives whole, whatever the client has sent behind.

A server that closes while octets lie unread sends a reset, and a reset may destroy the answer on
its way (RFC 9112 section 9.6).  So what is known to come is read and dropped first; the ordinary
request, behind which nothing comes, must not pay for that.
"""

import asyncio
import contextlib
import select
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.web.rules import CHUNKED, get
from tests.web.serving import CLIENT_TIMEOUT_S, Served, read_to_end
from tests.web.test_answers import check_octets

UPLOAD_OCTETS = 3_000_000
CHUNK = b"10000\r\n" + bytes(65_536) + b"\r\n"
LENGTH = b"Content-Length: %d\r\n" % UPLOAD_OCTETS


def refused(fields: bytes) -> bytes:
    return get(fields=fields).replace(b"GET", b"PUT", 1)


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        pytest.param(get(fields=LENGTH), bytes(UPLOAD_OCTETS), 200, id="a GET with a body"),
        pytest.param(get(fields=CHUNKED), CHUNK * 46, 200, id="a GET with chunks"),
        pytest.param(refused(LENGTH), bytes(UPLOAD_OCTETS), 400, id="an upload"),
        pytest.param(refused(CHUNKED), CHUNK * 46, 400, id="an upload in chunks"),
        pytest.param(get(), get() * 5_000, 200, id="requests without end"),
        pytest.param(b"\x16\x03\x01", bytes(UPLOAD_OCTETS), 400, id="another protocol"),
        pytest.param(b"GET /" + b"x" * 20_000, b"x" * UPLOAD_OCTETS, 400, id="an endless line"),
    ],
)
def test_whoever_sends_much_gets_the_whole_answer_and_a_clean_end(
    served: Served, head: bytes, body: bytes, status: int
) -> None:
    for _ in range(3):
        with served.connect() as client:
            client.sendall(head + body)  # a reset would end this with an error
            check_octets(read_to_end(client), status)


def test_a_body_that_comes_behind_the_answer_meets_a_clean_end(served: Served) -> None:
    with served.connect() as client:
        client.sendall(get(fields=LENGTH))
        select.select([client], [], [], CLIENT_TIMEOUT_S)
        client.sendall(bytes(UPLOAD_OCTETS))
        check_octets(read_to_end(client), 200)


def test_a_request_nobody_announced_does_not_destroy_the_answer(served: Served) -> None:
    for _ in range(50):
        with served.connect() as client:
            client.sendall(get())
            select.select([client], [], [], CLIENT_TIMEOUT_S)  # the answer is here, unread
            with contextlib.suppress(ConnectionError):
                client.sendall(get())
            answer = bytearray()
            with contextlib.suppress(ConnectionError):
                while part := client.recv(65_536):
                    answer += part
            check_octets(bytes(answer), 200)


class Counted:
    """How often a method of asyncio's streams was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.calls = 0
        method: Callable[..., Any] = getattr(owner, name)

        def counting(*arguments: Any, **keywords: Any) -> Any:
            self.calls += 1
            return method(*arguments, **keywords)

        monkeypatch.setattr(owner, name, counting)


def test_the_ordinary_request_pays_nothing_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Counted(monkeypatch, asyncio.StreamReader, "read")
    half_closes = Counted(monkeypatch, asyncio.StreamWriter, "write_eof")
    waits = Counted(monkeypatch, asyncio.StreamWriter, "drain")
    for target in (b"/", b"/page2", b"/nothing"):
        served.ask(get(target))
    served.wait_until_idle()
    assert (reads.calls, half_closes.calls, waits.calls) == (3, 0, 0)
    served.ask(get() + get())
    served.wait_until_idle()
    assert (reads.calls, half_closes.calls, waits.calls) == (5, 1, 1)


def test_both_sides_may_end_at_once(served: Served) -> None:
    for _ in range(50):
        with served.connect() as client:
            client.sendall(get() + get())
            client.shutdown(socket.SHUT_WR)
            check_octets(read_to_end(client), 200)
