"""The engines that the conformance suite is handed to."""

import itertools
import shutil
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Protocol

from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Store
from tests.mailqueue.messages import DEDUP_WINDOW_S, NOW
from tests.support.postgres import PostgresServer


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


class PostgresEngine:
    """A schema of its own on the server; after a crash, what the process before has committed."""

    def __init__(self, server: PostgresServer, cleanup: AsyncExitStack) -> None:
        self.server = server
        self.url: str | None = None
        self.store: PostgresStore | None = None
        self._cleanup = cleanup

    async def open(self, now: float = NOW) -> PostgresStore:
        if self.store is not None:
            await self.store.close()
        return await self.crash(now)

    async def crash(self, now: float = NOW) -> PostgresStore:
        self.store = await self.another("here", now)
        return self.store

    def content_files(self) -> list[str]:
        return []

    async def another(
        self, owner: str, now: float = NOW, *, term_s: float = 30.0, alone: bool = True
    ) -> PostgresStore:
        """One more store on the same queue, as on another machine."""
        if self.url is None:
            self.url = await self.server.new_schema()
        store = PostgresStore(
            self.url, owner, dedup_window_s=DEDUP_WINDOW_S, alone=alone, lease_term_s=term_s
        )
        self._cleanup.push_async_callback(store.close)
        await store.open(now)
        return store


ENGINES = ("sqlite", "postgres")
