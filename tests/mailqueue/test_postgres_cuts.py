"""The line to the database cut at every message of every call: its effect is there exactly once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.store import Acceptance, AccountState, Effect, Refusal, Store, Word
from tests.mailqueue.messages import (
    ACCEPTED,
    DEDUP_WINDOW_S,
    DEFERRED,
    LARGE,
    NOW,
    SMALL,
    claim,
    message,
    settled,
)
from tests.support.cutting_proxy import CuttingProxy, Way
from tests.support.postgres import PostgresServer

MANY = 60  # chunks: no call has so many


class Line:
    """A store behind a line that can be cut."""

    def __init__(self, proxy: CuttingProxy, url: str, cleanup: AsyncExitStack) -> None:
        self.proxy = proxy
        self._url = url
        self._cleanup = cleanup

    async def store(self, owner: str = "here") -> PostgresStore:
        store = PostgresStore(self._url, owner, dedup_window_s=DEDUP_WINDOW_S)
        self._cleanup.push_async_callback(store.close)
        await store.open(NOW)
        return store


@pytest.fixture
async def line(postgres_server: PostgresServer) -> AsyncIterator[Line]:
    url = await postgres_server.new_schema()
    async with AsyncExitStack() as cleanup:
        proxy = await cleanup.enter_async_context(CuttingProxy(postgres_server.port).running())
        yield Line(proxy, url.replace(str(postgres_server.port), str(proxy.port)), cleanup)


Call = Callable[[Store, str], Awaitable[None]]


async def accept_small(store: Store, queue_id: str) -> None:
    given = message(queue_id, "b@example.org", "c@example.org", job_id=queue_id)
    assert await store.accept(given, SMALL, NOW) is Acceptance.QUEUED
    (record,) = await store.find(queue_id)
    assert (record.status, len(record.recipients)) == (JobStatus.QUEUED, 2)


async def accept_large(store: Store, queue_id: str) -> None:
    assert await store.accept(message(queue_id), LARGE, NOW) is Acceptance.QUEUED
    (lease,) = await store.lease(NOW, 1)
    # In a thread: the line that is cut is served on this loop.
    content = store.content(lease)
    assert await asyncio.to_thread(lambda: b"".join(content.blocks())) == LARGE.data
    await store.settle(lease, settled(ACCEPTED), NOW)


async def refuse(store: Store, queue_id: str) -> None:
    await store.refuse(Refusal(claim(queue_id), ()), NOW)
    (record,) = await store.find(queue_id)
    assert record.status is JobStatus.INVALID


async def send(store: Store, queue_id: str) -> None:
    await store.accept(message(queue_id), SMALL, NOW)
    (lease,) = await store.lease(NOW, 1)
    assert lease.queue_id == queue_id
    await store.mark_dot(lease)
    await store.settle(lease, settled(DEFERRED, due_at=NOW), NOW)
    (again,) = await store.lease(NOW, 1)
    assert (again.queue_id, again.attempts) == (queue_id, 1)
    await store.settle(again, settled(ACCEPTED), NOW)
    (record,) = await store.find(queue_id)
    assert (record.status, record.attempts) == (JobStatus.SENT, 2)


async def report(store: Store, queue_id: str) -> None:
    await store.refuse(Refusal(claim(queue_id), ()), NOW)
    assert queue_id in {it.claim.queue_id for it in await store.unreported(1000)}
    await store.mark_reported([queue_id])
    assert await store.unreported(1000) == []
    assert await store.purge(NOW + 1) in (0, 1)  # 0: purged, and the answer was lost
    assert await store.known([queue_id]) == frozenset()


async def instruct(store: Store, queue_id: str) -> None:
    await store.accept(message(queue_id), SMALL, NOW)
    (told,) = await store.instruct(Word.CANCEL, [queue_id], NOW)
    assert told.effect in (Effect.DONE, Effect.FINISHED)
    assert told.status is JobStatus.CANCELED


async def account(store: Store, queue_id: str) -> None:
    await store.set_account_state(AccountState("work", "held", until=0.0, reason=queue_id))
    assert (await store.account_states())["work"].reason == queue_id


@pytest.mark.parametrize("way", ["request", "answer"])
@pytest.mark.parametrize(
    "call", [accept_small, accept_large, refuse, send, report, instruct, account]
)
async def test_a_line_cut_anywhere_changes_nothing(line: Line, call: Call, way: Way) -> None:
    store = await line.store()
    for number in range(1, MANY):
        line.proxy.cut_at(way, number)
        cuts = line.proxy.cuts
        await call(store, f"Q{number:03}")
        line.proxy.disarm()
        if line.proxy.cuts == cuts:
            break
    else:
        pytest.fail("the call has more messages than were cut")
    assert number > 3


async def test_a_start_is_cut_anywhere(line: Line) -> None:
    for number in range(1, MANY):
        line.proxy.cut_at("answer", number)
        cuts = line.proxy.cuts
        store = await line.store(f"machine {number}")
        line.proxy.disarm()
        assert await store.records() == []
        await store.close()
        if line.proxy.cuts == cuts:
            return
    pytest.fail("the start has more messages than were cut")


async def test_bells_that_rang_while_the_line_was_cut_are_made_up_for(line: Line) -> None:
    store = await line.store()
    store.ready.clear()
    store.finished.clear()
    line.proxy.cut()
    async with asyncio.timeout(20):
        await store.ready.wait()
        await store.finished.wait()
