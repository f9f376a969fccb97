"""`make bench-machines`: one PostgreSQL, and 1, 2 and 3 daemons that share its queue.

    python -m tests.bench.machines [--jobs N] [--rounds N] [--split]

The jobs are dropped at once, spread over the daemons' pickup folders, and sent to the C sink (which
needs a C compiler); the time runs until all results are written.  With --split one machine takes
all of them in (`serve --only intake`), and the others send them (`serve --only delivery`).

Beside jobs a second stands what each job takes of the processor, in the daemons and in PostgreSQL,
and how many transactions it takes: that says more on a machine on which sink, database and daemons
share the cores, where three daemons cannot be three times as fast as one.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import sink
from tests.bench.daemon import JOB, TEXT, Arrivals, arrivals_at_sink, burst_config, processor_s
from tests.support.daemon import SERVE, DaemonProcess, start
from tests.support.postgres import PostgresServer, running_postgres

WARM_UP = 50  # jobs for each daemon
MOST_S = 300.0
# As on a machine of its own, but for its place: what is committed is on the disk.
DURABLE = {"fsync": "on", "shared_buffers": "128MB"}


@dataclass(frozen=True, slots=True)
class Figures:
    """per_s is of all jobs; the rest is of one job."""

    per_s: float
    daemons_us: float
    database_us: float
    transactions: float
    log_octets: float  # of PostgreSQL's write-ahead log


class Machines:
    """Daemons on one queue; those of takers have a pickup folder."""

    def __init__(self, daemons: list[DaemonProcess], takers: list[DaemonProcess]) -> None:
        self.daemons = daemons
        self._takers = takers
        self._numbers = iter(range(sys.maxsize))

    async def send(self, jobs: int) -> float:
        """Seconds until the results of so many jobs are written, dropped at once."""
        moves = []
        for number in range(jobs):
            pickup = self._takers[number % len(self._takers)].spool / "pickup"
            name = f"job-{next(self._numbers)}.yaml"
            aside = pickup / f".{name}"
            aside.write_text(JOB.format(number=number, text=TEXT))
            moves.append((aside, pickup / name))
        wanted = self._results() + jobs
        begun_s = time.perf_counter()
        for aside, place in moves:
            aside.rename(place)
        async with asyncio.timeout(MOST_S):
            while self._results() < wanted:  # noqa: ASYNC110  # other processes
                await asyncio.sleep(0.02)
        return time.perf_counter() - begun_s

    def _results(self) -> int:
        names = [name for it in self._takers for name in os.listdir(it.spool / "sent")]
        return sum(name.endswith(".result.json") for name in names)


@asynccontextmanager
async def machines_on(
    url: str, folder: Path, port: int, parts: Sequence[str]
) -> AsyncIterator[Machines]:
    """A daemon for each of parts, "" being all of them."""
    daemons: list[DaemonProcess] = []
    takers: list[DaemonProcess] = []
    for number, part in enumerate(parts):
        place = folder / str(number)
        place.mkdir()
        config = f'{burst_config(place, port)}[queue]\nurl = "{url}"\n'
        only = ("--only", part) if part else ()
        daemon = await start(place, config, argv=(*SERVE, *only))
        assert await daemon.wait_ready(), daemon.errors
        daemons.append(daemon)
        takers += [] if part == "delivery" else [daemon]
    try:
        yield Machines(daemons, takers)
    finally:
        for daemon in daemons:
            await daemon.terminate()


def database_s(database: PostgresServer) -> float:
    """Processor time of the server and of its children, those that have ended included."""
    children = Path(f"/proc/{database.pid}/task/{database.pid}/children").read_text().split()
    own = Path(f"/proc/{database.pid}/stat").read_text().rpartition(")")[2].split()
    ended_s = (int(own[13]) + int(own[14])) / os.sysconf("SC_CLK_TCK")
    return ended_s + sum(processor_s(pid) for pid in (*map(int, children), database.pid))


async def _counters(database: PostgresServer) -> tuple[int, int]:
    """Transactions, and octets of the log, since the server began."""
    ((transactions, octets),) = await database.fetch(
        "SELECT txid_current(), pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint"
    )
    return transactions, octets


async def _measure(
    database: PostgresServer, arrivals: Arrivals, port: int, parts: Sequence[str], jobs: int
) -> Figures:
    url = await database.new_schema()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncnet-bench-"))
        machines = await stack.enter_async_context(machines_on(url, Path(folder), port, parts))

        async def send(count: int) -> float:
            # The sink stands still when nobody reads what it tells.
            took_s, _ = await asyncio.gather(
                machines.send(count), arrivals.wait_for(arrivals.count + count)
            )
            return took_s

        def daemons_s() -> float:
            return sum(processor_s(it.process.pid) for it in machines.daemons)

        await send(WARM_UP * len(parts))
        before = (daemons_s(), database_s(database), *await _counters(database))
        took_s = await send(jobs)
        after = (daemons_s(), database_s(database), *await _counters(database))
    daemons, server, transactions, octets = (
        (late - early) / jobs for early, late in zip(before, after, strict=True)
    )
    return Figures(jobs / took_s, daemons * 1e6, server * 1e6, transactions, octets)


def parts_of(machines: int, *, split: bool) -> list[str]:
    return ["intake", *["delivery"] * machines] if split else [""] * machines


async def measure(jobs: int, rounds: int, *, split: bool) -> dict[int, list[Figures]]:
    """By the number of daemons, or of those that deliver."""
    found: dict[int, list[Figures]] = {1: [], 2: [], 3: []}
    with running_postgres(**DURABLE) as database:
        async with arrivals_at_sink() as (arrivals, port):
            for _ in range(rounds):
                for machines, figures in found.items():
                    parts = parts_of(machines, split=split)
                    figures.append(await _measure(database, arrivals, port, parts, jobs))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--split", action="store_true", help="one takes in, the others send")
    options = parser.parse_args()
    if not sink.can_be_made():
        return 1
    found = asyncio.run(measure(options.jobs, options.rounds, split=options.split))
    who = "senders" if options.split else "daemons"
    print(f"{who:8} {'jobs/s':>8} {'of one':>7} {'µs of processor a job':>23} {'transactions':>13}")
    print(f"{'':24} {'daemons':>12} {'PostgreSQL':>11} {'a job':>13} {'log, octets':>12}")
    alone = statistics.median(it.per_s for it in found[1])
    for machines, figures in found.items():
        middle = {
            name: statistics.median(getattr(it, name) for it in figures)
            for name in Figures.__dataclass_fields__
        }
        print(
            f"{machines:<8} {middle['per_s']:8.0f} {middle['per_s'] / alone:6.2f}x"
            f" {middle['daemons_us']:11.0f} {middle['database_us']:11.0f}"
            f" {middle['transactions']:13.3f} {middle['log_octets']:12.0f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
