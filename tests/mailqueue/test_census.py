"""What the operators' pages ask of the store, on every engine."""

import apsw
import pytest

from asyncnet.mail.envelope import Route, Server
from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import Census, Depth, Ended, Refusal, Store, Word
from tests.mailqueue.engines import Engine, SqliteEngine
from tests.mailqueue.messages import (
    ACCEPTED,
    DEFERRED,
    NOW,
    REJECTED,
    SMALL,
    claim,
    leased,
    message,
    settled,
)

ODD = Route(server=Server("mx.example.test", 25, "none"))


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


async def defer(store: Store, queue_id: str) -> None:
    lease = await leased(store, queue_id)
    await store.settle(lease, settled(DEFERRED, due_at=NOW + 60), NOW)


async def test_an_empty_queue_has_no_depth_and_no_oldest(store: Store) -> None:
    assert await store.census() == Census({}, None)


async def test_each_message_is_counted_once_where_it_stands(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await defer(store, "Q1")
    await store.accept(message("Q2"), SMALL, NOW)
    await leased(store, "Q2")
    for queue_id in ("Q3", "Q4", "Q5"):
        await store.accept(message(queue_id, route=ODD), SMALL, NOW)
    await store.instruct(Word.HOLD, ["Q5"], NOW)
    await store.refuse(Refusal(claim("Q6"), ()), NOW)
    assert (await store.census()).depths == {
        "work": Depth(deferred=1, sending=1),
        ODD.key: Depth(queued=2, held=1),
    }


async def test_a_deferred_message_that_is_being_sent_counts_as_sent_alone(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await defer(store, "Q1")
    await leased(store, "Q1", NOW + 60)
    assert (await store.census()).depths == {"work": Depth(sending=1)}


async def test_the_oldest_has_waited_since_it_was_due(store: Store) -> None:
    await store.accept(message("Q1", due_at=NOW + 3600), SMALL, NOW)  # its send_at
    assert (await store.census()).oldest_at == NOW + 3600
    await store.accept(message("Q2", route=ODD, priority=2, at=NOW - 5), SMALL, NOW)
    assert (await store.census()).oldest_at == NOW - 5


async def test_a_deferred_one_has_waited_since_it_came_in(store: Store) -> None:
    await store.accept(message("Q1", at=NOW - 100), SMALL, NOW)
    await defer(store, "Q1")
    assert (await store.census()).oldest_at == NOW - 100


async def test_a_held_message_does_not_count_as_waiting(store: Store) -> None:
    await store.accept(message("Q1", at=NOW - 100), SMALL, NOW)
    await store.instruct(Word.HOLD, ["Q1"], NOW)
    assert await store.census() == Census({"work": Depth(held=1)}, None)


async def test_the_latest_are_those_that_finished_last(store: Store) -> None:
    for n in range(4):
        await store.accept(message(f"Q{n}"), SMALL, NOW)
    for at, lease in enumerate(await store.lease(NOW, 4)):
        await store.settle(lease, settled(ACCEPTED), NOW - at)
    await store.mark_reported(["Q0", "Q2"])
    found = await store.latest(3)
    assert [it.queue_id for it in found] == ["Q0", "Q1", "Q2"]


async def test_a_result_tells_of_the_recipient_that_was_not_accepted(store: Store) -> None:
    await store.accept(message("Q1", "a@example.org", "b@example.org"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED, REJECTED), NOW)
    assert await store.latest(5) == [
        Ended(
            queue_id="Q1",
            name="hello",
            status=JobStatus.PARTIAL,
            account="work",
            attempts=1,
            finished_at=NOW,
            recipients=2,
            accepted=1,
            address="b@example.org",
            code=550,
            text="no such user",
            hint="a hint",
        )
    ]


async def test_a_result_tells_of_a_job_that_never_was_a_message(store: Store) -> None:
    await store.refuse(Refusal(claim("Q1"), (Problem("to", "is missing"),)), NOW)
    await store.refuse(Refusal(claim("Q2", name="bad\udcffname"), ()), NOW + 1)
    odd, plain = await store.latest(5)
    assert (odd.name, odd.text, odd.account) == ("bad\udcffname", "", "")
    assert (plain.status, plain.recipients, plain.address) == (JobStatus.INVALID, 0, None)
    assert plain.text == "to: is missing"


async def test_a_damaged_row_hides_no_other(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    for n in range(3):
        await store.refuse(Refusal(claim(f"Q{n}"), ()), NOW)
    await store.accept(message("Q9"), SMALL, NOW)
    await store.close()
    with apsw.Connection(str(sqlite.database)) as connection:
        connection.execute("UPDATE job SET status = 'nonsense' WHERE queue_id = 'Q1'")
        connection.execute("UPDATE job SET finished_at = 1e300 WHERE queue_id = 'Q2'")
        connection.execute("UPDATE job SET route_key = CAST(X'FF' AS TEXT) WHERE queue_id = 'Q9'")
    connection.close()
    store = await sqlite.open()
    assert [it.queue_id for it in await store.latest(5)] == ["Q0"]
    assert (await store.census()).depths == {}
