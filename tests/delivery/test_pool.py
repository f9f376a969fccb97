"""Talks that are kept, reused within their limits, and closed in time."""

import asyncio
from typing import Any

import pytest

from asyncnet.config import AccountSettings
from asyncnet.delivery.accounts import Account, resolve
from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.delivery.pool import Pool
from asyncnet.mail.verdict import Phase
from asyncnet.providers.builtin import catalogue
from tests.support.delivery_doubles import Clock, Network, let_all_run


def account(**settings: Any) -> Account:
    settings = {"host": "work.test", "connections": 2, **settings}
    return resolve("work", AccountSettings.model_validate(settings), catalogue())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def pool(clock: Clock, network: Network) -> Pool:
    return Pool(network.connect, clock)


async def test_a_talk_that_came_back_is_taken_again(pool: Pool) -> None:
    first = await pool.take("work", account())
    assert not first.reused
    pool.give(first, account())
    second = await pool.take("work", account())
    assert second is first
    assert second.reused


async def test_routes_share_nothing(pool: Pool, network: Network) -> None:
    pool.give(await pool.take("work", account()), account())
    await pool.take("other", account())
    assert len(network.exchanges) == 2


async def test_the_limit_makes_the_next_one_wait(pool: Pool) -> None:
    first = await pool.take("work", account())
    await pool.take("work", account())
    third = asyncio.create_task(pool.take("work", account()))
    await let_all_run()
    assert not third.done()
    pool.give(first, account())
    assert await third is first


async def test_a_discarded_talk_makes_room_too(pool: Pool, network: Network) -> None:
    first = await pool.take("work", account(connections=1))
    second = asyncio.create_task(pool.take("work", account(connections=1)))
    await let_all_run()
    pool.discard(first)
    assert await second is not first
    await pool.close()
    assert network.exchanges[0].closed


async def test_a_failure_to_connect_makes_room_too(pool: Pool, network: Network) -> None:
    network.failures["work.test"] = [ExchangeFailed(Phase.DNS, "no such host", cause="dns")]
    with pytest.raises(ExchangeFailed):
        await pool.take("work", account(connections=1))
    assert await pool.take("work", account(connections=1))


async def test_a_cancelled_take_makes_room_too(pool: Pool, network: Network) -> None:
    gate = network.gates["work.test"] = asyncio.Event()
    task = asyncio.create_task(pool.take("work", account(connections=1)))
    await let_all_run()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gate.set()
    assert await pool.take("work", account(connections=1))


async def test_fewer_means_one_less_but_never_none(pool: Pool) -> None:
    limited = account(connections=3)
    pool.give(await pool.take("work", limited), limited)
    limits = []
    for _ in range(4):
        limits.append(pool.limit("work", limited))
        pool.fewer("work")
    assert limits == [3, 2, 1, 1]


async def test_a_talk_that_carried_its_messages_is_closed(pool: Pool, network: Network) -> None:
    limited = account(messages_per_connection=2)
    talk = await pool.take("work", limited)
    network.exchanges[0].transactions = 1
    pool.give(talk, limited)
    assert await pool.take("work", limited) is talk
    network.exchanges[0].transactions = 2
    pool.give(talk, limited)
    await pool.close()
    assert network.exchanges[0].closed
    assert await pool.take("work", limited) is not talk


async def test_a_talk_that_the_server_left_is_not_taken(pool: Pool, network: Network) -> None:
    talk = await pool.take("work", account())
    pool.give(talk, account())
    network.exchanges[0].usable = False
    assert await pool.take("work", account()) is not talk
    await pool.close()
    assert network.exchanges[0].closed


async def test_an_old_connection_is_closed(pool: Pool, network: Network, clock: Clock) -> None:
    ses = account(preset="ses")
    talk = await pool.take("work", ses)
    for _ in range(5):
        pool.give(talk, ses)
        clock.now += 12.0
        taken = await pool.take("work", ses)
    assert taken is not talk


async def test_fresh_means_that_nothing_old_is_left(pool: Pool, network: Network) -> None:
    talks = [await pool.take("work", account()) for _ in range(2)]
    for talk in talks:
        pool.give(talk, account())
    fresh = await pool.take("work", account(), fresh=True)
    assert fresh not in talks
    await let_all_run()
    assert [exchange.closed for exchange in network.exchanges] == [True, True, False]


async def test_idle_talks_are_swept_in_time(pool: Pool, network: Network, clock: Clock) -> None:
    talk = await pool.take("work", account())
    assert pool.sweep() is None
    pool.give(talk, account())
    assert pool.sweep() == clock.now + 30.0
    clock.now += 30.0
    assert pool.sweep() is None
    await let_all_run()
    assert network.exchanges[0].closed


async def test_closing_waits_for_what_is_being_closed(pool: Pool, network: Network) -> None:
    pool.give(await pool.take("work", account()), account())
    await pool.close()
    assert network.exchanges[0].closed
