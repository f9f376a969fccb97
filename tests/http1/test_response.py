"""Responses as they go on the wire, read back by the standard library."""

import email.utils
import http.client
import io
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.http1.response import STRICT_POLICY, compose, format_date

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"

WIRE = (
    b"HTTP/1.1 404 Not Found\r\n"
    b"Server: asyncnet\r\n"
    b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
    b"Content-Length: 5\r\n"
    b"Content-Type: text/html\r\n"
    b"Connection: Closed\r\n"
    b"Connection: close\r\n"
    b"Cache-Control: no-store\r\n"
    b"X-Content-Type-Options: nosniff\r\n"
    b"Content-Security-Policy: default-src 'none'; base-uri 'none'; form-action 'none'; "
    b"frame-ancestors 'none'\r\n"
    b"Referrer-Policy: no-referrer\r\n"
    b"\r\n"
    b"gone\n"
)


class Wire(io.BytesIO):
    """Bytes that http.client takes for a socket."""

    def makefile(self, mode: str) -> io.BytesIO:
        return self


def test_a_response_reads_as_promised_word_for_word() -> None:
    assert compose(HTTPStatus.NOT_FOUND, b"gone\n").octets(DATE) == WIRE


@pytest.mark.parametrize("body", [b"", b"x", "Größe".encode(), bytes(10_000)])
def test_the_standard_library_reads_it_back(body: bytes) -> None:
    octets = compose(HTTPStatus.OK, body, policy="default-src 'self'").octets(DATE)
    response = http.client.HTTPResponse(Wire(octets))  # type: ignore[arg-type]
    response.begin()
    assert (response.status, response.reason) == (200, "OK")
    assert response.headers.get_all("Connection") == ["Closed", "close"]
    assert response.headers["Content-Security-Policy"] == "default-src 'self'"
    assert response.headers["Content-Length"] == str(len(body))
    assert response.read() == body
    assert response.will_close


def test_the_strict_policy_is_the_default() -> None:
    assert STRICT_POLICY.encode() in compose(HTTPStatus.OK, b"").octets(DATE)


def test_another_content_type_can_be_asked_for() -> None:
    octets = compose(HTTPStatus.OK, b"{}", content_type="application/json").octets(DATE)
    assert b"\r\nContent-Type: application/json\r\n" in octets


@given(st.integers(0, 253_402_300_799))
def test_a_date_is_as_the_standard_library_spells_it(epoch_s: int) -> None:
    assert format_date(epoch_s).decode() == email.utils.formatdate(epoch_s, usegmt=True)
