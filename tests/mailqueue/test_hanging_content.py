"""Contents that have yet to be read, from a disk that hangs, keep only their like waiting."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from structlog.testing import capture_logs

from asyncnet.mail.letter import Octets
from asyncnet.mailqueue import being_read
from asyncnet.mailqueue.store import HELD_OCTETS, Acceptance
from tests.mailqueue.engines import Engine
from tests.mailqueue.messages import ACCEPTED, LARGE, NOW, SMALL, message, settled

HANGING = 8  # more than any engine reads at once
HUGE = Octets(b"x" * (HELD_OCTETS + 1))


class Hanging:
    """Content whose disk answers once it is let go."""

    octets = LARGE.octets

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self._go_on = threading.Event()
        self._loop = asyncio.get_running_loop()

    def let_go(self) -> None:
        self._go_on.set()

    def blocks(self) -> Iterator[bytes]:
        self._loop.call_soon_threadsafe(self.begun.set)
        self._go_on.wait(60)
        yield LARGE.data


async def test_what_lies_in_memory_is_accepted_while_reads_hang(engine: Engine) -> None:
    # So that one read in the loop's own threads is enough to stop it.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    store = await engine.open()
    content = Hanging()
    hanging = [
        asyncio.ensure_future(store.accept(message(f"H{it}"), content, NOW))
        for it in range(HANGING)
    ]
    try:
        await content.begun.wait()
        async with asyncio.timeout(20):
            for queue_id, present in (("Q1", SMALL), ("Q2", LARGE), ("Q3", HUGE)):
                assert await store.accept(message(queue_id), present, NOW) is Acceptance.QUEUED
            for lease in await store.lease(NOW, 10):
                await store.settle(lease, settled(ACCEPTED), NOW)
            await store.mark_reported(["Q1", "Q2", "Q3"])
            await asyncio.to_thread(int)  # whoever else waits for one of the loop's threads
        assert not any(it.done() for it in hanging)
    finally:
        content.let_go()
    assert await asyncio.gather(*hanging) == [Acceptance.QUEUED] * HANGING


async def test_closing_does_not_wait_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What hangs is not accepted, and leaves nothing behind that the next one does not remove."""
    monkeypatch.setattr(being_read, "CLOSE_S", 0.05)
    store = await engine.open()
    content = Hanging()
    hanging = [
        asyncio.ensure_future(store.accept(message(f"H{it}"), content, NOW))
        for it in range(HANGING)
    ]
    await content.begun.wait()
    with capture_logs() as logs:
        await store.close()
    assert {it["queue_id"] for it in logs} == {f"H{it}" for it in range(HANGING)}
    ended = await asyncio.gather(*hanging, return_exceptions=True)
    assert all(isinstance(it, asyncio.CancelledError) for it in ended)
    store = await engine.open()
    assert engine.content_files() == []
    assert await store.known([f"H{it}" for it in range(HANGING)]) == frozenset()
    assert await store.accept(message("H0"), LARGE, NOW) is Acceptance.QUEUED
    content.let_go()


async def test_closing_waits_for_what_is_being_read(engine: Engine) -> None:
    """It is either accepted or leaves nothing behind."""
    store = await engine.open()
    content = Hanging()
    accepted = asyncio.ensure_future(store.accept(message("Q1"), content, NOW))
    await content.begun.wait()
    closing = asyncio.create_task(store.close())
    # Closing has got as far as it can when it has had its turns.
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await asyncio.shield(closing)
    content.let_go()
    assert await accepted is Acceptance.QUEUED
    await closing
    store = await engine.open()
    assert await store.known(["Q1"]) == {"Q1"}
