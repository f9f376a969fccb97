"""Finished rows become result files, and jobs move to them, whatever cuts it off."""

import asyncio
import errno
import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Octets
from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import (
    Claim,
    NewMessage,
    RecipientRecord,
    Record,
    Refusal,
    Settlement,
)
from asyncnet.spool import reporter as reporting
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.queue_id import QueueIds
from asyncnet.spool.reporter import BATCH, Reporter
from asyncnet.spool.result import result_octets

IDS = QueueIds()
KEEP_S = 3600.0
ACCEPTED = Verdict(RecipientStatus.ACCEPTED, 250, "2.0.0", Phase.DOT, None, "OK: queued as 4F2")
REJECTED = Verdict(
    RecipientStatus.REJECTED, 550, "5.1.1", Phase.RCPT, Kind.RECIPIENT, "no such user", "look"
)


def claimed(folder: SpoolFolder, name: str = "hello.yaml") -> Claim:
    (folder.pickup / name).write_text(name)
    return folder.claim(name, IDS.next(time.time(), 0))


async def finished(
    folder: SpoolFolder, store: SqliteStore, name: str = "hello.yaml", *verdicts: Verdict
) -> Claim:
    """A job whose recipients got these verdicts, accepted if none is given."""
    claim = claimed(folder, name)
    verdicts = verdicts or (ACCEPTED,)
    recipients = tuple(f"r{place}@example.org" for place in range(len(verdicts)))
    now = time.time()
    message = NewMessage(
        claim=claim,
        message_id="<m@example.org>",
        envelope=Envelope("a@example.org", recipients),
        route=Route("work"),
        due_at=0.0,
        expires_at=now + 1000,
        job_id=f"id-{claim.queue_id}",
        meta={"ticket": 7},
        warnings=("a warning",),
    )
    await store.accept(message, Octets(b"Subject: x\r\n\r\nx\r\n"), now)
    (lease,) = await store.lease(now, 10)
    settlement = Settlement(
        dict(enumerate(verdicts)),
        due_at=now,
        server="smtp.example.org:465",
        tls={"version": "TLSv1.3", "verified": True},
    )
    await store.settle(lease, settlement, now)
    return claim


async def refused(folder: SpoolFolder, store: SqliteStore, name: str) -> Claim:
    claim = claimed(folder, name)
    problem = Problem("to[1]", "is missing the domain", "write name@example.org", 4, 5)
    await store.refuse(Refusal(claim, (problem,)), time.time())
    return claim


async def report_once(folder: SpoolFolder, store: SqliteStore) -> None:
    reported = asyncio.Event()
    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=telling(reported))
    task = asyncio.create_task(reporter.run())
    async with asyncio.timeout(20):
        await reported.wait()
    await reporter.stop()
    await task


def telling(reported: asyncio.Event) -> Callable[[str], None]:
    """An on_step that sets the event, from the loop's thread, when a batch was reported."""

    def on_step(step: str) -> None:
        if step == "reported":
            reported.set()

    return on_step


async def report(folder: SpoolFolder, store: SqliteStore) -> None:
    """Run a reporter until nothing is left to report."""
    while await store.unreported(1):
        await report_once(folder, store)


def files(folder: SpoolFolder) -> dict[str, list[str]]:
    return {name: sorted(os.listdir(getattr(folder, name))) for name in ("queue", "sent", "failed")}


def result(path: Any) -> dict[str, Any]:
    document = json.loads(path.read_bytes())
    assert isinstance(document, dict)
    return document


async def test_a_sent_job_lies_in_sent_with_its_result(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    claim = await finished(folder, store)
    await report(folder, store)
    assert files(folder) == {
        "queue": [],
        "sent": ["hello.result.json", "hello.yaml"],
        "failed": [],
    }
    document = result(folder.sent / "hello.result.json")
    moments = document.pop("claimed_at"), document.pop("finished_at")
    assert all(moment.endswith("Z") and len(moment) == 24 for moment in moments)
    assert document == {
        "schema": 1,
        "name": "hello",
        "id": f"id-{claim.queue_id}",
        "queue_id": claim.queue_id,
        "status": "sent",
        "account": "work",
        "server": "smtp.example.org:465",
        "tls": {"version": "TLSv1.3", "verified": True},
        "message_id": "<m@example.org>",
        "size_octets": 17,
        "attempts": 1,
        "recipients": [
            {
                "address": "r0@example.org",
                "status": "accepted",
                "code": 250,
                "enhanced": "2.0.0",
                "phase": "dot",
                "class": None,
                "text": "OK: queued as 4F2",
                "hint": None,
                "possible_duplicate": False,
            }
        ],
        "errors": [],
        "warnings": ["a warning"],
        "meta": {"ticket": 7},
    }


async def test_anything_else_lies_in_failed(folder: SpoolFolder, store: SqliteStore) -> None:
    await finished(folder, store, "part.yaml", ACCEPTED, REJECTED)
    await finished(folder, store, "none.json", REJECTED)
    await refused(folder, store, "bad.yml")
    await report(folder, store)
    assert files(folder)["sent"] == []
    assert files(folder)["failed"] == [
        *("bad.result.json", "bad.yml", "none.json", "none.result.json"),
        *("part.result.json", "part.yaml"),
    ]
    part, bad = (result(folder.failed / f"{n}.result.json") for n in ("part", "bad"))
    assert (part["status"], part["recipients"][1]["class"]) == ("partial", "recipient")
    assert (bad["status"], bad["message_id"], bad["recipients"]) == ("invalid", None, [])
    assert bad["errors"] == [
        {
            "field": "to[1]",
            "line": 4,
            "column": 5,
            "problem": "is missing the domain",
            "suggestion": "write name@example.org",
        }
    ]


async def test_jobs_of_one_name_keep_apart(folder: SpoolFolder, store: SqliteStore) -> None:
    first = await finished(folder, store, "a.yaml")
    second = await finished(folder, store, "a.yaml")
    third = await finished(folder, store, "a.json")
    await report(folder, store)
    assert files(folder)["sent"] == sorted(
        [
            *("a.yaml", "a.result.json"),
            *(f"a~{second.queue_id}.yaml", f"a~{second.queue_id}.result.json"),
            *(f"a~{third.queue_id}.json", f"a~{third.queue_id}.result.json"),
        ]
    )
    assert result(folder.sent / "a.result.json")["queue_id"] == first.queue_id
    renamed = result(folder.sent / f"a~{second.queue_id}.result.json")
    assert (renamed["name"], renamed["queue_id"]) == ("a", second.queue_id)


@pytest.mark.parametrize(
    "there", [{"a.result.json": "not json"}, {"a.yaml": "x"}, {"a.result.json": "[]"}]
)
async def test_files_of_others_are_never_overwritten(
    folder: SpoolFolder, store: SqliteStore, there: dict[str, str]
) -> None:
    for name, text in there.items():
        (folder.sent / name).write_text(text)
    claim = await finished(folder, store, "a.yaml")
    await report(folder, store)
    ours = [f"a~{claim.queue_id}.result.json", f"a~{claim.queue_id}.yaml"]
    assert files(folder)["sent"] == sorted([*there, *ours])
    for name, text in there.items():
        assert (folder.sent / name).read_text() == text


async def test_a_job_file_that_somebody_removed_still_gets_its_result(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    claim = await finished(folder, store)
    (folder.queue / claim.job_file).unlink()
    await report(folder, store)
    assert files(folder)["sent"] == ["hello.result.json"]


async def test_names_at_the_limit_fit(folder: SpoolFolder, store: SqliteStore) -> None:
    await finished(folder, store, "语" * 83 + ".yaml")
    second = await finished(folder, store, "语" * 83 + ".yaml")
    await report(folder, store)
    assert f"{'语' * 66}~{second.queue_id}.result.json" in files(folder)["sent"]


async def test_whatever_the_server_said_the_result_is_written(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await finished(folder, store, "a.yaml")
    (record,) = await store.unreported(1)
    odd = replace(ACCEPTED, text="caf\udce9 \x00")
    record = replace(
        record,
        claim=replace(record.claim, claimed_at=1_795_348_800.005),
        recipients=(RecipientRecord("a@example.org", odd),),
    )
    document = json.loads(result_octets(record))
    assert document["recipients"][0]["text"].startswith("caf")
    assert document["claimed_at"].endswith(":00.005Z")


# Crashes.


class Killed(Exception):
    """Stands for SIGKILL: whatever was under way ends here."""


def dying_at(last_step: str, times: int) -> Callable[[str], None]:
    left = [times]

    def on_step(step: str) -> None:
        if step == last_step:
            left[0] -= 1
            if not left[0]:
                raise Killed

    return on_step


@pytest.mark.parametrize("times", [1, 2, 3])
@pytest.mark.parametrize("last_step", ["result written", "job moved", "reported"])
async def test_a_crash_after_any_step_changes_nothing_in_the_end(
    folder: SpoolFolder, store: SqliteStore, last_step: str, times: int
) -> None:
    first = await finished(folder, store, "a.yaml")
    second = await finished(folder, store, "a.yaml")
    await refused(folder, store, "b.yaml")
    times = 1 if last_step == "reported" else times  # once for the whole batch
    with pytest.raises(Killed):
        await Reporter(folder, store, keep_s=KEEP_S, on_step=dying_at(last_step, times)).run()
    # As power cuts leave it: a result that was begun.
    if await store.unreported(1):
        (folder.sent / f".{second.queue_id}.result.json.tmp").write_text('{"sche')
    await report(folder, store)
    assert files(folder) == {
        "queue": [],
        "sent": sorted(
            [
                *("a.yaml", "a.result.json"),
                *(f"a~{second.queue_id}.yaml", f"a~{second.queue_id}.result.json"),
            ]
        ),
        "failed": ["b.result.json", "b.yaml"],
    }
    assert result(folder.sent / "a.result.json")["queue_id"] == first.queue_id


async def test_a_name_given_before_a_crash_is_kept_although_the_clash_is_gone(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    (folder.sent / "a.result.json").write_text("{}")
    claim = await finished(folder, store, "a.yaml")
    with pytest.raises(Killed):
        await Reporter(folder, store, keep_s=KEEP_S, on_step=dying_at("result written", 1)).run()
    (folder.sent / "a.result.json").unlink()
    await report(folder, store)
    assert files(folder)["sent"] == [f"a~{claim.queue_id}.result.json", f"a~{claim.queue_id}.yaml"]


async def test_a_result_that_is_gone_is_written_again_beside_its_job(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await finished(folder, store, "a.yaml")
    with pytest.raises(Killed):
        await Reporter(folder, store, keep_s=KEEP_S, on_step=dying_at("job moved", 1)).run()
    (folder.sent / "a.result.json").unlink()
    await report(folder, store)
    assert files(folder)["sent"] == ["a.result.json", "a.yaml"]


async def test_all_is_on_the_disk_before_the_row_says_so(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, rename = os.fsync, os.rename

    def watched_fsync(descriptor: int) -> None:
        done.append(f"flush {Path(os.readlink(f'/proc/self/fd/{descriptor}')).name}")
        fsync(descriptor)

    def watched_rename(source: str, target: str) -> None:
        done.append(f"to {Path(target).parent.name}/{Path(target).name}")
        rename(source, target)

    class Watched(SqliteStore):
        async def mark_reported(self, queue_ids: Iterable[str]) -> None:
            done.append("reported")
            await super().mark_reported(queue_ids)

    store = Watched(folder.root / "queue.db", folder.queue, dedup_window_s=KEEP_S)
    await store.open(time.time())
    claim = await finished(folder, store, "a.eml", ACCEPTED, REJECTED)
    (folder.queue / f"{claim.queue_id}.a.envelope.yaml").write_text("x")
    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "rename", watched_rename)
    await report_once(folder, store)
    assert done == [
        f"flush .{claim.queue_id}.result.json.tmp",
        "to failed/a.result.json",
        "to failed/a.envelope.yaml",
        "to failed/a.eml",
        *("flush failed", "flush queue"),
        "reported",
    ]
    await store.close()


async def test_a_job_that_vanishes_while_it_is_filed_stops_nobody(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    claim = await finished(folder, store, "a.yaml")

    def take_away(step: str) -> None:
        if step == "result written":
            (folder.queue / claim.job_file).unlink()

    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=take_away)
    task = asyncio.create_task(reporter.run())
    await reporter.stop()
    await task
    assert files(folder)["sent"] == ["a.result.json"]
    assert await store.unreported(1) == []


# Sweeping.


async def sweep(folder: SpoolFolder, store: SqliteStore) -> None:
    swept, loop = asyncio.Event(), asyncio.get_running_loop()

    def on_step(step: str) -> None:
        if step == "swept":
            loop.call_soon_threadsafe(swept.set)

    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=on_step)
    task = asyncio.create_task(reporter.run())
    async with asyncio.timeout(10):
        await swept.wait()
    await reporter.stop()
    await task


async def test_only_results_of_finished_jobs_are_swept(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    claim = await finished(folder, store, "a.eml")
    await report(folder, store)
    unknown = IDS.next(time.time(), 0)
    for name in ("a.envelope.yaml", "a.result.json"):
        (folder.queue / f"{claim.queue_id}.{name}").write_text("x")
        (folder.queue / f"{unknown}.{name}").write_text("x")
    await sweep(folder, store)
    assert files(folder)["queue"] == sorted(
        [
            f"{claim.queue_id}.a.envelope.yaml",
            *(f"{unknown}.a.envelope.yaml", f"{unknown}.a.result.json"),
        ]
    )


async def test_what_cannot_be_put_away_keeps_no_result_back(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, loop = asyncio.Event(), asyncio.get_running_loop()

    def faulty(*given: object) -> list[tuple[str, str]]:
        loop.call_soon_threadsafe(tried.set)
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("asyncnet.spool.reporter.set_aside_alone", faulty)
    reported = asyncio.Event()
    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=telling(reported))
    task = asyncio.create_task(reporter.run())
    async with asyncio.timeout(10):
        await tried.wait()
        await finished(folder, store, "a.yaml")
        await reported.wait()
    await reporter.stop()
    await task
    assert files(folder)["sent"] == ["a.result.json", "a.yaml"]


async def test_the_sweep_is_done_once_an_hour(folder: SpoolFolder, store: SqliteStore) -> None:
    seen: list[str] = []
    reported = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_step(step: str) -> None:
        seen.append(step)
        if step == "reported":
            loop.call_soon_threadsafe(reported.set)

    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=on_step)
    task = asyncio.create_task(reporter.run())
    for name in ("a.yaml", "b.yaml", "c.yaml"):
        await finished(folder, store, name)
        async with asyncio.timeout(10):
            await reported.wait()
        reported.clear()
    await reporter.stop()
    await task
    assert seen.count("swept") <= 1


# Running.


async def test_it_reports_what_finishes_while_it_runs(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    reported = asyncio.Event()
    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=telling(reported))
    task = asyncio.create_task(reporter.run())
    for name in ("a.yaml", "b.yaml"):
        await finished(folder, store, name)
        async with asyncio.timeout(10):
            await reported.wait()
        reported.clear()
        assert name in files(folder)["sent"]
    await reporter.stop()
    await task


async def test_the_first_is_reported_at_once_and_what_comes_behind_it_together(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GATHER_S", "A_LULL_S"):
        monkeypatch.setattr(reporting, name, 3600.0)
    reported = asyncio.Event()
    steps: list[str] = []

    def on_step(step: str) -> None:
        steps.append(step)
        telling(reported)(step)

    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=on_step)
    task = asyncio.create_task(reporter.run())
    await finished(folder, store, "a.yaml")
    async with asyncio.timeout(10):
        await reported.wait()
    for name in ("b.yaml", "c.yaml", "d.yaml"):
        await finished(folder, store, name)
    await reporter.stop()  # which waits for no more
    await task
    assert steps.count("reported") == 2
    assert files(folder)["sent"][::2] == [f"{name}.result.json" for name in "abcd"]


async def test_more_than_a_batch_is_reported(folder: SpoolFolder, store: SqliteStore) -> None:
    number = BATCH + 5
    await asyncio.gather(*(refused(folder, store, f"{n}.yaml") for n in range(number)))
    await report(folder, store)
    assert len(files(folder)["failed"]) == 2 * number


async def test_one_that_cannot_be_filed_stops_no_other_and_is_tried_again(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    claim = await finished(folder, store, "a.yaml")
    obstacle = folder.sent / f".{claim.queue_id}.result.json.tmp"
    obstacle.mkdir()
    await finished(folder, store, "b.yaml")
    reported = asyncio.Event()
    reporter = Reporter(folder, store, keep_s=KEEP_S, on_step=telling(reported))
    task = asyncio.create_task(reporter.run())
    async with asyncio.timeout(10):
        await reported.wait()
        assert [r.claim.name for r in await store.unreported(10)] == ["a"]
        assert "b.result.json" in files(folder)["sent"]
        reported.clear()
        obstacle.rmdir()
        await reported.wait()
    await reporter.stop()
    await task
    assert files(folder)["sent"] == ["a.result.json", "a.yaml", "b.result.json", "b.yaml"]
    assert reporter.waits_for is None


async def test_stopping_reports_what_is_finished_first(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    number = BATCH + 5  # more than one batch
    await asyncio.gather(*(refused(folder, store, f"{n}.yaml") for n in range(number)))
    reporter = Reporter(folder, store, keep_s=KEEP_S)
    task = asyncio.create_task(reporter.run())
    await asyncio.sleep(0)  # it runs
    await reporter.stop()
    await task
    assert await store.unreported(10) == []


async def test_stopping_waits_for_no_disk(folder: SpoolFolder, store: SqliteStore) -> None:
    claim = await finished(folder, store)
    (folder.sent / f".{claim.queue_id}.result.json.tmp").mkdir()
    reporter = Reporter(folder, store, keep_s=KEEP_S)
    task = asyncio.create_task(reporter.run())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await reporter.stop()
        await task
    assert len(await store.unreported(10)) == 1
    assert "Is a directory" in str(reporter.waits_for)


async def test_what_was_reported_long_ago_is_forgotten_and_its_files_stay(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await finished(folder, store, "old.yaml")
    await report(folder, store)
    assert await store.find("old")
    purged = asyncio.Event()

    class Watched(SqliteStore):
        async def purge(self, before: float) -> int:
            number = await store.purge(before)
            purged.set()
            return number

        async def unreported(self, limit: int) -> list[Record]:
            return await store.unreported(limit)

    watched = Watched(folder.root / "queue.db", folder.queue, dedup_window_s=KEEP_S)
    reporter = Reporter(folder, watched, keep_s=KEEP_S, clock=lambda: time.time() + 2 * KEEP_S)
    task = asyncio.create_task(reporter.run())
    async with asyncio.timeout(10):
        await purged.wait()
    await reporter.stop()
    await task
    assert await store.find("old") == []
    assert "old.result.json" in files(folder)["sent"]
