"""Every wire plan against real servers: many messages at a time, some refused, each arrives once.

What a plan must never do is put a message under another one's sender, which one real server did
where RSET was missing (see test_window_hazard).
"""

import asyncio
from dataclasses import replace

import pytest

from asyncnet.delivery.exchange import Exchange
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.transaction import Plan, RecipientReply
from tests.peers.test_real_peers import PEERS, letter
from tests.support.peers.peer import REFUSED

PLANS = {
    "one command at a time": (Plan.SERIAL, 1),
    "joined": (Plan.JOINED, 1),
    "one write a message": (Plan.CHUNKED, 1),
    "window 8": (Plan.CHUNKED, 8),
    "window 32": (Plan.CHUNKED, 32),
}
MESSAGES = 90  # one real server takes no more than 100 over a connection


def message(number: int) -> tuple[Envelope, Octets]:
    to = REFUSED if number % 13 == 3 else "b@example.org"
    return Envelope(f"a{number}@example.org", (to,)), letter(f"n{number}")


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("plan", PLANS)
async def test_each_message_arrives_once_and_under_its_own_sender(name: str, plan: str) -> None:
    bold, window = PLANS[plan]
    async with PEERS[name]() as peer:
        target = replace(peer.target("none"), plan=bold, window=window)
        exchange = await Exchange.connect(target)
        numbers = iter(range(MESSAGES))
        replies: dict[int, RecipientReply] = {}

        async def worker() -> None:
            for number in numbers:
                [replies[number]] = await exchange.transact(*message(number))

        await asyncio.gather(*(worker() for _ in range(exchange.places)))
        assert exchange.usable
        assert exchange.tripped is None
        await exchange.close()
        good = [number for number in range(MESSAGES) if number % 13 != 3]
        await peer.inbox.wait_for(len(good))
        assert peer.inbox.deliveries == {
            (f"a{number}@example.org", "b@example.org"): 1 for number in good
        }
        for number, reply in replies.items():
            accepted = reply.phase is Phase.DOT and reply.reply is not None
            assert accepted is (number in good), f"{number}: {reply}"
