"""Flushing folders for many at once: one flush answers all who asked before it began."""

import asyncio
from collections.abc import Callable

from asyncnet.spool.errors import SpoolError


class GroupFlush:
    """flush is blocking and runs in a worker thread; never two at a time."""

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._waiting: asyncio.Future[None] | None = None
        self._runner: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return once a flush that began after this call is done.

        Raises what flush raises (OSError or SpoolError).  Cancelling it leaves the flush to
        the others.
        """
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
            if self._runner is None or self._runner.done():
                self._runner = asyncio.create_task(self._run())
        await asyncio.shield(self._waiting)

    async def _run(self) -> None:
        while self._waiting is not None:
            batch, self._waiting = self._waiting, None
            try:
                await asyncio.to_thread(self._flush)
            except (OSError, SpoolError) as error:
                batch.set_exception(error)
                batch.exception()  # all who waited may have been cancelled meanwhile
            else:
                batch.set_result(None)
