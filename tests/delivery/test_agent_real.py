"""The delivery agent with the real store, the real exchange and a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncnet.config.sections import AccountSettings, QueueSettings, SecretSource
from asyncnet.config.values import Endpoint
from asyncnet.delivery.agent import DeliveryAgent
from asyncnet.lab.sink import Sink
from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Claim, NewMessage, OnDoubt, Record
from tests.support.delivery_doubles import Clock

CONTENT = b"From: me@example.org\r\nSubject: hello\r\n\r\nhello\r\n"
LOGIN = ("me", "open sesame")


class Post:
    """A store in a folder, a sink that wants a login, and an agent between them."""

    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.sink = Sink([Endpoint("127.0.0.1", 0)], folder / "mail", login=LOGIN)
        self.store = SqliteStore(folder / "queue.db", folder / "queue", dedup_window_s=3600.0)
        self.running: asyncio.Task[None] | None = None
        self.password = LOGIN[1]
        self.port = 0

    async def open(self) -> None:
        await self.sink.start()
        self.port = self.sink.endpoints[0].port
        await self.store.open(self.clock())

    def start(self) -> None:
        account = AccountSettings(
            host="127.0.0.1",
            port=self.port,
            tls="none",
            user=LOGIN[0],
            secret=SecretSource.model_validate({"value": self.password}),
        )
        self.agent = DeliveryAgent(
            self.store,
            {"work": account},
            QueueSettings(jitter=0.0),
            clock=self.clock,
            sleep=self.clock.sleep,
        )
        self.running = asyncio.create_task(self.agent.run())

    async def stop(self, grace_s: float = 10.0) -> None:
        if self.running is not None:
            await self.agent.stop(grace_s)
            await self.running
            self.running = None

    async def close(self) -> None:
        await self.stop(0.0)
        await self.store.close()
        await self.sink.stop()

    async def drop(
        self,
        queue_id: str,
        *recipients: str,
        route: Route | None = None,
        octets: bytes = CONTENT,
        on_doubt: OnDoubt = "retry",
    ) -> None:
        now = self.clock()
        message = NewMessage(
            Claim(queue_id, queue_id, f"{queue_id}.yaml", now),
            f"<{queue_id}@example.org>",
            Envelope("me@example.org", recipients),
            route or Route(account="work"),
            due_at=now,
            expires_at=now + 172_800.0,
            on_doubt=on_doubt,
        )
        await self.store.accept(message, Octets(octets), now)

    async def outcome(self, queue_id: str) -> Record:
        """The record of a job once it is finished."""
        while True:
            self.store.finished.clear()
            (record,) = await self.store.find(queue_id)
            if record.status.final:
                return record
            await self.store.finished.wait()


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    (tmp_path / "queue").mkdir()
    built = Post(tmp_path)
    await built.open()
    yield built
    await built.close()


async def test_mail_goes_from_the_store_to_the_sink(post: Post) -> None:
    post.start()
    for number in range(20):
        await post.drop(f"{number:02}", "a@example.org", "b@example.org")
    records = [await post.outcome(f"{number:02}") for number in range(20)]
    assert {record.status for record in records} == {JobStatus.SENT}
    assert {record.attempts for record in records} == {1}
    assert records[0].server == f"127.0.0.1:{post.port}"
    assert records[0].recipients[0].verdict.code == 250
    assert post.sink.stored == 20


async def test_large_content_goes_too(post: Post) -> None:
    post.start()
    await post.drop("1", "a@example.org", octets=CONTENT + b"x" * 76 * 20_000 + b"\r\n")
    record = await post.outcome("1")
    # The sink judges: no line may be that long.
    assert record.recipients[0].verdict.code == 500
    await post.drop("2", "a@example.org", octets=CONTENT + (b"x" * 76 + b"\r\n") * 20_000)
    assert (await post.outcome("2")).status is JobStatus.SENT


async def test_each_recipient_gets_its_own_verdict(post: Post) -> None:
    post.start()
    await post.drop("1", "a@example.org", "reject-550@example.org", "reject-552@example.org")
    record = await post.outcome("1")
    assert record.status is JobStatus.PARTIAL
    statuses = [(r.verdict.status.value, r.verdict.code) for r in record.recipients]
    assert statuses == [("accepted", 250), ("rejected", 550), ("rejected", 552)]


async def test_a_deferred_recipient_is_tried_again(post: Post) -> None:
    post.start()
    await post.drop("1", "a@example.org", "defer-451-once@example.org")
    while (await post.store.find("1"))[0].status is not JobStatus.DEFERRED:
        await post.clock.advance(0.0)
    await post.clock.advance(60.0)
    record = await post.outcome("1")
    assert (record.status, record.attempts) == (JobStatus.SENT, 2)
    assert post.sink.stored == 2


async def test_a_connection_that_died_meanwhile_costs_nothing(post: Post) -> None:
    post.start()
    await post.drop("1", "a@example.org")
    await post.outcome("1")
    await post.drop("2", "drop-rcpt-once@example.org")
    record = await post.outcome("2")
    assert (record.status, record.attempts) == (JobStatus.SENT, 1)


async def test_a_lost_answer_is_in_doubt(post: Post) -> None:
    post.start()
    await post.drop("1", "drop-after-dot@example.org", on_doubt="fail")
    record = await post.outcome("1")
    assert record.status is JobStatus.IN_DOUBT
    assert post.sink.stored == 1


async def test_a_lost_answer_may_mean_a_duplicate(post: Post) -> None:
    post.start()
    await post.drop("1", "drop-after-dot-once@example.org")
    while (await post.store.find("1"))[0].status is not JobStatus.DEFERRED:
        await post.clock.advance(0.0)
    await post.clock.advance(60.0)
    record = await post.outcome("1")
    assert record.status is JobStatus.SENT
    assert record.recipients[0].possible_duplicate
    assert post.sink.stored == 2


async def test_a_bad_password_holds_the_account_until_it_is_right(post: Post) -> None:
    post.password = "wrong"
    post.start()
    await post.drop("1", "a@example.org")
    while "work" not in await post.store.account_states():
        await post.clock.advance(0.0)
    await post.stop()
    state = (await post.store.account_states())["work"]
    assert (state.state, state.failures) == ("held", 1)
    assert "wrong" not in repr(state)
    post.password = LOGIN[1]
    post.start()
    record = await post.outcome("1")
    assert (record.status, record.attempts) == (JobStatus.SENT, 1)
    await post.stop()
    assert (await post.store.account_states())["work"].state == "ok"


async def test_a_server_of_the_jobs_own_that_is_not_there_holds_nobody_up(post: Post) -> None:
    post.start()
    route = Route(server=Server("127.0.0.1", 1, "none"))
    await post.drop("1", "a@example.org", route=route)
    await post.drop("2", "a@example.org")
    assert (await post.outcome("2")).status is JobStatus.SENT
    while route.key not in await post.store.account_states():
        await post.clock.advance(0.0)
    assert (await post.store.account_states())[route.key].state == "down"


async def test_stopping_leaves_nothing_leased(post: Post) -> None:
    connected = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    post.start()
    await post.drop("1", "a@example.org", route=Route(server=Server("127.0.0.1", port, "none")))
    await connected.wait()
    await post.stop(0.0)
    (lease,) = await post.store.lease(post.clock(), 10)
    assert (lease.queue_id, lease.attempts) == ("1", 0)
    silent.close()
    await silent.wait_closed()
