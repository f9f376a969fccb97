"""Large contents and the rows that speak of them: which of both is on the disk first."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncnet.mailqueue.store import StoreBroken
from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.faulty_disk import Disk, faulty_disk
from tests.mailqueue.messages import ACCEPTED, LARGE, NOW, leased, message, settled


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Ask for it before the engine: it must outlive the connections."""
    with faulty_disk() as disk:
        yield disk


async def test_a_content_file_and_its_name_are_flushed_before_the_row(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await sqlite.open()
    commits, fsync = store.commits, os.fsync
    done: list[tuple[str, int, int]] = []

    def watched(descriptor: int) -> None:
        name = Path(os.readlink(f"/proc/self/fd/{descriptor}")).name
        fsync(descriptor)
        octets = (sqlite.folder / "queue" / "Q1.msg").stat().st_size
        done.append((name, octets, store.commits - commits))

    monkeypatch.setattr(os, "fsync", watched)
    await store.accept(message("Q1"), LARGE, NOW)
    assert done == [("Q1.msg", LARGE.octets, 0), ("queue", LARGE.octets, 0)]
    assert store.commits - commits == 1


async def test_a_content_file_stays_until_it_is_committed_that_it_goes(
    disk: Disk, sqlite: SqliteEngine
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
    disk.flushes_fail = True
    with pytest.raises(StoreBroken):
        await store.mark_reported(["Q1"])
    assert sqlite.content_files() == ["Q1.msg"]
