"""Files dropped into a real folder become rows of a real store."""

import asyncio
import errno
import gc
import os
import time
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from asyncnet.config.sections import QueueSettings
from asyncnet.mail.letter import Content, Letter
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import (
    Acceptance,
    Claim,
    NewMessage,
    StoreBroken,
    StoreError,
)
from asyncnet.mime import message
from asyncnet.mime.message import Message
from asyncnet.spool import bringing, handover, intake, noticing, taking
from asyncnet.spool.assemble import Assembled, assemble
from asyncnet.spool.folder import SpoolFolder
from asyncnet.spool.intake import Intake
from asyncnet.spool.job import Job, JobKind, read_job
from asyncnet.spool.queue_id import QueueIds
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


async def test_a_file_renamed_in_is_taken(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store, scan=60.0, settle=60.0) as steps:
        drop(folder, "hello.yaml", JOB + "id: a1\nmeta: {t: 1}\n")
        await steps.reach("accepted")
    record = await only_record(store)
    assert steps.seen == ["claimed", "composed", "accepted"]
    assert (record.status, record.claim.name, record.job_id) == ("queued", "hello", "a1")
    assert (record.account, record.envelope_from) == ("work", "a@example.org")
    assert record.message_id == f"<{record.claim.queue_id}@example.org>"
    assert os.listdir(folder.pickup) == []
    assert folder.claimed() == [record.claim]


async def test_a_file_written_in_place_is_taken_when_its_writer_closes_it(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store, scan=60.0, settle=60.0) as steps:
        (folder.pickup / "hello.json").write_text(
            '{"from": "a@example.org", "to": "b@example.org", "text": "x"}'
        )
        await steps.reach("accepted")
    assert (await only_record(store)).status is JobStatus.QUEUED


async def test_files_that_were_there_before_are_taken(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    drop(folder, "old.yaml")
    os.utime(folder.pickup / "old.yaml", (1, 1))
    async with running(folder, store, scan=60.0, settle=60.0) as steps:
        await steps.reach("accepted")


async def test_without_events_the_scan_takes_them(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store, events=False) as steps:
        for number in range(5):
            drop(folder, f"{number}.yaml")
        await steps.reach("accepted", 5)


async def test_when_events_were_lost_the_folder_is_looked_through(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first_seen = asyncio.Event()

    async def losing(
        pickup: Path, noticed: Callable[[str], None], missed: Callable[[], None]
    ) -> str:
        missed()
        await first_seen.wait()
        drop(folder, "lost.yaml")
        os.utime(pickup / "lost.yaml", (1, 1))
        missed()
        await asyncio.Event().wait()
        return ""

    monkeypatch.setattr(noticing, "follow_events", losing)
    drop(folder, "first.yaml")
    os.utime(folder.pickup / "first.yaml", (1, 1))
    async with running(folder, store, scan=60.0, settle=60.0) as steps:
        await steps.reach("accepted")
        first_seen.set()
        await steps.reach("accepted", 2)


async def test_a_fault_of_ours_in_watching_ends_the_service(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def faulty(*given: object) -> str:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(noticing, "follow_events", faulty)
    service = Intake(folder, store, spool_settings(folder), QueueSettings(), ACCOUNTS)
    with pytest.raises(ZeroDivisionError, match="a fault of ours"):
        await service.run()


async def test_a_service_that_never_ran_is_stopped_at_once(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    await Intake(folder, store, spool_settings(folder), QueueSettings(), ACCOUNTS).stop()


async def test_a_burst_is_taken_in_few_commits(folder: SpoolFolder, store: SqliteStore) -> None:
    for number in range(600):
        drop(folder, f"{number}.yaml")
        os.utime(folder.pickup / f"{number}.yaml", (1, 1))
    commits = store.commits
    async with running(folder, store) as steps:
        await steps.reach("accepted", 600)
    assert len(await all_records(store)) == 600
    assert store.commits - commits < 60


async def test_the_loop_stays_free_in_a_burst(folder: SpoolFolder, store: SqliteStore) -> None:
    for number in range(400):
        drop(folder, f"{number}.yaml")
        os.utime(folder.pickup / f"{number}.yaml", (1, 1))
    gc.collect()  # else it may fall in here, and what the tests before left takes longest of all
    longest = 0.0
    async with running(folder, store) as steps:
        while steps.seen.count("accepted") < 400:
            before = time.thread_time()
            await asyncio.sleep(0)
            longest = max(longest, time.thread_time() - before)
    assert longest < 0.05


async def test_wrong_fields_are_refused_at_once(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store, scan=60.0, settle=60.0) as steps:
        drop(folder, "bad.yaml", JOB + "subjct: x\ncc: [c]\nid: a1\nmeta: {t: 1}\n")
        await steps.reach("accepted")
    record = await only_record(store)
    assert (record.status, record.job_id, record.meta) == (JobStatus.INVALID, "a1", {"t": "1"})
    assert errors(record) == [
        "line 4, column 1: subjct: unknown key; did you mean 'subject'?",
        "line 5, column 6: cc[0]: is missing the domain; write name@example.org",
    ]


async def test_mistakes_that_only_the_settings_show_are_told_with_the_others(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "bad.yaml", JOB + "server: mx.test\nsubjct: x\n")
        await steps.reach("accepted")
    first, second = errors(await only_record(store))
    assert first.startswith("line 4, column 9: server: ")
    assert second.startswith("line 5, column 1: subjct: unknown key")


@pytest.mark.parametrize("unfinished", ["", "from: 'a@exam", JOB + "attachments: ["])
async def test_an_unfinished_file_is_waited_for(
    folder: SpoolFolder, store: SqliteStore, unfinished: str
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "a.yaml", unfinished)
        drop(folder, "other.yaml")  # overtakes it
        await steps.reach("accepted")
        assert os.listdir(folder.pickup) == ["a.yaml"]
        drop(folder, "a.yaml", JOB)
        await steps.reach("accepted", 2)
    assert {record.status for record in await all_records(store)} == {JobStatus.QUEUED}


async def test_an_unfinished_file_is_refused_when_its_grace_is_over(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store, grace=0.2) as steps:
        drop(folder, "a.yaml", "from: 'a@exam")
        await steps.reach("accepted")
    record = await only_record(store)
    assert record.status is JobStatus.INVALID
    assert errors(record) == ["line 1, column 7: the quote opened on line 1 is never closed"]


@pytest.mark.timeout(30)
async def test_what_is_no_plain_file_is_refused_and_unread(
    folder: SpoolFolder, store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("root:x:0:0: [")
    (folder.pickup / "dir.yaml").mkdir()
    async with running(folder, store, grace=0.2) as steps:
        (folder.pickup / "link.yaml").symlink_to(tmp_path / "secret")
        os.mkfifo(folder.pickup / "fifo.yaml")
        os.link(tmp_path / "secret", folder.pickup / "hard.yaml")
        await steps.reach("accepted", 3)
    found = {record.claim.name: errors(record) for record in await all_records(store)}
    assert found == {
        "link": ["is no regular file"],
        "fifo": ["is no regular file"],
        "hard": ["the file has more than one name (hard links)"],
    }


async def test_a_job_dropped_by_link_and_unlink_is_taken(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        aside = folder.root / "linked"
        aside.write_text(JOB)
        os.link(aside, folder.pickup / "a.yaml")
        os.close(os.open(folder.pickup / "a.yaml", os.O_WRONLY))  # an event, still two names
        drop(folder, "b.yaml")
        await steps.reach("accepted")
        assert os.listdir(folder.pickup) == ["a.yaml"]
        aside.unlink()
        await steps.reach("accepted", 2)
    assert {record.status for record in await all_records(store)} == {JobStatus.QUEUED}


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        (os.fsencode("空 格 & 'quote'.yaml"), "空 格 & 'quote'"),
        (b"caf\xe9.yaml", "caf\ufffd"),
        (b"line\nend.yaml", "line_end"),
        (b"UPPER.YAML", "UPPER"),
        (b"x" * 250 + b".yaml", "x" * 200),
        (b"-rf.yaml", "-rf"),
    ],
)
async def test_odd_names_are_taken(
    folder: SpoolFolder, store: SqliteStore, name: bytes, stem: str
) -> None:
    async with running(folder, store) as steps:
        drop(folder, os.fsdecode(name))
        await steps.reach("accepted")
    record = await only_record(store)
    assert (record.status, record.claim.name) == (JobStatus.QUEUED, stem)


async def test_a_file_that_vanishes_stops_nobody(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store) as steps:
        for number in range(20):
            drop(folder, f"gone{number}.yaml")
            (folder.pickup / f"gone{number}.yaml").unlink()
        drop(folder, "stays.yaml")
        await steps.reach("accepted")
    assert (await only_record(store)).claim.name == "stays"


async def test_attachments_go_along(folder: SpoolFolder, store: SqliteStore) -> None:
    (folder.pickup / "big.bin").write_bytes(os.urandom(300_000))
    async with running(folder, store) as steps:
        drop(folder, "a.yaml", JOB + "attachments: big.bin\n")
        await steps.reach("accepted")
    record = await only_record(store)
    assert record.status is JobStatus.QUEUED
    assert (record.size_octets or 0) > 400_000
    assert (folder.pickup / "big.bin").exists()


async def test_attachments_may_lie_in_a_folder_of_the_settings(
    folder: SpoolFolder, store: SqliteStore, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.bin").write_bytes(b"x")
    async with running(folder, store, attachment_roots=(tmp_path / "root",)) as steps:
        drop(folder, "a.yaml", JOB + "attachments: a.bin\n")
        await steps.reach("accepted")
    assert (await only_record(store)).status is JobStatus.QUEUED


async def test_an_attachment_that_is_still_written_is_waited_for(folder: SpoolFolder) -> None:
    class Meanwhile(SqliteStore):
        tries = 0

        async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
            self.tries += 1
            if self.tries == 1:
                (folder.pickup / "late.bin").write_bytes(b"longer")
            return await super().accept(message, content, now)

    store = await opened(Meanwhile, folder)
    (folder.pickup / "late.bin").write_bytes(b"x")
    async with running(folder, store, settle=0.3) as steps:
        drop(folder, "a.yaml", JOB + "attachments: late.bin\n")
        await steps.reach("accepted")
    assert (await only_record(store)).status is JobStatus.QUEUED
    await store.close()


@pytest.mark.parametrize("mistake", ["", "subjct: x\n"])
async def test_attachments_may_come_a_moment_later_than_their_job(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch, mistake: str
) -> None:
    looked: list[bool] = []

    def assemble_then_drop(*given: Any, **named: Any) -> Assembled:
        late = folder.pickup / "late.bin"
        looked.append(late.exists())
        try:
            return assemble(*given, **named)
        finally:
            if not late.exists():
                late.write_bytes(b"x")

    monkeypatch.setattr(handover, "assemble", assemble_then_drop)
    async with running(folder, store, settle=0.3) as steps:
        drop(folder, "a.yaml", JOB + "attachments: late.bin\n" + mistake)
        await steps.reach("accepted")
    assert looked == [False, True]
    assert len(errors(await only_record(store))) == (1 if mistake else 0)


async def test_attachments_that_never_come_are_told(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        drop(folder, "a.yaml", JOB + "attachments: [no.bin]\nid: a1\n")
        await steps.reach("accepted")
    record = await only_record(store)
    assert (record.status, record.job_id) == (JobStatus.INVALID, "a1")
    assert errors(record) == [
        "line 4, column 15: attachments[0]: 'no.bin': there is no such file; "
        f"searched in {folder.pickup}"
    ]


async def test_a_message_over_the_limit_is_refused(folder: SpoolFolder, store: SqliteStore) -> None:
    async with running(folder, store, max_message=2_000) as steps:
        drop(folder, "a.yaml", JOB.replace("text: x", "text: " + "x" * 3_000))
        await steps.reach("accepted")
    (problem,) = errors(await only_record(store))
    assert problem.endswith("octets; allowed are 2,000; [spool] max_message sets the limit")


async def test_a_message_at_the_limit_is_taken(folder: SpoolFolder, store: SqliteStore) -> None:
    size = 10_000
    for change in (0, 0, -1):
        async with running(folder, store, max_message=size + change) as steps:
            drop(folder, "a.yaml", JOB)
            await steps.reach("accepted")
        newest, *_ = await all_records(store)
        size = newest.size_octets or 0
        assert newest.status is (JobStatus.INVALID if change else JobStatus.QUEUED)


async def test_a_ready_message_that_grows_over_the_limit_is_refused(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    mail = "From: a@example.org\nTo: b@example.org\n\n" + "\n" * 500  # each gets its CR
    async with running(folder, store, max_message=len(mail)) as steps:
        drop(folder, "a.eml", mail)
        await steps.reach("accepted")
    (problem,) = errors(await only_record(store))
    assert problem.endswith(f"allowed are {len(mail):,}; [spool] max_message sets the limit")


async def test_a_time_in_the_future_keeps_no_job_waiting(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        aside = folder.root / "aside"
        aside.write_text(JOB + "attachments: no.bin\n")
        os.utime(aside, (time.time() + 86_400,) * 2)
        os.rename(aside, folder.pickup / "a.yaml")
        await steps.reach("accepted")
    assert (await only_record(store)).status is JobStatus.INVALID


# Crashes.


class Killed(Exception):
    """Stands for SIGKILL: whatever was under way ends here."""


@pytest.mark.parametrize("last_step", ["claimed", "composed", "accepted"])
async def test_a_crash_after_any_step_makes_exactly_one_mail(
    folder: SpoolFolder, store: SqliteStore, last_step: str
) -> None:
    reached = asyncio.Event()

    def die(step: str) -> None:
        if step == last_step:
            reached.set()
            raise Killed

    settings = spool_settings(folder)
    drop(folder, "a.yaml", JOB)
    os.utime(folder.pickup / "a.yaml", (1, 1))
    first = Intake(folder, store, settings, QueueSettings(), ACCOUNTS, on_step=die)
    task = asyncio.create_task(first.run())
    await reached.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(folder.claimed()) == 1
    async with running(folder, store) as steps:
        drop(folder, "b.yaml")  # when it is through, so is what was redone before it
        await steps.reach("accepted", 1 if last_step == "accepted" else 2)
    assert steps.seen.count("composed") == (1 if last_step == "accepted" else 2)
    records = {record.claim.name: record for record in await all_records(store)}
    assert set(records) == {"a", "b"}
    assert records["a"].claim in folder.claimed()
    assert len(await all_records(store)) == 2


async def test_what_was_claimed_without_a_row_is_taken_again(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    ids = QueueIds()
    claims: list[Claim] = []
    for text in (JOB, "", "from: 'cut"):
        drop(folder, "a.yaml", text)
        claims.append(folder.claim("a.yaml", ids.next(time.time(), 0)))
    async with running(folder, store) as steps:
        await steps.reach("accepted", 3)
    records = await all_records(store)
    assert sorted((it.claim for it in records), key=lambda claim: claim.queue_id) == claims
    assert sorted(record.status for record in records) == ["invalid", "invalid", "queued"]


@pytest.mark.parametrize(
    ("name", "text"), [("a.yaml", JOB), ("a.eml", "From: a@example.org\nTo: b@example.org\n\nx\n")]
)
async def test_time_that_the_daemon_was_down_costs_no_job_its_lifetime(
    folder: SpoolFolder, store: SqliteStore, name: str, text: str
) -> None:
    week_s = 7 * 86_400.0
    drop(folder, name, text)
    folder.claim(name, QueueIds().next(time.time() - week_s, 0))
    async with running(folder, store) as steps:
        await steps.reach("accepted")
    record = await only_record(store)
    assert record.status is JobStatus.QUEUED
    assert record.expires_at is not None
    assert record.expires_at > time.time() + 3600


async def test_the_move_is_on_the_disk_before_the_row_is(folder: SpoolFolder) -> None:
    await the_order(folder, "a.yaml", JOB, ["claim", "flush", "accept"])


async def test_what_goes_with_a_job_is_on_the_disk_before_the_job_follows(
    folder: SpoolFolder,
) -> None:
    drop(folder, "a.envelope.yaml", "to: b@example.org\n")
    mail = "From: a@example.org\n\nx\n"
    await the_order(folder, "a.eml", mail, ["flush", "claim", "flush", "accept"])


async def the_order(folder: SpoolFolder, name: str, text: str, expected: list[str]) -> None:
    done: list[str] = []

    class Watched(SpoolFolder):
        def claim(self, name: str, queue_id: str) -> Claim:
            done.append("claim")
            return super().claim(name, queue_id)

        def flush(self, folders: Iterable[Path]) -> None:
            folders = list(folders)
            super().flush(folders)
            assert {self.queue, self.pickup} <= set(folders)
            done.append("flush")

    class WatchedStore(SqliteStore):
        async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
            done.append("accept")
            return await super().accept(message, content, now)

    store = await opened(WatchedStore, folder)
    async with running(Watched(folder.root), store) as steps:
        drop(folder, name, text)
        await steps.reach("accepted")
    assert done == expected
    await store.close()


# Faults of the machine.


class FullDisk(SqliteStore):
    """Has no room for the first few."""

    faults = 3

    async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        if self.faults:
            self.faults -= 1
            raise StoreError("no room on the disk")
        return await super().accept(message, content, now)


async def opened(kind: type[SqliteStore], folder: SpoolFolder) -> SqliteStore:
    store = kind(folder.root / "queue.db", folder.queue, dedup_window_s=3600.0)
    await store.open(time.time())
    return store


async def test_a_full_disk_is_waited_out(folder: SpoolFolder) -> None:
    store = await opened(FullDisk, folder)
    async with running(folder, store) as steps:
        drop(folder, "a.yaml")
        await steps.reach("accepted")
    assert (await only_record(store)).status is JobStatus.QUEUED
    await store.close()


async def test_stopping_does_not_wait_for_room(folder: SpoolFolder) -> None:
    store = await opened(FullDisk, folder)
    store.faults = 10**9  # type: ignore[attr-defined]
    async with running(folder, store) as steps:
        drop(folder, "a.yaml")
        await steps.reach("composed", 3)
    assert [claim.name for claim in folder.claimed()] == ["a"]
    assert await all_records(store) == []
    await store.close()


class BrokenDisk(SqliteStore):
    async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        raise StoreBroken("the commit failed")


async def test_a_failed_commit_ends_the_service(folder: SpoolFolder) -> None:
    store = await opened(BrokenDisk, folder)
    settings = spool_settings(folder)
    intake = Intake(folder, store, settings, QueueSettings(), ACCOUNTS)
    drop(folder, "a.yaml")
    with pytest.raises(StoreBroken, match="the commit failed"):
        await intake.run()
    await store.close()


class NoRoomToMove(SpoolFolder):
    faults = 2

    def claim(self, name: str, queue_id: str) -> Claim:
        if self.faults:
            self.faults -= 1
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().claim(name, queue_id)


async def test_a_claim_is_tried_until_there_is_room(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    # It is tried again by itself: no scan comes to help.
    async with running(NoRoomToMove(folder.root), store, scan=60.0, settle=60.0) as steps:
        drop(folder, "a.yaml")
        await steps.reach("accepted")
    assert (await only_record(store)).status is JobStatus.QUEUED


async def test_a_fault_of_ours_with_one_job_stops_no_other(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compose(letter: Letter) -> Message:
        if letter.subject == "odd":
            raise ZeroDivisionError("a fault of ours")
        return message.compose(letter)

    monkeypatch.setattr(handover, "compose", compose)
    with capture_logs() as logs:
        async with running(folder, store) as steps:
            for number in range(10):
                drop(folder, f"{number}.yaml", JOB + f"subject: {'odd' if number == 4 else 'x'}\n")
            await steps.reach("accepted", 9)
    assert [claim.name for claim in folder.claimed() if claim.name == "4"] == ["4"]
    assert "4" not in {record.claim.name for record in await all_records(store)}
    (told,) = [it for it in logs if it["log_level"] == "error"]
    assert told["event"] == "a claimed job was not handed over"
    assert isinstance(told["exc_info"], ZeroDivisionError)


async def test_cut_off_it_leaves_no_call_of_the_store_behind(folder: SpoolFolder) -> None:
    class Silent(SqliteStore):
        calls, ended = 0, 0
        called = asyncio.Event()

        async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
            self.calls += 1
            if self.calls == 5:
                self.called.set()
            try:
                return await asyncio.Future()
            finally:
                self.ended += 1

    store = Silent(folder.root / "queue.db", folder.queue, dedup_window_s=3600.0)
    await store.open(time.time())
    for number in range(5):
        drop(folder, f"{number}.yaml")
        os.utime(folder.pickup / f"{number}.yaml", (1, 1))
    service = Intake(folder, store, spool_settings(folder), QueueSettings(), ACCOUNTS)
    task = asyncio.create_task(service.run())
    await store.called.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert store.ended == 5
    assert len(folder.claimed()) == 5
    await store.close()


async def test_what_came_while_a_large_job_was_judged_is_seen(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_the_other(octets: bytes, kind: JobKind) -> Job:
        if len(octets) > taking.SMALL_JOB_OCTETS:  # its result may follow the job from now on
            (folder.failed / "other.result.json").write_text("{}")
        return read_job(octets, kind)

    monkeypatch.setattr(taking, "read_job", fail_the_other)
    async with running(folder, store, scan=60.0, settle=60.0) as steps:
        drop(
            folder,
            "large.yaml",
            "# not simple\n" + JOB.replace("text: x", "text: " + "x" * 100_000),
        )
        drop(folder, "other.yaml")
        drop(folder, "last.yaml")
        await steps.reach("accepted", 2)
    assert {record.claim.name for record in await all_records(store)} == {"large", "last"}
    assert os.listdir(folder.pickup) == ["other.yaml"]


class Sticky(SpoolFolder):
    """One job cannot be moved, by rights that its writer set, say."""

    attempts = 0

    def claim(self, name: str, queue_id: str) -> Claim:
        if name == "stuck.yaml":
            self.attempts += 1
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return super().claim(name, queue_id)


async def test_a_job_that_cannot_be_moved_is_left_for_a_while_and_stops_nobody(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bringing, "IN_FLIGHT", 1)
    sticky = Sticky(folder.root)
    drop(folder, "stuck.result.json", "{}")
    async with running(sticky, store, events=False) as steps:
        for times, name in enumerate(("a", "b", "c"), start=1):
            drop(folder, "stuck.yaml" if times == 1 else "ignored.tmp")
            drop(folder, f"{name}.yaml")  # taken when it has settled, as the other would be again
            await steps.reach("accepted", times)
    assert sticky.attempts == 1
    assert (folder.pickup / "stuck.yaml").exists()
    assert (folder.pickup / "stuck.result.json").exists()


async def test_a_claimed_file_that_somebody_removed_stops_nobody(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    with capture_logs() as logs:
        async with running(folder, store) as steps:
            steps.then = lambda step: remove_claimed(folder, "a") if step == "claimed" else None
            drop(folder, "a.yaml")
            drop(folder, "b.yaml")
            await steps.reach("accepted")
    assert (await only_record(store)).claim.name == "b"
    (warning,) = [entry for entry in logs if entry["log_level"] != "info"]
    assert warning["event"] == "a claimed job was removed by somebody"


def remove_claimed(folder: SpoolFolder, name: str) -> None:
    for claim in folder.claimed():
        if claim.name == name:
            (folder.queue / claim.job_file).unlink()


async def test_what_its_writer_changed_up_to_the_claim_is_what_counts(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    def change(step: str) -> None:
        if step == "claimed":
            (claim,) = folder.claimed()
            (folder.queue / claim.job_file).write_text(JOB + "subject: longer\nid: later\n")

    async with running(folder, store) as steps:
        steps.then = change
        drop(folder, "a.yaml")
        await steps.reach("accepted")
    assert (await only_record(store)).job_id == "later"


async def test_an_envelope_that_comes_between_reading_and_claim_counts(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def it_comes(folder: SpoolFolder, name: str, failed: Container[str]) -> bool:
        drop(folder, "a.envelope.yaml", "to: real@example.org\n")
        return False

    monkeypatch.setattr(intake, "may_follow", it_comes)
    async with running(folder, store) as steps:
        drop(folder, "a.eml", "From: a@example.org\nTo: header@example.org\n\nx\n")
        await steps.reach("accepted")
    record = await only_record(store)
    assert [it.address for it in record.recipients] == ["real@example.org"]


async def test_the_second_of_two_jobs_with_one_id_is_a_duplicate(
    folder: SpoolFolder, store: SqliteStore
) -> None:
    async with running(folder, store) as steps:
        for name in ("a.yaml", "b.yaml"):
            drop(folder, name, JOB + "id: once\n")
            await steps.reach("accepted", 1 + (name == "b.yaml"))
    found = {record.claim.name: record.status for record in await all_records(store)}
    assert found == {"a": JobStatus.QUEUED, "b": JobStatus.DUPLICATE}


async def test_what_comes_right_behind_another_job_shares_a_flush(
    folder: SpoolFolder, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[object] = []
    monkeypatch.setattr(intake, "TOGETHER_S", 3600.0)
    resting, rested = asyncio.Event(), asyncio.Event()

    async def rest(stopping: asyncio.Event, wait_s: float) -> None:
        resting.set()
        await rested.wait()

    monkeypatch.setattr(intake, "sleep_unless", rest)
    flush = folder.flush

    def watched(folders: Iterable[Path]) -> None:
        flushes.append(folders)
        flush(folders)

    monkeypatch.setattr(folder, "flush", watched)
    async with running(folder, store) as steps:
        drop(folder, "a.yaml")
        await steps.reach("accepted")
        assert not resting.is_set(), "it came singly"
        flushes.clear()
        for name in ("b.yaml", "c.yaml", "d.yaml"):
            drop(folder, name)
        async with asyncio.timeout(10):
            await resting.wait()
        assert not flushes
        rested.set()
        await steps.reach("accepted", 4)
    assert len(flushes) == 1
