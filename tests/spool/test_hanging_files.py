"""Jobs whose files lie on a disk that hangs keep only their like waiting."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.spool.files import AllowedFolders, FileContent
from asyncnet.spool.folder import SpoolFolder
from tests.spool.dropping import JOB, all_records, drop, running

HANGING = 8  # more than are read at once


@pytest.mark.parametrize(
    ("wrong", "status"),
    [("", JobStatus.QUEUED), ("subjct: x\n", JobStatus.INVALID)],
    ids=["good jobs", "jobs with a mistake"],
)
async def test_other_jobs_are_taken_while_files_hang(
    folder: SpoolFolder,
    store: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
    status: JobStatus,
) -> None:
    def hang(folders: AllowedFolders, path: str, owner: int) -> FileContent:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(60)
        return opened(folders, path, owner)

    loop, begun, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    # So that one read in the loop's own threads is enough to stop it.
    loop.set_default_executor(ThreadPoolExecutor(1))
    opened = AllowedFolders.open
    monkeypatch.setattr(AllowedFolders, "open", hang)
    (folder.pickup / "a.txt").write_text("a")
    async with running(folder, store) as steps:
        try:
            for number in range(HANGING):
                drop(folder, f"hanging-{number}.yaml", JOB + "attachments: [a.txt]\n" + wrong)
            await begun.wait()
            drop(folder, "other.yaml")
            await steps.reach("accepted")
            (record,) = await all_records(store)
            assert record.claim.name == "other"
        finally:
            go_on.set()
        await steps.reach("accepted", HANGING + 1)
    records = {it.claim.name: it.status for it in await all_records(store)}
    assert records.pop("other") is JobStatus.QUEUED
    assert list(records.values()) == [status] * HANGING
