"""The reporter: finished rows out of the store, result files into sent/ and failed/.

For a batch of jobs, each step repeated by the next start when a crash cuts it off:

  result written aside, flushed, renamed     written again: the same octets under the same name
  job file moved from queue/ to the result,  it is there already
    after its envelope file, if any
  folders flushed                            flushed again
  marked as reported in the store            nothing: it is done
  an earlier attempt's result removed        removed at the next start: the new one holds it all

Names are kept.  Where another job's result or file has the name, both of ours get ~QUEUEID;
what makes a name ours is the queue id inside the result.
"""

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import Record, Store, StoreBroken, StoreError
from asyncnet.spool.companions import companions_alone, set_aside_alone
from asyncnet.spool.earlier_files import EarlierFiles, result_in
from asyncnet.spool.folder import (
    ENVELOPE_ENDING,
    RESULT_ENDING,
    SpoolFolder,
    companion_name,
    split_name,
)
from asyncnet.spool.result import result_octets
from asyncnet.spool.trouble import Trouble

BATCH = 200  # jobs for which the folders are flushed once
FLUSHERS = 8  # files flushed at once: a journal commits them together (measured: 2.7 times as fast)
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
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()  # until run() begins
        self._trouble = Trouble("reporter", self._stopping)

    async def run(self) -> None:
        """Report until stop().  Raises StoreBroken or SpoolBroken: end the process then."""
        self._ended.clear()
        try:
            while True:
                self._store.finished.clear()
                more = await self._report_some()
                if self._stopping.is_set() and (not more or self._trouble.lasts):
                    return
                if not more:
                    await self._forget()
                    await self._wait()
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

    async def _report_some(self) -> bool:
        """Report one batch; returns whether there may be more."""
        try:
            records = await self._store.unreported(BATCH)
            if not records:
                return False
            done, fault = await asyncio.to_thread(self.file, records)
            await self._store.mark_reported(done)
        except StoreBroken:
            raise
        except StoreError as error:
            await self._trouble.wait(str(error))
            return True
        except OSError as error:
            await self._trouble.wait(error.strerror or str(error))
            return True
        if done:
            self._on_step("reported")
            await asyncio.to_thread(self._earlier.remove, done)
        if fault is not None:
            await self._trouble.wait(fault)
        else:
            self._trouble.over()
        return True

    def file(self, records: list[Record]) -> tuple[list[str], str | None]:
        """Write results and move jobs; returns the queue ids that are done and the last fault.

        Blocking.  Each job stands for itself: where one cannot be filed, the others are.
        Raises SpoolBroken, or OSError where the folders cannot be flushed now.
        """
        done: list[str] = []
        fault = None
        with ThreadPoolExecutor(min(len(records), FLUSHERS), "reporter") as flushers:
            written = list(flushers.map(self._write_aside, records))
        for record, error in zip(records, written, strict=True):
            try:
                if error is not None:
                    raise error
                self._file_one(record)
            except OSError as trouble:
                fault = f"{record.claim.name}: {trouble.strerror}"
                continue
            done.append(record.claim.queue_id)
        folder = self._folder
        folder.flush((folder.sent, folder.failed, folder.queue))
        return done, fault

    def _write_aside(self, record: Record) -> OSError | None:
        """Put the whole result on the disk under a name of its own."""
        aside = self._aside(record)
        try:
            earlier, letter = self._earlier.read(record, self._target(record))
            octets = result_octets(record, earlier, letter)
            with open(aside, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return error
        return None

    async def _sweep(self) -> None:
        """Put away results that nobody uses: those that a crash left in queue/, nothing finished
        being unreported now, and those that lie in pickup/ without a job.
        """
        for companion in await asyncio.to_thread(list, companions_alone(self._folder)):
            records = await self._store.find(companion.queue_id)
            if companion.ending == RESULT_ENDING and any(it.finished_at for it in records):
                path = self._folder.queue / companion.file
                await asyncio.to_thread(path.unlink, missing_ok=True)
        for name, kept in await asyncio.to_thread(set_aside_alone, self._folder, self._clock()):
            log.warning("a result lay in pickup/ without its job", file=name, kept=kept)
        self._on_step("swept")

    def _file_one(self, record: Record) -> None:
        target = self._target(record)
        job_file = self._folder.queue / record.claim.job_file
        envelope_file = self._folder.queue / companion_name(job_file.name, ENVELOPE_ENDING)
        ending = split_name(record.claim.job_file)[1]
        waiting = [(ending, job_file)] if os.path.lexists(job_file) else []
        if ending.lower() == ".eml" and os.path.lexists(envelope_file):
            waiting.insert(0, (ENVELOPE_ENDING, envelope_file))
        name = _free_name(target, record, [it for it, _ in waiting])
        os.rename(self._aside(record), target / f"{name}{RESULT_ENDING}")
        self._on_step("result written")
        for its_ending, file in waiting:
            # Gone: moved before a crash, or taken away by somebody; the result stands anyway.
            with contextlib.suppress(FileNotFoundError):
                os.rename(file, target / f"{name}{its_ending}")
        self._on_step("job moved")
        log.info(
            "job reported",
            queue_id=record.claim.queue_id,
            name=name,
            status=str(record.status),
            recipients=len(record.recipients),
        )

    def _target(self, record: Record) -> Path:
        return self._folder.sent if record.status is JobStatus.SENT else self._folder.failed

    def _aside(self, record: Record) -> Path:
        return self._target(record) / f".{record.claim.queue_id}{RESULT_ENDING}.tmp"


def _free_name(target: Path, record: Record, endings: Sequence[str]) -> str:
    """The name for result and job in target: the old one, or NAME~QUEUEID on a clash.

    endings are those of the files that still are to be moved.
    """
    name, queue_id = record.claim.name, record.claim.queue_id
    distinct = f"{name}~{queue_id}"
    if (target / f"{distinct}{RESULT_ENDING}").exists():
        return distinct  # chosen before a crash; whether the clash still is does not count
    result = target / f"{name}{RESULT_ENDING}"
    if result.exists():
        return name if result_in(result).get("queue_id") == queue_id else distinct
    # A job's file without a result: another's, unless ours was moved there already.
    clash = any(os.path.lexists(target / f"{name}{ending}") for ending in endings)
    return distinct if clash else name
