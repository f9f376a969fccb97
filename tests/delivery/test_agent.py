"""The delivery agent against a store in memory and servers by script, on a clock of the test's."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from asyncnet.config.sections import AccountSettings, QueueSettings, SecretSource
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.letter import ContentError
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus
from asyncnet.mailqueue.store import AccountState, LeaseLost, StoreBroken, StoreError
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.transaction import RecipientReply
from tests.support.delivery_doubles import (
    OK,
    START,
    BeforeDot,
    Clock,
    MemoryStore,
    Network,
    ScriptedExchange,
    accept_all,
    die_after_dot,
    die_before_dot,
    let_all_run,
    refuse,
)

ACCOUNTS = {
    "work": AccountSettings(
        host="work.test",
        user="me",
        secret=SecretSource.model_validate({"value": "open sesame"}),
        connections=2,
    ),
    "other": AccountSettings(host="other.test", connections=1),
    "gmail": AccountSettings(preset="gmail"),
    "qq": AccountSettings(preset="qq"),
}


class House:
    """An agent with its store, network and clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryStore()
        self.network = Network()
        self.agent = self.new_agent()
        self.running: asyncio.Task[None] | None = None

    def new_agent(self) -> DeliveryAgent:
        return DeliveryAgent(
            self.store,
            ACCOUNTS,
            QueueSettings(jitter=0.0),
            clock=self.clock,
            chance=lambda: 0.5,
            sleep=self.clock.sleep,
            connect=self.network.connect,
        )

    async def start(self) -> None:
        self.running = asyncio.create_task(self.agent.run())
        await let_all_run()

    async def stop(self, grace_s: float = 60.0) -> None:
        await self.agent.stop(grace_s)
        assert self.running is not None
        await self.running
        self.running = None

    def state(self, account: str = "work") -> str:
        return self.store.states[account].state

    def login_fails(self, times: int = 1) -> None:
        self.network.failures["work.test"] = [
            ExchangeFailed(Phase.AUTH, "", reply=Reply(535, ("5.7.8 wrong",)))
        ] * times

    def server_is_down(self, host: str = "work.test", times: int = 1) -> None:
        self.network.failures[host] = [
            ExchangeFailed(Phase.CONNECT, "connection refused", cause="network")
        ] * times


async def never_answer(
    exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
) -> tuple[RecipientReply, ...]:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def house() -> AsyncIterator[House]:
    built = House()
    yield built
    if built.running is not None:
        await built.stop(0.0)


async def test_a_message_is_accepted(house: House, logs: list[EventDict]) -> None:
    job = house.store.add("1", "a@example.org", "b@example.org")
    await house.start()
    assert job.statuses == ["accepted", "accepted"]
    assert job.settlements[0].server == "work.test:587"
    assert job.settlements[0].tls == {"version": "TLSv1.3", "verified": True}
    assert job.attempts == 1
    assert house.store.log == ["dot 1", "settle 1"]
    line = next(line for line in logs if line["event"] == "attempt")
    assert (line["queue_id"], line["account"], line["status"]) == ("1", "work", "accepted=2")
    assert (line["code"], line["attempt"], line["recipients"]) == (250, 1, 2)


async def test_mail_that_comes_while_it_waits_goes_at_once(house: House) -> None:
    await house.start()
    job = house.store.add("1")
    await let_all_run()
    assert job.statuses == ["accepted"]


async def test_one_connection_carries_one_message_after_the_other(house: House) -> None:
    for number in range(5):
        house.store.add(f"{number}", account="other")
    await house.start()
    assert len(house.network.sent()) == 5
    assert len(house.network.exchanges) == 1
    await house.clock.advance(60.0)
    assert house.network.exchanges[0].closed


async def test_no_more_connections_than_the_account_allows(house: House) -> None:
    for number in range(20):
        house.store.add(f"{number:02}")
    gate = asyncio.Event()

    async def wait(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await gate.wait()
        await before_dot()
        gate.clear()
        return (RecipientReply(Phase.DOT, OK),)

    house.network.scenes["work.test"] = [wait] * 20
    await house.start()
    assert len(house.network.exchanges) == 1  # until one went through
    for _ in house.store.jobs:
        gate.set()
        await let_all_run()
        assert len(house.network.exchanges) == 2
    assert all(job.statuses == ["accepted"] for job in house.store.jobs.values())


async def test_one_refused_recipient_spoils_nothing(house: House) -> None:
    async def partly(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await before_dot()
        return (
            RecipientReply(Phase.DOT, OK),
            RecipientReply(Phase.RCPT, Reply(550, ("5.1.1 who?",))),
            RecipientReply(Phase.RCPT, Reply(450, ("4.2.0 later",))),
        )

    job = house.store.add("1", "a@example.org", "b@example.org", "c@example.org")
    house.network.scenes["work.test"] = [partly]
    await house.start()
    assert job.statuses == ["accepted", "rejected", "deferred"]
    assert job.due_at == START + 60.0
    await house.clock.advance(60.0)
    assert job.statuses == ["accepted", "rejected", "accepted"]
    assert house.network.sent()[1] == ("c@example.org",)
    assert job.attempts == 2


async def test_a_deferred_message_follows_the_schedule(house: House) -> None:
    job = house.store.add("1")
    house.network.scenes["work.test"] = [refuse(Phase.DOT, 451, "4.3.0 later")] * 3
    await house.start()
    times = [job.due_at - START]
    for delay in (60.0, 120.0):
        await house.clock.advance(delay)
        times.append(job.due_at - START)
    assert times == [60.0, 180.0, 480.0]
    await house.clock.advance(300.0)
    assert job.statuses == ["accepted"]
    assert job.attempts == 4
    assert house.store.states == {}


async def test_a_rejected_message_is_final(house: House) -> None:
    job = house.store.add("1")
    house.network.scenes["work.test"] = [refuse(Phase.DOT, 554, "5.7.1 spam")]
    await house.start()
    assert job.statuses == ["rejected"]
    assert (job.verdicts[0].kind, job.verdicts[0].code) == (Kind.CONTENT, 554)


async def test_a_server_that_is_down_holds_its_account_and_burns_no_attempt(house: House) -> None:
    jobs = [house.store.add(f"{number}") for number in range(3)]
    house.server_is_down(times=2)
    await house.start()
    state = house.store.states["work"]
    assert (state.state, state.until, state.failures) == ("down", START + 10.0, 1)
    assert state.reason == "connection refused"
    assert state.hint
    assert len(house.network.targets) == 1
    await house.clock.advance(10.0)
    state = house.store.states["work"]
    assert (state.until, state.failures, state.since) == (START + 40.0, 2, START)
    assert len(house.network.targets) == 2
    await house.clock.advance(30.0)
    assert [job.statuses for job in jobs] == [["accepted"]] * 3
    assert [job.attempts for job in jobs] == [1] * 3
    assert house.store.states["work"] == AccountState("work")


async def test_a_bad_login_is_tried_four_times_in_a_day(house: House) -> None:
    jobs = [house.store.add(f"{number:02}") for number in range(30)]
    house.login_fails(times=6)
    await house.start()
    assert house.store.states["work"].state == "held"
    await house.clock.advance(86_000.0)
    assert len(house.network.targets) == 4
    assert {job.attempts for job in jobs} == {0}
    assert not any(job.verdicts[0].status.final for job in jobs)
    assert "535" in house.store.states["work"].reason


async def test_a_password_that_is_wrong_after_a_pause_costs_one_login(house: House) -> None:
    house.store.add("first")
    await house.start()
    await house.clock.advance(60.0)
    assert house.network.exchanges[0].closed
    house.login_fails(times=9)
    jobs = [house.store.add(f"{number}") for number in range(8)]
    await let_all_run()
    assert len(house.network.targets) == 2
    assert house.state() == "held"
    assert {job.attempts for job in jobs} == {0}


@pytest.mark.parametrize("together", [True, False])
async def test_talks_that_break_with_mail_on_them_cost_one_login(
    house: House, together: bool
) -> None:
    house.store.add("first")
    await house.start()
    hung_up = [asyncio.Event(), asyncio.Event()]

    async def die(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await hung_up[house.network.exchanges.index(exchange)].wait()
        return await die_before_dot(exchange, envelope, before_dot)

    house.network.scenes["work.test"] = [die] * 2
    jobs = [house.store.add(f"{number}") for number in range(8)]
    await let_all_run()
    assert len(house.network.targets) == 2
    house.login_fails(times=9)
    for event in hung_up:
        event.set()
        if not together:
            await let_all_run()
    await let_all_run()
    assert len(house.network.targets) == 3
    assert house.state() == "held"
    assert {job.attempts for job in jobs} == {0}


async def test_after_a_pause_all_connections_open_with_the_first_login(house: House) -> None:
    house.store.add("first")
    await house.start()
    await house.clock.advance(60.0)
    gate = house.network.gates["work.test"] = asyncio.Event()
    house.network.scenes["work.test"] = [never_answer] * 2
    for number in range(8):
        house.store.add(f"{number}")
    await let_all_run()
    assert len(house.network.targets) == 2
    gate.set()
    await let_all_run()
    assert len(house.network.targets) == 3, "no message need be over before"
    assert len(house.network.sent()) == 3


async def test_a_restart_looks_at_a_bad_login_anew_but_not_for_ever(house: House) -> None:
    house.store.add("1")
    house.login_fails(times=9)
    await house.start()
    for _ in range(9):
        await house.stop()
        house.agent = house.new_agent()
        await house.start()
    assert len(house.network.targets) == 4
    assert house.store.states["work"].failures == 4


async def test_a_person_s_hold_outlasts_a_restart(house: House) -> None:
    held = AccountState("work", "held", math.inf, START, reason="by hand")
    house.store.states["work"] = held
    job = house.store.add("1")
    await house.start()
    await house.clock.advance(90_000.0)
    assert job.statuses == ["pending"]
    assert house.store.states["work"] == held


async def test_a_person_s_hold_is_not_lifted_by_success(house: House) -> None:
    gate = house.network.gates["work.test"] = asyncio.Event()
    house.store.states["work"] = AccountState("work", "down", 0.0, START, 3)
    house.store.add("1")
    await house.start()
    held = AccountState("work", "held", math.inf, START, reason="by hand")
    house.store.states["work"] = held
    gate.set()
    await let_all_run()
    assert house.store.jobs["1"].statuses == ["accepted"]
    assert house.store.states["work"] == held


async def test_quota_holds_the_account(house: House) -> None:
    job = house.store.add("1", account="gmail")
    other = house.store.add("2", account="other")
    quota = refuse(Phase.DOT, 550, "5.4.5 Daily user sending limit exceeded")
    house.network.scenes["smtp.gmail.com"] = [quota]
    await house.start()
    state = house.store.states["gmail"]
    assert (state.state, state.until) == ("held", START + 3600.0)
    assert (job.statuses, job.attempts) == (["deferred"], 0)
    assert other.statuses == ["accepted"]
    await house.clock.advance(3600.0)
    assert (job.statuses, job.attempts) == (["accepted"], 1)


async def test_a_secret_that_is_missing_holds_the_account_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    secret = SecretSource(env="NO_SUCH_SECRET")
    account = AccountSettings(host="work.test", user="me", secret=secret)
    house.agent = DeliveryAgent(
        house.store,
        {"work": account},
        QueueSettings(),
        clock=house.clock,
        sleep=house.clock.sleep,
        connect=house.network.connect,
    )
    job = house.store.add("1")
    await house.start()
    assert "NO_SUCH_SECRET" in house.store.states["work"].reason
    assert house.network.targets == []
    monkeypatch.setenv("NO_SUCH_SECRET", "x")
    await house.clock.advance(60.0)
    assert (job.statuses, job.attempts) == (["accepted"], 1)
    await house.stop()


async def test_mail_of_an_account_that_is_gone_is_held_with_a_reason(house: House) -> None:
    job = house.store.add("1", account="gone")
    other = house.store.add("2")
    await house.start()
    state = house.store.states["gone"]
    assert (state.state, "no such account" in state.reason) == ("held", True)
    assert state.hint
    assert (job.statuses, job.attempts, job.leased) == (["pending"], 0, False)
    assert other.statuses == ["accepted"]


async def test_an_idle_connection_that_died_costs_nothing(house: House) -> None:
    first = house.store.add("1")
    await house.start()
    second = house.store.add("2")
    house.network.scenes["work.test"] = [die_before_dot]
    await let_all_run()
    assert first.statuses == second.statuses == ["accepted"]
    assert second.attempts == 1
    assert len(second.settlements) == 1
    assert len(house.network.exchanges) == 2
    assert house.network.exchanges[0].closed


async def test_too_many_messages_on_a_connection_means_a_new_one(house: House) -> None:
    house.store.add("1")
    await house.start()
    job = house.store.add("2")
    many = refuse(Phase.MAIL, 421, "too many messages in this connection", lost=True)
    house.network.scenes["work.test"] = [many]
    await let_all_run()
    assert (job.statuses, job.attempts) == (["accepted"], 1)
    assert house.store.states == {}


async def test_a_new_connection_that_dies_too_is_the_servers_trouble(house: House) -> None:
    job = house.store.add("1")
    house.network.scenes["work.test"] = [die_before_dot, die_before_dot]
    await house.start()
    assert house.store.states["work"].state == "down"
    assert (job.statuses, job.attempts) == (["deferred"], 0)
    await house.clock.advance(10.0)
    assert (job.statuses, job.attempts) == (["accepted"], 1)


async def test_a_message_that_kills_every_connection_holds_nobody_up(house: House) -> None:
    poison = house.store.add("1", account="other")
    other = house.store.add("2", account="other")

    async def die_in_content(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        exchange.usable = False
        return (RecipientReply(Phase.DATA, None, "the connection was lost"),)

    house.network.scenes["other.test"] = [die_in_content] * 2
    await house.start()
    assert (poison.statuses, poison.attempts) == (["deferred"], 1)
    assert poison.due_at == START + 60.0
    assert other.statuses == ["accepted"]


async def test_a_message_that_kills_connections_at_mail_holds_nobody_up_for_long(
    house: House,
) -> None:
    async def picky(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        scene = die_before_dot if "poison@example.org" in envelope.recipients else accept_all
        return await scene(exchange, envelope, before_dot)

    poison = house.store.add("1", "poison@example.org")
    others = [house.store.add(f"{number}") for number in range(2, 5)]
    house.network.scenes["work.test"] = [picky] * 100
    await house.start()
    await house.clock.advance(10.0)
    assert [job.statuses for job in others] == [["accepted"]] * 3
    assert (poison.statuses, poison.attempts) == (["deferred"], 0)


async def test_trouble_of_two_talks_at_a_time_is_one_trouble(house: House) -> None:
    gate = asyncio.Event()

    async def log_in_again(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await gate.wait()
        return (RecipientReply(Phase.MAIL, Reply(530, ("5.7.0 log in",))),)

    house.store.add("1")
    await house.start()
    for number in range(2, 6):
        house.store.add(f"{number}")
    house.network.scenes["work.test"] = [log_in_again] * 2
    await let_all_run()
    assert len(house.network.sent()) == 3
    gate.set()
    await let_all_run()
    state = house.store.states["work"]
    assert (state.state, state.failures, state.until) == ("held", 1, START + 900.0)
    assert len(house.network.sent()) == 3
    assert not any(job.leased for job in house.store.jobs.values())


@pytest.mark.parametrize(
    ("on_doubt", "statuses", "held"),
    [("retry", ["deferred"], False), ("hold", ["deferred"], True), ("fail", ["in_doubt"], False)],
)
async def test_in_doubt_is_what_the_job_says(
    house: House, on_doubt: str, statuses: list[str], held: bool
) -> None:
    job = house.store.add("1", on_doubt=on_doubt)  # type: ignore[arg-type]
    house.network.scenes["work.test"] = [die_after_dot]
    await house.start()
    verdict = job.settlements[0].verdicts[0]
    assert (verdict.status, verdict.phase) == (RecipientStatus.IN_DOUBT, Phase.DOT)
    assert (job.statuses, job.held) == (statuses, held)
    assert len(house.network.sent()) == 1
    await house.clock.advance(60.0)
    assert len(house.network.sent()) == (2 if on_doubt == "retry" else 1)


async def test_what_is_over_expires_with_the_servers_last_words(house: House) -> None:
    job = house.store.add("1", expires_at=START + 100.0)
    house.network.scenes["work.test"] = [refuse(Phase.RCPT, 450, "4.2.1 not now")] * 9
    await house.start()
    await house.clock.advance(100.0)
    assert job.statuses == ["expired"]
    assert (job.verdicts[0].code, job.verdicts[0].text) == (450, "not now")
    assert len(house.network.sent()) == 2


async def test_what_never_could_be_tried_expires_with_the_accounts_reason(house: House) -> None:
    first = house.store.add("1")
    second = house.store.add("2", expires_at=START + 5.0)
    house.server_is_down(times=99)
    await house.start()
    await house.clock.advance(6.0)
    assert second.statuses == ["expired"]
    assert "connection refused" in second.verdicts[0].text
    assert first.statuses == ["deferred"]


async def test_what_is_over_expires_also_where_the_store_was_away(house: House) -> None:
    job = house.store.add("1", expires_at=START - 1.0)
    house.store.fail_find = [StoreError("no answer")]
    await house.start()
    await house.clock.advance(10.0)
    assert not house.store.fail_find
    assert (job.statuses, job.leased) == (["expired"], False)


async def test_a_lease_at_which_the_store_fails_leaves_the_others_no_worse(house: House) -> None:
    lost = house.store.add("1", account="nobody knows it", priority=0)
    good = house.store.add("2")
    house.store.fail_states = [StoreError("no answer")]
    await house.start()
    await house.clock.advance(1.0)
    assert good.statuses == ["accepted"]
    assert not lost.leased, "it is given back, not kept"
    await house.clock.advance(10.0)
    assert house.store.states["nobody knows it"].state == "held"


async def test_a_stuck_account_does_not_block_the_others(house: House) -> None:
    house.network.gates["work.test"] = asyncio.Event()  # never set: connecting hangs
    for number in range(1000):
        house.store.add(f"a{number:04}", priority=0)
    await house.start()
    late = house.store.add("z", account="other", priority=2)
    await house.clock.advance(2.0)
    assert late.statuses == ["accepted"]
    assert sum(job.leased for job in house.store.jobs.values()) < 200
    assert len(house.network.targets) == 2


async def test_a_full_lane_takes_more_when_its_mail_went(house: House) -> None:
    gate = house.network.gates["work.test"] = asyncio.Event()
    jobs = [house.store.add(f"a{number:04}") for number in range(300)]
    await house.start()
    await house.clock.advance(2.0)
    assert sum(job.leased for job in jobs) < 200
    gate.set()
    for _ in range(20):
        await let_all_run()
    assert all(job.statuses == ["accepted"] for job in jobs)
    assert house.store.states == {}  # enough mail in hand is no trouble of the account
    assert house.clock.now == START + 2.0


async def test_a_burst_goes_through_without_waiting(house: House) -> None:
    jobs = [house.store.add(f"{number:04}") for number in range(500)]
    await house.start()
    for _ in range(20):
        await let_all_run()
    assert all(job.statuses == ["accepted"] for job in jobs)
    assert house.clock.now == START
    assert house.store.states == {}


async def test_a_provider_that_wants_it_slow_gets_it_slow(house: House) -> None:
    for number in range(4):
        house.store.add(f"{number}", account="qq")
    await house.start()
    counts = [len(house.network.sent())]
    for _ in range(3):
        await house.clock.advance(2.0)
        counts.append(len(house.network.sent()))
    assert counts == [1, 2, 3, 4]


async def test_more_recipients_than_one_transaction_takes_go_in_several(house: House) -> None:
    job = house.store.add("1", *(f"r{n}@example.org" for n in range(250)), account="gmail")
    await house.start()
    assert [len(recipients) for recipients in house.network.sent()] == [100, 100, 50]
    assert set(job.statuses) == {"accepted"}
    assert job.attempts == 1


async def test_too_many_recipients_sends_the_rest_at_once(house: House) -> None:
    async def only_two(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await before_dot()
        many = RecipientReply(Phase.RCPT, Reply(452, ("4.5.3 too many",)))
        taken = RecipientReply(Phase.DOT, OK)
        return tuple(taken if n < 2 else many for n in range(len(envelope.recipients)))

    job = house.store.add("1", *(f"r{n}@example.org" for n in range(5)))
    house.network.scenes["work.test"] = [only_two] * 3
    await house.start()
    assert set(job.statuses) == {"accepted"}
    assert (job.attempts, len(job.settlements)) == (1, 3)
    assert house.clock.now == START


async def test_who_is_deferred_rests_while_the_others_go_on(house: House) -> None:
    async def first_later(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await before_dot()
        later = RecipientReply(Phase.RCPT, Reply(450, ("4.2.1 later",)))
        taken = RecipientReply(Phase.DOT, OK)
        return (later, *(taken for _ in envelope.recipients[1:]))

    job = house.store.add("1", *(f"r{n}@example.org" for n in range(150)), account="gmail")
    house.network.scenes["smtp.gmail.com"] = [first_later]
    await house.start()
    assert job.statuses == ["deferred"] + ["accepted"] * 149
    assert [len(recipients) for recipients in house.network.sent()] == [100, 50]
    assert job.due_at == START + 60.0
    await house.clock.advance(60.0)
    assert house.network.sent()[2] == ("r0@example.org",)


async def test_too_many_from_the_first_on_is_a_matter_of_time(house: House) -> None:
    job = house.store.add("1")
    house.network.scenes["work.test"] = [refuse(Phase.RCPT, 452, "4.5.3 too many")] * 2
    await house.start()
    assert (job.statuses, job.due_at) == (["deferred"], START + 60.0)
    assert len(house.network.sent()) == 1


async def test_a_job_s_own_server_is_used_without_login(house: House) -> None:
    route = Route(server=Server("own.test", 2525, "none"))
    job = house.store.add("1", route=route)
    await house.start()
    assert job.statuses == ["accepted"]
    target = house.network.targets[0]
    assert (target.host, target.port, target.tls) == ("own.test", 2525, "none")
    assert (target.login, target.verify) == (None, True)


async def test_a_job_s_own_server_that_wants_a_login_fails_the_job(house: House) -> None:
    job = house.store.add("1", route=Route(server=Server("own.test", 25, "none")))
    house.network.scenes["own.test"] = [refuse(Phase.MAIL, 530, "5.7.0 log in")]
    await house.start()
    assert job.statuses == ["rejected"]
    assert "login" in (job.verdicts[0].hint or "")


async def test_damaged_content_fails_that_message_alone(house: House) -> None:
    async def damaged(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        exchange.usable = False
        raise ContentError("the file is shorter than it was")

    job = house.store.add("1")
    house.network.scenes["work.test"] = [damaged]
    await house.start()
    assert job.statuses == ["rejected"]
    assert "shorter than it was" in job.verdicts[0].text
    assert house.store.states == {}
    other = house.store.add("2")
    await let_all_run()
    assert other.statuses == ["accepted"]


async def test_a_mistake_of_ours_is_logged_and_the_others_go_on(
    house: House, logs: list[EventDict]
) -> None:
    async def bug(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        raise ZeroDivisionError

    broken = house.store.add("1")
    other = house.store.add("2")
    house.network.scenes["work.test"] = [bug]
    await house.start()
    assert (broken.attempts, broken.due_at) == (1, START + 60.0)
    assert other.statuses == ["accepted"]
    line = next(line for line in logs if line["event"] == "delivery failed")
    assert line["queue_id"] == "1"
    await house.clock.advance(60.0)
    assert broken.statuses == ["accepted"]


async def test_a_mistake_of_ours_after_the_dot_is_in_doubt(house: House) -> None:
    async def bug(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await before_dot()
        raise ZeroDivisionError

    job = house.store.add("1", on_doubt="fail")
    house.network.scenes["work.test"] = [bug]
    await house.start()
    assert job.statuses == ["in_doubt"]


async def test_a_lost_lease_is_left_alone(house: House) -> None:
    job = house.store.add("1")
    other = house.store.add("2")
    house.store.fail_mark = [LeaseLost("1")]
    await house.start()
    assert (job.settlements, job.leased) == ([], True)
    assert other.statuses == ["accepted"]


async def test_a_broken_store_ends_the_run(house: House) -> None:
    job = house.store.add("1")
    house.store.fail_settle = [StoreBroken("no more")] * 9
    await house.start()
    assert house.running is not None
    with pytest.raises(StoreBroken):
        await house.running
    house.running = None
    assert job.settlements == []


async def test_a_broken_store_at_leasing_ends_the_run(house: House) -> None:
    house.store.fail_lease = [StoreBroken("no more")]
    with pytest.raises(StoreBroken):
        await house.agent.run()


async def test_a_full_disk_fails_no_mail(house: House) -> None:
    job = house.store.add("1")
    house.store.fail_lease = [StoreError("disk full")]
    house.store.fail_settle = [StoreError("disk full")] * 2
    await house.start()
    await house.clock.advance(20.0)
    assert (job.statuses, job.attempts) == (["accepted"], 1)
    assert len(house.network.sent()) == 1


def told_of_the_store(logs: list[EventDict]) -> list[str]:
    return [line["event"] for line in logs if line["event"].startswith("the store can")]


async def test_contents_that_cannot_be_read_for_a_while_are_told_once(
    house: House, logs: list[EventDict]
) -> None:
    """The mail is leased all the time, and other mail goes out."""

    async def no_descriptors(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        raise StoreError("1.msg cannot be read: Too many open files")

    job = house.store.add("1")
    house.network.scenes["work.test"] = [no_descriptors] * 5
    await house.start()
    others = []
    for number in range(4):
        assert job.statuses == ["pending"]
        others.append(house.store.add(f"other {number}", account="other"))
        await house.clock.advance(5.0)
    assert [it.statuses for it in others] == [["accepted"]] * 4
    assert told_of_the_store(logs) == ["the store cannot be used now"]
    await house.clock.advance(5.0)
    assert (job.statuses, job.attempts) == (["accepted"], 1)
    await house.clock.advance(5.0)
    over = ["the store cannot be used now", "the store can be used again"]
    assert told_of_the_store(logs) == over, "though nothing is due"
    await house.clock.advance(3600.0)
    assert told_of_the_store(logs) == over


async def test_trouble_with_the_store_that_comes_again_is_told_again(
    house: House, logs: list[EventDict]
) -> None:
    await house.start()
    for number in range(2):
        house.store.fail_lease = [StoreError("disk full")] * 3
        house.store.add(str(number))
        await house.clock.advance(60.0)
    assert (
        told_of_the_store(logs)
        == [
            "the store cannot be used now",
            "the store can be used again",
        ]
        * 2
    )


async def test_stopping_lets_what_runs_finish(house: House) -> None:
    gate = asyncio.Event()

    async def slow(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await gate.wait()
        await before_dot()
        return (RecipientReply(Phase.DOT, OK),)

    running = house.store.add("1", account="other")
    waiting = house.store.add("2", account="other")
    house.network.scenes["other.test"] = [slow]
    await house.start()
    stopping = asyncio.create_task(house.stop(60.0))
    await let_all_run()
    gate.set()
    await stopping
    assert running.statuses == ["accepted"]
    assert (waiting.statuses, waiting.leased, waiting.attempts) == (["pending"], False, 0)
    assert all(exchange.closed for exchange in house.network.exchanges)


async def test_what_is_cut_off_before_the_dot_goes_back_unharmed(house: House) -> None:
    house.network.gates["work.test"] = asyncio.Event()
    job = house.store.add("1")
    await house.start()
    assert job.leased
    await house.stop(0.0)
    assert (job.statuses, job.leased, job.attempts) == (["pending"], False, 0)


async def test_what_is_cut_off_after_the_dot_is_in_doubt(house: House) -> None:
    async def silent(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await before_dot()
        await asyncio.Event().wait()
        raise AssertionError

    job = house.store.add("1", on_doubt="fail")
    house.network.scenes["work.test"] = [silent]
    await house.start()
    await house.stop(0.0)
    assert job.statuses == ["in_doubt"]
    assert house.network.exchanges[0].closed


async def test_cancelling_the_run_gives_everything_back(house: House) -> None:
    house.network.gates["work.test"] = asyncio.Event()
    jobs = [house.store.add(f"{number}") for number in range(3)]
    await house.start()
    assert house.running is not None
    house.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await house.running
    house.running = None
    assert not any(job.leased for job in jobs)


async def test_an_account_that_a_person_released_is_used_at_once(house: House) -> None:
    job = house.store.add("1")
    house.login_fails()
    await house.start()
    assert job.statuses == ["deferred"]
    await house.store.set_account_state(AccountState("work"))
    house.store.ready.set()
    await let_all_run()
    assert job.statuses == ["accepted"]


async def test_no_secret_is_ever_logged(house: House, logs: list[EventDict]) -> None:
    house.store.add("1")
    house.login_fails()
    await house.start()
    await house.clock.advance(900.0)
    assert house.network.targets[0].login is not None
    assert "open sesame" not in repr(logs) + repr(house.store.states) + repr(house.network.targets)
