"""Random heads, cut at random, to the running listener: one known answer or a close."""

import socket

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.request_head import SEEDS, check, converse
from tests.web.rules import get
from tests.web.serving import Served

pieces = st.sampled_from([seed for seed in SEEDS if len(seed) < 300]) | st.binary(max_size=6)
heads = st.lists(pieces, max_size=4).map(b"".join)


# One listener serves all examples: what one of them leaves behind is what the next must bear.
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=heads)
@example(octets=b"")
@example(octets=b"\r\n")
@example(octets=get() + get())
def test_any_octets_get_one_known_answer_or_a_close(served: Served, octets: bytes) -> None:
    check(octets, [served])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(octets=heads)
def test_octets_behind_a_close_hurt_nobody(served: Served, octets: bytes) -> None:
    with served.connect() as client:
        client.sendall(octets)
        client.shutdown(socket.SHUT_RD)
    assert converse(served, get()).startswith(b"HTTP/1.1 200 OK\r\n")
