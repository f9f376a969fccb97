"""Intake takes nothing new while the spool's disk has less room than [spool] min_free."""

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from asyncnet.config.sections import QueueSettings
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.intake import Intake, free_octets
from tests.spool.dropping import ACCOUNTS, Steps, all_records, drop, spool_settings

MIN_FREE = 1_000_000


class Disk:
    """What a disk has left, as a test says it; asked counts how often that was looked at."""

    def __init__(self) -> None:
        self.free = MIN_FREE
        self.asked = asyncio.Semaphore(0)

    def __call__(self, folder: Path) -> int:
        self.asked.release()
        return self.free


class RealDisk(Disk):
    def __call__(self, folder: Path) -> int:
        super().__call__(folder)
        return free_octets(folder)


@contextlib.asynccontextmanager
async def taking(folder: SpoolFolder, store: SqliteStore, disk: Disk) -> AsyncIterator[Steps]:
    steps = Steps()
    settings = spool_settings(folder, min_free=MIN_FREE)
    intake = Intake(
        folder, store, settings, QueueSettings(), ACCOUNTS, on_step=steps, free_octets=disk
    )
    task = asyncio.create_task(intake.run())
    await intake.watching.wait()
    yield steps
    await intake.stop()
    await task


async def test_nothing_new_is_taken_without_room_and_all_of_it_afterwards(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    disk = Disk()
    with capture_logs() as logs:
        async with taking(folder, store, disk) as steps:
            drop(folder, "before.yaml")
            await steps.reach("accepted")
            disk.free = MIN_FREE - 1
            drop(folder, "one.yaml")
            drop(folder, "two.yaml")
            for _ in range(10):
                await disk.asked.acquire()
            assert sorted(os.listdir(folder.pickup)) == ["one.yaml", "two.yaml"]
            assert len(await all_records(store)) == 1
            disk.free = MIN_FREE
            await steps.reach("accepted", 3)
    told = [it for it in logs if it["event"] in ("intake waits", "intake goes on")]
    assert [it["event"] for it in told] == ["intake waits", "intake goes on"]
    assert f"the disk of {folder.root} has less than 1 MB free" in told[0]["reason"]


async def test_it_stops_in_order_while_it_waits(folder: SpoolFolder, store: SqliteStore) -> None:
    disk = Disk()
    disk.free = 0
    async with taking(folder, store, disk):
        drop(folder, "one.yaml")
        await disk.asked.acquire()
    assert os.listdir(folder.pickup) == ["one.yaml"]


async def test_what_was_claimed_before_is_handed_over_all_the_same(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    disk = Disk()
    disk.free = 0
    drop(folder, "one.yaml")
    folder.claim("one.yaml", "01JDX0V6S3N2K7AB")
    async with taking(folder, store, disk) as steps:
        await steps.reach("accepted")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB of its own."""
    if os.geteuid() != 0:
        pytest.skip("the full disk was LEFT OUT: only root may mount one")
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("the full disk was LEFT OUT: nothing may be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


async def test_a_real_disk_fills_up_and_is_emptied_again(small_disk: Path) -> None:
    folder = SpoolFolder(small_disk / "spool")
    folder.prepare()
    store = SqliteStore(folder.root / "queue.db", folder.queue, dedup_window_s=3600.0)
    await store.open(time.time())
    ballast = small_disk / "ballast"
    disk = RealDisk()
    async with taking(folder, store, disk) as steps:
        drop(folder, "before.yaml")
        await steps.reach("accepted")
        ballast.write_bytes(b"x" * 3_500_000)
        drop(folder, "after.yaml")
        for _ in range(5):
            await disk.asked.acquire()
        assert os.listdir(folder.pickup) == ["after.yaml"]
        ballast.unlink()
        await steps.reach("accepted", 2)
    await store.close()
