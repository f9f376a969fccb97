"""What NAME.envelope.yaml may say, and what is told of one that says it wrong."""

import pytest

from asyncnet.spool.errors import JobRefused
from asyncnet.spool.ready_orders import read_orders


def told(text: str) -> list[str]:
    with pytest.raises(JobRefused) as caught:
        read_orders(text.encode())
    return [str(problem) for problem in caught.value.problems]


def test_an_expiry_at_the_moment_of_sending_is_too_early() -> None:
    moment = "2026-11-23T10:30:00Z"
    assert told(f"send_at: {moment}\nexpires_at: {moment}\n") == [
        "line 2, column 13: envelope.expires_at: is not after send_at"
    ]


def test_what_a_broken_file_may_still_say_is_not_missed() -> None:
    (problem,) = told("tls: none\nserver: [mx.test\n")
    assert problem.startswith("line 2, column 9: envelope: the bracket opened on line 2")
