"""A last look at the wire before the end of a content: what cannot arrive is no doubt."""

import asyncio

import pytest

from asyncnet.delivery.exchange import Exchange, Target
from asyncnet.delivery.wire import Wire
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.transaction import Plan
from tests.support.smtp_server import CAPABILITIES, HangUp, Say, Script, ScriptedServer

ENVELOPE = Envelope("a@example.org", ("b@example.com",))
SMALL = Octets(b"Subject: x\r\n\r\nx\r\n")
LARGE = Octets(b"Subject: x\r\n\r\n" + b"x\r\n" * 100_000)
OFFERS = {Plan.SERIAL: (), Plan.JOINED: CAPABILITIES, Plan.CHUNKED: (*CAPABILITIES, "CHUNKING")}


@pytest.fixture
def parted(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set when we have noticed that the server closed the connection."""
    noticed, eof_received = asyncio.Event(), Wire.eof_received

    def noting(wire: Wire) -> None:
        eof_received(wire)
        noticed.set()

    monkeypatch.setattr(Wire, "eof_received", noting)
    return noticed


@pytest.mark.parametrize(
    ("plan", "content"),
    [
        (Plan.SERIAL, SMALL),
        (Plan.JOINED, SMALL),
        (Plan.JOINED, LARGE),
        (Plan.CHUNKED, LARGE),
    ],
)
async def test_who_hangs_up_while_the_mark_is_made_leaves_no_doubt(
    plan: Plan, content: Octets, parted: asyncio.Event
) -> None:
    script: Script = {"DATA": HangUp(b"354 go on\r\n")}
    async with ScriptedServer(script, capabilities=OFFERS[plan]) as server:
        exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))

        async def slow_mark() -> None:
            async with asyncio.timeout(10):
                await parted.wait()

        (reply,) = await exchange.transact(ENVELOPE, content, slow_mark)
        await exchange.close()
    assert (reply.phase, reply.reply, reply.in_doubt) == (Phase.DATA, None, False)


async def test_a_chunk_is_not_sent_to_who_hung_up_while_its_mark_was_made(
    parted: asyncio.Event,
) -> None:
    script: Script = {"BDAT": HangUp(b"250 2.0.0 taken\r\n")}
    async with ScriptedServer(script, capabilities=OFFERS[Plan.CHUNKED]) as server:
        exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))

        async def slow_mark() -> None:
            async with asyncio.timeout(10):
                await parted.wait()

        _, (second,) = await asyncio.gather(
            exchange.transact(ENVELOPE, SMALL),
            exchange.transact(ENVELOPE, SMALL, slow_mark),
        )
        await exchange.close()
    assert (second.reply, second.in_doubt) == (None, False)
    assert len(server.heard.taken) == 1


@pytest.mark.parametrize("plan", [Plan.SERIAL, Plan.JOINED])
async def test_who_takes_the_go_ahead_back_gets_no_content(plan: Plan) -> None:
    script: Script = {"DATA": Say(b"354 go on\r\n421 4.3.2 shutting down\r\n")}
    async with ScriptedServer(script, capabilities=OFFERS[plan]) as server:
        exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
        (reply,) = await exchange.transact(ENVELOPE, SMALL)
        await exchange.close()
    assert reply.reply is not None
    assert (reply.phase, reply.reply.code, reply.in_doubt) == (Phase.DATA, 421, False)
    assert not server.heard.contents
