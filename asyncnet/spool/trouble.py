"""Waiting out a fault of this machine: a full disk, no descriptors, a folder that is gone.

Nothing is given up because of it.  It is said once when it begins and once when it is over.
"""

import asyncio
import contextlib
from collections.abc import Sequence

import structlog

RETRY_S = 1.0  # a person who makes room shall see it go on at once; a try costs little

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Trouble:
    """The faults of one service; wait() until stopping is set or it is time to try again."""

    def __init__(self, service: str, stopping: asyncio.Event) -> None:
        self._service = service
        self._stopping = stopping
        self._reason: str | None = None
        self._told: set[str] = set()  # since the last step that went well

    @property
    def reason(self) -> str | None:
        """What is waited for; None: the last step went well."""
        return self._reason

    async def wait(self, reason: str) -> None:
        """Say the reason if it is new, then let some time pass."""
        self.tell(reason)
        await sleep_unless(self._stopping, RETRY_S)

    def tell(self, reason: str) -> None:
        """Say the reason, unless it was said before: two may come by turns."""
        self._reason = reason
        if reason not in self._told:
            self._told.add(reason)
            log.error(f"{self._service} waits", reason=reason)

    def over(self) -> None:
        """A step went well."""
        if self._reason is not None:
            log.info(f"{self._service} goes on", was=self._reason)
            self._reason = None
            self._told.clear()


class Line:
    """Those whom one trouble stopped, by their queue ids: they try again one after another.

    Each try may cost as much as the work itself, and on a full disk a thousand would fail as one
    does.  So while the trouble lasts, one of them tries every RETRY_S; behind one that got through
    the next two go at once, so that all are through soon.
    """

    def __init__(self, trouble: Trouble, stopping: asyncio.Event) -> None:
        self._trouble = trouble
        self._stopping = stopping
        self._stopped: set[str] = set()
        self._first = asyncio.Lock()  # had by the next to try, and asked for in order
        self._may_go = 0  # how many need not wait
        self._go = asyncio.Event()

    def join(self, queue_id: str, reason: str) -> None:
        """Say the reason if it is new; the trouble lasts until leave()."""
        self._stopped.add(queue_id)
        self._trouble.tell(reason)

    async def turn(self, *, alone: bool = False) -> None:
        """Wait to try again, or for stopping.  alone: without regard to the others."""
        if alone:
            await sleep_unless(self._stopping, RETRY_S)
            return
        async with self._first:
            if not self._may_go:
                self._go.clear()
                await _sleep_unless_any((self._go, self._stopping), RETRY_S)
            self._may_go = max(self._may_go - 1, 0)

    def leave(self, queue_id: str) -> None:
        """One got through, whether it was stopped before or not, or gave up."""
        was_stopped = queue_id in self._stopped
        self._stopped.discard(queue_id)
        if not self._stopped:
            self._trouble.over()
        elif was_stopped:  # the others say nothing: where small mails have room, large have none
            self._may_go = min(self._may_go + 2, len(self._stopped))
            self._go.set()


async def sleep_unless(event: asyncio.Event, delay_s: float) -> bool:
    """Let delay_s pass, or less if event is set; returns whether it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await event.wait()
    return event.is_set()


async def _sleep_unless_any(events: Sequence[asyncio.Event], delay_s: float) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
