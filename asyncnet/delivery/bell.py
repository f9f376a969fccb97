"""A bell that wakes one listener: rung by whoever has news, or by its alarm at a set time."""

import asyncio
from collections.abc import Awaitable, Callable


class Bell:
    """clock gives seconds since the epoch, sleep waits for a number of seconds."""

    def __init__(
        self, clock: Callable[[], float], sleep: Callable[[float], Awaitable[object]]
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._event = asyncio.Event()
        self._alarm: asyncio.Task[None] | None = None
        self._alarm_at = 0.0

    def ring(self) -> None:
        self._event.set()

    def hush(self) -> None:
        """Forget what rang so far; what rings from now on wakes the next wait()."""
        self._event.clear()

    async def wait(self, until: float) -> None:
        """Return at a ring, one since hush() included, or at that time."""
        delay_s = until - self._clock()
        if delay_s > 0.0:
            self._set_alarm(until, delay_s)
            await self._event.wait()
        else:
            await asyncio.sleep(0)  # others get their turn whatever happens

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()

    def _set_alarm(self, at: float, delay_s: float) -> None:
        # Most turns end at the same time as the one before: the alarm is set already then.
        if self._alarm is not None and not self._alarm.done():
            if self._alarm_at == at:
                return
            self._alarm.cancel()
        self._alarm_at = at
        self._alarm = asyncio.create_task(self._ring_after(delay_s))

    async def _ring_after(self, delay_s: float) -> None:
        await self._sleep(delay_s)
        self.ring()
