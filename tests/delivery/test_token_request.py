"""The answers of token servers, however they are framed, cut and damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.delivery.token_request import Answer, MalformedAnswer, parse_answer, request

BODY = b'{"access_token":"x"}'
FRAMED = {
    "a length": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY,
    "chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\nContent-Length: 3\r\n\r\n"
        b'5\r\n{"acc\r\nF;x=y\r\ness_token":"x"}\r\n0\r\nTrailer: x\r\n\r\n'
    ),
    "no reason phrase": b"HTTP/1.1 200\r\nContent-Length:20\r\n\r\n" + BODY,
    "a 100 before": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY
    ),
    "octets behind it": b"HTTP/1.0 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY + b"junk",
}


@pytest.mark.parametrize("name", FRAMED)
def test_an_answer_is_the_same_however_it_is_framed(name: str) -> None:
    octets = FRAMED[name]
    assert parse_answer(octets, ended=False) == Answer(200, BODY)
    whole = next(
        cut for cut in range(len(octets) + 1) if parse_answer(octets[:cut], ended=False) is not None
    )
    for cut in range(whole):
        with pytest.raises(MalformedAnswer):
            parse_answer(octets[:cut], ended=True)


def test_without_a_length_the_end_is_the_end() -> None:
    octets = b"HTTP/1.0 400 Bad\r\nServer: x\r\n\r\n" + BODY
    assert parse_answer(octets, ended=False) is None
    assert parse_answer(octets, ended=True) == Answer(400, BODY)


@pytest.mark.parametrize(
    "octets",
    [
        b"220 mx.example.test ESMTP\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 20x OK\r\n\r\n",
        "HTTP/1.1 ٢٠٠ OK\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n",
    ],
)
def test_what_is_no_answer_is_told(octets: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        parse_answer(octets, ended=False)


@given(st.binary(), st.booleans(), st.sampled_from([b"", *(it[:60] for it in FRAMED.values())]))
def test_whatever_comes_it_is_an_answer_or_told(octets: bytes, ended: bool, before: bytes) -> None:
    try:
        parse_answer(before + octets, ended=ended)
    except MalformedAnswer:
        pass


def test_the_request_is_one_form_and_breaks_no_line() -> None:
    octets = request("https://tokens.example.test/a?b=c", {"secret": "a&b\r\nX: y"})
    head, _, body = octets.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a?b=c HTTP/1.1\r\nHost: tokens.example.test\r\n")
    assert body == b"secret=a%26b%0D%0AX%3A+y"
    assert b"Content-Length: 24" in head


def test_a_body_is_in_no_repr() -> None:
    assert "access_token" not in repr(Answer(200, BODY))
