"""A job moved back with its result goes to the rest alone; a wrong result harms nobody."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import Record
from asyncnet.spool import companions
from asyncnet.spool.companions import set_aside_alone
from asyncnet.spool.earlier import Earlier, joined, read_earlier
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.reporter import Reporter
from tests.spool.dropping import JOB, all_records, drop, errors, only_record, running
from tests.spool.finishing import (
    ACCEPTED,
    IN_DOUBT,
    REJECTED,
    THREE,
    addresses,
    files,
    finish,
    move_back,
    report,
    result,
    send_partly,
)
from tests.spool.ownership import seen_as

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


NEWER = '{"schema": 2, "queue_id": "Q", "recipients": []}'


@pytest.mark.parametrize("text", [NEWER, "[]", '{"schema": 1}', '{"schema": 2}', "", "[" * 9999])
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


@pytest.mark.parametrize(
    ("status", "own", "whole"),
    [
        ("failed", "rejected", "partial"),
        ("in_doubt", "in_doubt", "partial"),
        ("sent", "accepted", "sent"),
        ("duplicate", "canceled", "duplicate"),
        ("invalid", "canceled", "invalid"),
    ],
)
def test_a_joined_result_has_the_status_of_all(status: str, own: str, whole: str) -> None:
    had = {"address": "a@b.test", "status": "accepted"}
    entry = {"address": "c@b.test", "status": own}
    document = {"id": None, "status": status, "recipients": [entry]}
    assert joined(document, Earlier("Q", None, (had,)))["status"] == whole


async def test_of_a_thousand_who_have_it_a_few_are_named(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    many = [f"r{number}@example.org" for number in range(30)]
    text = JOB.replace("b@example.org", f"[{', '.join(many)}, last@example.org]")
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", text)
        await steps.reach("accepted")
        await finish(store, *[ACCEPTED] * 30, REJECTED)
        await report(folder, store)
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted", 2)
    record = await queued(store)
    assert addresses(record) == ["last@example.org"]
    (warning,) = record.warnings
    assert warning.endswith(", r19@example.org and 10 more")


# Whose result it is.


async def queued(store: SqliteStore) -> Record:
    (record,) = await store.records(states=[JobStatus.QUEUED])
    return record


OTHER = THREE.replace("text: x", "text: news of today")


async def test_a_stray_result_hides_no_other_message_from_anybody(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store, THREE)
    stray = result(folder.failed)
    async with running(folder, store) as steps:
        move_back(folder, "job.result.json")
        drop(folder, "job.yaml", OTHER)
        await steps.reach("accepted")
    assert await store.records() == []
    await report(folder, store)
    (record,) = await store.records(states=[JobStatus.INVALID])
    queue_id = record.claim.queue_id
    assert json.loads((folder.failed / f"{queue_id}.earlier.json").read_bytes()) == stray
    told = result(folder.failed, f"job~{queue_id}")
    assert (told["status"], told["recipients"]) == ("invalid", [])
    assert told["errors"][0]["problem"] == (
        f"the .result.json beside the job ({stray['queue_id']}) is of another or a changed one, "
        "accepted by b@example.org"
    )
    assert "leave out of it who has the mail" in told["errors"][0]["suggestion"]


async def test_the_other_message_goes_to_all_when_it_comes_again(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store, THREE)
    os.unlink(folder.failed / "job.yaml")
    async with running(folder, store) as steps:
        move_back(folder, "job.result.json")
        drop(folder, "job.yaml", OTHER)
        await steps.reach("accepted")
        await report(folder, store)
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted", 2)
    assert len(addresses(await queued(store))) == 3


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(THREE.replace("c@", "new@") + "priority: high\n", id="other recipients"),
        pytest.param("# seen\n" + THREE.replace("text: x", "text: 'x'"), id="written otherwise"),
        pytest.param(THREE + "meta: {try: 2}\nid: again\non_doubt: hold\n", id="other orders"),
    ],
)
async def test_the_same_letter_may_go_to_others_by_another_way(
    folder: SpoolFolder, store: SqliteStore, same: str
) -> None:
    await send_partly(folder, store, THREE + "id: a1\n")
    (folder.failed / "job.yaml").write_text(same)
    async with running(folder, store) as steps:
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted")
    record = await queued(store)
    assert "b@example.org" not in addresses(record)
    assert record.job_id == ("again" if "id: again" in same else None)


@pytest.mark.parametrize(
    "line",
    [
        *("subject: y", "text: y", "html: x", "reply_to: x@example.org", "sender: x@example.org"),
        *("message_id: x@example.org", "date: 2026-11-22T10:30:00Z", "headers: {X-A: b}"),
        *("attachments: a.txt", "attachments: {text: a, name: b.txt}", "calendar: a.ics"),
        *("html: <img src=cid:a>\ninline: {a: a.png}", "from: Ada <a@example.org>"),
    ],
)
async def test_any_change_of_the_letter_makes_it_another(
    folder: SpoolFolder, store: SqliteStore, line: str
) -> None:
    for name in ("a.txt", "a.png", "a.ics"):
        (folder.pickup / name).write_text("BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    await send_partly(folder, store)
    key = line.partition(":")[0]
    kept = [it for it in THREE.splitlines() if not it.startswith(f"{key}:")]
    (folder.failed / "job.yaml").write_text("\n".join([*kept, line, ""]))
    async with running(folder, store) as steps:
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted")
    (record,) = await store.records(states=[JobStatus.INVALID])
    assert "another or a changed one" in errors(record)[0]


async def test_a_changed_ready_message_is_another_and_a_changed_envelope_is_not(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    mail = "From: a@example.org\nTo: x@example.org\n\nx\n"
    to = "to: [b@example.org, c@example.org, d@example.org]\n"
    names = ("job.envelope.yaml", "job.result.json", "job.eml")
    async with running(folder, store) as steps:
        drop(folder, "job.envelope.yaml", to)
        drop(folder, "job.eml", mail)
        await steps.reach("accepted")
        await finish(store, ACCEPTED, REJECTED, REJECTED)
        await report(folder, store)
        (folder.failed / "job.envelope.yaml").write_text(to.replace("c@", "new@"))
        move_back(folder, *names)
        await steps.reach("accepted", 2)
        assert addresses(await queued(store)) == ["new@example.org", "d@example.org"]
        await finish(store, REJECTED, REJECTED)
        await report(folder, store)
        (folder.failed / "job.eml").write_text(mail + "y\n")
        move_back(folder, *names)
        await steps.reach("accepted", 3)
    assert await store.records() == []
    (record,) = await store.records(states=[JobStatus.INVALID])
    assert "another or a changed one" in errors(record)[0]


async def test_a_mistake_made_while_putting_it_right_forgets_nobody(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store)
    for text, times in ((THREE + "subjct: x\n", 1), (THREE, 2)):
        (folder.failed / "job.yaml").write_text(text)
        async with running(folder, store) as steps:
            move_back(folder, "job.result.json", "job.yaml")
            await steps.reach("accepted")
        if times == 1:
            await report(folder, store)
    assert addresses(await queued(store)) == ["c@example.org", "d@example.org"]


async def test_changed_and_refused_for_something_else_it_forgets_nobody_either(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store)
    (folder.failed / "job.yaml").write_text(OTHER + "attachments: [no.bin]\n")
    async with running(folder, store, settle=0.0) as steps:
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted")
        await report(folder, store)
        assert "there is no such file" in result(folder.failed)["errors"][0]["problem"]
        (folder.failed / "job.yaml").write_text(THREE)
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted", 2)
    assert addresses(await queued(store)) == ["c@example.org", "d@example.org"]


async def test_a_mistake_made_while_putting_it_right_makes_no_duplicate_of_it(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    text = JOB + "id: once\non_doubt: fail\n"
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", text)
        await steps.reach("accepted")
        await finish(store, IN_DOUBT)
        for times, written in enumerate((text + "subjct: x\n", text), start=2):
            await report(folder, store)
            (folder.failed / "job.yaml").write_text(written)
            move_back(folder, "job.result.json", "job.yaml")
            await steps.reach("accepted", times)
    assert addresses(await queued(store)) == ["b@example.org"]


async def test_a_refused_job_that_was_put_right_leaves_nothing_behind(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", JOB + "subjct: x\n")
        await steps.reach("accepted")
        await report(folder, store)
        (folder.failed / "job.yaml").write_text(JOB + "subject: x\n")
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted", 2)
    await finish(store, ACCEPTED)
    await report(folder, store)
    assert files(folder) == {"sent": ["job.result.json", "job.yaml"]}


async def test_a_result_that_names_no_letter_leaves_nobody_out(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    entry = {"address": "b@example.org", "status": "accepted"}
    document = {"schema": 1, "queue_id": "Q", "recipients": [entry]}
    async with running(folder, store) as steps:
        drop(folder, "job.result.json", json.dumps(document))
        drop(folder, "job.yaml", THREE)
        await steps.reach("accepted")
    (problem,) = errors(await only_record(store))
    assert problem.startswith("the .result.json beside the job (Q) says not which message")


async def test_a_stray_result_of_nobody_takes_no_id_from_another_job(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", JOB + "id: once\n")
        await steps.reach("accepted")
        await finish(store, REJECTED)
        await report(folder, store)
        move_back(folder, "job.result.json")
        drop(folder, "job.yaml", JOB.replace("text: x", "text: y"))
        await steps.reach("accepted", 2)
    await finish(store, ACCEPTED)
    await report(folder, store)
    told = result(folder.sent)
    assert (told["status"], told["id"]) == ("sent", None)
    assert "letter_sha256" not in told
    assert files(folder) == {"failed": ["job.yaml"], "sent": ["job.result.json", "job.yaml"]}


async def test_only_a_result_that_may_be_moved_back_names_its_letter(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        for name, text in (("good.yaml", JOB), ("bad.yaml", JOB + "x: y\n"), ("part.yaml", JOB)):
            drop(folder, name, text)
            await steps.reach("accepted", 1 + ("good", "bad", "part").index(name[:-5]))
            if name != "bad.yaml":
                await finish(store, ACCEPTED if name == "good.yaml" else REJECTED)
    await report(folder, store)
    assert "letter_sha256" not in result(folder.sent, "good")
    assert "letter_sha256" not in result(folder.failed, "bad")
    assert len(result(folder.failed, "part")["letter_sha256"]) == 64


@pytest.mark.parametrize("last_step", ["result written", "job moved"])
async def test_a_crash_while_filing_does_not_forget_the_letter(
    folder: SpoolFolder, store: SqliteStore, last_step: str
) -> None:
    class Killed(Exception):
        pass

    def die(step: str) -> None:
        if step == last_step:
            raise Killed

    async with running(folder, store) as steps:
        drop(folder, "job.yaml", THREE)
        await steps.reach("accepted")
    await finish(store, ACCEPTED, REJECTED, REJECTED)
    with pytest.raises(Killed):
        await Reporter(folder, store, keep_s=3600.0, on_step=die).run()
    before = result(folder.failed)
    await report(folder, store)
    assert result(folder.failed) == before
    assert before["letter_sha256"]


async def test_the_letter_is_never_taken_from_the_result_of_another(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    def die(step: str) -> None:
        if step == "job moved":
            raise RuntimeError

    async with running(folder, store) as steps:
        drop(folder, "job.yaml", THREE)
        await steps.reach("accepted")
    await finish(store, ACCEPTED, REJECTED, REJECTED)
    with pytest.raises(RuntimeError):
        await Reporter(folder, store, keep_s=3600.0, on_step=die).run()
    queue_id = result(folder.failed)["queue_id"]
    (folder.failed / "job.result.json").write_text('{"queue_id": "Q", "letter_sha256": "aa"}')
    await report(folder, store)
    again = result(folder.failed, f"job~{queue_id}")
    assert (again["status"], again.get("letter_sha256")) == ("partial", None)


async def test_a_result_that_somebody_takes_out_of_the_queue_stops_nobody(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store)
    async with running(folder, store) as steps:
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted")
    await finish(store, ACCEPTED, ACCEPTED)

    def take_away(step: str) -> None:
        if step == "job moved":
            (left,) = folder.queue.glob("*.result.json")
            left.unlink()

    reporter = Reporter(folder, store, keep_s=3600.0, on_step=take_away)
    task = asyncio.create_task(reporter.run())
    await reporter.stop()
    await task
    assert len(result(folder.sent)["recipients"]) == 3


# A result beside a job that is not its owner's, or no file of octets.


async def test_a_result_of_another_user_decides_over_nobody(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await send_partly(folder, store)
    seen_as(monkeypatch, daemon=4711, job=1, companion=2)
    async with running(folder, store, grace=0.0) as steps:
        move_back(folder, "job.result.json", "job.yaml")
        await steps.reach("accepted")
    (record,) = await store.records(states=[JobStatus.INVALID])
    assert errors(record) == [
        "the .result.json beside the job belongs to another user, or has a second name"
    ]
    await report(folder, store)
    assert result(folder.failed)["recipients"] == []


@pytest.mark.timeout(20)
async def test_a_result_that_is_a_link_or_a_pipe_keeps_no_job_from_its_result(
    folder: SpoolFolder, store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("{}")
    (folder.pickup / "link.result.json").symlink_to(tmp_path / "secret")
    os.mkfifo(folder.pickup / "pipe.result.json")
    (folder.pickup / "dir.result.json").mkdir()
    os.link(tmp_path / "secret", folder.pickup / "hard.result.json")
    async with running(folder, store, grace=0.1) as steps:
        for name in ("link", "pipe", "dir", "hard"):
            drop(folder, f"{name}.yaml")
        await steps.reach("accepted", 4)
    await report(folder, store)
    for name in ("link", "pipe", "dir", "hard"):
        assert result(folder.failed, name)["status"] == "invalid"
        problem = result(folder.failed, name)["errors"][0]["problem"]
        assert problem.startswith("the .result.json beside the job ")
    assert os.listdir(folder.queue) == []


# A result that nobody follows.


def came(folder: SpoolFolder, name: str) -> float:
    return (folder.pickup / name).lstat().st_ctime


def test_a_result_alone_is_put_back_after_an_hour(folder: SpoolFolder) -> None:
    drop(folder, "job.result.json", "{}")
    drop(folder, "with.result.json", "{}")
    drop(folder, "with.json")
    drop(folder, "mail.envelope.yaml", "to: b@example.org\n")
    at = came(folder, "job.result.json") + companions.ALONE_S
    assert set_aside_alone(folder, at - 0.1) == []
    assert set_aside_alone(folder, at + 0.1) == [("job.result.json", "job.result.json")]
    assert files(folder) == {
        "pickup": ["mail.envelope.yaml", "with.json", "with.result.json"],
        "failed": ["job.result.json"],
    }


def test_a_result_is_as_long_alone_as_it_lies_there(folder: SpoolFolder) -> None:
    (folder.failed / "job.result.json").write_text("{}")
    os.utime(folder.failed / "job.result.json", (1, 1))
    move_back(folder, "job.result.json")
    assert set_aside_alone(folder, time.time() + 60) == []


def test_one_that_is_taken_away_meanwhile_is_nobodys_fault(
    folder: SpoolFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(folder, "there.result.json", "{}")
    at = came(folder, "there.result.json") + companions.ALONE_S
    monkeypatch.setattr(os, "listdir", lambda path: ["gone.result.json", "there.result.json"])
    assert set_aside_alone(folder, at) == [("there.result.json", "there.result.json")]


def test_putting_it_back_overwrites_nothing(folder: SpoolFolder) -> None:
    for kept in ("job.result.json", "job~2.result.json", "job~3.result.json"):
        drop(folder, "job.result.json", kept)
        at = came(folder, "job.result.json") + companions.ALONE_S
        assert set_aside_alone(folder, at) == [("job.result.json", kept)]
        assert (folder.failed / kept).read_text() == kept


async def test_a_result_that_lay_alone_touches_no_later_job(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await send_partly(folder, store)
    move_back(folder, "job.result.json")
    swept = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_step(step: str) -> None:
        if step == "swept":
            loop.call_soon_threadsafe(swept.set)

    def later() -> float:
        return time.time() + companions.ALONE_S

    reporter = Reporter(folder, store, keep_s=86_400.0, clock=later, on_step=on_step)
    task = asyncio.create_task(reporter.run())
    async with asyncio.timeout(20):
        await swept.wait()
    await reporter.stop()
    await task
    assert files(folder) == {"failed": ["job.result.json", "job.yaml"]}
    async with running(folder, store) as steps:
        drop(folder, "job.yaml", OTHER)
        await steps.reach("accepted")
    assert len(addresses(await queued(store))) == 3
