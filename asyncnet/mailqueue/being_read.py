"""Contents that have yet to be read while they are taken in: no end waits for a disk that hangs."""

import asyncio
from typing import Any

import structlog

CLOSE_S = 3.0  # for those that are only slow

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class BeingRead:
    """The tasks that take them in, each until it is over."""

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[Any], str] = {}

    def add(self, queue_id: str, task: asyncio.Task[Any]) -> None:
        """Note a task, and whose content it waits for."""
        self._tasks[task] = queue_id
        task.add_done_callback(self._tasks.pop)

    async def end(self) -> None:
        """Give them CLOSE_S, then cancel what is left, and say so: it is not taken in."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=CLOSE_S)
        for task in left:
            queue_id = self._tasks[task]
            log.warning("not waited for: a content is still being read", queue_id=queue_id)
            task.cancel()
