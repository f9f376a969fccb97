"""One flush for all who wait, and faults that are waited out."""

import asyncio
import gc
import threading

import pytest
from structlog.testing import capture_logs

from asyncnet.spool.errors import SpoolBroken
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.trouble import Trouble


async def test_those_who_come_while_one_runs_share_the_next() -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    flushes: list[str] = []

    def flush() -> None:
        flushes.append("begins")
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)
        flushes.append("ends")

    group = GroupFlush(flush)
    first = asyncio.create_task(group.wait())
    await begun.wait()
    begun.clear()
    others = [asyncio.create_task(group.wait()) for _ in range(100)]
    with pytest.raises(TimeoutError):  # a second one at a time would begin now
        async with asyncio.timeout(0.05):
            await begun.wait()
    assert not first.done()
    go_on.set()
    await asyncio.gather(first, *others)
    assert flushes == ["begins", "ends"] * 2


async def test_a_failed_flush_that_nobody_waits_for_any_more_is_no_loose_end() -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    loose: list[dict[str, object]] = []
    loop.set_exception_handler(lambda loop, context: loose.append(context))

    def flush() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)
        raise SpoolBroken("flush failed")

    group = GroupFlush(flush)
    gone = asyncio.create_task(group.wait())
    await begun.wait()
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    last = asyncio.create_task(group.wait())  # by it we see that the first is over
    go_on.set()
    await asyncio.gather(last, return_exceptions=True)
    del last, gone, group
    gc.collect()
    assert loose == []


async def test_a_failed_flush_is_told_to_all_who_waited_for_it_only() -> None:
    faults: list[Exception] = [OSError("no descriptors")]

    def flush() -> None:
        if faults:
            raise faults.pop()

    group = GroupFlush(flush)
    outcomes = await asyncio.gather(*(group.wait() for _ in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no descriptors"] * 3
    await group.wait()


async def test_after_a_failed_flush_there_is_no_good_one() -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    faults: list[Exception] = [SpoolBroken("flush failed")]

    def flush() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)
        if faults:
            raise faults.pop()

    group = GroupFlush(flush)
    first = asyncio.create_task(group.wait())
    await begun.wait()
    second = asyncio.create_task(group.wait())  # for the flush after that one
    await asyncio.sleep(0)
    go_on.set()
    for outcome in await asyncio.gather(first, second, return_exceptions=True):
        assert isinstance(outcome, SpoolBroken)
    with pytest.raises(SpoolBroken, match="flush failed"):
        await group.wait()


async def test_one_who_is_cancelled_leaves_the_flush_to_the_others() -> None:
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def flush() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    group = GroupFlush(flush)
    one, other = asyncio.create_task(group.wait()), asyncio.create_task(group.wait())
    await begun.wait()
    one.cancel()
    go_on.set()
    await other
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_a_fault_is_said_once_and_so_is_its_end() -> None:
    trouble = Trouble("intake", asyncio.Event())
    with capture_logs() as logs:
        trouble.over()
        for reason in ("disk full", "disk full", "no descriptors"):
            await trouble.wait(reason)
        trouble.over()
        trouble.over()
    assert [(entry["event"], entry.get("reason", entry.get("was"))) for entry in logs] == [
        ("intake waits", "disk full"),
        ("intake waits", "no descriptors"),
        ("intake goes on", "no descriptors"),
    ]


async def test_nobody_waits_for_a_service_that_stops() -> None:
    stopping = asyncio.Event()
    stopping.set()
    async with asyncio.timeout(0.5):
        for _ in range(1000):
            await Trouble("intake", stopping).wait("disk full")
