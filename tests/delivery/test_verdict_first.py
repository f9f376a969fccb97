"""A verdict is committed as soon as it is known, whatever else is under way or comes after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.mail.envelope import Envelope
from asyncnet.smtp.transaction import RecipientReply
from tests.support.delivery_doubles import (
    BeforeDot,
    Clock,
    MemoryStore,
    Network,
    ScriptedExchange,
    accept_all,
    let_all_run,
)

HOST = "work.test"


@asynccontextmanager
async def delivering(
    store: MemoryStore, network: Network, account: AccountSettings
) -> AsyncIterator[None]:
    clock = Clock()
    agent = DeliveryAgent(
        store,
        {"work": account},
        QueueSettings(jitter=0.0),
        clock=clock,
        chance=lambda: 0.5,
        sleep=clock.sleep,
        connect=network.connect,
    )
    running = asyncio.create_task(agent.run())
    await let_all_run()
    try:
        yield
    finally:
        await agent.stop(0.0)
        await running


async def never_answer(
    exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
) -> tuple[RecipientReply, ...]:
    await before_dot()
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def test_no_verdict_waits_for_the_next_message() -> None:
    store, network = MemoryStore(), Network()
    network.scenes[HOST] = [accept_all, never_answer]
    first, second = store.add("1"), store.add("2")
    async with delivering(store, network, AccountSettings(host=HOST)):
        assert second.dot
        assert second.leased
        assert first.statuses == ["accepted"]


class SlowToPart(ScriptedExchange):
    """QUIT takes as long as the test wants."""

    parted = asyncio.Event()

    async def close(self) -> None:
        self.closed = True
        await self.parted.wait()


async def test_no_verdict_waits_for_quit() -> None:
    SlowToPart.parted = asyncio.Event()
    store, network = MemoryStore(), Network(SlowToPart)
    job = store.add("1")
    one_each = AccountSettings(host=HOST, messages_per_connection=1)
    async with delivering(store, network, one_each):
        assert [exchange.closed for exchange in network.exchanges] == [True]
        statuses = list(job.statuses)
        SlowToPart.parted.set()
    assert statuses == ["accepted"]
