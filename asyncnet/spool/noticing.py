"""Noticing what is dropped into pickup/: events tell at once, scans tell of what they missed.

No events come on NFS, SMB and bind mounts of some kinds, and a burst overflows their queue: they
are hints, and the folder is looked through every few seconds whatever they say.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from asyncnet.spool.folder_events import follow_events
from asyncnet.spool.pickup import Pickup
from asyncnet.spool.trouble import Trouble, sleep_unless

SCANS_BETWEEN = 8  # at most, in a scan interval, for files that become ready before it is over
FOLLOW_AGAIN_S = 10.0  # between attempts to watch a folder that could not be watched

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Noticing:
    """Tells pickup what is there, until its tasks are cancelled or stopping is set.

    clock gives seconds since the epoch; on_fault is told a fault of ours that ended it.
    """

    def __init__(
        self,
        folder: Path,
        pickup: Pickup,
        scan_s: float,
        *,
        clock: Callable[[], float],
        trouble: Trouble,
        stopping: asyncio.Event,
        on_fault: Callable[[Exception], None],
    ) -> None:
        self.watching = asyncio.Event()  # set while events tell of new files
        self.begun = asyncio.Event()  # set when they do, or when it is clear that they do not
        self._folder = folder
        self._pickup = pickup
        self._scan_s = scan_s
        self._clock = clock
        self._trouble = trouble
        self._stopping = stopping
        self._on_fault = on_fault
        self._scan_now = asyncio.Event()

    def start(self, *, events: bool) -> list[asyncio.Task[None]]:
        """The tasks, to be cancelled in the end."""
        works = [self._scan(), self._follow()] if events else [self._scan()]
        tasks = [asyncio.create_task(work) for work in works]
        for task in tasks:
            task.add_done_callback(self._ended)
        return tasks

    def scan_soon(self) -> None:
        """Look through the folder again before the interval is over."""
        self._scan_now.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and isinstance(fault := task.exception(), Exception):
            self._on_fault(fault)  # without noticing, new jobs would silently be left

    async def _follow(self) -> None:
        """Let events tell of files; where there are none, try again now and then."""
        said = None
        while True:
            why = await follow_events(self._folder, self._pickup.notice, self._missed)
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
                await self._trouble.wait(f"{self._folder}: {error.strerror}")
                continue
            self._trouble.over()
            following = self._pickup.compare(found, self._clock())
            wait_s = min(following - self._clock(), self._scan_s)
            await sleep_unless(self._scan_now, max(wait_s, self._scan_s / SCANS_BETWEEN))
