"""The pages in a thread and an event loop of their own.

Mail at work keeps its loop: a burst of jobs for milliseconds at a time, a rename for as long as
the file system's journal takes.  A visitor waits for none of that here, only for the interpreter,
which no thread keeps for longer than sys.getswitchinterval() while another wants it.
"""

import asyncio
from collections.abc import Coroutine
from threading import Thread
from typing import Any

from asyncnet.config.values import Endpoint
from asyncnet.web.listener import HttpListener

PAGES = "pages"  # the thread's name


class ListenerApart:
    """Runs a listener apart from the loop that starts and stops it, once each."""

    def __init__(self, listener: HttpListener) -> None:
        """Nothing is started yet; the listener belongs to this thread from start() on."""
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses really bound."""
        return self._listener.endpoints

    @property
    def open_connections(self) -> int:
        """Connections being served, silent ones included."""
        return self._listener.open_connections

    async def start(self) -> None:
        """Listen, on a loop of the same kind as the caller's.  Raises OSError as the listener."""
        self._loop = type(asyncio.get_running_loop())()
        # A thread of a daemon that dies of a fault must not keep the process.
        self._thread = Thread(target=self._loop.run_forever, name=PAGES, daemon=True)
        self._thread.start()
        try:
            await self._there(self._listener.start())
        except BaseException:
            await self._end()
            raise

    async def stop(self, grace_s: float) -> None:
        """Stop accepting, let running requests finish for grace_s, then cut off the rest."""
        try:
            await self._there(self._listener.stop(grace_s))
        finally:
            await self._end()

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()
