"""Several machines on one PostgreSQL queue: killed, stopped, cut off, restarted."""

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue import postgres_link
from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.store import AccountState, Lease, LeaseLost, StoreError
from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import (
    ACCEPTED,
    DEDUP_WINDOW_S,
    LARGE,
    NOW,
    SMALL,
    leased,
    message,
    settled,
)
from tests.support.cutting_proxy import CuttingProxy
from tests.support.postgres import PostgresServer

REPOSITORY = Path(__file__).parent.parent.parent
TERM_S = 1.0


class Machine:
    """A process of machine_process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the machine ended"
        return line.decode().strip()

    async def rest(self) -> list[str]:
        assert self._process.stdout is not None
        return (await self._process.stdout.read()).decode().splitlines()

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ended_well(self) -> bool:
        return await self._process.wait() == 0

    async def end(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()


@asynccontextmanager
async def machine(
    url: str, owner: str, work: str, term_s: float = TERM_S
) -> AsyncIterator[Machine]:
    """Open, and waiting for the word to begin."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.mailqueue.machine_process",
        url,
        owner,
        str(term_s),
        work,
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    it = Machine(process)
    try:
        assert await it.line() == "open"
        yield it
    finally:
        await it.end()


async def test_the_mails_of_a_killed_machine_are_carried_on(postgres: PostgresEngine) -> None:
    store = await postgres.another("here", time.time(), term_s=TERM_S)
    assert postgres.url is not None
    for n in range(4):
        await store.accept(message(f"Q{n}", expires_at=time.time() + 999), SMALL, time.time())
    async with machine(postgres.url, "there", "hold") as there:
        there.go_on()
        assert await there.line() == "leased 4"
        assert await store.lease(time.time(), 10) == []
        there.signal(signal.SIGKILL)
        leases: list[Lease] = []
        async with asyncio.timeout(10):
            while len(leases) < 4:
                store.ready.clear()
                leases += await store.lease(time.time(), 10)
                if len(leases) < 4:
                    await store.ready.wait()
    for lease in leases:
        await store.mark_dot(lease)
        await store.settle(lease, settled(ACCEPTED), time.time())
    doubted = {
        record.claim.queue_id: record.recipients[0].possible_duplicate
        for record in await store.records(states=[JobStatus.SENT])
    }
    assert doubted == {"Q0": True, "Q1": False, "Q2": True, "Q3": False}


async def test_a_stopped_machine_that_goes_on_has_lost_its_leases(
    postgres: PostgresEngine,
) -> None:
    store = await postgres.another("here", time.time(), term_s=TERM_S)
    assert postgres.url is not None
    for n in range(4):
        await store.accept(message(f"Q{n}", expires_at=time.time() + 999), SMALL, time.time())
    async with machine(postgres.url, "there", "hold") as there:
        there.go_on()
        assert await there.line() == "leased 4"
        there.signal(signal.SIGSTOP)
        leases: list[Lease] = []
        async with asyncio.timeout(10):
            while len(leases) < 4:
                store.ready.clear()
                leases += await store.lease(time.time(), 10)
                if len(leases) < 4:
                    await store.ready.wait()
        there.signal(signal.SIGCONT)
        there.go_on()
        assert [await there.line() for _ in range(4)] == [f"lost Q{n}" for n in range(4)]
    for lease in leases:
        await store.settle(lease, settled(ACCEPTED), time.time())
    assert dict(await store.counts()) == {JobStatus.SENT: 4}


async def test_a_machine_that_beats_keeps_its_leases(postgres: PostgresEngine) -> None:
    first = await postgres.another("here", time.time(), term_s=TERM_S)
    second = await postgres.another("there", time.time(), term_s=TERM_S)
    await first.accept(message("Q1", expires_at=time.time() + 999), SMALL, time.time())
    (lease,) = await first.lease(time.time(), 1)
    end = time.monotonic() + 3 * TERM_S
    while time.monotonic() < end:
        assert await second.lease(time.time(), 1) == []
        await asyncio.sleep(0.05)
    await first.mark_dot(lease)
    await first.settle(lease, settled(ACCEPTED), time.time())


async def test_a_machine_that_leaves_gives_its_leases_back_at_once(
    postgres: PostgresEngine,
) -> None:
    first = await postgres.another("here")
    await first.accept(message("Q1"), SMALL, NOW)
    await leased(first, "Q1")
    await first.close()
    second = await postgres.another("there")
    await leased(second, "Q1")


async def test_the_result_goes_to_the_machine_that_took_the_job_in(
    postgres: PostgresEngine,
) -> None:
    here, there = await postgres.another("here"), await postgres.another("there")
    there.ready.clear()
    await here.accept(message("Q1"), LARGE, NOW)
    async with asyncio.timeout(5):
        await there.ready.wait()
    lease = await leased(there, "Q1")
    assert b"".join(there.content(lease).blocks()) == LARGE.data
    here.finished.clear()
    await there.settle(lease, settled(ACCEPTED), NOW)
    assert await there.unreported(10) == []
    async with asyncio.timeout(5):
        await here.finished.wait()
    assert [it.claim.queue_id for it in await here.unreported(10)] == ["Q1"]


async def test_an_old_holder_is_fenced_off_on_every_machine(postgres: PostgresEngine) -> None:
    here, there = await postgres.another("here"), await postgres.another("there")
    await here.accept(message("Q1"), SMALL, NOW)
    old = await leased(here, "Q1")
    here = await postgres.another("here")  # the same machine, started again
    new = await leased(there, "Q1")
    for store in (here, there):
        with pytest.raises(LeaseLost):
            await store.mark_dot(old)
        with pytest.raises(LeaseLost):
            await store.settle(old, settled(ACCEPTED), NOW)
    # Nor did it mark the dot of the new one.
    there = await postgres.another("there")
    again = await leased(there, "Q1")
    assert again.fence > new.fence > old.fence
    assert not (await there.records())[0].recipients[0].possible_duplicate
    await there.settle(again, settled(ACCEPTED), NOW)


async def test_who_was_dead_for_the_others_leases_only_as_somebody_new(
    postgres: PostgresEngine,
) -> None:
    store = await postgres.another("here")
    await store.accept(message("Q1"), SMALL, NOW)
    await postgres.server.execute("DELETE FROM holder", postgres.url)
    lease = await leased(store, "Q1")
    ((orphans,),) = await postgres.server.fetch(
        "SELECT count(*) FROM job WHERE stage = 'leased' AND holder NOT IN (SELECT id FROM holder)",
        postgres.url,
    )
    assert orphans == 0
    await store.mark_dot(lease)


async def test_of_one_job_id_on_two_machines_at_once_one_is_queued(
    postgres: PostgresEngine,
) -> None:
    stores = [await postgres.another("here"), await postgres.another("there")]
    for round_number in range(20):
        outcomes = await asyncio.gather(
            *(
                store.accept(message(f"Q{round_number}-{n}", job_id=f"{round_number}"), SMALL, NOW)
                for n, store in enumerate(stores * 3)
            )
        )
        assert sorted(outcomes) == ["duplicate"] * 5 + ["queued"]


async def test_an_account_state_counts_on_every_machine(postgres: PostgresEngine) -> None:
    here, there = await postgres.another("here"), await postgres.another("there")
    await here.accept(message("Q1"), SMALL, NOW)
    there.ready.clear()
    await here.set_account_state(AccountState("work", "held", until=NOW + 60))
    async with asyncio.timeout(5):
        await there.ready.wait()
    assert await there.lease(NOW, 10) == []
    assert (await there.account_states())["work"].state == "held"


async def test_two_stores_never_lease_the_same_message(postgres: PostgresEngine) -> None:
    stores = [await postgres.another(name) for name in ("here", "there", "yonder")]
    for n in range(300):
        await stores[n % 3].accept(message(f"Q{n:03}"), SMALL, NOW)
    taken: list[str] = []

    async def take(store_number: int) -> None:
        empty = 0
        while empty < 3:
            leases = await stores[store_number % 3].lease(NOW, 7)
            taken.extend(lease.queue_id for lease in leases)
            empty = 0 if leases else empty + 1

    await asyncio.gather(*(take(n) for n in range(6)))
    assert sorted(taken) == [f"Q{n:03}" for n in range(300)]


async def test_a_thousand_messages_over_three_processes_are_leased_once_each(
    postgres: PostgresEngine,
) -> None:
    store = await postgres.another("here", time.time())
    assert postgres.url is not None
    expires_at = time.time() + 999
    await asyncio.gather(
        *(
            store.accept(message(f"Q{n:04}", expires_at=expires_at), SMALL, time.time())
            for n in range(1000)
        )
    )
    async with (
        machine(postgres.url, "one", "send", 30) as one,
        machine(postgres.url, "two", "send", 30) as two,
        machine(postgres.url, "three", "send", 30) as three,
    ):
        machines = (one, two, three)
        for it in machines:
            it.go_on()
        told = await asyncio.gather(*(it.rest() for it in machines))
    assert Counter(line for lines in told for line in lines) == Counter(
        f"Q{n:04} 1" for n in range(1000)
    )
    assert sum(1 for lines in told if lines) >= 2
    assert dict(await store.counts()) == {JobStatus.SENT: 1000}


@pytest.fixture
async def restarting(postgres_server: PostgresServer) -> AsyncIterator[PostgresServer]:
    yield postgres_server
    if not postgres_server.is_running:
        postgres_server.start()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restarted", "crashed"])
async def test_a_restarted_server_loses_nothing(
    postgres: PostgresEngine, restarting: PostgresServer, how: signal.Signals
) -> None:
    store = await postgres.another("here")
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await asyncio.to_thread(restarting.stop, how)
    under_way = asyncio.gather(
        store.mark_dot(lease), store.accept(message("Q2"), LARGE, NOW), store.counts()
    )
    await asyncio.sleep(0.1)
    await asyncio.to_thread(restarting.start)
    await under_way
    await store.settle(lease, settled(ACCEPTED), NOW)
    await leased(store, "Q2")
    assert dict(await store.counts()) == {JobStatus.SENT: 1, JobStatus.QUEUED: 1}


async def test_a_server_that_is_away_is_told_and_comes_back(
    postgres: PostgresEngine, restarting: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "PATIENCE_S", 0.2)
    store = await postgres.another("here")
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await asyncio.to_thread(restarting.stop)
    with pytest.raises(StoreError, match="cannot be reached now"):
        await store.settle(lease, settled(ACCEPTED), NOW)
    with pytest.raises(StoreError, match="cannot be reached now"):
        await store.lease(NOW, 1)
    await asyncio.to_thread(restarting.start)
    await store.settle(lease, settled(ACCEPTED), NOW)
    assert [it.status for it in await store.unreported(10)] == [JobStatus.SENT]


@asynccontextmanager
async def behind_a_line(
    postgres: PostgresEngine, owner: str
) -> AsyncIterator[tuple[PostgresStore, CuttingProxy]]:
    """A store whose line can be cut."""
    assert postgres.url is not None
    port = postgres.server.port
    async with CuttingProxy(port).running() as proxy:
        url = postgres.url.replace(str(port), str(proxy.port))
        store = PostgresStore(url, owner, dedup_window_s=DEDUP_WINDOW_S, lease_term_s=2 * TERM_S)
        await store.open(time.time())
        yield store, proxy
        await store.close()


async def test_after_a_start_of_the_server_everybody_has_time_to_come_back(
    postgres: PostgresEngine, restarting: PostgresServer
) -> None:
    await (await postgres.another("nobody")).close()
    async with behind_a_line(postgres, "here") as (here, line):
        await here.accept(message("Q1", expires_at=time.time() + 999), SMALL, time.time())
        (lease,) = await here.lease(time.time(), 1)
        line.die()
        await asyncio.to_thread(restarting.stop)
        await asyncio.sleep(2.5 * TERM_S)  # longer than the lease holds
        await asyncio.to_thread(restarting.start)
        there = await postgres.another("there", time.time(), term_s=2 * TERM_S)
        assert await there.lease(time.time(), 1) == []
        line.revive()
        await here.mark_dot(lease)
        await here.settle(lease, settled(ACCEPTED), time.time())


async def test_who_was_cut_off_himself_judges_nobody_dead_for_a_while(
    postgres: PostgresEngine,
) -> None:
    await (await postgres.another("nobody")).close()
    async with (
        behind_a_line(postgres, "here") as (here, line),
        behind_a_line(postgres, "there") as (there, other_line),
    ):
        await here.accept(message("Q1", expires_at=time.time() + 999), SMALL, time.time())
        (lease,) = await here.lease(time.time(), 1)
        line.die()
        other_line.die()
        await asyncio.sleep(2.5 * TERM_S)  # the whole network was away
        there.ready.clear()
        other_line.revive()
        async with asyncio.timeout(10):
            await there.ready.wait()  # it is back, and has beaten
        assert await there.lease(time.time(), 1) == []
        line.revive()
        await here.mark_dot(lease)
        await here.settle(lease, settled(ACCEPTED), time.time())
