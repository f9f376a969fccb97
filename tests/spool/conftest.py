"""A spool with a real store in a folder of its own."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.spool import trouble
from asyncnet.spool.folder import SpoolFolder


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "RETRY_S", 0.01)


@pytest.fixture
def folder(tmp_path: Path) -> SpoolFolder:
    folder = SpoolFolder(tmp_path / "spool")
    folder.prepare()
    return folder


@pytest.fixture
async def store(folder: SpoolFolder) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder.root / "queue.db", folder.queue, dedup_window_s=3600.0)
    await store.open(time.time())
    yield store
    await store.close()
