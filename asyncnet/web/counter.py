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
        async with self._lock:
            self._total += 1
            return self._total

    async def count_not_found(self) -> int:
        """Count one answer 404 and return its number."""
        async with self._lock:
            self._not_found += 1
            return self._not_found
