"""`make bench`: our share of the time in which a crash leaves a mail in doubt (RFC 1047).

That time begins with the durable mark and ends with the durable verdict.  In between the server
takes the content and answers, which is its own affair; ours is what stands before and behind:
  mark before the dot    mark committed -> the end of the content handed to the kernel
  verdict after the reply  reply read -> verdict committed
Both are told as median and 99th percentile, for one job at a time and for a burst.  The daemon
runs inside of this process, and what is measured is wrapped from outside: the program itself
carries no timers for it.  With a window, a mark is made while the messages before it are still
being answered; that is told too, since a crash does not ask why the mark stood.
"""

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from asyncnet.cli.serve import loop_factory
from asyncnet.config.file import load
from asyncnet.config.sections import Settings
from asyncnet.delivery import exchange
from asyncnet.delivery.handover import Handover
from asyncnet.delivery.pipeline import Pipeline
from asyncnet.delivery.wire import Wire
from asyncnet.mail.envelope import Envelope
from asyncnet.mailqueue import steps
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.writer import Operation, Step, Writer
from asyncnet.supervisor import Daemon
from tests.bench import sink
from tests.bench.daemon import JOB, TEXT, Arrivals, arrivals_at_sink, burst_config

SINGLY = 300
BURST = 5_000
WARM_UP = 20
# Renames all files of one folder into another.
MOVE = """\
import os, sys
aside, pickup = sys.argv[1:]
for name in os.listdir(aside):
    os.rename(f"{aside}/{name}", f"{pickup}/{name}")
"""


@dataclass(slots=True)
class Moments:
    """Times of perf_counter() by queue id; those of one message are all there in the end."""

    marked: dict[str, float] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    committed: dict[str, float] = field(default_factory=dict)

    def clear(self) -> None:
        for times in (self.marked, self.left, self.answered, self.committed):
            times.clear()

    def before_ms(self) -> list[float]:
        return _between(self.marked, self.left)

    def after_ms(self) -> list[float]:
        return _between(self.answered, self.committed)


def _between(earlier: dict[str, float], later: dict[str, float]) -> list[float]:
    return [(later[queue_id] - at) * 1000 for queue_id, at in earlier.items()]


MOMENTS = Moments()
_READ_AT: dict[Wire, float] = {}  # when octets came last


class TimedWriter(Writer):
    """Notes when marks and verdicts are on the disk, in the writer's own thread."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._watched: dict[asyncio.Future[Any], tuple[dict[str, float], str]] = {}

    def join(self, step: Step[Any, Any], given: Any, **named: Any) -> asyncio.Future[Any]:
        future = super().join(step, given, **named)
        if step is steps.mark_dots:
            self._watched[future] = MOMENTS.marked, given.queue_id
        elif step is steps.settle:
            self._watched[future] = MOMENTS.committed, given.lease.queue_id
        return future

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        now_s = time.perf_counter()
        batch = arguments[0] if isinstance(arguments[0], list) else []
        for operation in batch:
            assert isinstance(operation, Operation)
            if watched := self._watched.pop(operation.future, None):
                times, queue_id = watched
                times[queue_id] = now_s
        super()._tell(callback, *arguments)


class TimedHandover(Handover):
    """Notes when the end of its content leaves, and when the octets came that answer it."""

    wire: Wire

    def __init__(self, envelope: Envelope, *given: Any, **named: Any) -> None:
        assert envelope.envid is not None
        self.queue_id = envelope.envid
        super().__init__(envelope, *given, **named)

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "end_left" and value:
            MOMENTS.left[self.queue_id] = time.perf_counter()

    def finish(self) -> None:
        MOMENTS.answered[self.queue_id] = _READ_AT[self.wire]
        super().finish()


def wrap() -> None:
    """Put the stop-watches on.  For this process alone, which ends with the measurement."""
    read, hand_over = Wire.data_received, Pipeline.carry

    def data_received(self: Wire, octets: bytes) -> None:
        _READ_AT[self] = time.perf_counter()
        read(self, octets)

    def carry(self: Pipeline, handover: Handover) -> None:
        assert isinstance(handover, TimedHandover)
        handover.wire = self._dialogue.wire
        hand_over(self, handover)

    Wire.data_received = data_received  # type: ignore[method-assign]
    Pipeline.carry = carry  # type: ignore[method-assign]
    exchange.Handover = TimedHandover  # type: ignore[attr-defined]


def timed_store(settings: Settings) -> SqliteStore:
    store = SqliteStore(
        settings.database,
        settings.spool.dir / "queue",
        dedup_window_s=settings.queue.dedup_window,
    )
    store._writer = TimedWriter(settings.database)
    return store


async def measure(singly: int, burst: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as name:
        folder = Path(name)
        async with arrivals_at_sink() as (arrivals, port), daemon_inside(folder, port):
            for number in range(WARM_UP):
                await drop_one(folder, arrivals, f"warm-{number}")
            MOMENTS.clear()
            for number in range(singly):
                await drop_one(folder, arrivals, f"single-{number}")
            alone = told("idle")
            await drop_many(folder, arrivals, burst)
            return alone | told("burst")


@asynccontextmanager
async def daemon_inside(folder: Path, port: int) -> AsyncIterator[None]:
    (folder / "asyncnet.toml").write_text(burst_config(folder, port))
    daemon = Daemon(load(folder / "asyncnet.toml"), make_store=timed_store)
    await daemon.start()
    stopping = asyncio.Event()
    service = asyncio.create_task(daemon.run(stopping))
    try:
        yield
    finally:
        stopping.set()
        await service
        await daemon.stop()


async def drop_one(folder: Path, arrivals: Arrivals, name: str) -> None:
    """Drop a job and wait until its verdict is on the disk."""
    before = len(MOMENTS.committed)
    drop(folder, name)
    await arrivals.wait_for(arrivals.count + 1)
    await committed(before + 1)


async def drop_many(folder: Path, arrivals: Arrivals, count: int) -> None:
    aside = folder / "spool" / "aside"
    aside.mkdir()
    MOMENTS.clear()
    for number in range(count):
        name = f"burst-{number}"
        (aside / f"{name}.yaml").write_text(JOB.format(number=name, text=TEXT))
    # By another process: this one's loop is the daemon's.
    places = (str(aside), str(folder / "spool" / "pickup"))
    mover = await asyncio.create_subprocess_exec(sys.executable, "-c", MOVE, *places)
    await asyncio.gather(arrivals.wait_for(arrivals.count + count), committed(count))
    assert await mover.wait() == 0


def drop(folder: Path, name: str) -> None:
    aside = folder / "spool" / f".{name}"
    aside.write_text(JOB.format(number=name, text=TEXT))
    aside.rename(folder / "spool" / "pickup" / f"{name}.yaml")


async def committed(count: int) -> None:
    async with asyncio.timeout(120.0):
        while len(MOMENTS.committed) < count:  # noqa: ASYNC110 (told by another thread)
            await asyncio.sleep(0.002)


def told(case: str) -> dict[str, float]:
    """The figures of what was measured since the last clear()."""
    figures = {}
    for name, times_ms in (
        ("mark_before_dot", MOMENTS.before_ms()),
        ("verdict_after_reply", MOMENTS.after_ms()),
    ):
        figures[f"{case}_{name}_median_ms"] = round(statistics.median(times_ms), 3)
        figures[f"{case}_{name}_p99_ms"] = round(statistics.quantiles(times_ms, n=100)[98], 3)
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--singly", type=int, default=SINGLY)
    parser.add_argument("--burst", type=int, default=BURST)
    options = parser.parse_args()
    if not sink.can_be_made():
        return 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    wrap()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        it = runner.run(measure(options.singly, options.burst))
    for case in ("idle", "burst"):
        for name, words in (
            ("mark_before_dot", "mark before the dot"),
            ("verdict_after_reply", "commit of the verdict after the reply"),
        ):
            median, p99 = it[f"{case}_{name}_median_ms"], it[f"{case}_{name}_p99_ms"]
            print(f"doubt    {case:5}  {words}: median {median} ms, p99 {p99} ms")
    print(json.dumps(it))
    return 0


if __name__ == "__main__":
    sys.exit(main())
