"""The verbs on jobs over a real store, with and without an agent that holds leases."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.control import queue
from asyncnet.control.protocol import RefusalKind, Refused
from asyncnet.control.queue import MAX_REASON, QueueVerbs
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import (
    AccountState,
    Claim,
    Lease,
    NewMessage,
    Settlement,
    Store,
)
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.transaction import RecipientReply
from tests.support.delivery_doubles import BeforeDot, Network, ScriptedExchange, accept_all, refuse

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z
ACCOUNTS = {
    "work": AccountSettings(host="work.test", connections=1),
    "home": AccountSettings(host="home.test"),
}
REJECTED = Verdict(RecipientStatus.REJECTED, 550, "5.1.1", Phase.RCPT, text="no such user")


class Queue:
    """A store, the verbs over it, and an agent if a test starts one."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.verbs = QueueVerbs(store, ACCOUNTS, clock=lambda: NOW)
        self.network = Network()

    async def add(self, number: int, account: str = "work", **changes: Any) -> str:
        queue_id = f"Q{number}"
        claim = Claim(queue_id, f"job-{number}", f"{queue_id}.job-{number}.yaml", NOW)
        envelope = Envelope("me@example.org", (f"r{number}@example.org",))
        values = {
            "due_at": NOW,
            "expires_at": NOW + 172_800.0,
            "envelope": envelope,
            **changes,
        }
        message = NewMessage(claim, f"<{queue_id}@x>", route=Route(account), **values)
        await self.store.accept(message, Octets(b"Subject: x\r\n\r\nx\r\n"), NOW)
        return queue_id

    async def say(self, word: str, *keys: str, **arguments: Any) -> list[dict[str, Any]]:
        asked = {**({"keys": list(keys)} if keys else {}), **arguments}
        answer = await self.verbs.table()[f"queue.{word}"](asked)
        assert isinstance(answer, dict)
        assert answer["after"] is None
        jobs = answer["jobs"]
        assert isinstance(jobs, list)
        return jobs

    async def status(self, number: int) -> JobStatus:
        (record,) = await self.store.find(f"Q{number}")
        return record.status

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[DeliveryAgent]:
        agent = DeliveryAgent(
            self.store,
            ACCOUNTS,
            QueueSettings.model_validate({"jitter": 0.0, "retry": ["0s", "2h"]}),
            clock=lambda: NOW,
            connect=self.network.connect,
        )
        self.verbs = QueueVerbs(self.store, ACCOUNTS, agent, lambda: NOW)
        task = asyncio.create_task(agent.run())
        try:
            with capture_logs():
                yield agent
        finally:
            await agent.stop(0.0)
            await task


@pytest.fixture
async def jobs(tmp_path: Path) -> AsyncIterator[Queue]:
    store = SqliteStore(tmp_path / "queue.db", tmp_path / "queue", dedup_window_s=1.0)
    await store.open(NOW)
    yield Queue(store)
    await store.close()


async def settled(store: Store, number: int) -> None:
    """Wait until the job is finished."""
    async with asyncio.timeout(20):
        while True:
            store.finished.clear()
            if (await store.find(f"Q{number}"))[0].status.final:
                return
            await store.finished.wait()


async def test_a_job_is_meant_by_queue_id_job_id_and_name(jobs: Queue) -> None:
    for number in (1, 2, 3, 4):
        await jobs.add(number, job_id=f"bill-{number}")
    found = await jobs.say("hold", "Q1", "bill-2", "job-3", reason="the lawyers are in")
    assert [(it["key"], it["queue_id"], it["effect"]) for it in found] == [
        ("Q1", "Q1", "done"),
        ("bill-2", "Q2", "done"),
        ("job-3", "Q3", "done"),
    ]
    assert found[0] == {
        "key": "Q1",
        "queue_id": "Q1",
        "name": "job-1",
        "id": "bill-1",
        "account": "work",
        "effect": "done",
        "status": "held",
        "due_at": "2027-01-15T08:00:00Z",
        "text": "is held, until: asyncnet queue release Q1",
    }
    assert await jobs.status(4) is JobStatus.QUEUED
    assert [it["queue_id"] for it in await jobs.say("release", states=["held"])] == [
        "Q1",
        "Q2",
        "Q3",
    ]


async def test_terms_are_met_together(jobs: Queue) -> None:
    await jobs.add(1)
    await jobs.add(2, "home")
    await jobs.say("hold", account="home")
    assert [
        it["queue_id"] for it in await jobs.say("cancel", states=["queued"], account="home")
    ] == []
    assert [it["queue_id"] for it in await jobs.say("cancel", all=True)] == ["Q1", "Q2"]


async def test_each_key_that_means_nothing_says_why(jobs: Queue) -> None:
    await jobs.add(1)
    (lease,) = await jobs.store.lease(NOW, 1)
    await jobs.store.settle(lease, Settlement({0: REJECTED}, NOW), NOW)
    await jobs.add(2)
    finished, passed, unknown = await jobs.say("retry", "job-1", "job-2", "nope", states=["held"])
    assert (finished["effect"], finished["status"]) == ("finished", "failed")
    assert "move job-1.yaml and job-1.result.json from failed/ back to pickup/" in finished["text"]
    assert (passed["effect"], passed["text"]) == ("passed_over", "is queued: not asked for")
    assert (unknown["effect"], unknown["text"]) == ("unknown", "no job has the id or name 'nope'")


@pytest.mark.parametrize("by", [{"all": True}, {"keys": [f"Q{n}" for n in range(7)] + ["no"]}])
async def test_a_long_selection_comes_page_by_page(
    jobs: Queue, monkeypatch: pytest.MonkeyPatch, by: dict[str, Any]
) -> None:
    monkeypatch.setattr(queue, "PAGE_JOBS", 3)
    for number in range(7):
        await jobs.add(number)
    said: list[str] = []
    after: dict[str, Any] = {}
    while True:
        answer = await jobs.verbs.table()["queue.cancel"]({**by, **after})
        assert isinstance(answer, dict)
        assert len(answer["jobs"]) <= 3
        said += [it["effect"] for it in answer["jobs"]]
        if answer["after"] is None:
            break
        after = {"after": answer["after"]}
    assert said == ["done"] * 7 + ["unknown"] * ("keys" in by)


async def test_what_still_keeps_a_job_is_told(jobs: Queue) -> None:
    await jobs.add(1)
    await jobs.add(2, due_at=NOW + 60)
    await jobs.add(3, "home", expires_at=NOW - 1)
    await jobs.say("hold", all=True)
    state = AccountState("work", "held", NOW + 5, reason="535 wrong password")
    await jobs.store.set_account_state(state)
    first, second, third = await jobs.say("release", all=True)
    assert (
        "but its account is held (535 wrong password): asyncnet account release work"
        in (first["text"])
    )
    assert second["effect"] == "scheduled"
    assert second["text"].startswith("is released; it goes at its time, 2027-01-15T08:01:00Z")
    assert "its time is over" in third["text"]


async def test_a_retry_before_the_time_of_a_job_is_told_as_such(jobs: Queue) -> None:
    await jobs.add(1, due_at=NOW + 60)
    (told,) = await jobs.say("retry", "Q1")
    assert told["effect"] == "scheduled"
    assert told["text"] == "is not tried before its time, 2027-01-15T08:01:00Z"


async def test_one_under_way_is_finished_and_those_not_begun_are_canceled_at_once(
    jobs: Queue,
) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def slowly(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        await before_dot()
        going.set()
        await go.wait()
        return await accept_all(exchange, envelope, before_dot)

    jobs.network.scenes["work.test"] = [slowly]
    for number in (1, 2, 3, 4):
        await jobs.add(number)
    async with jobs.sending() as agent:
        await going.wait()
        first, *rest = await jobs.say("cancel", "Q1", "Q2", "Q3", reason="by post")
        assert first["effect"] == "under_way"
        assert "cannot be stopped" in first["text"]
        assert [(it["effect"], it["status"]) for it in rest] == [("done", "canceled")] * 2
        (held,) = await jobs.say("hold", "Q4")
        assert (held["effect"], held["status"]) == ("done", "held")
        go.set()
        await settled(jobs.store, 1)
        assert await jobs.status(1) is JobStatus.SENT
        assert jobs.network.sent() == [("r1@example.org",)]
        await jobs.say("release", "Q4")
        await settled(jobs.store, 4)
        assert jobs.network.sent() == [("r1@example.org",), ("r4@example.org",)]
        assert agent.book.lanes["work"].held == 0, "or the lane would be full one day"


async def test_a_hold_on_one_under_way_keeps_what_it_leaves_open(jobs: Queue) -> None:
    going, go = asyncio.Event(), asyncio.Event()

    async def slowly(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        going.set()
        await go.wait()
        return await refuse(Phase.RCPT, 451, "4.7.1 later")(exchange, envelope, before_dot)

    jobs.network.scenes["work.test"] = [slowly]
    await jobs.add(1)
    async with jobs.sending():
        await going.wait()
        (held,) = await jobs.say("hold", "Q1")
        assert held["effect"] == "under_way"
        go.set()
        async with asyncio.timeout(20):
            while await jobs.status(1) is not JobStatus.HELD:
                pass
        assert [it["effect"] for it in await jobs.say("retry", "Q1")] == ["done"]
        await settled(jobs.store, 1)
    (record,) = await jobs.store.find("Q1")
    assert (record.status, record.attempts) == (JobStatus.SENT, 2)


async def test_a_retry_is_made_at_once_and_counts(jobs: Queue) -> None:
    jobs.network.scenes["work.test"] = [refuse(Phase.RCPT, 451, "4.7.1 later")]
    await jobs.add(1)
    async with jobs.sending():
        async with asyncio.timeout(20):
            while await jobs.status(1) is not JobStatus.DEFERRED:
                pass
        (told,) = await jobs.say("retry", "Q1")
        assert (told["effect"], told["text"]) == ("done", "is tried now")
        await settled(jobs.store, 1)
    (record,) = await jobs.store.find("Q1")
    assert (record.status, record.attempts) == (JobStatus.SENT, 2)


async def test_a_lease_on_its_way_to_the_agent_goes_back_as_it_comes(
    jobs: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased, go_on, lease = asyncio.Event(), asyncio.Event(), jobs.store.lease

    async def slowly(now: float, limit: int, passing_over: Collection[str] = ()) -> list[Lease]:
        found = await lease(now, limit, passing_over)
        leased.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(jobs.store, "lease", slowly)
    await jobs.add(1)
    await jobs.add(2)
    async with jobs.sending():
        await leased.wait()
        (told,) = await jobs.say("cancel", "Q1")
        assert told["effect"] == "under_way", "nobody can tell yet"
        go_on.set()
        await settled(jobs.store, 1)
        await settled(jobs.store, 2)
    assert await jobs.status(1) is JobStatus.CANCELED
    assert jobs.network.sent() == [("r2@example.org",)]


async def test_a_retry_tries_those_too_who_rest_until_a_time_of_their_own(jobs: Queue) -> None:
    async def trouble(
        exchange: ScriptedExchange, envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        exchange.usable = False
        return (
            RecipientReply(Phase.RCPT, Reply(451, ("4.7.1 greylisted, try again in an hour",))),
            RecipientReply(Phase.RCPT, Reply(535, ("5.7.8 log in anew",))),
        )

    jobs.network.scenes["work.test"] = [trouble]
    await jobs.add(1, envelope=Envelope("me@example.org", ("a@x.test", "b@x.test")))
    async with jobs.sending() as agent:
        async with asyncio.timeout(20):
            while await jobs.status(1) is not JobStatus.DEFERRED:
                pass
        await jobs.say("retry", "Q1")
        await agent.book.release("work")
        await settled(jobs.store, 1)
    assert jobs.network.sent() == [("a@x.test", "b@x.test")] * 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "say which"),
        ({"all": False}, "say which"),
        ({"keys": []}, "say which"),
        ({"keys": "Q1"}, "keys is a list of texts"),
        ({"keys": [3]}, "keys is a list of texts"),
        ({"keys": [""]}, "keys is a list of texts"),
        ({"keys": ["Q1"], "all": True}, "not both"),
        ({"states": ["sent"]}, "'sent' is no state that jobs wait in; these are: queued"),
        ({"account": 3}, "account is a text"),
        ({"all": True, "reason": "a\nb"}, "a reason is one line"),
        ({"all": True, "reason": "x" * (MAX_REASON + 1)}, "a reason is one line"),
        ({"all": True, "after": "x"}, "after is what"),
        ({"all": True, "after": "0:x"}, "after is what"),
        ({"all": True, "after": 3}, "after is what"),
        ({"all": True, "until": 3}, "unknown argument 'until'"),
    ],
)
async def test_bad_arguments_are_refused(
    jobs: Queue, arguments: dict[str, object], told: str
) -> None:
    await jobs.add(1)
    with pytest.raises(Refused, match=told) as caught:
        await jobs.verbs.table()["queue.cancel"](arguments)
    assert caught.value.kind is RefusalKind.USAGE
    assert await jobs.status(1) is JobStatus.QUEUED


async def test_an_account_that_nobody_knows_is_told_with_the_nearest(jobs: Queue) -> None:
    with pytest.raises(Refused, match=r"no account 'wrok'; did you mean 'work'\?") as caught:
        await jobs.say("hold", account="wrok")
    assert caught.value.kind is RefusalKind.UNKNOWN
    assert await jobs.say("hold", account="work") == []
    await jobs.add(1, "gone")
    assert len(await jobs.say("hold", account="gone")) == 1, "its jobs are there"


async def test_a_closed_store_is_told_as_a_matter_of_time(jobs: Queue) -> None:
    await jobs.store.close()
    with pytest.raises(Refused, match="closed") as caught:
        await jobs.say("hold", all=True)
    assert caught.value.kind is RefusalKind.UNAVAILABLE
