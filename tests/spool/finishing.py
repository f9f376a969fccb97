"""Ending jobs of a spool without a server: verdicts settled, results written, files moved back."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from asyncnet.mail.verdict import Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Record, Settlement
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.reporter import Reporter
from tests.spool.dropping import JOB, drop, running

ACCEPTED = Verdict(RecipientStatus.ACCEPTED, 250, "2.0.0", Phase.DOT, None, "OK: queued as 4F2")
REJECTED = Verdict(RecipientStatus.REJECTED, 550, "5.1.1", Phase.RCPT, None, "no such user")

IN_DOUBT = Verdict(RecipientStatus.IN_DOUBT, None, None, Phase.DOT, None, "the connection broke")


def files(folder: SpoolFolder) -> dict[str, list[str]]:
    return {
        name: sorted(os.listdir(getattr(folder, name)))
        for name in ("pickup", "queue", "sent", "failed")
        if os.listdir(getattr(folder, name))
    }


def addresses(record: Record) -> list[str]:
    return [recipient.address for recipient in record.recipients]


async def finish(store: SqliteStore, *verdicts: Verdict) -> None:
    (lease,) = await store.lease(time.time(), 10)
    places = dict(zip(lease.positions, verdicts, strict=True))
    await store.settle(lease, Settlement(places, due_at=time.time()), time.time())


async def report(folder: SpoolFolder, store: SqliteStore) -> None:
    reporter = Reporter(folder, store, keep_s=3600.0)
    task = asyncio.create_task(reporter.run())
    await reporter.stop()
    await task


def result(folder: Path, name: str = "job") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / f"{name}.result.json").read_bytes())
    return document


def move_back(folder: SpoolFolder, *names: str) -> None:
    for name in names:
        os.rename(folder.failed / name, folder.pickup / name)


THREE = JOB.replace("b@example.org", "[b@example.org, c@example.org, d@example.org]")


async def send_partly(folder: SpoolFolder, store: SqliteStore, text: str = THREE) -> None:
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", text)
        await steps.reach("accepted")
    await finish(store, ACCEPTED, REJECTED, REJECTED)
    await report(folder, store)
