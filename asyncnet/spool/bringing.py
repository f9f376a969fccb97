"""Bringing claimed jobs into the store, many at a time.

The rename is flushed before the row is committed.  Otherwise a power cut could leave the row
and bring the file back into pickup/, where it would be claimed as a second mail.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog

from asyncnet.mail.problem import Problem
from asyncnet.mailqueue.store import Claim, StoreBroken, StoreError
from asyncnet.spool.document import shown
from asyncnet.spool.errors import JobRefused, SpoolBroken
from asyncnet.spool.files import DISK_FAILS
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.handover import Begun, HandOver, TooEarly, reads_files
from asyncnet.spool.taking import Taken, take
from asyncnet.spool.trouble import Line, Trouble, sleep_unless

IN_FLIGHT = 256  # jobs between claim and commit: enough for one commit to carry hundreds
# Jobs with files that are aside of those: they may wait for a disk that hangs.  The first of them
# have their turn, and of a larger one of the others nothing is kept; it is read again.
MOST_ASIDE = 512
TURNS = 64
KEPT_OCTETS = 4096
FINISH_S = 5.0  # for them, at the end
DISK_TRIES = 30  # at a file on a disk that fails, a second between them
COMPOSED_A_TURN = 32  # then the sockets get their turn

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Bringing:
    """Takes claims and hands them over until they are accepted or refused.

    flush puts claims on the disk.  Once stopping is set, what meets trouble is left in queue/
    for the next start.  on_fault is told of StoreBroken and SpoolBroken: the process must end.
    """

    def __init__(
        self,
        queue: Path,
        hand_over: HandOver,
        flush: GroupFlush,
        *,
        trouble: Trouble,
        stopping: asyncio.Event,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._queue = queue
        self._hand_over = hand_over
        self._flush = flush
        self._line = Line(trouble, stopping)
        self._stopping = stopping
        self._on_fault = on_fault
        self._in_flight = 0
        self._landed = asyncio.Event()  # set when one of them no longer is
        self._aside: set[str] = set()  # queue ids
        self._turns = asyncio.Semaphore(TURNS)  # of those aside
        self._claimed: list[tuple[Claim, Taken | None]] = []  # since the last flush was asked for
        self._tasks: set[asyncio.Task[None]] = set()

    async def room(self) -> None:
        """Wait until there is room for another, or for let_go()."""
        while self._in_flight >= IN_FLIGHT and not self._stopping.is_set():
            self.go_on()  # it may be those added that we wait for
            self._landed.clear()
            await self._landed.wait()

    def let_go(self) -> None:
        """Let nobody wait for room() any more: stopping is set."""
        self._landed.set()

    def add(self, claim: Claim, taken: Taken | None) -> None:
        """Take a claim over, for which there was room; go_on() begins with it.

        taken: the file as it was read, where nothing can have changed since.
        """
        self._in_flight += 1
        self._claimed.append((claim, taken))

    def go_on(self) -> None:
        """Begin with what was added: one flush for all of it."""
        if self._claimed:
            batch, self._claimed = self._claimed, []
            self._keep(asyncio.create_task(self._bring_all(batch)))

    async def finish(self) -> None:
        """Return when all that was begun is over, or only waits for its files: cut_off() then."""
        while self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=FINISH_S)
            if left and self._aside:
                log.warning(
                    "not waited for: jobs whose files are still being read; the next start does",
                    jobs=len(self._aside),
                    first=min(self._aside),
                )
                return

    async def cut_off(self) -> None:
        """Cancel it: every job is in queue/ or in the store then."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _bring_all(self, batch: list[tuple[Claim, Taken | None]]) -> None:
        """Hand claimed jobs over: together those that need the store alone, each other apart."""
        flushed = True
        try:
            await self._flush.wait()
        except (OSError, SpoolBroken):
            flushed = False  # each meets it again, and deals with it
        together: list[tuple[Claim, Taken, Begun]] = []
        try:
            for number, (claim, taken) in enumerate(batch, 1):
                if taken is None or (begun := self._begin(claim, taken, flushed)) is None:
                    self._bring_apart(claim, taken, flushed=flushed)
                else:
                    together.append((claim, taken, begun))
                if number % COMPOSED_A_TURN == 0:
                    await asyncio.sleep(0)
            for claim, taken, begun in together:
                if not begun.answer.done():  # those of one commit come together
                    await asyncio.wait([begun.answer])
                self._end(claim, taken, begun)
        except asyncio.CancelledError:
            answers = [begun.answer for _, _, begun in together]
            for answer in answers:
                answer.cancel()
            await asyncio.gather(*answers, return_exceptions=True)
            raise

    def _begin(self, claim: Claim, taken: Taken, flushed: bool) -> Begun | None:
        try:
            return self._hand_over.begin(claim, taken) if flushed else None
        except Exception:  # whatever it is, it is this job's, which meets it again apart
            return None

    def _end(self, claim: Claim, taken: Taken, begun: Begun) -> None:
        try:
            self._hand_over.end(begun)
        except Exception:  # as above
            self._bring_apart(claim, taken, flushed=True, begun=begun)
        else:
            self._is_over(claim.queue_id)

    def _bring_apart(
        self, claim: Claim, taken: Taken | None, *, flushed: bool, begun: Begun | None = None
    ) -> None:
        task = asyncio.create_task(self._bring(claim, taken, flushed=flushed, begun=begun))
        self._keep(task)
        task.add_done_callback(partial(self._brought, claim.queue_id))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _brought(self, queue_id: str, task: asyncio.Task[None]) -> None:
        self._is_over(queue_id)
        if not task.cancelled() and (fault := task.exception()) is not None:
            # A fault of ours.  The other jobs go on; this one is redone at the next start.
            log.error("a claimed job was not handed over", exc_info=fault)

    def _is_over(self, queue_id: str) -> None:
        """However it ended: this job waits for nothing any more."""
        self._land()
        if not self._stopping.is_set():
            self._line.leave(queue_id)

    async def _bring(
        self, claim: Claim, taken: Taken | None, *, flushed: bool, begun: Begun | None
    ) -> None:
        """Bring a claimed job into the store, however often that must be tried.

        flushed: its claim is on the disk.  begun: a first try, which has ended by an error.
        """
        tries = 0
        refused: JobRefused | None = None
        while True:
            try:
                if not flushed:
                    await self._flush.wait()
                    flushed = True
                if begun is not None:
                    first, begun = begun, None
                    self._hand_over.end(first)
                    return
                if refused is not None:
                    await self._hand_over.refuse(claim, refused)
                    return
                if taken is None:
                    taken = await self._read(claim)
                if taken is None:
                    return
                if not reads_files(taken) or len(self._aside) >= MOST_ASIDE:
                    await self._hand_over.bring(claim, taken)
                    return
                if self._turns.locked() and not _is_small(taken):
                    taken = None
                async with self._turn_aside(claim.queue_id):
                    if self._stopping.is_set():
                        return
                    taken = taken or await self._read(claim)
                    if taken is not None:
                        await self._hand_over.bring(claim, taken)
                    return
            except TooEarly as early:
                await self._pause(early.wait_s)
            except (StoreBroken, SpoolBroken) as error:
                self._on_fault(error)
            except FileNotFoundError:
                if self._queue.is_dir():
                    log.warning("a claimed job was removed by somebody", job_file=claim.job_file)
                    return
                self._line.join(claim.queue_id, f"{self._queue} is gone")
                await self._line.turn()
            except StoreError as error:
                self._line.join(claim.queue_id, str(error))
                await self._line.turn()
            except OSError as error:
                tries += error.errno == DISK_FAILS
                if tries > DISK_TRIES:
                    refused = _unreadable(error)
                    continue
                self._line.join(claim.queue_id, error.strerror or str(error))
                # A failing disk may be this job's trouble alone, and its tries are counted.
                await self._line.turn(alone=error.errno == DISK_FAILS)
            if self._stopping.is_set():
                return  # the file lies in queue/ and is taken again at the next start

    async def _read(self, claim: Claim) -> Taken | None:
        taken = await take(self._queue, claim.job_file)
        if taken is not None and taken.fault is not None:
            raise taken.fault
        return taken

    @asynccontextmanager
    async def _turn_aside(self, queue_id: str) -> AsyncIterator[None]:
        """Wait for a turn among the jobs with files, and have it, outside of the flight."""
        self._land()
        self._aside.add(queue_id)
        try:
            async with self._turns:
                yield
        finally:
            self._aside.discard(queue_id)
            self._in_flight += 1  # for as long as it takes to end, or to wait for another try

    async def _pause(self, wait_s: float) -> None:
        """Wait without keeping other jobs from going on."""
        self._land()
        try:
            await sleep_unless(self._stopping, wait_s)
            await self.room()
        finally:
            self._in_flight += 1

    def _land(self) -> None:
        self._in_flight -= 1
        self._landed.set()


def _is_small(taken: Taken) -> bool:
    return taken.is_alone and taken.status.st_size <= KEPT_OCTETS


def _unreadable(error: OSError) -> JobRefused:
    name = shown(os.path.basename(str(error.filename or "a file of the job")))
    problem = f"{name} cannot be read: {error.strerror}"
    return JobRefused(
        (Problem("", problem, "look at the disk it lies on, and drop the job again"),)
    )
