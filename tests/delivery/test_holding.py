"""A person's word on an account, against a store in memory and servers by script."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs

from asyncnet.config.sections import AccountSettings, QueueSettings, SecretSource
from asyncnet.delivery.account_book import AccountBook
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.verdict import Phase
from asyncnet.mailqueue.store import AccountState, StoreError
from asyncnet.providers.builtin import catalogue
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.transaction import RecipientReply
from tests.support.delivery_doubles import (
    START,
    BeforeDot,
    Clock,
    MemoryStore,
    Network,
    ScriptedExchange,
    accept_all,
    let_all_run,
    refuse,
)

ACCOUNTS = {
    "work": AccountSettings(
        host="work.test",
        user="me",
        secret=SecretSource.model_validate({"value": "open sesame"}),
        connections=1,
    ),
    "other": AccountSettings(host="other.test"),
    "slow": AccountSettings.model_validate({"host": "slow.test", "rate": "1/h"}),
}


class House:
    """A running agent with its store, network and clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.network = Network()
        self.agent = DeliveryAgent(
            self.store,
            ACCOUNTS,
            QueueSettings(jitter=0.0),
            clock=self.clock,
            chance=lambda: 0.5,
            sleep=self.clock.sleep,
            connect=self.network.connect,
        )
        self.running = asyncio.create_task(self.agent.run())

    async def hold(self, account: str = "work") -> AccountState:
        return await self.agent.book.hold(account, self.clock(), "holiday")

    async def release(self, account: str = "work") -> AccountState:
        return await self.agent.book.release(account)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


@pytest.fixture
async def house() -> AsyncIterator[House]:
    built = House()
    await let_all_run()
    yield built
    await built.agent.stop(0.0)
    await built.running


async def test_mail_of_a_held_account_waits_and_the_others_go_on(house: House) -> None:
    await house.hold()
    mine, theirs = house.store.add("1"), house.store.add("2", account="other")
    await house.clock.advance(3_000.0)
    assert (mine.statuses, theirs.statuses) == (["pending"], ["accepted"])
    assert mine.attempts == 0


async def test_a_hold_stops_what_has_not_begun_and_lets_what_has_finish(house: House) -> None:
    async def held_meanwhile(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        replies = await accept_all(exchange, envelope, before_dot)
        await house.hold()  # said last of all: its mail in hand has not been given back yet
        return replies

    house.network.scenes["work.test"] = [accept_all, held_meanwhile]
    jobs = [house.store.add(str(number)) for number in range(6)]
    await house.clock.advance(10.0)
    assert [job.statuses[0] for job in jobs] == ["accepted"] * 2 + ["pending"] * 4
    assert not any(job.leased for job in jobs)
    assert house.store.states["work"].until == math.inf
    await house.release()
    await house.clock.advance(10.0)
    assert all(job.statuses == ["accepted"] for job in jobs)
    assert {job.attempts for job in jobs} == {1}


async def test_a_hold_gives_back_what_only_waits_for_its_pace(house: House) -> None:
    """In hand it could neither expire nor be looked at by anybody else."""
    over_at = START + 900.0
    jobs = [house.store.add(str(n), account="slow", expires_at=over_at) for n in range(3)]
    await house.clock.advance(60.0)
    assert [job.leased for job in jobs] == [False, True, True]
    await house.hold("slow")
    await house.clock.advance(1.0)
    assert not any(job.leased for job in jobs)
    await house.clock.advance(900.0)
    assert [job.statuses[0] for job in jobs] == ["accepted", "expired", "expired"]


async def test_trouble_that_comes_after_a_hold_does_not_replace_it(house: House) -> None:
    going, go = asyncio.Event(), asyncio.Event()
    refusing = refuse(Phase.MAIL, 454, "4.7.0 too fast")

    async def slowly(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        going.set()
        await go.wait()
        return await refusing(exchange, envelope, before_dot)

    house.network.scenes["work.test"] = [slowly]
    house.store.add("1")
    await going.wait()
    await house.hold()
    go.set()
    await house.clock.advance(1_000.0)
    assert house.store.states["work"].reason == "holiday"
    assert len(house.network.envelopes) == 1


async def test_a_released_account_is_tried_at_once(house: House) -> None:
    house.network.failures["work.test"] = [
        ExchangeFailed(Phase.AUTH, "", reply=Reply(535, ("5.7.8 wrong",)))
    ]
    job = house.store.add("1")
    await house.clock.advance(1.0)
    assert (house.store.states["work"].state, job.statuses) == ("held", ["deferred"])
    released_at = house.clock()
    await house.release()
    await house.clock.advance(0.0)
    assert (job.statuses, house.clock()) == (["accepted"], released_at)
    assert house.store.states["work"] == AccountState("work")
    assert job.attempts == 1


async def test_releases_cost_one_login_each(house: House) -> None:
    wrong = ExchangeFailed(Phase.AUTH, "", reply=Reply(535, ("5.7.8 wrong",)))
    house.network.failures["work.test"] = [wrong] * 100
    for number in range(10):
        house.store.add(str(number))
    await house.clock.advance(1.0)
    for logins in (2, 3, 4, 5):
        await house.release()
        await house.clock.advance(60.0)
        assert len(house.network.targets) == logins
    assert house.store.states["work"].failures == 5


async def test_an_outage_ends_early_by_a_release(house: House) -> None:
    down = ExchangeFailed(Phase.CONNECT, "connection refused", cause="network")
    house.network.failures["work.test"] = [down] * 9
    job = house.store.add("1")
    await house.clock.advance(1_000.0)
    house.network.failures["work.test"] = []
    assert house.store.states["work"].state == "down"
    await house.release()
    await house.clock.advance(0.0)
    assert job.statuses == ["accepted"]


async def test_all_accounts_stand_somewhere(house: House) -> None:
    await house.hold("other")
    standings = await house.agent.book.standings()
    assert {name: state.state for name, state in standings.items()} == {
        "work": "ok",
        "other": "held",
        "slow": "ok",
    }


async def test_throttling_slows_the_account_down_for_a_while(house: House) -> None:
    house.network.scenes["work.test"] = [refuse(Phase.GREETING, 421, "4.7.28 unusual rate")]
    gmail = {"work": AccountSettings(preset="gmail", host="work.test")}
    agent = DeliveryAgent(
        house.store,
        gmail,
        QueueSettings(jitter=0.0),
        clock=house.clock,
        chance=lambda: 0.5,
        sleep=house.clock.sleep,
        connect=house.network.connect,
    )
    await house.agent.stop(0.0)
    running = asyncio.create_task(agent.run())
    jobs = [house.store.add(str(number)) for number in range(30)]
    await house.clock.advance(600.0)
    assert house.store.states["work"] == AccountState("work")
    sent = [sum(job.statuses == ["accepted"] for job in jobs)]
    for _ in range(5):
        await house.clock.advance(1.0)
        sent.append(sum(job.statuses == ["accepted"] for job in jobs))
    assert sent == sorted(sent)
    assert 1 <= sent[0] < 3
    assert 4 <= sent[-1] < 12
    await house.clock.advance(60.0)
    assert all(job.statuses == ["accepted"] for job in jobs)
    await agent.stop(0.0)
    await running


async def test_a_disk_that_is_full_changes_nothing() -> None:
    class Full(MemoryStore):
        async def set_account_state(self, state: AccountState) -> None:
            raise StoreError("the disk is full")

    book = AccountBook(Full(), ACCOUNTS, catalogue())
    with pytest.raises(StoreError, match="full"):
        await book.hold("work", 1.0)
    assert (await book.standings())["work"] == AccountState("work")
