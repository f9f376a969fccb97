"""Jobs whose files lie on a disk that hangs keep only their like waiting, and no end waits."""

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import cast

import pytest
from structlog.testing import capture_logs

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Claim
from asyncnet.spool import bringing
from asyncnet.spool.bringing import Bringing
from asyncnet.spool.files import AllowedFolders, FileContent
from asyncnet.spool.flush import GroupFlush
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.handover import HandOver
from asyncnet.spool.taking import Taken, take
from asyncnet.spool.trouble import Trouble
from tests.spool.dropping import JOB, all_records, drop, running

HANGING = 8  # more than are read at once
WITH_FILE = JOB + "attachments: [a.txt]\n"
LONG = WITH_FILE + "subject: " + "x " * bringing.KEPT_OCTETS + "\n"  # is not kept while it waits


class HangingDisk:
    """Files are opened once it is let go; begun is set when the first is to be."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = threading.Event()
        self._loop = asyncio.get_running_loop()
        self._open = AllowedFolders.open

    def open(self, folders: AllowedFolders, path: str, owner: int) -> FileContent:
        self._loop.call_soon_threadsafe(self.begun.set)
        self.go_on.wait(60)
        return self._open(folders, path, owner)


@pytest.fixture
async def disk(folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HangingDisk]:
    it = HangingDisk()
    monkeypatch.setattr(AllowedFolders, "open", lambda *given: it.open(*given))
    (folder.pickup / "a.txt").write_text("a")
    # So that one read in the loop's own threads is enough to stop it.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    yield it
    it.go_on.set()


@pytest.mark.parametrize(
    ("wrong", "status"),
    [("", JobStatus.QUEUED), ("subjct: x\n", JobStatus.INVALID)],
    ids=["good jobs", "jobs with a mistake"],
)
async def test_other_jobs_are_taken_while_files_hang(
    folder: SpoolFolder, store: SqliteStore, disk: HangingDisk, wrong: str, status: JobStatus
) -> None:
    async with running(folder, store) as steps:
        try:
            for number in range(HANGING):
                drop(folder, f"hanging-{number}.yaml", WITH_FILE + wrong)
            await disk.begun.wait()
            drop(folder, "other.yaml")
            await steps.reach("accepted")
            (record,) = await all_records(store)
            assert record.claim.name == "other"
        finally:
            disk.go_on.set()
        await steps.reach("accepted", HANGING + 1)
    records = {it.claim.name: it.status for it in await all_records(store)}
    assert records.pop("other") is JobStatus.QUEUED
    assert list(records.values()) == [status] * HANGING


@pytest.mark.parametrize("job", [WITH_FILE, LONG], ids=["short", "long"])
async def test_more_of_them_than_may_be_under_way_keep_nobody_out_nor_does_the_end_wait(
    folder: SpoolFolder,
    store: SqliteStore,
    disk: HangingDisk,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
) -> None:
    monkeypatch.setattr(bringing, "IN_FLIGHT", HANGING // 2)
    monkeypatch.setattr(bringing, "TURNS", HANGING // 2)
    monkeypatch.setattr(bringing, "FINISH_S", 0.05)
    with capture_logs() as logs:
        async with running(folder, store) as steps:
            for number in range(HANGING):
                drop(folder, f"hanging-{number}.yaml", job)
            await disk.begun.wait()
            drop(folder, "other.yaml")
            await steps.reach("accepted")
    (told,) = (it for it in logs if it["event"].startswith("not waited for"))
    assert told["jobs"] == HANGING
    assert len(folder.claimed()) == HANGING + 1
    # The next start takes them up, and they hang again.
    async with running(folder, store) as steps:
        drop(folder, "another.yaml")
        await steps.reach("accepted")
        assert {it.claim.name for it in await all_records(store)} == {"other", "another"}
        disk.go_on.set()
        await steps.reach("accepted", HANGING + 1)
    assert len(await all_records(store)) == HANGING + 2


class HangingHandOver:
    """Brings nothing, ever; begun has the queue ids."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[str] = asyncio.Queue()

    def begin(self, claim: Claim, taken: Taken) -> None:
        """Each is brought apart."""

    async def bring(self, claim: Claim, taken: Taken) -> None:
        self.begun.put_nowait(claim.queue_id)
        await asyncio.Event().wait()


async def test_beyond_a_number_of_them_all_wait_for_room_and_at_the_end_nobody(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, number in {"IN_FLIGHT": 1, "TURNS": 1, "MOST_ASIDE": 2}.items():
        monkeypatch.setattr(bringing, name, number)
    drop(folder, "job.yaml", WITH_FILE)
    taken = await take(folder.pickup, "job.yaml")
    hand_over, stopping = HangingHandOver(), asyncio.Event()
    it = Bringing(
        folder.queue,
        cast(HandOver, hand_over),
        GroupFlush(lambda: None),
        trouble=Trouble("intake", stopping),
        stopping=stopping,
        on_fault=lambda fault: pytest.fail(str(fault)),
    )
    async with asyncio.timeout(20):
        for number in range(3):
            await it.room()
            it.add(Claim(f"Q{number}", "job", "job.yaml", 0.0), taken)
            it.go_on()
        # One of those aside, which wait for their turn, and the one that has no place there.
        assert [await hand_over.begun.get() for _ in range(2)] == ["Q0", "Q2"]
        waiting = asyncio.create_task(it.room())
        await asyncio.wait([waiting], timeout=0.05)
        assert not waiting.done()
        stopping.set()
        it.let_go()
        await waiting
    await it.cut_off()
