"""Our judge beside h11 and llhttp, on requests that are good but for a mutation or two.

Whoever is right is argued in tests/http1/differences.py; a difference that is not listed there
fails.
"""

import re
from collections.abc import Callable

import h11
import httptools
import pytest

from asyncnet.http1.request import RequestReader, read_plain_head
from tests.http1.differences import DIFFERENCES, H11, LLHTTP, Difference
from tests.http1.mutants import GOOD, mutants

MUTANTS = 20_000
SEED = 9112
WAITS = "waits for more"


def our_fault(head: bytes) -> str | None:
    """Why we refuse it, None where we do not."""
    request = read_plain_head(head) or RequestReader().receive_data(head)
    return WAITS if request is None else request.fault


def h11_accepts(head: bytes) -> bool:
    connection = h11.Connection(h11.SERVER)
    try:
        connection.receive_data(head)
        return isinstance(connection.next_event(), h11.Request)
    except h11.RemoteProtocolError:
        return False


class Headers:
    """What llhttp calls back."""

    def __init__(self) -> None:
        self.complete = False

    def on_headers_complete(self) -> None:
        self.complete = True


def llhttp_accepts(head: bytes) -> bool:
    seen = Headers()
    try:
        httptools.HttpRequestParser(seen).feed_data(head)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        pass  # what it dislikes behind the head is no matter of the head
    return seen.complete


JUDGES: dict[str, Callable[[bytes], bool]] = {H11: h11_accepts, LLHTTP: llhttp_accepts}


@pytest.mark.parametrize("parser", JUDGES)
def test_every_difference_to_another_parser_is_argued(parser: str) -> None:
    unexplained = []
    for head in mutants(SEED, MUTANTS):
        fault = our_fault(head)
        if (fault is None) == JUDGES[parser](head):
            continue
        if not any(it.explains(head, fault, parser) for it in DIFFERENCES):
            unexplained.append((fault or "we accept", head))
    assert unexplained == []


@pytest.mark.parametrize("parser", JUDGES)
def test_good_requests_are_good_to_all(parser: str) -> None:
    for head in GOOD:
        assert our_fault(head) is None
        # The one difference that a good request shows: see "one empty line before the request".
        assert JUDGES[parser](head) or (parser == H11 and head.startswith(b"\r\n"))


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda it: it.name)
def test_a_difference_is_as_it_is_told(difference: Difference) -> None:
    fault = our_fault(difference.example)
    assert fault == difference.fault
    assert re.search(difference.pattern, difference.example, re.IGNORECASE | re.MULTILINE)
    for parser, accepts in JUDGES.items():
        differs = accepts(difference.example) == (difference.fault is not None)
        assert differs == (parser in difference.parsers), parser
