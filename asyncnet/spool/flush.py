"""Flushing folders and files for many at once: one flush answers all who asked before it began."""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache

from asyncnet.spool.errors import SpoolBroken, SpoolError

# Before, syncfs() told nobody of a page that could not be written (syncfs(2)).
_SYNCFS_TELLS = (5, 8)


class GroupFlush:
    """flush is blocking and runs in a worker thread; never two at a time.

    After SpoolBroken it is not tried again: the system may have dropped what it could not write,
    and would call the next flush a good one.
    """

    def __init__(self, flush: Callable[[], None]) -> None:
        self._flush = flush
        self._broken: SpoolBroken | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._runner: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Return once a flush that began after this call is done.

        Raises what flush raises (OSError or SpoolError).  Cancelling it leaves the flush to
        the others.
        """
        self._check()
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
            if self._runner is None or self._runner.done():
                self._runner = asyncio.create_task(self._run())
        await asyncio.shield(self._waiting)

    async def _run(self) -> None:
        while self._waiting is not None:
            batch, self._waiting = self._waiting, None
            try:
                self._check()
                await asyncio.to_thread(self._flush)
            except (OSError, SpoolError) as error:
                if isinstance(error, SpoolBroken):
                    self._broken = self._broken or error
                batch.set_exception(error)
                batch.exception()  # all who waited may have been cancelled meanwhile
            else:
                batch.set_result(None)

    def _check(self) -> None:
        if self._broken is not None:
            raise SpoolBroken(str(self._broken)) from self._broken


def flush_file_system(descriptor: int) -> bool:
    """Put all that was written since descriptor was opened on the disk, on its whole file system.

    One journal commit for hundreds of files, where an fsync each would wait for as many.  False
    where the system has no such call, or none that tells of errors.  Blocking; raises OSError.
    """
    call = _syncfs()
    if call is None:
        return False
    if call(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return True


@cache
def _syncfs() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    release = os.uname().release.split(".")
    try:
        version = int(release[0]), int(release[1])
    except (ValueError, IndexError):
        return None
    if version < _SYNCFS_TELLS:
        return None
    call: Callable[[int], int] | None = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    return call
