"""Fuzzes the judge of request heads and the listener behind it.

Any octets, however they are cut, have one judgement, the same from both judges; and sent to a
running listener, on uvloop and on asyncio's own loop, they are answered by that answer alone, whole
and at once, or by a close when there was not one octet of a request.
"""

import contextlib
import errno
import itertools
import random
import socket

from asyncnet.http1.request import MAX_HEAD_OCTETS, Request, RequestReader, read_plain_head
from tests.fuzz import engine
from tests.http1.mutants import GOOD, WORDS
from tests.web.rules import RULES
from tests.web.serving import LOOPS, Served, run_listener
from tests.web.test_answers import check_octets

PATHS = frozenset((b"/", b"/page2", b"/page3"))
CUTS = 5

SEEDS = [
    *GOOD,
    *(b"GET / HTTP/1.1\r\nHost: a\r\n" + word for word in WORDS),
    *(head for rule in RULES for head in rule.requests.values() if len(head) < 1_000),
    *(head for rule in RULES for head in rule.at_once.values()),
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * (MAX_HEAD_OCTETS - 40) + b"\r\n\r\n",
    b"",
]


def judge(parts: list[bytes]) -> Request | None:
    reader = RequestReader()
    for part in parts:
        if (request := reader.receive_data(part)) is not None:
            return request
    return None


def cut(octets: bytes) -> list[bytes]:
    rng = random.Random(octets)
    places = [0, *sorted(rng.randint(0, len(octets)) for _ in range(CUTS)), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(places)]


def expected(request: Request | None, octets: bytes) -> int:
    """The status, or 0 for a close without an answer."""
    if request is None:
        return 400 if octets else 0  # our end of sending makes it a head that ended too soon
    if request.fault is not None:
        return 400
    return 200 if request.path in PATHS else 404


def check(octets: bytes, listeners: list[Served]) -> None:
    whole, plain = judge([octets]), read_plain_head(octets)
    in_pieces = judge(cut(octets))
    assert plain is None or plain == whole
    assert (whole is None) == (in_pieces is None)
    if whole is not None and in_pieces is not None:
        assert (whole.fault, whole.path) == (in_pieces.fault, in_pieces.path)
        assert (whole.method, whole.target, whole.host) == (
            *(in_pieces.method, in_pieces.target),
            in_pieces.host,
        )
    for served in listeners:
        answer = converse(served, octets)
        status = expected(whole, octets)
        if status:
            check_octets(answer, status)
        else:
            assert answer == b""
        assert served.complaints == []


def converse(served: Served, octets: bytes) -> bytes:
    """What comes back.  A server that hangs ends in the socket's TimeoutError."""
    answer = bytearray()
    with served.connect() as client:
        # A request that was answered is closed at once: octets sent later find nobody.
        try:
            for part in cut(octets):
                client.sendall(part)
            client.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN):
                raise
        with contextlib.suppress(ConnectionResetError):
            while part := client.recv(65536):
                answer += part
    return bytes(answer)


if __name__ == "__main__":
    with run_listener("uvloop") as first, run_listener("asyncio") as second:
        assert len(LOOPS) == 2
        engine.main(lambda octets: check(octets, [first, second]), SEEDS)
