"""Files that go with a job are claimed with it, whatever cuts that off."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config import QueueSettings
from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Record, Settlement
from asyncnet.spool.companions import claim_companions, repair, return_companions
from asyncnet.spool.earlier import Earlier, joined, read_earlier
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.folder import SpoolFolder, claim_of, split_name
from asyncnet.spool.intake import Intake
from asyncnet.spool.queue_id import QueueIds
from asyncnet.spool.reporter import Reporter
from tests.spool.dropping import (
    ACCOUNTS,
    JOB,
    all_records,
    drop,
    errors,
    only_record,
    running,
    spool_settings,
)

MAIL = "From: a@example.org\nTo: header@example.org\n\nx\n"
ORDERS = "to: real@example.org\n"
ACCEPTED = Verdict(RecipientStatus.ACCEPTED, 250, "2.0.0", Phase.DOT, None, "OK: queued as 4F2")
REJECTED = Verdict(RecipientStatus.REJECTED, 550, "5.1.1", Phase.RCPT, None, "no such user")
NONE: frozenset[str] = frozenset()


def new_id() -> str:
    return QueueIds().next(time.time(), 7)


def files(folder: SpoolFolder) -> dict[str, list[str]]:
    return {
        name: sorted(os.listdir(getattr(folder, name)))
        for name in ("pickup", "queue", "sent", "failed")
        if os.listdir(getattr(folder, name))
    }


def addresses(record: Record) -> list[str]:
    return [recipient.address for recipient in record.recipients]


# Names.


@pytest.mark.parametrize(
    "name", ["01M8223YVH1REVE1.x.envelope.yaml", "01M8223YVH1REVE1.x.result.json"]
)
def test_a_companion_is_no_claim(name: str) -> None:
    assert claim_of(name) is None


@pytest.mark.parametrize("ending", [".result", ".envelope"])
def test_no_cut_makes_a_job_look_like_a_companion(ending: str) -> None:
    kept = {".result": ".json", ".envelope": ".yaml"}[ending]
    stem, _ = split_name("x" * (200 - len(ending)) + ending + "more" + kept)
    assert claim_of(f"01M8223YVH1REVE1.{stem}{kept}") is not None


# The claim and its repair.


def test_a_claim_cut_off_is_finished_with_the_same_id(folder: SpoolFolder) -> None:
    drop(folder, "mail.eml", MAIL)
    drop(folder, "mail.envelope.yaml", ORDERS)
    queue_id = new_id()
    assert claim_companions(folder, "mail.eml", queue_id)
    (claim,) = repair(folder, NONE)
    assert claim.queue_id == queue_id
    assert files(folder) == {
        "queue": [f"{queue_id}.mail.eml", f"{queue_id}.mail.envelope.yaml"],
    }
    assert repair(folder, NONE) == []


def test_a_name_that_cannot_be_shown_keeps_its_envelope(folder: SpoolFolder) -> None:
    (folder.pickup / os.fsdecode(b"caf\xe9.eml")).write_text(MAIL)
    (folder.pickup / os.fsdecode(b"caf\xe9.envelope.yaml")).write_text(ORDERS)
    drop(folder, "other.eml", MAIL)
    assert claim_companions(folder, os.fsdecode(b"caf\xe9.eml"), new_id())
    (claim,) = repair(folder, NONE)
    assert claim.name == "caf\ufffd"
    assert files(folder)["pickup"] == ["other.eml"]


def test_where_the_job_is_gone_its_companions_come_back(folder: SpoolFolder) -> None:
    drop(folder, "mail.eml", MAIL)
    drop(folder, "mail.envelope.yaml", ORDERS)
    drop(folder, "mail.result.json", "{}")
    queue_id = new_id()
    claim_companions(folder, "mail.eml", queue_id)
    os.unlink(folder.pickup / "mail.eml")
    # Another message of the name, with an envelope of its own, is not mixed up with it.
    drop(folder, "mail.eml", MAIL)
    drop(folder, "mail.envelope.yaml", "to: other@example.org\n")
    drop(folder, "mail.result.json", "{}")
    assert repair(folder, NONE) == []
    assert files(folder) == {
        "pickup": [
            "mail.eml",
            "mail.envelope.yaml",
            "mail.result.json",
            f"mail~{queue_id}.envelope.yaml",
            f"mail~{queue_id}.result.json",
        ]
    }
    assert "other@" in (folder.pickup / "mail.envelope.yaml").read_text()


def test_a_claim_that_fails_is_undone(folder: SpoolFolder) -> None:
    drop(folder, "mail.envelope.yaml", ORDERS)
    queue_id = new_id()
    claim_companions(folder, "mail.eml", queue_id)
    return_companions(folder, "mail.eml", queue_id)
    assert files(folder) == {"pickup": ["mail.envelope.yaml"]}


def test_what_belongs_to_a_job_of_the_store_is_left(folder: SpoolFolder) -> None:
    drop(folder, "mail.result.json", "{}")
    queue_id = new_id()
    claim_companions(folder, "mail.yaml", queue_id)
    assert repair(folder, frozenset({queue_id})) == []
    assert files(folder) == {"queue": [f"{queue_id}.mail.result.json"]}


class Killed(Exception):
    """Stands for SIGKILL: whatever was under way ends here."""


@pytest.mark.parametrize("last_step", ["companions claimed", "claimed", "composed", "accepted"])
async def test_a_crash_after_any_step_makes_one_mail_to_the_right_people(
    folder: SpoolFolder, store: SqliteStore, last_step: str
) -> None:
    reached = asyncio.Event()

    def die(step: str) -> None:
        if step == last_step:
            reached.set()
            raise Killed

    drop(folder, "mail.eml", MAIL)
    drop(folder, "mail.envelope.yaml", ORDERS)
    first = Intake(folder, store, spool_settings(folder), QueueSettings(), ACCOUNTS, on_step=die)
    task = asyncio.create_task(first.run())
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with running(folder, store) as steps:
        drop(folder, "after.yaml")  # when it is through, so is what was redone before it
        await steps.reach("accepted", 1 if last_step == "accepted" else 2)
    records = {record.claim.name: record for record in await all_records(store)}
    assert set(records) == {"mail", "after"}
    assert addresses(records["mail"]) == ["real@example.org"]
    assert not os.listdir(folder.pickup)


# Once more to those who did not get it.


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


RESULT_FIRST = ("job.result.json", "job.yaml")


@pytest.mark.parametrize("names", [RESULT_FIRST, RESULT_FIRST[::-1]])
async def test_a_job_moved_back_with_its_result_goes_to_the_rest_alone(
    folder: SpoolFolder, store: SqliteStore, names: tuple[str, str]
) -> None:
    await send_partly(folder, store, THREE + "id: a1\n")
    first = result(folder.failed)
    async with running(folder, store) as steps:
        move_back(folder, *names)
        await steps.reach("accepted")
    (record,) = [it for it in await all_records(store) if it.status is JobStatus.QUEUED]
    assert addresses(record) == ["c@example.org", "d@example.org"]
    await finish(store, ACCEPTED, REJECTED)
    await report(folder, store)
    assert files(folder) == {"failed": ["job.result.json", "job.yaml"]}
    second = result(folder.failed)
    told = [(it["address"], it["status"]) for it in second["recipients"]]
    assert told == [
        ("b@example.org", "accepted"),
        ("c@example.org", "accepted"),
        ("d@example.org", "rejected"),
    ]
    assert second["recipients"][0] == first["recipients"][0]
    assert (second["status"], second["id"]) == ("partial", "a1")
    assert second["warnings"] == [
        f"already accepted by an earlier attempt ({first['queue_id']}): b@example.org"
    ]
    # And a third time, to the last one.
    async with running(folder, store) as steps:
        move_back(folder, *names)
        await steps.reach("accepted")
    await finish(store, ACCEPTED)
    await report(folder, store)
    assert files(folder) == {"sent": ["job.result.json", "job.yaml"]}
    assert {it["status"] for it in result(folder.sent)["recipients"]} == {"accepted"}
    assert len(result(folder.sent)["recipients"]) == 3


async def test_without_its_result_it_goes_to_all(folder: SpoolFolder, store: SqliteStore) -> None:
    await send_partly(folder, store)
    async with running(folder, store) as steps:
        move_back(folder, "job.yaml")
        await steps.reach("accepted")
    (record,) = [it for it in await all_records(store) if it.status is JobStatus.QUEUED]
    assert len(record.recipients) == 3


async def test_where_all_have_it_the_job_is_refused(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store)
    async with running(folder, store) as steps:
        os.unlink(folder.failed / "job.yaml")
        move_back(folder, "job.result.json")
        drop(folder, "job.yaml", JOB)
        await steps.reach("accepted")
    await report(folder, store)
    told = result(folder.failed)
    assert told["status"] == "invalid"
    assert "already accepted by an earlier attempt" in told["errors"][0]["problem"]
    assert [it["address"] for it in told["recipients"]] == ["b@example.org"]


@pytest.mark.parametrize("text", ["[]", '{"schema": 1}', '{"schema": 2}', "", "[" * 9999])
async def test_what_is_no_result_is_refused_and_kept(
    folder: SpoolFolder, store: SqliteStore, text: str
) -> None:
    async with running(folder, store, grace=0.0) as steps:
        drop(folder, "job.result.json", text)
        drop(folder, "job.yaml")
        await steps.reach("accepted")
    record = await only_record(store)
    assert errors(record) == [
        "the .result.json beside the job is no result of an earlier attempt; "
        "take it away to send to all recipients"
    ]
    await report(folder, store)
    kept = f"{record.claim.queue_id}.earlier.json"
    assert files(folder) == {"failed": [kept, "job.result.json", "job.yaml"]}
    assert (folder.failed / kept).read_text() == text


async def test_a_result_that_a_crash_left_behind_touches_no_later_job(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store)
    leftover = (folder.failed / "job.result.json").read_text()
    async with running(folder, store) as steps:
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted")
    await finish(store, ACCEPTED, ACCEPTED)
    await report(folder, store)
    queue_id = result(folder.sent)["queue_id"]
    (folder.queue / f"{queue_id}.job.result.json").write_text(leftover)
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", THREE)
        await steps.reach("accepted")
    (record,) = [it for it in await all_records(store) if it.status is JobStatus.QUEUED]
    assert len(record.recipients) == 3
    await finish(store, ACCEPTED, ACCEPTED, ACCEPTED)
    await report(folder, store)
    swept = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_step(step: str) -> None:
        if step == "swept":
            loop.call_soon_threadsafe(swept.set)

    sweeper = Reporter(folder, store, keep_s=3600.0, on_step=on_step)
    task = asyncio.create_task(sweeper.run())
    async with asyncio.timeout(20):
        await swept.wait()
    await sweeper.stop()
    await task
    assert os.listdir(folder.queue) == []


@pytest.mark.parametrize("entry", [None, 1, {"address": 1, "status": "accepted"}, {"address": "x"}])
def test_odd_entries_of_a_result_are_nobody(entry: object) -> None:
    document = {"schema": 1, "queue_id": "Q", "recipients": [entry]}
    assert read_earlier(json.dumps(document).encode()).accepted == ()


def test_nothing_but_what_a_result_has_is_taken_over() -> None:
    odd = '{"address": "a@b", "status": "accepted", "code": NaN, "text": [], "evil": 1}'
    text = f'{{"schema": 1, "queue_id": "Q", "id": 7, "recipients": [{odd}]}}'
    earlier = read_earlier(text.encode())
    assert earlier.job_id is None
    assert earlier.accepted[0]["code"] is None
    assert earlier.accepted[0]["text"] == ""
    assert "evil" not in earlier.accepted[0]


def test_a_cut_off_result_may_still_be_under_way() -> None:
    with pytest.raises(JobRefused) as caught:
        read_earlier(b'{"schema": 1, ')
    assert caught.value.unfinished


def test_joined_results_say_the_whole_truth() -> None:
    had = {"address": "a@B.test", "status": "accepted"}
    own = {"address": "a@b.test", "status": "rejected"}
    document = {"id": None, "status": "failed", "recipients": [own]}
    whole = joined(document, Earlier("Q", "x", (had,)))
    assert whole == {"id": "x", "status": "failed", "recipients": [had]}
