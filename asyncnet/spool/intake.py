"""Intake: job files out of pickup/, messages into the store.

A job's way, and what repeats a step that a crash cut off:

  read in pickup/ and judged          the next scan
  what goes with it renamed first     the start: see companions.py
  renamed into queue/ ("claimed")     the start: a file in queue/ without a row is taken again
  folders flushed, composed           the same
  accepted by the store               nothing: from here on the row is the truth

The rename is flushed before the row is committed.  Otherwise a power cut could leave the row
and bring the file back into pickup/, where it would be claimed as a second mail.
"""

import asyncio
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from asyncnet.config import AccountSettings, QueueSettings, SpoolSettings
from asyncnet.mailqueue.store import Claim, Store, StoreBroken, StoreError
from asyncnet.spool.assemble import Rules
from asyncnet.spool.companions import (
    claim_companions,
    companions_alone,
    may_follow,
    repair,
    return_companions,
)
from asyncnet.spool.errors import SpoolBroken
from asyncnet.spool.files import LOCAL_FAULTS, AllowedFolders, identity
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.folder_events import follow_events
from asyncnet.spool.handover import HandOver, TooEarly
from asyncnet.spool.pickup import Pickup
from asyncnet.spool.queue_id import RANDOM_BITS, QueueIds
from asyncnet.spool.taking import Taken, take
from asyncnet.spool.trouble import Trouble, sleep_unless

TURN_S = 0.0025  # of job files at a stretch; then the sockets get their turn
IN_FLIGHT = 256  # jobs between claim and commit: enough for one commit to carry hundreds
COMPOSED_A_TURN = 32  # by then another TURN_S is over
SCANS_BETWEEN = 8  # at most, in a scan interval, for files that become ready before it is over
FOLLOW_AGAIN_S = 10.0  # between attempts to watch a folder that could not be watched

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def free_octets(folder: Path) -> int:
    """What the disk of a folder has left for us.  Raises OSError."""
    return shutil.disk_usage(folder).free


class Intake:
    """The service.  clock gives seconds since the epoch.

    on_step, for tests of crashes, is told each step: "companions claimed" (where there are
    any), "claimed", "composed", "accepted".
    With events False the folder is only scanned.  free_octets tells what the disk has left.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        store: Store,
        spool: SpoolSettings,
        queue: QueueSettings,
        accounts: Mapping[str, AccountSettings],
        *,
        clock: Callable[[], float] = time.time,
        random_bits: Callable[[int], int] = secrets.randbits,
        on_step: Callable[[str], None] | None = None,
        events: bool = True,
        free_octets: Callable[[Path], int] = free_octets,
    ) -> None:
        self.watching = asyncio.Event()  # set while events tell of new files
        self.begun = asyncio.Event()  # set when they do, or when it is clear that they do not
        self._folder = folder
        self._store = store
        self._scan_s = spool.scan
        self._min_free_octets = spool.min_free
        self._free_octets = free_octets
        self._grace_s = spool.grace
        self._clock = clock
        self._random_bits = random_bits
        self._on_step = on_step or (lambda step: None)
        self._events = events
        folders = AllowedFolders((folder.pickup, *spool.attachment_roots), spool.max_message)
        self._hand_over = HandOver(
            store=store,
            queue=folder.queue,
            rules=Rules(folders, accounts, spool.allow_server, queue),
            max_octets=spool.max_message,
            settle_s=spool.settle,
            clock=clock,
            on_step=self._on_step,
        )
        self._ids = QueueIds()
        self._pickup = Pickup(folder.pickup, spool.settle, spool.grace)
        self._flush = GroupFlush(lambda: folder.flush((folder.queue, folder.pickup)))
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()  # until run() begins
        self._scan_now = asyncio.Event()
        self._trouble = Trouble("intake", self._stopping)
        # Apart from it: jobs that were claimed before still end well meanwhile.
        self._no_room = Trouble("intake", self._stopping)
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._claimed: list[tuple[Claim, Taken | None]] = []  # since the last flush was asked for
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: Exception | None = None

    async def run(self) -> None:
        """Take jobs until stop().  Raises StoreBroken or SpoolBroken: end the process then.

        Cancelling it leaves every job in pickup/, in queue/ or in the store, all of which
        the next start goes on with.
        """
        self._ended.clear()
        services = [asyncio.create_task(self._scan())]
        if self._events:
            services.append(asyncio.create_task(self._follow()))
        for service in services:
            service.add_done_callback(self._noticing_ended)
        try:
            await self._redo()
            await self._work()
            while self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            for task in (*services, *self._tasks):
                task.cancel()
            await asyncio.gather(*services, *self._tasks, return_exceptions=True)
            self._ended.set()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Take no more jobs, finish those under way, and return when run() has ended."""
        self._end()
        await self._ended.wait()

    def _end(self, failure: Exception | None = None) -> None:
        self._failure = self._failure or failure
        self._stopping.set()
        self._pickup.bell.set()

    # Noticing.

    def _noticing_ended(self, service: asyncio.Task[None]) -> None:
        if not service.cancelled() and isinstance(fault := service.exception(), Exception):
            self._end(fault)  # a fault of ours; without it new jobs would silently be left

    async def _follow(self) -> None:
        """Let events tell of files; where there are none, try again now and then."""
        said = None
        while True:
            why = await follow_events(self._folder.pickup, self._pickup.notice, self._missed)
            self._pickup.followed = False
            self.watching.clear()
            self.begun.set()
            if why != said:
                log.warning("no folder events; the folder is scanned", reason=why)
                said = why
            await asyncio.sleep(FOLLOW_AGAIN_S)

    def _missed(self) -> None:
        self._pickup.followed = True
        self.watching.set()
        self.begun.set()
        self._scan_now.set()

    async def _scan(self) -> None:
        """Look through the folder at once, then every scan seconds or when events were lost."""
        while not self._stopping.is_set():
            self._scan_now.clear()
            try:
                found = await asyncio.to_thread(self._pickup.look)
            except OSError as error:
                await self._trouble.wait(f"{self._folder.pickup}: {error.strerror}")
                continue
            following = self._pickup.compare(found, self._clock())
            wait_s = min(following - self._clock(), self._scan_s)
            await sleep_unless(self._scan_now, max(wait_s, self._scan_s / SCANS_BETWEEN))

    # Taking.

    async def _redo(self) -> None:
        """Go on with files that were claimed and never became a row."""
        claims = self._folder.claimed()
        alone = {companion.queue_id for companion in companions_alone(self._folder)}
        known = await self._store.known([*(claim.queue_id for claim in claims), *alone])
        claims += await self._repair(known)
        for claim in claims:
            if claim.queue_id not in known and not self._stopping.is_set():
                log.info("claimed before, taken again", queue_id=claim.queue_id, name=claim.name)
                await self._acquire()
                self._claimed.append((claim, None))
        self._hand_on()

    async def _repair(self, known: frozenset[str]) -> list[Claim]:
        while not self._stopping.is_set():
            try:
                return repair(self._folder, known)
            except OSError as error:
                await self._trouble.wait(error.strerror or str(error))
        return []

    async def _work(self) -> None:
        while not self._stopping.is_set():
            await self._pickup.bell.wait()
            self._pickup.bell.clear()
            while self._pickup.ready and not self._stopping.is_set():
                if await self._room():
                    await self._turn(time.perf_counter() + TURN_S)
                    self._hand_on()
                    await asyncio.sleep(0)

    async def _turn(self, until_s: float) -> None:
        """Take jobs until a time of perf_counter()."""
        while self._pickup.ready and not self._stopping.is_set():
            name = self._pickup.next()
            try:
                await self._take(name)
            except OSError as error:
                self._pickup.notice(name)
                self._hand_on()
                await self._trouble.wait(error.strerror or str(error))
            if time.perf_counter() >= until_s:
                return

    async def _room(self) -> bool:
        """Whether the disk has room for more; if not, some time has passed.

        The room that is kept is for what was taken: its results, the queue's own log.
        """
        root = self._folder.root
        try:
            free = self._free_octets(root)
        except OSError as error:
            await self._no_room.wait(f"{root}: {error.strerror}")
            return False
        if free >= self._min_free_octets:
            self._no_room.over()
            return True
        needed = f"{self._min_free_octets / 1e6:g} MB"
        why = f"the disk of {root} has less than {needed} free ([spool] min_free): make room"
        await self._no_room.wait(why)
        return False

    async def _take(self, name: str) -> None:
        """Judge one file and claim it, if its time has come.  Raises OSError: local fault."""
        follows = may_follow(self._folder, name)
        try:
            taken = await take(self._folder.pickup, name)
        except FileNotFoundError:
            return  # its writer took it back, or it was claimed on the event before
        if taken is None:
            return
        now = self._clock()
        if taken.may_be_under_way and self._pickup.may_wait(name, taken.status, now):
            return
        if follows and self._pickup.may_settle(name, taken.status, now):
            self._scan_now.set()
            return
        await self._acquire()
        claim = None
        try:
            queue_id = self._ids.next(now, self._random_bits(RANDOM_BITS))
            if alone := taken.is_alone:
                claim = self._folder.claim(name, queue_id)
            else:
                claim, alone = await self._claim(name, queue_id)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno in LOCAL_FAULTS:
                raise
            log.error("a job cannot be moved", name=name, reason=error.strerror)
            self._pickup.put_off(name, taken.status, now + self._grace_s)
            return
        finally:
            if claim is None:
                self._slots.release()
        self._on_step("claimed")
        self._pickup.forget(name)
        known = taken if alone and self._is_unchanged(claim, taken) else None
        self._claimed.append((claim, known))

    async def _claim(self, name: str, queue_id: str) -> tuple[Claim, bool]:
        """The claim, and whether no other file went along.  Raises OSError or SpoolBroken."""
        try:
            if not claim_companions(self._folder, name, queue_id):
                return self._folder.claim(name, queue_id), True
            self._on_step("companions claimed")
            await self._flush.wait()
            return self._folder.claim(name, queue_id), False
        except OSError:
            return_companions(self._folder, name, queue_id)
            raise

    def _is_unchanged(self, claim: Claim, taken: Taken) -> bool:
        """Whether what was claimed is what was read: its writer may have gone on."""
        try:
            status = os.lstat(f"{self._folder.queue}/{claim.job_file}")
        except OSError:
            return False
        return identity(status) == identity(taken.status)

    # Handing over.

    async def _acquire(self) -> None:
        """Wait for a slot, which the task of _start() gives back."""
        if self._slots.locked():
            self._hand_on()  # it may be these that we wait for
        await self._slots.acquire()

    def _hand_on(self) -> None:
        """Go on with what was claimed: one flush for all of it."""
        if self._claimed:
            batch, self._claimed = self._claimed, []
            self._keep(asyncio.create_task(self._bring_all(batch)))

    async def _bring_all(self, batch: list[tuple[Claim, Taken | None]]) -> None:
        """Hand claimed jobs over, each in a task of its own, which gives its slot back."""
        flushed = True
        try:
            await self._flush.wait()
        except (OSError, SpoolBroken):
            flushed = False  # each meets it again, and deals with it
        for number, (claim, taken) in enumerate(batch, 1):
            task = asyncio.create_task(self._bring(claim, taken, flushed=flushed))
            self._keep(task)
            task.add_done_callback(self._brought)
            if number % COMPOSED_A_TURN == 0:
                await asyncio.sleep(0)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _brought(self, task: asyncio.Task[None]) -> None:
        self._slots.release()
        if not task.cancelled() and (fault := task.exception()) is not None:
            # A fault of ours.  The other jobs go on; this one is redone at the next start.
            log.error("a claimed job was not handed over", exc_info=fault)

    async def _bring(self, claim: Claim, taken: Taken | None, *, flushed: bool) -> None:
        """Bring a claimed job into the store, however often that must be tried.

        flushed: its claim is on the disk.
        """
        while True:
            try:
                if not flushed:
                    await self._flush.wait()
                    flushed = True
                if taken is None:
                    taken = await take(self._folder.queue, claim.job_file)
                if taken is not None:
                    await self._hand_over.bring(claim, taken)
                self._trouble.over()
                return
            except TooEarly as early:
                await self._pause(early.wait_s)
            except (StoreBroken, SpoolBroken) as error:
                self._end(error)
            except FileNotFoundError:
                log.warning("a claimed job was removed by somebody", job_file=claim.job_file)
                return
            except StoreError as error:
                await self._trouble.wait(str(error))
            except OSError as error:
                await self._trouble.wait(error.strerror or str(error))
            if self._stopping.is_set():
                return  # the file lies in queue/ and is taken again at the next start

    async def _pause(self, wait_s: float) -> None:
        """Wait without keeping other jobs from going on."""
        self._slots.release()
        try:
            await sleep_unless(self._stopping, wait_s)
        finally:
            await self._slots.acquire()
