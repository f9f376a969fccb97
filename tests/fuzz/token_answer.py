"""Fuzzes the answers of token servers: an answer, more octets wanted, or told."""

from asyncnet.delivery.token_request import MalformedAnswer, parse_answer
from tests.fuzz import engine

SEEDS = [
    b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"access_token":"x"}',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"acc\r\n1;x\r\n}\r\n0\r\n\r\n',
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 400 Bad\r\n\r\nwords",
]


def read(octets: bytes) -> None:
    for ended in (False, True):
        try:
            answer = parse_answer(octets, ended=ended)
        except MalformedAnswer:
            continue
        assert answer is not None or not ended
        assert answer is None or len(answer.body) <= len(octets)


if __name__ == "__main__":
    engine.main(read, SEEDS)
