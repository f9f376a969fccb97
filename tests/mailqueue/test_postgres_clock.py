"""The server's own clock is put back: leases run by it, and a dead machine's do not wait for it."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from asyncnet.mailqueue.store import Lease
from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import ACCEPTED, SMALL, message, settled
from tests.mailqueue.test_postgres_machines import TERM_S, machine
from tests.support.clock import FakeClock, NoFakeClock
from tests.support.postgres import PostgresServer

DAY_S = 86_400


@pytest.fixture
async def ahead(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[PostgresEngine, FakeClock]]:
    """A server whose clock is a day ahead since before its start, and that clock."""
    server = PostgresServer()
    try:
        try:
            clock = FakeClock(server.folder)
        except NoFakeClock as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"LEFT OUT: {error}")
        clock.put(DAY_S)
        with monkeypatch.context() as only_here:
            for name, value in clock.environment.items():
                only_here.setenv(name, value)
            server.start()
        async with AsyncExitStack() as cleanup:
            yield PostgresEngine(server, cleanup), clock
    finally:
        server.remove()


async def test_the_mails_of_a_dead_machine_do_not_wait_for_a_clock_that_was_put_back(
    ahead: tuple[PostgresEngine, FakeClock],
) -> None:
    postgres, clock = ahead
    store = await postgres.another("here", time.time(), term_s=TERM_S)
    assert postgres.url is not None
    for queue_id in ("Q0", "Q1"):
        expires_at = time.time() + 2 * DAY_S
        await store.accept(message(queue_id, expires_at=expires_at), SMALL, time.time())
    (kept,) = await store.lease(time.time(), 1)
    async with machine(postgres.url, "there", "hold") as there:
        there.go_on()
        assert await there.line() == "leased 1"
        there.signal(signal.SIGKILL)
    clock.put(0)
    leases: list[Lease] = []
    async with asyncio.timeout(20):
        while not leases:
            store.ready.clear()
            if not (leases := await store.lease(time.time(), 10)):
                await store.ready.wait()
    # Who lives has not lost what it holds.
    for lease in (kept, *leases):
        await store.settle(lease, settled(ACCEPTED), time.time())
    assert sorted(it.queue_id for it in (kept, *leases)) == ["Q0", "Q1"]
