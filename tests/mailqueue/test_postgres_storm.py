"""Three machines on one PostgreSQL queue in a storm of SIGKILL, SIGSTOP and cut connections."""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter

from asyncnet.mail.verdict import JobStatus
from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import LARGE, SMALL, message
from tests.mailqueue.test_postgres_machines import Machine, machine

MESSAGES = 400
TERM_S = 0.8
STORM_S = 6.0
SEED = 1


async def toil(name: str, url: str, sent: Counter[str], now_running: dict[str, Machine]) -> None:
    """A machine that is started again whenever it was killed, until nothing is left."""
    while True:
        try:
            async with machine(url, name, "toil", TERM_S) as it:
                now_running[name] = it
                it.go_on()
                for line in await it.rest():
                    word, _, queue_id = line.partition(" ")
                    sent[queue_id] += word == "sent"
                if await it.ended_well():
                    return
        except AssertionError:
            continue  # killed before it was open
        finally:
            now_running.pop(name, None)


async def storm(postgres: PostgresEngine, now_running: dict[str, Machine], seed: int) -> None:
    chance = random.Random(seed)
    end = time.monotonic() + STORM_S
    while time.monotonic() < end:
        await asyncio.sleep(chance.uniform(0.1, 0.4))
        victim = now_running.get(chance.choice(["one", "two", "three"]))
        match chance.choice(["kill", "stop", "cut"]):
            case "cut":
                await postgres.server.cut_connections()
            case "kill" if victim is not None:
                with contextlib.suppress(ProcessLookupError):
                    victim.signal(signal.SIGKILL)
            case "stop" if victim is not None:
                with contextlib.suppress(ProcessLookupError):
                    victim.signal(signal.SIGSTOP)
                    await asyncio.sleep(chance.uniform(0, 2 * TERM_S))
                    victim.signal(signal.SIGCONT)


async def test_nothing_is_lost_and_only_what_is_in_doubt_is_sent_again(
    postgres: PostgresEngine,
) -> None:
    store = await postgres.another("here", time.time(), term_s=TERM_S)
    assert postgres.url is not None
    due = time.time()
    for n in range(MESSAGES):
        # Spread over the storm, so that there is work at every moment of it.
        given = message(f"Q{n:03}", due_at=due + STORM_S * n / MESSAGES, expires_at=due + 999)
        await store.accept(given, LARGE if n % 40 == 0 else SMALL, due)
    sent: Counter[str] = Counter()
    now_running: dict[str, Machine] = {}
    async with asyncio.timeout(50):
        await asyncio.gather(
            storm(postgres, now_running, SEED),
            *(toil(name, postgres.url, sent, now_running) for name in ("one", "two", "three")),
        )
    records = await store.records(states=JobStatus, limit=MESSAGES + 1)
    assert {record.status for record in records} == {JobStatus.SENT}
    assert len(records) == len(await store.unreported(MESSAGES + 1)) == MESSAGES
    marked = {it.claim.queue_id for it in records if it.recipients[0].possible_duplicate}
    assert {queue_id for queue_id, times in sent.items() if times > 1} <= marked
    assert len(marked) < MESSAGES / 2
