"""Files that go with a job are claimed with it, whatever cuts that off."""

import asyncio
import errno
import os
import time

import pytest

from asyncnet.config.sections import QueueSettings
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.spool import companions, taking
from asyncnet.spool.companions import (
    Names,
    claim_companions,
    companions_alone,
    may_follow,
    repair,
    return_companions,
)
from asyncnet.spool.folder import JobFile, SpoolFolder, claim_of, read_job_file, split_name
from asyncnet.spool.intake import Intake
from asyncnet.spool.queue_id import QueueIds
from asyncnet.spool.ready_orders import Orders
from asyncnet.spool.taking import take
from tests.spool.dropping import (
    ACCOUNTS,
    JOB,
    all_records,
    drop,
    running,
    spool_settings,
)
from tests.spool.finishing import addresses, files
from tests.spool.ownership import seen_as
from tests.support.scarcity import no_more_descriptors

MAIL = "From: a@example.org\nTo: header@example.org\n\nx\n"
ORDERS = "to: real@example.org\n"
NOBODY_YET = '{"schema": 1, "queue_id": "Q", "recipients": []}'


def new_id() -> str:
    return QueueIds().next(time.time(), 7)


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
    (claim,) = repair(folder, companions_alone(folder))
    assert claim.queue_id == queue_id
    assert files(folder) == {
        "queue": [f"{queue_id}.mail.eml", f"{queue_id}.mail.envelope.yaml"],
    }
    assert repair(folder, companions_alone(folder)) == []


def test_a_name_that_cannot_be_shown_keeps_its_envelope(folder: SpoolFolder) -> None:
    (folder.pickup / os.fsdecode(b"caf\xe9.eml")).write_text(MAIL)
    (folder.pickup / os.fsdecode(b"caf\xe9.envelope.yaml")).write_text(ORDERS)
    drop(folder, "other.eml", MAIL)
    assert claim_companions(folder, os.fsdecode(b"caf\xe9.eml"), new_id())
    (claim,) = repair(folder, companions_alone(folder))
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
    assert repair(folder, companions_alone(folder)) == []
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


def test_all_that_was_claimed_for_a_job_stays_with_it(folder: SpoolFolder) -> None:
    drop(folder, "mail.eml", MAIL)
    drop(folder, "mail.envelope.yaml", ORDERS)
    drop(folder, "mail.result.json", "{}")
    queue_id = new_id()
    claim_companions(folder, "mail.eml", queue_id)
    (claim,) = repair(folder, companions_alone(folder))
    assert files(folder) == {
        "queue": [
            claim.job_file,
            f"{queue_id}.mail.envelope.yaml",
            f"{queue_id}.mail.result.json",
        ]
    }


def test_one_job_is_the_answer_to_one_claim_alone(folder: SpoolFolder) -> None:
    ids = QueueIds()
    first, second = ids.next(time.time(), 0), ids.next(time.time(), 0)
    for queue_id in (first, second):
        drop(folder, "mail.envelope.yaml", ORDERS)
        claim_companions(folder, "mail.eml", queue_id)
    drop(folder, "mail.eml", MAIL)
    assert [claim.queue_id for claim in repair(folder, companions_alone(folder))] == [first]
    assert files(folder)["pickup"] == ["mail.envelope.yaml"]


def test_an_envelope_goes_with_a_ready_message_alone(folder: SpoolFolder) -> None:
    drop(folder, "mail.envelope.yaml", ORDERS)
    assert not claim_companions(folder, "mail.yaml", new_id())
    assert files(folder) == {"pickup": ["mail.envelope.yaml"]}


def test_a_fault_of_the_disk_ends_the_claim(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    drop(folder, "mail.result.json", "{}")
    monkeypatch.setattr(os, "rename", full)
    with pytest.raises(OSError, match="No space"):
        claim_companions(folder, "mail.yaml", new_id())


# Whose they are.

DAEMON, WRITER, STRANGER, ROOT = 4711, 1000, 1001, 0


@pytest.mark.parametrize("ending", [".envelope.yaml", ".result.json"])
@pytest.mark.parametrize(
    ("owner", "good"), [(WRITER, True), (DAEMON, True), (ROOT, True), (STRANGER, False)]
)
async def test_only_the_writer_the_daemon_and_root_say_more_of_a_job(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch, ending: str, owner: int, good: bool
) -> None:
    drop(folder, "mail.eml", MAIL)
    drop(folder, f"mail{ending}", ORDERS if "envelope" in ending else NOBODY_YET)
    seen_as(monkeypatch, daemon=DAEMON, job=WRITER, companion=owner)
    taken = await take(folder.pickup, "mail.eml")
    assert taken is not None
    if good:
        assert isinstance(taken.outcome, Orders)
    else:
        assert str(taken.outcome) == (
            f"the {ending} beside the job belongs to another user, or has a second name"
        )
        assert not taken.may_be_under_way


@pytest.mark.parametrize("ending", [".envelope.yaml", ".result.json"])
async def test_one_that_is_unreadable_may_get_its_rights_yet(
    folder: SpoolFolder, ending: str
) -> None:
    drop(folder, "mail.eml", MAIL)
    (folder.pickup / f"mail{ending}").symlink_to("nowhere")
    taken = await take(folder.pickup, "mail.eml")
    assert taken is not None
    assert taken.may_be_under_way
    assert str(taken.outcome).startswith(f"the {ending} beside the job cannot be read: ")


async def test_a_lack_of_descriptors_is_no_fault_of_a_job_or_what_goes_with_it(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "mail.eml", MAIL)
    drop(folder, "mail.envelope.yaml", ORDERS)
    with no_more_descriptors(), pytest.raises(OSError, match="Too many open files"):
        await take(folder.pickup, "mail.eml")

    def none_left_for_it(path: str, max_octets: int) -> JobFile:
        if path.endswith(".yaml"):
            raise OSError(errno.EMFILE, "Too many open files")
        return read_job_file(path, max_octets)

    monkeypatch.setattr(taking, "read_job_file", none_left_for_it)
    with pytest.raises(OSError, match="Too many open files"):
        await take(folder.pickup, "mail.eml")


# What may still be on its way.


@pytest.mark.parametrize(
    ("pickup", "failed", "name", "expected"),
    [
        (["a.eml"], [], "a.eml", True),
        (["a.EML"], [], "a.EML", True),
        (["a.eml", "a.envelope.yaml"], [], "a.eml", False),
        (["a.yaml"], [], "a.yaml", False),
        (["a.yaml"], ["a.result.json"], "a.yaml", True),
        (["a.yaml", "a.result.json"], ["a.result.json"], "a.yaml", False),
        (["a.yaml"], ["a.yaml", "a.result.json"], "a.yaml", False),
        (["a.eml", "a.envelope.yaml"], ["a.result.json"], "a.eml", True),
    ],
)
def test_a_job_waits_for_what_belongs_to_it(
    folder: SpoolFolder,
    monkeypatch: pytest.MonkeyPatch,
    pickup: list[str],
    failed: list[str],
    name: str,
    expected: bool,
) -> None:
    for place, names in ((folder.pickup, pickup), (folder.failed, failed)):
        for it in names:
            (place / it).write_text("x")
    assert may_follow(folder, name, Names(folder.failed)) is expected
    monkeypatch.setattr(companions, "MAX_LISTED", 0)  # each is looked at
    assert may_follow(folder, name, Names(folder.failed)) is expected


@pytest.mark.parametrize(
    ("job", "text", "companion", "beside"),
    [
        ("a.eml", MAIL, "a.envelope.yaml", "to: real@example.org\nid: it-came\n"),
        ("a.yaml", JOB + "id: it-came\n", "a.result.json", None),
    ],
)
async def test_what_follows_its_job_a_moment_later_is_taken_with_it(
    folder: SpoolFolder,
    store: SqliteStore,
    job: str,
    text: str,
    companion: str,
    beside: str | None,
) -> None:
    if beside is None:
        (folder.failed / companion).write_text("{}")
    async with running(folder, store, settle=1.0) as steps:
        drop(folder, job, text)
        drop(folder, "other.yaml")  # it overtakes: the first was looked at, and waits
        await steps.reach("accepted")
        if beside is None:
            os.rename(folder.failed / companion, folder.pickup / companion)
        else:
            drop(folder, companion, beside)
        await steps.reach("companions claimed")
        await steps.reach("accepted", 2)
    (record,) = [it for it in await all_records(store) if it.claim.name == "a"]
    assert beside is None or (addresses(record), record.job_id) == (["real@example.org"], "it-came")


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
