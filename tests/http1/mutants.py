"""Requests that are good but for what a seeded mutation made of them."""

import random
from collections.abc import Iterator, Sequence

from tests.fuzz import engine

GOOD = (
    b"GET / HTTP/1.1\r\nHost: localhost:8080\r\n\r\n",
    b"GET /page2?a=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: x/1.0 (y; z)\r\nAccept: */*\r\n\r\n",
    b"GET http://localhost/page3 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /%70age2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 5\r\nX: a\tb\r\n\r\nhello",
    b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: a\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\r\nGET /x HTTP/1.1\r\nhost:a\r\nCookie: a=b; c=d\r\nX-Empty:\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\r\n",
)
WORDS = (
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\0",
        b"\t",
        b" ",
        b"  ",
        b":",
        b"/",
        b"//",
        b"?",
        b"#",
        b"%",
        b"%zz",
    ),
    *(
        b"%00",
        b"*",
        b"@",
        b"\\",
        b",",
        b";",
        b'"',
        b"(",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\x0b",
        b"\x1b",
    ),
    *(
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"get ",
        b"PRI ",
        b"CONNECT ",
        b"GETX ",
        b"HTTP/1.1",
        b"HTTP/2.0",
    ),
    *(b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"http://", b"https://", b"http://b", b"a:80", b"../"),
    *(b"Host: a\r\n", b"Host: b\r\n", b"Host:\r\n", b"Host: a b\r\n", b"Host : a\r\n", b"X\r\n"),
    *(b" x\r\n", b"\tx\r\n", b"X : y\r\n", b": y\r\n", b"X@: y\r\n", b"X: y\r\n", b"X: \x01\r\n"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Content-Length: +5\r\n"),
    *(b"Content-Length: 5, 5\r\n", b"Content-Length:\r\n", b"Content-Length: 5 5\r\n"),
    *(b"Content-Length: %b\r\n" % (b"1" * 30), b"Transfer-Encoding: chunked\r\n"),
    *(b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: chunked, gzip\r\n"),
    *(b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding: identity\r\n"),
)


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """So many requests, the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        octets = rng.choice(GOOD)
        for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
            octets = _mutate(rng, octets)
        yield octets


def _mutate(rng: random.Random, octets: bytes) -> bytes:
    chosen = rng.randrange(5)
    if chosen == 0:
        return rng.choice(engine.MUTATIONS)(rng, octets, GOOD)[:2_000]
    if chosen == 4:
        words = octets.split(b" ")
        words[rng.randrange(len(words))] = rng.choice(WORDS).strip(b" ")
        return b" ".join(words)
    places = _places(octets) if chosen == 1 else range(len(octets) + 1)
    place = rng.choice(places)
    return octets[:place] + rng.choice(WORDS) + octets[place + rng.choice((0, 0, 1)) :]


def _places(octets: bytes) -> Sequence[int]:
    """Where lines and words begin: mutations there change most."""
    return [0, *(at + 1 for at, octet in enumerate(octets) if octet in b"\n :")]
