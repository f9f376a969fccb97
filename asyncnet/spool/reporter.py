"""The reporter: finished rows out of the store, result files into sent/ and failed/.

For a batch of jobs, each step repeated by the next start when a crash cuts it off:

  results written aside, flushed, renamed    written again: the same octets under the same name
  job file moved from queue/ to the result,  it is there already
    after its envelope file, if any
  folders flushed                            flushed again
  marked as reported in the store            nothing: it is done
  an earlier attempt's result removed        removed at the next start: the new one holds it all

How files and names are dealt with stands in filing.py.
"""

import asyncio
import math
import time
from collections.abc import Callable

import structlog

from asyncnet.mailqueue.store import Store, StoreBroken, StoreError
from asyncnet.spool.companions import companions_alone, set_aside_alone
from asyncnet.spool.earlier_files import EarlierFiles
from asyncnet.spool.filing import Filed, Filing
from asyncnet.spool.folder import RESULT_ENDING, SpoolFolder
from asyncnet.spool.trouble import Trouble, sleep_unless

BATCH = 500  # jobs for which the folders are flushed once
# What finishes soon behind a batch is let come together, and shares flushes instead of taking some
# each.  The first of them, and one that comes singly, is reported at once.
GATHER_S = 0.1  # from the beginning of a batch to that of the next
A_LULL_S = 0.02  # in which none finishes: that was all
POLL_S = 30.0  # should a hint be lost
FORGET_EVERY_S = 3600.0  # rows of a week make this cheap, and nobody waits for it

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Reporter:
    """The service.

    A job that was reported is forgotten by the store after keep_s; its files stay.  on_step,
    for tests of crashes, is told each step: "result written", "job moved" (both from a worker
    thread), "reported", "swept".
    """

    def __init__(
        self,
        folder: SpoolFolder,
        store: Store,
        *,
        keep_s: float,
        clock: Callable[[], float] = time.time,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        self._folder = folder
        self._store = store
        self._keep_s = keep_s
        self._clock = clock
        self._forgot_at = -math.inf
        self._earlier = EarlierFiles(folder)
        self._on_step = on_step or (lambda step: None)
        self._filing = Filing(folder, self._earlier, self._on_step)
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()  # until run() begins
        self._trouble = Trouble("reporter", self._stopping)

    @property
    def waits_for(self) -> str | None:
        """The fault of this machine that keeps results from being filed; None: none does."""
        return self._trouble.reason

    async def run(self) -> None:
        """Report until stop().  Raises StoreBroken or SpoolBroken: end the process then."""
        self._ended.clear()
        try:
            while True:
                self._store.finished.clear()
                began_at_s = asyncio.get_running_loop().time()
                jobs = await self._report_some()
                if self._stopping.is_set() and (not jobs or self._trouble.reason):
                    return
                if not jobs:
                    await self._forget()
                    await self._wait()
                elif jobs < BATCH:
                    await self._gather(until_s=began_at_s + GATHER_S)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Report what is finished, as far as the disk lets us; returns when run() has ended."""
        self._stopping.set()
        self._store.finished.set()
        await self._ended.wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(POLL_S):
                await self._store.finished.wait()
        except TimeoutError:
            return

    async def _gather(self, until_s: float) -> None:
        """Let more come, until a time of the loop's clock or as long as any do."""
        now_s = asyncio.get_running_loop().time
        while (wait_s := until_s - now_s()) > 0.0 and not self._stopping.is_set():
            self._store.finished.clear()
            await sleep_unless(self._stopping, min(wait_s, A_LULL_S))
            if not self._store.finished.is_set():
                return

    async def _forget(self) -> None:
        """Drop rows that are old enough; the hour's first idle moment does it."""
        now = self._clock()
        if now - self._forgot_at < FORGET_EVERY_S:
            return
        self._forgot_at = now
        try:
            await self._sweep()
            forgotten = await self._store.purge(now - self._keep_s)
        except StoreBroken:
            raise
        except StoreError as error:
            log.warning("old jobs are not forgotten yet", reason=str(error))
            return
        except OSError as error:
            log.warning("old files are not put away yet", reason=error.strerror or str(error))
            return
        if forgotten:
            log.info("old jobs forgotten", jobs=forgotten)

    async def _report_some(self) -> int:
        """Report one batch; how many jobs it had, those that could not be filed included.

        One where even that is not known.
        """
        try:
            records = await self._store.unreported(BATCH)
            if not records:
                self._trouble.over()
                return 0
            filed, fault = await asyncio.to_thread(self._filing.file, records)
            done = [it.record.claim.queue_id for it in filed]
            await self._store.mark_reported(done)
        except StoreBroken:
            raise
        except StoreError as error:
            await self._trouble.wait(str(error))
            return 1
        except OSError as error:
            await self._trouble.wait(error.strerror or str(error))
            return 1
        for it in filed:
            _log_reported(it)
        if done:
            self._on_step("reported")
        if done and self._earlier.some_told:
            await asyncio.to_thread(self._earlier.remove, done)
        if fault is not None:
            await self._trouble.wait(fault)
        else:
            self._trouble.over()
        return len(records)

    async def _sweep(self) -> None:
        """Put away results that nobody uses: those that a crash left in queue/, nothing finished
        being unreported now, and those that lie in pickup/ without a job.
        """
        for companion in await asyncio.to_thread(companions_alone, self._folder):
            records = await self._store.find(companion.queue_id)
            if companion.ending == RESULT_ENDING and any(it.finished_at for it in records):
                path = self._folder.queue / companion.file
                await asyncio.to_thread(path.unlink, missing_ok=True)
        for name, kept in await asyncio.to_thread(set_aside_alone, self._folder, self._clock()):
            log.warning("a result lay in pickup/ without its job", file=name, kept=kept)
        self._on_step("swept")


def _log_reported(filed: Filed) -> None:
    record = filed.record
    log.info(
        "job reported",
        queue_id=record.claim.queue_id,
        name=filed.name,
        status=str(record.status),
        recipients=len(record.recipients),
    )
