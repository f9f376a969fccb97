"""Big and small senders: nobody's single mail waits behind another's thousands."""

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import apsw
import pytest

from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mailqueue.postgres_access import Access
from asyncnet.mailqueue.postgres_link import QUERIES as POSTGRES_QUERIES
from asyncnet.mailqueue.store import Lease, NewMessage, Store, Word
from asyncnet.mailqueue.turns import Turns
from tests.mailqueue.engines import Engine, PostgresEngine, SqliteEngine
from tests.mailqueue.messages import ACCEPTED, DEFERRED, NOW, SMALL, message, settled

LANE = ("work", 1)


def rows_of(plan: dict[str, Any]) -> list[float]:
    """What each node of a plan gave or threw away."""
    own = plan["Actual Rows"] * plan["Actual Loops"] + plan.get("Rows Removed by Filter", 0)
    return [own, *(it for part in plan.get("Plans", ()) for it in rows_of(part))]


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


def mail(sender: str, number: int, **changes: Any) -> NewMessage:
    given = message(f"{sender}{number:05}", **changes)
    return replace(given, envelope=Envelope(f"{sender}@example.org", ("x@example.org",)))


async def dropped(store: Store, sender: str, numbers: Iterable[int], **changes: Any) -> None:
    await asyncio.gather(
        *(store.accept(mail(sender, number, **changes), SMALL, NOW) for number in numbers)
    )


def ids(leases: Iterable[Lease]) -> list[str]:
    return [lease.queue_id for lease in leases]


async def test_a_single_mail_does_not_wait_behind_a_thousand_of_another(store: Store) -> None:
    await dropped(store, "a", range(1000))
    await dropped(store, "b", [0], due_at=NOW)
    assert ids(await store.lease(NOW, 3)) == ["a00000", "b00000", "a00001"]


async def test_a_single_mail_is_next_wherever_the_thousand_are(store: Store) -> None:
    await dropped(store, "a", range(1000))
    for _ in range(5):
        await store.lease(NOW, 64)
    await dropped(store, "b", [0])
    assert "b00000" in ids(await store.lease(NOW, 2))


async def test_big_senders_go_mail_by_mail_and_each_in_its_order(store: Store) -> None:
    for sender in "abc":
        await dropped(store, sender, range(40))
    taken = ids(await store.lease(NOW, 30))
    assert sorted(taken) == sorted(f"{it}{number:05}" for it in "abc" for number in range(10))
    for sender in "abc":
        own = [it for it in taken if it.startswith(sender)]
        assert own == sorted(own)


async def test_who_was_served_has_no_credit_and_no_debt(store: Store) -> None:
    await dropped(store, "a", range(50))
    assert len(await store.lease(NOW, 100)) == 50
    await dropped(store, "b", range(50))  # nobody waited: all begin anew
    await dropped(store, "a", [50])
    assert "a00050" in ids(await store.lease(NOW, 2))
    await store.lease(NOW, 30)
    await dropped(store, "c", range(5))  # was not there before, and gets nothing for that
    assert sorted(it[0] for it in ids(await store.lease(NOW, 8))) == ["b"] * 4 + ["c"] * 4


async def test_letter_case_makes_no_other_sender(store: Store) -> None:
    await dropped(store, "a", range(10))
    await dropped(store, "A", range(10))
    await dropped(store, "b", [0])
    assert "b00000" in ids(await store.lease(NOW, 2))


async def test_priority_comes_before_fairness(store: Store) -> None:
    await dropped(store, "a", range(100), priority=0)
    await dropped(store, "b", [0], priority=1)
    taken = ids(await store.lease(NOW, 101))
    assert taken.index("b00000") == 100


async def test_accounts_with_long_lines_go_in_turn(store: Store) -> None:
    await dropped(store, "a", range(100))
    await dropped(store, "b", range(3), route=Route("other"))
    assert sorted(ids(await store.lease(NOW, 6))) == sorted(
        f"{it}{number:05}" for it in "ab" for number in range(3)
    )


async def test_what_is_tried_again_goes_beside_the_line_not_behind_it(store: Store) -> None:
    await dropped(store, "r", range(2))
    for lease in await store.lease(NOW, 2):
        await store.settle(lease, settled(DEFERRED, due_at=NOW + 60), NOW)
    await dropped(store, "a", range(100))
    assert ids(await store.lease(NOW + 59, 2)) == ["a00000", "a00001"]
    assert sorted(ids(await store.lease(NOW + 60, 4))) == ["a00002", "a00003", "r00000", "r00001"]


async def test_a_single_mail_does_not_wait_behind_a_thousand_that_are_tried_again(
    store: Store,
) -> None:
    await dropped(store, "a", range(300))
    leases = await store.lease(NOW, 300)
    await asyncio.gather(
        *(store.settle(it, settled(DEFERRED, due_at=NOW + 60), NOW) for it in leases)
    )
    await dropped(store, "b", [0])
    assert "b00000" in ids(await store.lease(NOW + 90, 2))


async def test_what_a_person_released_goes_by_its_time(store: Store) -> None:
    await dropped(store, "a", range(100))
    held = ["a00098", "a00099"]
    await store.instruct(Word.HOLD, held, NOW)
    await store.instruct(Word.RELEASE, held, NOW)
    assert sorted(ids(await store.lease(NOW, 4))) == ["a00000", "a00001", *held]


async def test_turns_outlive_a_restart_and_nobody_waits_longer_for_it(engine: Engine) -> None:
    store = await engine.open()
    await dropped(store, "a", range(100))
    taken = ids(await store.lease(NOW, 10))
    store = await engine.crash()
    await dropped(store, "b", range(2))
    await dropped(store, "a", range(100, 110))
    # The leases taken back go by their time, beside the line.
    after = ids(await store.lease(NOW, 12))
    assert {"b00000", "b00001"} <= set(after)
    assert len(set(after) & set(taken)) == 6


async def test_every_mail_of_many_senders_is_sent_once(store: Store) -> None:
    for sender, number in (("a", 60), ("b", 20), ("c", 1)):
        await dropped(store, sender, range(number))
    sent = []
    while leases := await store.lease(NOW, 7):
        sent += ids(leases)
        await asyncio.gather(*(store.settle(it, settled(ACCEPTED), NOW) for it in leases))
    assert len(sent) == len(set(sent)) == 81
    assert await store.next_due(NOW) is None


async def test_a_machine_that_knows_nothing_of_the_burst_puts_no_one_behind_it(
    postgres: PostgresEngine,
) -> None:
    here, there = await postgres.another("here"), await postgres.another("there")
    await dropped(here, "a", range(200))
    await dropped(there, "b", [0])
    assert "b00000" in ids(await there.lease(NOW, 2))


# What it costs


async def test_what_waits_for_its_time_is_not_walked(
    sqlite: SqliteEngine, connections: list[apsw.Connection]
) -> None:
    store = await sqlite.open()
    await dropped(store, "s", range(5_000), due_at=NOW + 60)
    await dropped(store, "a", range(5_000))
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    for opened in connections:
        opened.set_progress_handler(count, 1)
    assert ids(await store.lease(NOW, 4)) == [f"a{n:05}" for n in range(4)]
    await dropped(store, "b", [0])
    assert steps < 3_000  # virtual machine instructions; a walk of the 5,000 is ten times that


async def test_what_waits_for_its_time_is_not_walked_on_postgresql(
    postgres: PostgresEngine,
) -> None:
    store = await postgres.open()
    await dropped(store, "s", range(2_000), due_at=NOW + 60)
    await dropped(store, "a", range(300))
    assert postgres.url is not None
    connection: Any = await Access(postgres.url).connect()
    told = await connection.fetchval(
        f"EXPLAIN (ANALYZE, FORMAT JSON) {POSTGRES_QUERIES['present_turns']}", [b"work"], [1]
    )
    await connection.close()

    assert max(rows_of(json.loads(told)[0]["Plan"])) <= 1


# Turns by themselves


def test_the_turn_of_a_sender_is_after_its_last_and_never_before_the_present_one() -> None:
    turns = Turns()
    turns.now_at(LANE, None)
    assert [turns.take(LANE, it) for it in "aaabba"] == [1, 2, 3, 1, 2, 4]
    turns.now_at(LANE, 3)
    assert [turns.take(LANE, it) for it in "bca"] == [3, 3, 5]
    turns.now_at(LANE, None)
    assert [turns.take(LANE, it) for it in "ab"] == [1, 1]


def test_lanes_have_nothing_to_do_with_each_other() -> None:
    turns = Turns()
    for lane in (LANE, ("work", 2), ("other", 1)):
        turns.now_at(lane, None)
        assert [turns.take(lane, "a") for _ in range(2)] == [1, 2]


def test_a_flood_of_senders_makes_those_forgotten_whose_turn_is_over() -> None:
    turns = Turns(most_remembered=100)
    turns.now_at(LANE, None)
    for _ in range(50):
        turns.take(LANE, "big")
    for number in range(97):
        turns.take(LANE, f"sender-{number}")
    turns.now_at(LANE, 40)
    assert turns.take(LANE, "one more") == 40
    assert turns.take(LANE, "the one too many") == 40
    assert turns.take(LANE, "big") == 51
    assert turns.remembered < 10


def test_a_flood_of_senders_or_lanes_that_all_wait_makes_all_forgotten() -> None:
    turns = Turns(most_remembered=100)
    for number in range(1_000):
        for lane, sender in ((LANE, f"sender-{number}"), ((f"lane-{number}", 1), "a")):
            turns.now_at(lane, 1)
            assert turns.take(lane, sender) == 1
            assert turns.remembered <= 100
