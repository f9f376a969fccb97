"""Dropping files into a spool with a running intake."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from asyncnet.config.sections import AccountSettings, QueueSettings, SpoolSettings
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Record
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.intake import Intake

JOB = "from: a@example.org\nto: b@example.org\ntext: x\n"
ACCOUNTS = {"work": AccountSettings(host="smtp.example.org")}


class Steps:
    """Counts the steps of an intake, so that a test can await them."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.then: Callable[[str], None] = lambda step: None
        self._changed = asyncio.Event()

    def __call__(self, step: str) -> None:
        self.seen.append(step)
        self.then(step)
        self._changed.set()

    async def reach(self, step: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.seen.count(step) < times:
                self._changed.clear()
                await self._changed.wait()


def spool_settings(folder: SpoolFolder, **changes: Any) -> SpoolSettings:
    return SpoolSettings(dir=folder.root).model_copy(
        update={"scan": 0.02, "settle": 0.1, "grace": 30.0, **changes}
    )


@asynccontextmanager
async def running(
    folder: SpoolFolder, store: SqliteStore, *, events: bool = True, **changes: Any
) -> AsyncIterator[Steps]:
    steps = Steps()
    settings = spool_settings(folder, **changes)
    intake = Intake(
        folder, store, settings, QueueSettings(), ACCOUNTS, on_step=steps, events=events
    )
    task = asyncio.create_task(intake.run())
    try:
        if events:
            await intake.watching.wait()
        yield steps
    finally:
        await intake.stop()
        await task


def drop(folder: SpoolFolder, name: str, text: str = JOB) -> None:
    """As a careful writer does it: aside, then renamed in."""
    aside = folder.root / "aside"
    aside.write_text(text)
    os.rename(aside, folder.pickup / name)


async def all_records(store: SqliteStore) -> list[Record]:
    return await store.records(states=list(JobStatus))


async def only_record(store: SqliteStore) -> Record:
    (record,) = await all_records(store)
    return record


def errors(record: Record) -> list[str]:
    return [str(problem) for problem in record.errors]
