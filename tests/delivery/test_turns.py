"""A message to thousands, and a server with much to say of each: the others go on meanwhile."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.delivery import attempt, turns
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.delivery.exchange import Exchange, Login, Target
from asyncnet.delivery.judgement import Judgement, judge
from asyncnet.delivery.trace import Mask
from asyncnet.delivery.turns import TURN_S, map_in_turns
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import Phase
from asyncnet.providers.rules import RuleBook
from asyncnet.smtp.reply import MASK, Reply
from asyncnet.smtp.transaction import RecipientReply
from tests.support.delivery_doubles import (
    BeforeDot,
    Clock,
    MemoryStore,
    Network,
    Scene,
    ScriptedExchange,
    let_all_run,
)
from tests.support.smtp_server import CAPABILITIES, ScriptedServer

SECRET = "correct horse battery"
CROWD = tuple(f"r{number}@example.org" for number in range(5))


def ticking(step_s: float) -> Iterator[float]:
    return itertools.count(0.0, step_s)


@asynccontextmanager
async def counting() -> AsyncIterator[list[int]]:
    """The turns that another task had so far, in a list of one."""
    had = [0]

    async def count() -> None:
        while True:
            had[0] += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(count())
    try:
        yield had
    finally:
        task.cancel()


async def test_others_have_their_turn_whenever_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "TURN_S", 2.0)
    clock = ticking(1.0)
    async with counting() as had:
        seen = await map_in_turns(lambda _: had[0], [f"{n}" for n in range(10)], clock.__next__)
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


async def test_short_work_is_done_in_one_go() -> None:
    clock = ticking(TURN_S / 100)
    async with counting() as had:
        seen = await map_in_turns(lambda _: had[0], [f"{n}" for n in range(10)], clock.__next__)
    assert seen == [0] * 10


async def test_what_stands_for_many_is_worked_on_once() -> None:
    done: list[str] = []
    assert await map_in_turns(done.append, ["same"] * 1000) == [None] * 1000
    assert done == ["same"]


async def test_cancelled_it_does_the_rest_without_a_pause() -> None:
    items = list(range(10))
    task = asyncio.create_task(map_in_turns(str, items, ticking(TURN_S).__next__))
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    await asyncio.sleep(0)
    assert task.result() == [str(item) for item in items]


async def test_the_secrets_of_many_replies_are_struck_out_in_turns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[int] = []
    strike = Mask.strike

    def counted(mask: Mask, text: str) -> str:
        seen.append(had[0])
        return strike(mask, text)

    def refusal(recipient: str) -> bytes:
        return f"550 5.1.1 {recipient} {SECRET}\r\n".encode()

    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(Mask, "strike", counted)
    capabilities = (*CAPABILITIES, "AUTH PLAIN")
    async with ScriptedServer(capabilities=capabilities, refuse=refusal) as server:
        target = Target("127.0.0.1", server.port, "none", Login("me", SECRET))
        exchange = await Exchange.connect(target)
        async with counting() as had:
            replies = await exchange.transact(Envelope("me@example.org", CROWD), Octets(b"x\r\n"))
        await exchange.close()
        await asyncio.wait_for(server.ended.wait(), 5)
    assert [it.reply and it.reply.lines for it in replies] == [
        (f"5.1.1 {name} {MASK}",) for name in CROWD
    ]
    assert len(set(seen)) == len(CROWD)


@pytest.mark.parametrize("at", [0, 900, 1980, 1990, 1999, 2000, 2010])
async def test_no_part_of_a_secret_outlasts_the_shortening_of_a_reply(at: int) -> None:
    """Whether it stands at the end of a line or where a cut by characters would go through it."""
    long_line = ("-" * at + SECRET).ljust(2500, "-")
    refusal = f"550-5.7.1 {long_line}\r\n550-{'-' * 2500}\r\n550 the end\r\n".encode()
    capabilities = (*CAPABILITIES, "AUTH PLAIN")
    async with ScriptedServer(capabilities=capabilities, refuse=lambda _: refusal) as server:
        target = Target("127.0.0.1", server.port, "none", Login("me", SECRET))
        exchange = await Exchange.connect(target)
        replies = await exchange.transact(Envelope("me@example.org", CROWD), Octets(b"x\r\n"))
        await exchange.close()
        await asyncio.wait_for(server.ended.wait(), 5)
    for it in replies:
        assert it.reply is not None
        assert it.reply.raw == b""
        text = "".join(it.reply.lines)
        assert len(text) < len(refusal) - 2500
        assert set(text.replace(MASK, "").removeprefix("5.7.1 ")) == {"-"}


def each(code: int, text: str) -> Scene:
    async def scene(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        return tuple(
            RecipientReply(Phase.RCPT, Reply(code, (f"{text} {name}",)))
            for name in envelope.recipients
        )

    return scene


@asynccontextmanager
async def delivering(store: MemoryStore, network: Network) -> AsyncIterator[DeliveryAgent]:
    clock = Clock()
    agent = DeliveryAgent(
        store,
        {"work": AccountSettings(host="work.test")},
        QueueSettings(jitter=0.0),
        clock=clock,
        sleep=clock.sleep,
        connect=network.connect,
    )
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        await agent.stop(0.0)
        await running


async def test_many_recipients_are_judged_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def counted(answer: RecipientReply, book: RuleBook, attempts: int) -> Judgement:
        seen.append(had[0])
        return judge(answer, book, attempts)

    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(attempt, "judge", counted)
    store, network = MemoryStore(), Network()
    job = store.add("1", *CROWD)
    network.scenes["work.test"] = [each(550, "5.1.1 no")]
    async with counting() as had, delivering(store, network):
        await let_all_run()
    assert job.statuses == ["rejected"] * len(CROWD)
    assert len(set(seen)) == len(CROWD)


@pytest.mark.parametrize(
    ("code", "status"), [(550, "rejected"), (421, "deferred")], ids=["refused", "to be sent anew"]
)
async def test_who_stops_while_they_are_judged_loses_no_answer_and_begins_nothing(
    code: int, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[RecipientReply] = []
    half = asyncio.Event()

    def counted(answer: RecipientReply, book: RuleBook, attempts: int) -> Judgement:
        judged.append(answer)
        half.set()
        return judge(answer, book, attempts)

    monkeypatch.setattr(turns, "TURN_S", 0.0)
    monkeypatch.setattr(attempt, "judge", counted)
    store, network = MemoryStore(), Network()
    network.scenes["work.test"] = [each(code, "no")]
    job = store.add("1", *(f"r{number}@example.org" for number in range(100)), on_doubt="fail")
    async with delivering(store, network) as agent:
        await half.wait()
        assert len(judged) < 100
        await agent.stop(0.0)
    assert job.statuses == [status] * 100
    assert len(network.sent()) == 1
