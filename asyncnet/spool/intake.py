"""Intake: job files out of pickup/, messages into the store.

A job's way, and what repeats a step that a crash cut off:

  read in pickup/ and judged          the next scan
  what goes with it renamed first     the start: see companions.py
  renamed into queue/ ("claimed")     the start: a file in queue/ without a row is taken again
  folders flushed, composed           the same
  accepted by the store               nothing: from here on the row is the truth

How files are noticed stands in noticing.py, what becomes of a claim in bringing.py, and what a
crash left in left_behind.py.
"""

import asyncio
import errno
import os
import secrets
import shutil
import struct
import time
from collections.abc import Callable, Container, Iterator, Mapping
from pathlib import Path

import structlog

from asyncnet.config.sections import AccountSettings, QueueSettings, SpoolSettings
from asyncnet.config.values import size_in_words
from asyncnet.mailqueue.store import Claim, Store
from asyncnet.spool.assemble import Rules
from asyncnet.spool.bringing import Bringing
from asyncnet.spool.companions import (
    Names,
    claim_companions,
    may_follow,
    repair,
    return_companions,
)
from asyncnet.spool.files import LOCAL_FAULTS, AllowedFolders, identity
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.handover import HandOver
from asyncnet.spool.left_behind import left_behind
from asyncnet.spool.noticing import Noticing
from asyncnet.spool.pickup import Pickup
from asyncnet.spool.queue_id import QueueIds
from asyncnet.spool.taking import Taken, take
from asyncnet.spool.trouble import Trouble, sleep_unless

TURN_S = 0.0025  # of job files at a stretch; then the sockets get their turn
# Between two flushes for what was claimed, and two looks at the disk's room: in a burst one is for
# many.
GO_ON_S = 0.025
# From the first of the jobs that are there to the first of the next ones: what comes meanwhile
# shares flush and commits.  One that comes singly is taken at once.
TOGETHER_S = 0.01
_NUMBERS = struct.Struct("256I")

log: structlog.stdlib.BoundLogger = structlog.get_logger()


def free_octets(folder: Path) -> int:
    """What the disk of a folder has left for us.  Raises OSError."""
    return shutil.disk_usage(folder).free


def _random_numbers() -> Iterator[int]:
    """Numbers of 32 random bits without end, many to a system call."""
    while True:
        yield from _NUMBERS.unpack(secrets.token_bytes(_NUMBERS.size))


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
        on_step: Callable[[str], None] | None = None,
        events: bool = True,
        free_octets: Callable[[Path], int] = free_octets,
    ) -> None:
        self._folder = folder
        self._pickup_path, self._queue_path = str(folder.pickup), str(folder.queue)
        self._store = store
        self._min_free_octets = spool.min_free
        self._free_octets = free_octets
        self._grace_s = spool.grace
        self._clock = clock
        self._on_step = on_step or (lambda step: None)
        self._events = events
        self._ids = QueueIds()
        self._random = _random_numbers()
        self._pickup = Pickup(folder.pickup, spool.settle, spool.grace)
        self._flush = GroupFlush(lambda: folder.flush((folder.queue, folder.pickup)))
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()  # until run() begins
        self._failure: Exception | None = None
        # Each step has its own, and ends it: jobs that were claimed before still end well while
        # no other can be seen or taken.
        self._unseen = Trouble("intake", self._stopping)
        self._untaken = Trouble("intake", self._stopping)
        self._unbrought = Trouble("intake", self._stopping)
        self._no_room = Trouble("intake", self._stopping)
        self._noticing = Noticing(
            folder.pickup,
            self._pickup,
            spool.scan,
            clock=clock,
            trouble=self._unseen,
            stopping=self._stopping,
            on_fault=self._end,
        )
        folders = AllowedFolders((folder.pickup, *spool.attachment_roots), spool.max_message)
        hand_over = HandOver(
            store=store,
            queue=folder.queue,
            rules=Rules(folders, accounts, spool.allow_server, queue),
            max_octets=spool.max_message,
            settle_s=spool.settle,
            clock=clock,
            on_step=self._on_step,
        )
        self._bringing = Bringing(
            folder.queue,
            hand_over,
            self._flush,
            trouble=self._unbrought,
            stopping=self._stopping,
            on_fault=self._end,
        )

    @property
    def watching(self) -> asyncio.Event:
        """Set while events tell of new files."""
        return self._noticing.watching

    @property
    def waits_for(self) -> str | None:
        """The fault of this machine that keeps jobs from being taken; None: none does.

        Too little room is left out: that is there to be measured by whoever wants to know.
        """
        return self._unseen.reason or self._untaken.reason or self._unbrought.reason

    @property
    def begun(self) -> asyncio.Event:
        """Set when they do, or when it is clear that they do not."""
        return self._noticing.begun

    async def run(self) -> None:
        """Take jobs until stop().  Raises StoreBroken or SpoolBroken: end the process then.

        Cancelling it leaves every job in pickup/, in queue/ or in the store, all of which
        the next start goes on with.
        """
        self._ended.clear()
        services = self._noticing.start(events=self._events)
        try:
            await self._redo()
            await self._work()
            await self._bringing.finish()
        finally:
            for service in services:
                service.cancel()
            await self._bringing.cut_off()
            await asyncio.gather(*services, return_exceptions=True)
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
        self._bringing.let_go()

    async def _redo(self) -> None:
        """Go on with files that were claimed and never became a row."""
        for claim in await self._left_behind():
            if not self._stopping.is_set():
                log.info("claimed before, taken again", queue_id=claim.queue_id, name=claim.name)
                await self._bringing.room()
                self._bringing.add(claim, None)
        self._bringing.go_on()

    async def _left_behind(self) -> list[Claim]:
        while not self._stopping.is_set():
            try:
                left = await left_behind(self._folder, self._store.known)
                claims = left.claims + repair(self._folder, left.companions)
                self._untaken.over()
                return claims
            except OSError as error:
                await self._untaken.wait(error.strerror or str(error))
        return []

    async def _work(self) -> None:
        next_s = 0.0
        while not self._stopping.is_set():
            await self._pickup.bell.wait()
            if (wait_s := next_s - time.perf_counter()) > 0.0:
                await sleep_unless(self._stopping, wait_s)
            self._pickup.bell.clear()
            next_s = time.perf_counter() + TOGETHER_S
            go_on_s = 0.0
            while self._pickup.ready and not self._stopping.is_set():
                if (now_s := time.perf_counter()) >= go_on_s:
                    self._bringing.go_on()
                    if not await self._room():
                        continue
                    go_on_s = now_s + GO_ON_S
                await self._turn(now_s + TURN_S)
                await asyncio.sleep(0)
            self._bringing.go_on()

    async def _turn(self, until_s: float) -> None:
        """Take jobs until a time of perf_counter(), or until others have had a turn meanwhile.

        Before that no job comes to the line, so that one look at failed/ tells of each what may
        still follow it.
        """
        others_had_turn = asyncio.Event()
        asyncio.get_running_loop().call_soon(others_had_turn.set)
        failed = Names(self._folder.failed)
        while self._pickup.ready and not self._stopping.is_set():
            name = self._pickup.next()
            try:
                await self._take(name, failed)
                self._untaken.over()
            except OSError as error:
                self._pickup.notice(name)
                self._bringing.go_on()
                await self._untaken.wait(error.strerror or str(error))
            if others_had_turn.is_set() or time.perf_counter() >= until_s:
                return

    async def _room(self) -> bool:
        """Whether the disk has room for more; if not, some time has passed.

        The room that is kept is for what was taken: its results, the queue's own log.
        """
        root = self._folder.root
        try:
            free = self._free_octets(root)
            if free >= self._min_free_octets:
                self._no_room.over()
                return True
            needed = size_in_words(self._min_free_octets)
            why = f"the disk of {root} has less than {needed} free ([spool] min_free): make room"
        except OSError as error:
            why = f"{root}: {error.strerror}"
        self._bringing.go_on()
        await self._no_room.wait(why)
        return False

    async def _take(self, name: str, failed: Container[str]) -> None:
        """Judge one file and claim it, if its time has come.  Raises OSError: local fault."""
        follows = may_follow(self._folder, name, failed)
        try:
            taken = await take(self._pickup_path, name)
        except FileNotFoundError:
            return  # its writer took it back, or it was claimed on the event before
        if taken is None:
            return
        now = self._clock()
        if taken.may_be_under_way and self._pickup.may_wait(name, taken.status, now):
            return
        if follows and self._pickup.may_settle(name, taken.status, now):
            self._noticing.scan_soon()
            return
        await self._bringing.room()
        try:
            queue_id = self._ids.next(now, next(self._random))
            if alone := taken.is_alone:
                claim = self._folder.claim(name, queue_id)
            else:
                claim, alone = await self._claim(name, queue_id)
        except FileNotFoundError as error:
            if not self._folder.queue.is_dir():
                raise OSError(errno.ENOENT, f"{self._folder.queue} is gone") from error
            return
        except OSError as error:
            if error.errno in LOCAL_FAULTS:
                raise
            log.error("a job cannot be moved", name=name, reason=error.strerror)
            self._pickup.put_off(name, taken.status, now + self._grace_s)
            return
        self._on_step("claimed")
        self._pickup.forget(name)
        known = taken if alone and self._is_unchanged(claim, taken) else None
        self._bringing.add(claim, known)

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
            status = os.lstat(f"{self._queue_path}/{claim.job_file}")
        except OSError:
            return False
        return identity(status) == identity(taken.status)
