"""A disk that fails while a claimed job is read: tried for a while, then the job is refused."""

import asyncio
import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from asyncnet.mailqueue.store import Claim
from asyncnet.spool import trouble
from asyncnet.spool.bringing import DISK_TRIES, Bringing
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.handover import HandOver
from asyncnet.spool.taking import Taken
from asyncnet.spool.trouble import Trouble

TAKEN = cast(Any, SimpleNamespace(outcome=JobRefused(())))
CLAIM = Claim("01JDX0V6S3N2K7AB", "job", "01JDX0V6S3N2K7AB.job.yaml", 0.0)


class Reading:
    """A hand-over whose disk fails some times before it gives the file."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.brought = 0
        self.refused: list[JobRefused] = []

    def begin(self, claim: Claim, taken: Taken) -> None:
        """Each is brought apart."""

    async def bring(self, claim: Claim, taken: Taken) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error", "photo.jpg")
        self.brought += 1

    async def refuse(self, claim: Claim, refused: JobRefused) -> None:
        self.refused.append(refused)


async def bring(reading: Reading, folder: Path) -> Trouble:
    """Bring one job in; gives the trouble as it is afterwards."""
    stopping = asyncio.Event()
    trouble = Trouble("intake", stopping)
    bringing = Bringing(
        folder,
        cast(HandOver, reading),
        GroupFlush(lambda: None),
        trouble=trouble,
        stopping=stopping,
        on_fault=lambda fault: pytest.fail(str(fault)),
    )
    await bringing.room()
    bringing.add(CLAIM, TAKEN)
    bringing.go_on()
    await bringing.finish()
    return trouble


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trouble, "RETRY_S", 0.0)


async def test_a_job_outlives_a_disk_that_fails_for_a_while(tmp_path: Path) -> None:
    reading = Reading(failures=DISK_TRIES)
    await bring(reading, tmp_path)
    assert (reading.brought, reading.refused) == (1, [])


async def test_a_job_on_a_disk_that_fails_for_good_is_refused_with_the_file_and_the_reason(
    tmp_path: Path,
) -> None:
    reading = Reading(failures=10_000)
    await bring(reading, tmp_path)
    (refused,) = reading.refused
    assert "photo.jpg cannot be read: Input/output error" in str(refused.problems[0])


class FullDisk(Reading):
    """A hand-over without room until there is some; tried is set at so many tries."""

    def __init__(self, tries: int) -> None:
        super().__init__(0)
        self.awaited = tries
        self.tried = asyncio.Event()
        self.tries: list[str] = []
        self.has_room = asyncio.Event()

    async def bring(self, claim: Claim, taken: Taken) -> None:
        self.tries.append(claim.queue_id)
        if len(self.tries) == self.awaited:
            self.tried.set()
        if not self.has_room.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")


async def test_on_a_full_disk_one_tries_for_all_and_it_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trouble, "RETRY_S", 0.02)
    jobs, stopping = 50, asyncio.Event()
    disk = FullDisk(jobs + 5)
    bringing = Bringing(
        tmp_path,
        cast(HandOver, disk),
        GroupFlush(lambda: None),
        trouble=Trouble("intake", stopping),
        stopping=stopping,
        on_fault=lambda fault: pytest.fail(str(fault)),
    )
    with capture_logs() as logs:
        for number in range(jobs):
            await bringing.room()
            claim = Claim(f"01JDX0V6S3N2K7{number:02}", "job", "job.yaml", 0.0)
            bringing.add(claim, TAKEN)
        bringing.go_on()
        await disk.tried.wait()
        # Each tried when it came; then they try one after another, in the order they came.
        assert disk.tries == [*disk.tries[:jobs], *disk.tries[:5]]
        disk.has_room.set()
        await bringing.finish()
    assert [it["event"] for it in logs] == ["intake waits", "intake goes on"]
    assert len(disk.tries) == 2 * jobs + 5


@pytest.mark.parametrize("failures", [0, 1, DISK_TRIES + 1])
async def test_nothing_is_waited_for_once_the_job_has_ended(tmp_path: Path, failures: int) -> None:
    assert (await bring(Reading(failures), tmp_path)).reason is None
