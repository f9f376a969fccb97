"""`make bench`: the daemon with 100,000 mails that wait, measured from outside.

The queue is filled through the store itself: each mail was tried once, was deferred, and has its
job file in queue/, as a night without a server leaves them.
  memory    of the daemon above an idle one's                            under 40 MB, goal 10
  restart   from the start of the process to the first mail at the sink  under 5 s, goal 1
  lateness  of attempts whose due times are spread over ten seconds      none over 1 s
  idle      processor time while nothing is due, beside an empty daemon's
The lateness is that of the attempts' log lines, which come after the answer: it is no less.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Claim, Lease, NewMessage, Settlement
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.queue_id import QueueIds
from tests.bench import sink
from tests.bench.daemon import (
    JOB,
    TEXT,
    Arrivals,
    arrivals_at_sink,
    processor_s,
    reset_peak,
    resident_mb,
)
from tests.support.daemon import DaemonProcess, running

WAITING = 100_000
SPREAD = 2_000  # more of them, due one after the other within SPREAD_S
SPREAD_S = 10.0
IDLE_S = 8.0
LEAD_S = 12.0  # from the last touch of the queue to the first of those: start and idle time
ACCOUNTS = ("work", "shop", "list", "cron")
BATCH = 1_000

MEMORY_MUST_MB, MEMORY_GOAL_MB = 40.0, 10.0
RESTART_MUST_S, RESTART_GOAL_S = 5.0, 1.0
LATE_MUST_S = 1.0

DEFERRED = Verdict(RecipientStatus.DEFERRED, 451, "4.3.0", Phase.RCPT, None, "try again later")
CONTENT = Octets(f"From: bench@example.org\r\nSubject: waits\r\n\r\n{TEXT}\r\n".encode())

Figures = dict[str, float]


def config(folder: Path, port: int) -> str:
    accounts = "".join(
        f'[account.{name}]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n' for name in ACCOUNTS
    )
    return f"""\
[http]
listen = "127.0.0.1:0"
[spool]
dir = "{folder / "spool"}"
{accounts}
[log]
format = "json"
"""


class Filler:
    """Puts mails into a queue, each tried once and deferred until a time of its own."""

    def __init__(self, folder: SpoolFolder) -> None:
        self._folder = folder
        self._ids = QueueIds()
        self._made = 0

    async def fill(self, due_times: Iterable[float]) -> dict[str, float]:
        """One mail for each due time; the due times by queue id."""
        now, waiting = time.time() - 1.0, list(due_times)
        store = SqliteStore(
            self._folder.root / "queue.db", self._folder.queue, dedup_window_s=3600.0
        )
        await store.open(now)
        made: dict[str, float] = {}
        while waiting:
            batch, waiting = waiting[:BATCH], waiting[BATCH:]
            claims = [self._claim(now) for _ in batch]
            await asyncio.gather(*(self._accept(store, it, now) for it in claims))
            due = dict(zip([it.queue_id for it in claims], batch, strict=True))
            leases = await store.lease(now, BATCH)
            await asyncio.gather(*(_defer(store, it, now, due[it.queue_id]) for it in leases))
            made |= due
        await store.close()
        return made

    def _claim(self, now: float) -> Claim:
        self._made += 1
        queue_id, name = self._ids.next(now, self._made), f"waits-{self._made}"
        claim = Claim(queue_id, name, f"{queue_id}.{name}.yaml", now)
        (self._folder.queue / claim.job_file).write_text(JOB.format(number=name, text=TEXT))
        return claim

    async def _accept(self, store: SqliteStore, claim: Claim, now: float) -> None:
        number = int(claim.name.removeprefix("waits-"))
        message = NewMessage(
            claim,
            message_id=f"<{claim.queue_id}@example.org>",
            envelope=Envelope("bench@example.org", (f"reader-{number}@example.com",)),
            route=Route(account=ACCOUNTS[number % len(ACCOUNTS)]),
            due_at=now,
            expires_at=now + 172_800.0,
            priority=number % 3,
        )
        await store.accept(message, CONTENT, now)


async def _defer(store: SqliteStore, lease: Lease, now: float, due_at: float) -> None:
    verdicts = dict.fromkeys(lease.positions, DEFERRED)
    await store.settle(lease, Settlement(verdicts, due_at), now)


async def measure(waiting: int, spread: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as name:
        folder = Path(name)
        async with arrivals_at_sink() as (arrivals, port):
            settings = config(folder, port)
            async with running(folder, settings) as daemon:
                idle_mb, idle_ms_per_s = await measure_at_rest(daemon)
            filler = Filler(SpoolFolder(folder / "spool"))
            began_s = time.perf_counter()
            later = time.time() + 7_200.0
            await filler.fill(later + number for number in range(waiting))
            print(f"filled   {waiting} mails in {time.perf_counter() - began_s:.0f} s")
            now = time.time()
            spread_at = now + LEAD_S + spread / 1_000
            due = await filler.fill(spread_at + n * SPREAD_S / spread for n in range(spread))
            await filler.fill([now])
            began_s = time.perf_counter()
            async with running(folder, settings) as daemon:
                await arrivals.wait_for(1)
                restart_s = arrivals.last_at_s - began_s
                full_mb, full_ms_per_s = await measure_at_rest(daemon)
                late_s, on_time = await measure_lateness(daemon, arrivals, due, spread_at)
                peak_mb = resident_mb(daemon.process.pid, "VmHWM")
    return {
        "waiting": waiting,
        "memory_above_idle_mb": round(full_mb - idle_mb, 1),
        "memory_peak_above_idle_mb": round(peak_mb - idle_mb, 1),
        "restart_to_first_delivery_s": round(restart_s, 2),
        "latest_attempt_s": round(max(late_s), 3),
        "late_median_ms": round(statistics.median(late_s) * 1000, 1),
        "begun_before_the_spread": float(on_time),
        "idle_processor_ms_per_s": round(full_ms_per_s, 2),
        "idle_processor_ms_per_s_empty": round(idle_ms_per_s, 2),
    }


async def measure_at_rest(daemon: DaemonProcess) -> tuple[float, float]:
    """Resident MB, and milliseconds of processor time a second, while nothing is due."""
    pid = daemon.process.pid
    await asyncio.sleep(1.0)  # what the start leaves is done
    before_s = processor_s(pid)
    await asyncio.sleep(IDLE_S)
    return resident_mb(pid, "VmRSS"), (processor_s(pid) - before_s) / IDLE_S * 1000


async def measure_lateness(
    daemon: DaemonProcess, arrivals: Arrivals, due: dict[str, float], first_at: float
) -> tuple[list[float], bool]:
    """Seconds from each due time to the attempt's log line; whether we came before the first."""
    came_in_time = time.time() < first_at
    reset_peak(daemon.process.pid)
    async with asyncio.timeout(SPREAD_S * 6):
        await arrivals.wait_for(1 + len(due))
    for queue_id in due.keys() - _attempts(daemon).keys():
        assert await daemon.said("attempt", queue_id=queue_id), daemon.errors
    attempts = _attempts(daemon)
    return [attempts[queue_id] - at for queue_id, at in due.items()], came_in_time


def _attempts(daemon: DaemonProcess) -> dict[str, float]:
    return {
        entry["queue_id"]: datetime.fromisoformat(entry["timestamp"]).timestamp()
        for entry in daemon.log
        if entry["event"] == "attempt"
    }


def verdict(figure: float, must: float, goal: float | None = None) -> str:
    if goal is not None and figure <= goal:
        return "ok, and within the goal"
    return "ok" if figure <= must else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--waiting", type=int, default=WAITING)
    parser.add_argument("--spread", type=int, default=SPREAD)
    options = parser.parse_args()
    if not sink.can_be_made():
        return 1
    it = asyncio.run(measure(options.waiting, options.spread))
    memory, restart = it["memory_above_idle_mb"], it["restart_to_first_delivery_s"]
    late = it["latest_attempt_s"]
    print(
        f"memory   {memory} MB above idle with {options.waiting} mails waiting, peak "
        f"{it['memory_peak_above_idle_mb']} (must be under {MEMORY_MUST_MB}, goal "
        f"{MEMORY_GOAL_MB}): {verdict(memory, MEMORY_MUST_MB, MEMORY_GOAL_MB)}\n"
        f"restart  {restart} s to the first delivery (must be under {RESTART_MUST_S}, goal "
        f"{RESTART_GOAL_S}): {verdict(restart, RESTART_MUST_S, RESTART_GOAL_S)}\n"
        f"lateness of {options.spread} attempts due within {SPREAD_S:g} s: median "
        f"{it['late_median_ms']} ms, latest {late} s (must be under {LATE_MUST_S}): "
        f"{verdict(late, LATE_MUST_S)}"
        f"{'' if it['begun_before_the_spread'] else ' (the start took too long for all of them)'}\n"
        f"idle     {it['idle_processor_ms_per_s']} ms of processor a second, an empty daemon "
        f"{it['idle_processor_ms_per_s_empty']}\n" + json.dumps(it)
    )
    met = memory <= MEMORY_MUST_MB and restart <= RESTART_MUST_S and late <= LATE_MUST_S
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
