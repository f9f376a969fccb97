"""The watch on the system's clock: where it is put back, waiting mail does not wait for it.

Due times stand in the queue by the system's clock, since they outlive every process.  A clock that
was a day ahead, and is put right, would have retries wait for a day.  One that goes forward makes
them due early, which does no harm; what has expired by it has.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from asyncnet.mailqueue.store import Store, StoreBroken, StoreError

LOOK_S = 5.0
TOLERATED_S = 10.0  # of a step; a clock that is only slewed moves less between two looks

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class ClockWatch:
    """The service.  clock gives seconds since the epoch, steady those that nobody sets."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        look_s: float = LOOK_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._steady = steady
        self._look_s = look_s
        self._stopping = asyncio.Event()
        self._ahead_s = self._ahead()  # of the steady clock

    async def run(self) -> None:
        """Watch until stop().  Raises StoreBroken: end the process then."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._look_s):
                    await self._stopping.wait()
            await self._look()

    async def stop(self) -> None:
        self._stopping.set()

    async def _look(self) -> None:
        ahead_s, before_s = self._ahead(), self._ahead_s
        back_s = before_s - ahead_s
        if back_s > TOLERATED_S:
            try:
                await self._store.clock_put_back(back_s, self._steady() + before_s)
            except StoreBroken:
                raise
            except StoreError as error:
                log.warning("the store cannot be used now", reason=str(error))
                return  # it is put back all the same at the next look
            log.warning("the clock was put back", by_s=round(back_s))
        self._ahead_s = ahead_s

    def _ahead(self) -> float:
        return self._clock() - self._steady()
