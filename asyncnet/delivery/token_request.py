"""One form sent to a token server, and its answer: HTTP/1.1 over TLS (RFC 9112, RFC 6749).

Our own wire carries it: addresses in turn, TLS verified, one deadline for the whole, and what
comes back is bounded.  No redirect is followed: what we send is for that server alone.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from asyncnet.delivery.errors import ConnectionLost
from asyncnet.delivery.tls import tls_context
from asyncnet.delivery.wire import Deadlines, Wire

DEADLINE_S = 30.0  # lookup, connection, TLS and answer together
MAX_ANSWER_OCTETS = 64 * 1024  # tokens have 1 to 4 kB

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
_LENGTH = re.compile(rb"[0-9]{1,9}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;.*)?")


class MalformedAnswer(Exception):
    """Octets that are no HTTP answer, too many of them, or too few."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A status code and a body; the body may hold tokens and is in no repr."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Answer({self.status}, {len(self.body)} octets)"


async def post_form(url: str, form: Mapping[str, str], ca_file: str | None) -> Answer:
    """What the server says to a form.  url is https and of printable ASCII.

    Raises WireError, MalformedAnswer or TimeoutError; nothing stays open.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    async with asyncio.timeout(DEADLINE_S):
        wire = await Wire.connect(host, parts.port or 443, Deadlines(), lambda *_: None)
        try:
            await wire.start_tls(tls_context(ca_file, verify=True), host, DEADLINE_S)
            wire.write(request(url, form))
            return await _answer(wire)
        finally:
            wire.abort()


def request(url: str, form: Mapping[str, str]) -> bytes:
    """The octets of the request."""
    parts = urlsplit(url)
    body = urlencode(form)
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: asyncnet\r\n"
        f"Accept: application/json\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return f"{head}{body}".encode("ascii")


async def _answer(wire: Wire) -> Answer:
    octets, ended = bytearray(), False
    while (answer := parse_answer(bytes(octets), ended=ended)) is None:
        try:
            octets += await wire.read()
        except ConnectionLost:
            ended = True
        if len(octets) > MAX_ANSWER_OCTETS:
            raise MalformedAnswer("it is too long")
    return answer


def parse_answer(octets: bytes, *, ended: bool) -> Answer | None:
    """The answer, or None while more octets are needed.  Raises MalformedAnswer.

    ended: no more will come, which completes a body that has no length.
    """
    head, gap, rest = octets.partition(b"\r\n\r\n")
    if not gap:
        if ended:
            raise MalformedAnswer("it ended within its head")
        return None
    first, *lines = head.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(first)
    if match is None:
        raise MalformedAnswer("it does not begin as HTTP/1.1 does")
    if match[1].startswith(b"1"):  # 100: what counts is yet to come
        return parse_answer(rest, ended=ended)
    body = _body(_fields(lines), rest, ended=ended)
    return None if body is None else Answer(int(match[1]), body)


def _fields(lines: list[bytes]) -> dict[bytes, bytes]:
    fields = {}
    for line in lines:
        name, _, value = line.partition(b":")
        fields[name.lower()] = value.strip(b" \t")
    return fields


def _body(fields: Mapping[bytes, bytes], rest: bytes, *, ended: bool) -> bytes | None:
    """RFC 9112 section 6.3: by chunks, by length, or up to the end."""
    coding, length = fields.get(b"transfer-encoding"), fields.get(b"content-length")
    body: bytes | None
    if coding is not None:
        if coding.lower() != b"chunked":
            raise MalformedAnswer("a transfer coding that nobody asked for")
        body = _joined(rest)
    elif length is not None:
        if not _LENGTH.fullmatch(length):
            raise MalformedAnswer("its length is no number")
        body = rest[: int(length)] if len(rest) >= int(length) else None
    else:
        return rest if ended else None
    if body is None and ended:
        raise MalformedAnswer("it ended within its body")
    return body


def _joined(rest: bytes) -> bytes | None:
    """The chunks put together, or None while they are not all here; trailers are left."""
    body, at = bytearray(), 0
    while (end := rest.find(b"\r\n", at)) >= 0:
        match = _CHUNK_SIZE.fullmatch(rest[at:end])
        if match is None:
            raise MalformedAnswer("a chunk's size is no number")
        size, begin = int(match[1], 16), end + 2
        if size == 0:
            return bytes(body)
        at = begin + size + 2
        if len(rest) >= at and rest[at - 2 : at] != b"\r\n":
            raise MalformedAnswer("a chunk is longer than it says")
        body += rest[begin : begin + size]
    return None
