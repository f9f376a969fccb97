"""Talks that are kept, reused within their limits, and closed in time."""

import asyncio
from typing import Any

import pytest

from asyncnet.config.sections import AccountSettings
from asyncnet.delivery.accounts import Account, resolve
from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.delivery.pool import PLAN_MEMORY_S, Pool
from asyncnet.mail.verdict import Phase
from asyncnet.providers.builtin import catalogue
from asyncnet.smtp.transaction import Plan
from tests.support.delivery_doubles import Clock, Network, ScriptedExchange, let_all_run


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
    pool.give(first, account())
    second = await pool.take("work", account())
    assert second is first


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


async def test_while_none_is_open_one_is_opened_for_all(pool: Pool, network: Network) -> None:
    gate, limited = network.gates.setdefault("work.test", asyncio.Event()), account(connections=3)
    takes = [asyncio.create_task(pool.take("work", limited)) for _ in range(3)]
    await let_all_run()
    assert len(network.targets) == 1
    gate.set()
    assert len({(await take).number for take in takes}) == 3, "then each has its own"


async def test_who_waited_for_the_first_one_shares_its_failure(
    pool: Pool, network: Network
) -> None:
    gate, limited = network.gates.setdefault("work.test", asyncio.Event()), account(connections=3)
    network.failures["work.test"] = [ExchangeFailed(Phase.AUTH, "the login is refused")]
    takes = [asyncio.create_task(pool.take("work", limited)) for _ in range(3)]
    await let_all_run()
    gate.set()
    outcomes = await asyncio.gather(*takes, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["the login is refused"] * 3
    assert len(network.targets) == 1
    assert await pool.take("work", limited)


async def test_who_waits_for_the_first_one_opens_it_where_that_is_cancelled(
    pool: Pool, network: Network
) -> None:
    gate, limited = network.gates.setdefault("work.test", asyncio.Event()), account(connections=3)
    first, second = [asyncio.create_task(pool.take("work", limited)) for _ in range(2)]
    await let_all_run()
    first.cancel()
    await let_all_run()
    gate.set()
    assert await second
    assert len(network.targets) == 2


async def test_an_open_talk_vouches_for_others(pool: Pool, network: Network) -> None:
    limited = account(connections=4)
    await pool.take("work", limited)
    network.gates["work.test"] = asyncio.Event()
    takes = [asyncio.create_task(pool.take("work", limited)) for _ in range(2)]
    await let_all_run()
    assert len(network.targets) == 3
    network.exchanges[0].usable = False  # its server hung up, and nobody gave it back yet
    takes.append(asyncio.create_task(pool.take("work", limited)))
    await let_all_run()
    assert len(network.targets) == 3
    for take in takes:
        take.cancel()
    await asyncio.gather(*takes, return_exceptions=True)


@pytest.mark.parametrize("said_by", ["the account", "the server"])
async def test_a_talk_that_carried_its_messages_is_closed(
    pool: Pool, network: Network, said_by: str
) -> None:
    limited = account(messages_per_connection=2 if said_by == "the account" else 9)
    network.message_limit = 2 if said_by == "the server" else 9
    talk = await pool.take("work", limited)
    pool.give(talk, limited)
    assert await pool.take("work", limited) is talk
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


async def test_after_a_broken_talk_nothing_older_is_taken(pool: Pool, network: Network) -> None:
    talks = [await pool.take("work", account()) for _ in range(2)]
    for talk in talks:
        pool.give(talk, account())
    fresh = await pool.take("work", account(), after=talks[-1])
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


class Shared(ScriptedExchange):
    """An exchange that makes use of three messages at a time."""

    stumbled: Plan | None = None

    @property
    def places(self) -> int:
        return 3

    @property
    def tripped(self) -> Plan | None:
        return self.stumbled


async def test_idle_talks_come_first_then_new_ones_then_places_on_busy_ones(clock: Clock) -> None:
    network = Network(Shared)
    pool, limited = Pool(network.connect, clock), account(connections=2)
    talks = [await pool.take("work", limited) for _ in range(6)]
    assert [talk.number for talk in talks] == [1, 2, 1, 2, 1, 2]
    assert pool.limit("work", limited) == 6
    seventh = asyncio.create_task(pool.take("work", limited))
    await let_all_run()
    assert not seventh.done()
    pool.give(talks[1], limited)
    assert (await seventh).number == 2


async def test_a_shared_talk_is_closed_with_its_last_message(clock: Clock) -> None:
    network = Network(Shared)
    pool, limited = Pool(network.connect, clock), account(connections=1)
    first, second = [await pool.take("work", limited) for _ in range(2)]
    pool.discard(first)
    await let_all_run()
    assert not network.exchanges[0].closed
    third = asyncio.create_task(pool.take("work", limited))
    await let_all_run()
    assert not third.done(), "nothing may be put on a talk that is to be closed"
    pool.give(second, limited)
    assert (await third).exchange is network.exchanges[1]
    await let_all_run()
    assert network.exchanges[0].closed


async def test_a_server_that_failed_a_plan_is_spared_it_for_a_while(clock: Clock) -> None:
    network = Network(Shared)
    pool, limited = Pool(network.connect, clock), account(connections=1)
    plans = []
    for _ in range(4):
        talk = await pool.take("work", limited)
        plans.append(network.targets[-1].plan)
        exchange = talk.exchange
        assert isinstance(exchange, Shared)
        exchange.stumbled = plans[-1]
        pool.give(talk, limited)
    assert plans == [Plan.CHUNKED, Plan.JOINED, Plan.SERIAL, Plan.SERIAL]
    clock.now += PLAN_MEMORY_S
    await pool.take("work", limited)
    assert network.targets[-1].plan is Plan.CHUNKED
