"""The request counter: every answer counted once, under a lock."""

import asyncio


class RequestCounter:
    """Counts answers since the program started; 404s stand apart from the total.

    The lock holds out any other answer between the count and its number.  Nothing is awaited
    inside today, so it is never contended; whoever adds an await there (a store, say) still
    shows no number twice.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._total = 0
        self._not_found = 0

    @property
    def total(self) -> int:
        """Answers 200 and 400."""
        return self._total

    @property
    def not_found(self) -> int:
        """Answers 404."""
        return self._not_found

    async def count_answer(self) -> int:
        """Count one answer 200 or 400 and return its number: 1 for the first.

        Cancelled while it waits for the lock, nothing has been counted.
        """
        # Plainly, since `async with` costs more than all else here, and nothing between can fail.
        await self._lock.acquire()
        number = self._total = self._total + 1
        self._lock.release()
        return number

    async def count_not_found(self) -> int:
        """Count one answer 404 and return its number."""
        await self._lock.acquire()
        number = self._not_found = self._not_found + 1
        self._lock.release()
        return number
