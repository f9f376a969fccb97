"""Waiting out a fault of this machine: a full disk, no descriptors, a folder that is gone.

Nothing is given up because of it.  It is said once when it begins and once when it is over.
"""

import asyncio
import contextlib

import structlog

RETRY_S = 1.0  # a person who makes room shall see it go on at once; a try costs little

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Trouble:
    """The faults of one service; wait() until stopping is set or it is time to try again."""

    def __init__(self, service: str, stopping: asyncio.Event) -> None:
        self._service = service
        self._stopping = stopping
        self._reason: str | None = None

    @property
    def lasts(self) -> bool:
        """Whether the last step failed."""
        return self._reason is not None

    async def wait(self, reason: str) -> None:
        """Say the reason if it is new, then let some time pass."""
        if reason != self._reason:
            log.error(f"{self._service} waits", reason=reason)
            self._reason = reason
        await sleep_unless(self._stopping, RETRY_S)

    def over(self) -> None:
        """A step went well."""
        if self._reason is not None:
            log.info(f"{self._service} goes on", was=self._reason)
            self._reason = None


async def sleep_unless(event: asyncio.Event, delay_s: float) -> bool:
    """Let delay_s pass, or less if event is set; returns whether it is."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await event.wait()
    return event.is_set()
