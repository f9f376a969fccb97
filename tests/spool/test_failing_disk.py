"""A disk that fails while a claimed job is read: tried for a while, then the job is refused."""

import asyncio
import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from asyncnet.mailqueue.store import Claim
from asyncnet.spool import trouble
from asyncnet.spool.bringing import DISK_TRIES, Bringing
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.handover import HandOver
from asyncnet.spool.taking import Taken
from asyncnet.spool.trouble import Trouble

CLAIM = Claim("01JDX0V6S3N2K7AB", "job", "01JDX0V6S3N2K7AB.job.yaml", 0.0)


class Reading:
    """A hand-over whose disk fails some times before it gives the file."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.brought = 0
        self.refused: list[JobRefused] = []

    async def bring(self, claim: Claim, taken: Taken) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error", "photo.jpg")
        self.brought += 1

    async def refuse(self, claim: Claim, refused: JobRefused) -> None:
        self.refused.append(refused)


async def bring(reading: Reading, folder: Path) -> None:
    stopping = asyncio.Event()
    bringing = Bringing(
        folder,
        cast(HandOver, reading),
        GroupFlush(lambda: None),
        trouble=Trouble("intake", stopping),
        stopping=stopping,
        on_fault=lambda fault: pytest.fail(str(fault)),
    )
    await bringing.acquire()
    bringing.add(CLAIM, cast(Any, SimpleNamespace()))
    bringing.go_on()
    await bringing.finish()


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
