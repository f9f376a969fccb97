"""The engines that the conformance suite is handed to."""

import itertools
import shutil
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Store
from tests.mailqueue.messages import DEDUP_WINDOW_S, NOW


class Engine(Protocol):
    """What an engine offers to the suite besides its stores."""

    async def open(self, now: float = NOW) -> Store:
        """A new store, open, on what the one before left; that one is closed if it is open."""
        ...

    async def crash(self, now: float = NOW) -> Store:
        """A new store, open, on what lies on the disk at this instant; nothing was closed."""
        ...

    def content_files(self) -> list[str]:
        """The names of what lies beside the rows."""
        ...


class SqliteEngine:
    """SQLite files in a folder; after a crash, in a copy of it."""

    def __init__(self, folder: Path, cleanup: AsyncExitStack) -> None:
        self.folder = folder / "spool-0"
        self.store: SqliteStore | None = None
        self._cleanup = cleanup
        self._numbers = itertools.count(1)

    @property
    def database(self) -> Path:
        return self.folder / "queue.db"

    async def open(self, now: float = NOW) -> SqliteStore:
        if self.store is not None:
            await self.store.close()
        return await self._open(now)

    async def crash(self, now: float = NOW) -> SqliteStore:
        survivor = self.folder.with_name(f"spool-{next(self._numbers)}")
        shutil.copytree(self.folder, survivor)
        self.folder = survivor
        return await self._open(now)

    def content_files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "queue").iterdir())

    async def _open(self, now: float) -> SqliteStore:
        store = SqliteStore(self.database, self.folder / "queue", dedup_window_s=DEDUP_WINDOW_S)
        self._cleanup.push_async_callback(store.close)
        await store.open(now)
        self.store = store
        return store


ENGINES: dict[str, Callable[[Path, AsyncExitStack], Engine]] = {"sqlite": SqliteEngine}
