"""A clock that is put back: what waits by it goes back, too, and what a person set stays."""

import asyncio
from dataclasses import replace
from math import inf

from asyncnet.mailqueue.clock_watch import TOLERATED_S, ClockWatch
from asyncnet.mailqueue.store import AccountState, Settlement, StoreError
from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.messages import NOW, SMALL, leased, message

DAY_S = 86_400.0
BEFORE = NOW + 2 * DAY_S  # what the clock said, and then it was put back by two days


async def test_mail_that_waits_by_the_clock_goes_back_with_it(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    await store.accept(message("RETRIED", at=BEFORE), SMALL, BEFORE)
    lease = await leased(store, "RETRIED", BEFORE)
    await store.settle(lease, Settlement({}, BEFORE + 60.0, counted=False), BEFORE)
    await store.accept(message("NEW", at=BEFORE), SMALL, BEFORE)
    to_come = replace(message("TO COME", at=BEFORE), due_at=BEFORE + 5.0)  # its send_at
    await store.accept(to_come, SMALL, BEFORE)
    # That was due as it came in, and is, whatever the clock says.
    assert [it.queue_id for it in await store.lease(NOW + 60.0, 10)] == ["NEW"]

    store.ready.clear()
    await store.clock_put_back(2 * DAY_S, BEFORE)
    assert store.ready.is_set()
    assert await store.lease(NOW, 10) == []
    assert [it.queue_id for it in await store.lease(NOW + 60.0, 10)] == ["RETRIED"]
    assert [it.queue_id for it in await store.lease(BEFORE + 5.0, 10)] == ["TO COME"]


async def test_accounts_that_wait_go_back_with_the_clock_unless_a_person_holds_them(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    await store.set_account_state(AccountState("down", "down", BEFORE + 10.0))
    await store.set_account_state(AccountState("held", "held", inf))
    await store.clock_put_back(2 * DAY_S, BEFORE)
    until = {name: state.until for name, state in (await store.account_states()).items()}
    assert until == {"down": NOW + 10.0, "held": inf}


class Clocks:
    """One that is set, one that is not, and the store that is told."""

    def __init__(self) -> None:
        self.wall, self.steady = BEFORE, 1000.0
        self.told: asyncio.Queue[tuple[float, float]] = asyncio.Queue()
        self.faults: list[StoreError] = []

    async def clock_put_back(self, by_s: float, before: float) -> None:
        if self.faults:
            raise self.faults.pop()
        self.told.put_nowait((by_s, before))

    def watch(self) -> ClockWatch:
        return ClockWatch(
            self,  # type: ignore[arg-type]  # all that it asks of a store
            clock=lambda: self.wall,
            steady=lambda: self.steady,
            look_s=0.0,
        )


async def test_a_clock_that_was_put_back_is_told_once_and_until_the_store_has_it() -> None:
    clocks = Clocks()
    clocks.faults = [StoreError("the disk is full")]
    watch = clocks.watch()
    task = asyncio.create_task(watch.run())
    clocks.wall += 3.0 - DAY_S
    clocks.steady += 3.0
    async with asyncio.timeout(10):
        assert await clocks.told.get() == (DAY_S, BEFORE + 3.0)
    for _ in range(20):
        await asyncio.sleep(0)
    await watch.stop()
    await task
    assert clocks.told.empty()


async def test_a_clock_that_goes_forward_or_is_slewed_is_let_be() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    task = asyncio.create_task(watch.run())
    for step_s in (DAY_S, -TOLERATED_S / 2, -TOLERATED_S / 2, -TOLERATED_S / 2):
        clocks.wall += step_s
        for _ in range(20):
            await asyncio.sleep(0)
    await watch.stop()
    await task
    assert clocks.told.empty()
