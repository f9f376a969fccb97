"""Servers that do anything at any time, with several messages under way: what must stay true.

Nobody is called accepted whom the server does not know of, nobody called refused or deferred
whom it may have taken; no content for nobody; no line that is none.
"""

import asyncio

import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.delivery.faults import OFFERS
from tests.support.faults import Fault, check_octets, check_truth, deliver
from tests.support.smtp_server import (
    Cut,
    Deed,
    Forget,
    HangUp,
    Reset,
    Say,
    ScriptedServer,
    Silence,
)

REFUSALS = [b"550 5.1.1 no\r\n", b"451 4.3.0 later\r\n", b"503 5.5.1 no\r\n", b"500 what?\r\n"]
NONSENSE = [
    b"\0\xff\r\n",
    "٢٥٠ ok\r\n".encode(),
    b"250-a\r\n550 b\r\n",
    b"999 x\r\n",
    b"354 go\r\n",
]
ENDS = [b"", b"25", b"250-one\r\n", b"421 4.3.2 bye\r\n"]
DEEDS: st.SearchStrategy[Deed | None] = st.one_of(
    st.none(),
    st.none(),
    st.sampled_from(REFUSALS).map(Say),
    st.sampled_from(NONSENSE).map(Say),
    st.sampled_from(ENDS).map(HangUp),
    st.sampled_from(ENDS).map(Cut),
    st.just(Reset()),
    st.just(Forget()),
    st.just(Silence()),
)
# Not at RSET: who refuses that in an open transaction may do with the next message what it likes.
VERBS = ("MAIL", "RCPT", "DATA", "content", "BDAT")
SCRIPTS = st.dictionaries(
    st.sampled_from(VERBS), st.lists(DEEDS, min_size=1, max_size=6).map(lambda it: [*it, None])
).map(lambda script: {verb: _remembered(verb, deeds) for verb, deeds in script.items()})


def _remembered(verb: str, deeds: list[Deed | None]) -> list[Deed | None]:
    """No one-time loss of memory in an open window: the answers to the next message would stand
    in the place of the lost one's, and nothing could tell.  One that lasts is in the table."""
    return [None if verb == "BDAT" and deed == Forget() else deed for deed in deeds]


@given(
    script=SCRIPTS,
    offer=st.sampled_from(sorted(OFFERS)),
    window=st.integers(1, 4),
    messages=st.integers(1, 6),
    morsel_octets=st.sampled_from([None, None, 1, 5]),
    hoards=st.booleans(),
)
@settings(max_examples=150)
def test_a_server_that_does_anything_confuses_nobody(
    script: dict[str, list[Deed | None]],
    offer: str,
    window: int,
    messages: int,
    morsel_octets: int | None,
    hoards: bool,
) -> None:
    row = Fault(script, "", messages=messages, window=window, late="all")

    async def play() -> None:
        async with ScriptedServer(
            script, capabilities=OFFERS[offer], morsel_octets=morsel_octets, hoards=hoards
        ) as server:
            outcome = await asyncio.wait_for(deliver(row, server.port, None), 30)
            await asyncio.wait_for(server.ended.wait(), 10)
        check_octets(server.heard)
        check_truth(row, outcome, server.heard)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())
