"""What the SQLite engine does beyond the contract: its flushes, files, plans and refusals."""

import asyncio
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from math import inf
from pathlib import Path
from typing import cast

import apsw
import pytest

from asyncnet.mail.envelope import Route
from asyncnet.mail.letter import BLOCK_OCTETS, Content, ContentError, Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue import connection, filesystem
from asyncnet.mailqueue.connection import APPLICATION_ID, MIGRATIONS, QUERIES
from asyncnet.mailqueue.reader import SqliteReader
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import (
    INLINE_OCTETS,
    Acceptance,
    AccountState,
    Effect,
    LeaseLost,
    StoreBroken,
    StoreError,
    Word,
)
from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.faulty_disk import Disk, faulty_disk
from tests.mailqueue.messages import ACCEPTED, LARGE, NOW, SMALL, leased, message, settled

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.fixture
def disk() -> Iterator[Disk]:
    """Ask for it before the engine: it must outlive the connections."""
    with faulty_disk() as disk:
        yield disk


# Group commit


async def test_a_hundred_callers_share_a_few_flushes(disk: Disk, sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    commits, flushes = store.commits, disk.flushes
    await asyncio.gather(*(store.accept(message(f"Q{n}"), SMALL, NOW) for n in range(100)))
    assert store.commits - commits <= 3
    assert disk.flushes - flushes <= 6
    leases = await store.lease(NOW, 100)
    commits = store.commits
    await asyncio.gather(*(store.mark_dot(lease) for lease in leases))
    await asyncio.gather(*(store.settle(lease, settled(ACCEPTED), NOW) for lease in leases))
    assert store.commits - commits <= 6
    assert dict(await store.counts()) == {JobStatus.SENT: 100}


async def test_every_acknowledged_step_was_flushed(disk: Disk, sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    for n in range(5):
        flushes = disk.flushes
        await store.accept(message(f"Q{n}"), SMALL, NOW)
        assert disk.flushes > flushes


async def accepted(store: SqliteStore, queue_id: str, content: Content) -> Acceptance:
    """Accept in a task, in the same turn of the loop as what is gathered with it."""
    return await store.accept(message(queue_id), content, NOW)


async def test_one_callers_error_does_not_touch_the_others_of_its_batch(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q0"), SMALL, NOW)
    lease = await leased(store, "Q0")
    await store.settle(lease, settled(ACCEPTED), NOW)
    commits = store.commits
    outcomes = await asyncio.gather(
        accepted(store, "Q1", SMALL),
        store.settle(lease, settled(ACCEPTED), NOW),
        accepted(store, "Q2", SMALL),
        return_exceptions=True,
    )
    assert [type(it) for it in outcomes] == [Acceptance, LeaseLost, Acceptance]
    assert store.commits - commits == 1
    assert await store.known(["Q1", "Q2"]) == {"Q1", "Q2"}


async def test_a_step_that_fails_half_way_leaves_nothing(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    no_address = cast(str, None)  # the row is in when the recipient is refused
    outcomes = await asyncio.gather(
        store.accept(message("Q1", no_address), SMALL, NOW),
        store.accept(message("Q2"), SMALL, NOW),
        return_exceptions=True,
    )
    assert [type(it) for it in outcomes] == [StoreError, Acceptance]
    assert await store.known(["Q1", "Q2"]) == {"Q2"}


# Memory


class Stream:
    """Content that is never in memory as a whole."""

    octets = 600 * BLOCK_OCTETS

    def blocks(self) -> Iterator[bytes]:
        block = b"x" * BLOCK_OCTETS
        return (block for _ in range(600))


async def test_large_content_streams_through(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    tracemalloc.start()
    try:
        await store.accept(message("Q1"), Stream(), NOW)
        content = store.content(await leased(store, "Q1"))
        length = await asyncio.to_thread(lambda: sum(len(block) for block in content.blocks()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert length == Stream.octets
    assert peak < 1_000_000


# Trouble with the disk


async def test_no_room_for_one_operation_keeps_nothing_of_it_and_goes_on(
    sqlite: SqliteEngine, connections: list[apsw.Connection]
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), SMALL, NOW)
    writer = connections[0]
    plenty = writer.pragma("max_page_count")
    writer.pragma("max_page_count", 1)  # SQLite takes it as: no page more than there are
    with pytest.raises(StoreError, match="full") as caught:
        await store.accept(message("Q2"), Octets(b"x" * INLINE_OCTETS), NOW)
    assert not isinstance(caught.value, StoreBroken)
    assert await store.known(["Q1", "Q2"]) == {"Q1"}
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
    writer.pragma("max_page_count", plenty)
    assert await store.accept(message("Q2"), SMALL, NOW) is Acceptance.QUEUED


async def test_a_full_disk_at_the_commit_lets_the_small_steps_pass(
    disk: Disk, sqlite: SqliteEngine
) -> None:
    store = await sqlite.open()
    log = sqlite.database.with_name("queue.db-wal")
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    disk.room_octets = log.stat().st_size + 16 * 4096
    body = Octets(b"x" * INLINE_OCTETS)
    outcomes = await asyncio.gather(
        store.settle(lease, settled(ACCEPTED), NOW),
        *(accepted(store, f"Q{n}", body) for n in range(2, 9)),
        return_exceptions=True,
    )
    assert outcomes[0] is None
    refused = [it for it in outcomes if isinstance(it, StoreError)]
    assert len(refused) >= 5
    assert all("full" in str(it) and not isinstance(it, StoreBroken) for it in refused)
    disk.room_octets = None
    kept = outcomes.count(Acceptance.QUEUED)
    counts = {JobStatus.SENT: 1} | ({JobStatus.QUEUED: kept} if kept else {})
    assert dict(await store.counts()) == counts
    assert await store.accept(message("Q9"), SMALL, NOW) is Acceptance.QUEUED


async def test_no_room_for_the_row_leaves_no_content_file(disk: Disk, sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    disk.room_octets = 0
    with pytest.raises(StoreError, match="full"):
        await store.accept(message("Q1"), LARGE, NOW)
    assert sqlite.content_files() == []
    disk.room_octets = None
    assert await store.accept(message("Q1"), LARGE, NOW) is Acceptance.QUEUED


async def test_no_room_for_the_content_file_is_no_end(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    (sqlite.folder / "queue").rmdir()
    # The folder and not the message: the same fault of many is told once.
    with pytest.raises(StoreError, match=r"cannot write to .*/queue: No such file"):
        await store.accept(message("Q1"), LARGE, NOW)
    (sqlite.folder / "queue").mkdir()
    assert await store.accept(message("Q1"), LARGE, NOW) is Acceptance.QUEUED


async def test_after_a_failed_flush_nothing_is_believed_any_more(
    disk: Disk, sqlite: SqliteEngine
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), SMALL, NOW)
    disk.flushes_fail = True
    outcomes = await asyncio.gather(
        *(store.accept(message(f"Q{n}"), (SMALL, LARGE)[n % 2], NOW) for n in range(2, 8)),
        return_exceptions=True,
    )
    assert [type(it) for it in outcomes] == [StoreBroken] * 6
    disk.flushes_fail = False  # the next flush would "succeed"
    for attempt in (
        store.accept(message("Q9"), SMALL, NOW),
        store.accept(message("Q9"), LARGE, NOW),
        store.lease(NOW, 1),
        store.counts(),
    ):
        with pytest.raises(StoreBroken):
            await attempt
    await store.close()
    reopened = await sqlite.open()
    assert "Q1" in await reopened.known(["Q1"])


async def test_nobody_is_told_that_a_step_is_done_before_it_was_flushed(
    disk: Disk, sqlite: SqliteEngine
) -> None:
    store = await sqlite.open()
    disk.flushes_fail = True
    with pytest.raises(StoreBroken):
        await store.accept(message("Q1"), SMALL, NOW)


async def test_another_process_in_the_way_is_told_and_survived(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 20)
    store = await sqlite.open()
    stranger = apsw.Connection(str(sqlite.database))
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process"):
        await store.accept(message("Q1"), SMALL, NOW)
    stranger.execute("ROLLBACK")
    stranger.close()
    assert await store.accept(message("Q1"), SMALL, NOW) is Acceptance.QUEUED


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda file: file.unlink(), id="it vanished"),
        pytest.param(lambda file: file.write_bytes(LARGE.data[:-1]), id="it shrank"),
        pytest.param(lambda file: (file.unlink(), file.mkdir()), id="it is a folder"),
    ],
)
async def test_a_damaged_content_file_is_told_when_it_is_read(
    sqlite: SqliteEngine, damage: Callable[[Path], object]
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    content = store.content(await leased(store, "Q1"))
    damage(sqlite.folder / "queue" / "Q1.msg")
    with pytest.raises(ContentError, match="Q1"):
        list(content.blocks())


async def test_a_queue_id_never_leads_out_of_the_folder(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    with pytest.raises(ValueError, match="cannot be a file of ours"):
        await store.accept(message("../Q1"), LARGE, NOW)
    assert await store.known(["../Q1"]) == frozenset()


async def test_the_log_does_not_grow_for_ever(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    for start in range(0, 3000, 100):
        ids = range(start, start + 100)
        body = Octets(b"x" * 8192)
        await asyncio.gather(*(store.accept(message(f"Q{n}"), body, NOW) for n in ids))
    assert sqlite.database.with_name("queue.db-wal").stat().st_size < 16_000_000
    assert dict(await store.counts()) == {JobStatus.QUEUED: 3000}


# Plans: what grows with the queue


@pytest.mark.parametrize("name", [name for name in QUERIES if not name.startswith("schema")])
async def test_no_statement_walks_the_whole_queue(sqlite: SqliteEngine, name: str) -> None:
    await sqlite.open()
    reader = apsw.Connection(str(sqlite.database))
    bound = [None] * 30
    plan = [
        row[3]
        for row in reader.execute(
            "EXPLAIN QUERY PLAN " + QUERIES[name],
            bound[: max([0, *(n for n in range(1, 30) if f"?{n}" in QUERIES[name])])],
        )
    ]
    reader.close()
    # What is leased, what lies in files and is not finished, and one (LIMIT 1).
    small = ("INDEX job_leased", "INDEX job_content", "USING COVERING INDEX job_due")
    whole = {"counts": "USING COVERING INDEX job_status", "put_back_due": "INDEX job_expiry"}
    allowed = (*small, *([whole[name]] if name in whole else []))
    walks = [step for step in plan if step.startswith(("SCAN job", "SCAN rec", "SCAN content"))]
    assert [step for step in walks if not step.endswith(allowed)] == []


async def test_a_lease_does_not_pay_for_what_lies_in_closed_accounts(
    sqlite: SqliteEngine, connections: list[apsw.Connection]
) -> None:
    store = await sqlite.open()
    work = [message(f"W{n:05}", priority=n % 3) for n in range(20_000)]
    later = [message(f"L{n:05}", route=Route("later"), due_at=NOW + 60) for n in range(100)]
    home = [message(f"H{n:05}", route=Route("home")) for n in range(10)]
    await asyncio.gather(*(store.accept(it, SMALL, NOW) for it in work + later + home))
    await store.set_account_state(AccountState("work", "held", until=inf))
    steps = 0

    def count() -> bool:
        nonlocal steps
        steps += 1
        return False

    for opened in connections:
        opened.set_progress_handler(count, 1)
    leases = await store.lease(NOW, 5)
    assert [it.queue_id for it in leases] == [f"H{n:05}" for n in range(5)]
    assert steps < 5_000  # virtual machine instructions; one walk of the rows is 100,000
    assert await store.next_due(NOW + 1) == NOW
    assert steps < 6_000


# The file


async def test_the_files_are_private(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    files = [path for path in sqlite.folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"queue.db", "queue.db-wal", "queue.db-shm", "Q1.msg"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


async def test_the_file_says_whose_it_is_and_of_which_version(sqlite: SqliteEngine) -> None:
    await sqlite.open()
    await sqlite.open()  # a second time migrates nothing
    stranger = apsw.Connection(str(sqlite.database))
    assert stranger.pragma("application_id") == APPLICATION_ID
    assert stranger.pragma("user_version") == len(MIGRATIONS)
    assert stranger.pragma("journal_mode") == "wal"
    assert stranger.pragma("integrity_check") == "ok"
    stranger.close()


def _garbage(path: Path) -> None:
    path.write_bytes(b"This is no database. " * 500)


def _cut(path: Path) -> None:
    connection.open_writer(path).close()
    path.write_bytes(path.read_bytes()[:5000] + bytes(3000))


def _sqlite(path: Path, statements: str, application_id: int, version: int) -> None:
    made = apsw.Connection(str(path))
    made.execute(statements)
    made.pragma("application_id", application_id)
    made.pragma("user_version", version)
    made.close()


UNUSABLE: list[tuple[str, Callable[[Path], object], str]] = [
    ("no database", _garbage, "damaged or no queue"),
    ("torn", _cut, "damaged or no queue"),
    ("another program's", lambda path: _sqlite(path, "CREATE TABLE t (x)", 0, 0), "no queue of"),
    ("of a program with a name", lambda path: _sqlite(path, "", 77, 1), "no queue of"),
    ("newer", lambda path: _sqlite(path, "", APPLICATION_ID, 99), "newer version"),
    ("a folder", lambda path: path.mkdir(), "queue.db"),
]


@pytest.mark.parametrize(
    ("make", "complaint"),
    [pytest.param(make, complaint, id=name) for name, make, complaint in UNUSABLE],
)
async def test_a_file_that_cannot_be_used_is_refused_with_the_reason(
    tmp_path: Path, make: Callable[[Path], object], complaint: str
) -> None:
    path = tmp_path / "queue.db"
    make(path)
    store = SqliteStore(path, tmp_path / "queue", dedup_window_s=1)
    with pytest.raises(StoreError, match=complaint) as caught:
        await store.open(NOW)
    assert "queue.db" in str(caught.value)
    await store.close()
    with pytest.raises(StoreError):
        SqliteReader(path)


async def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for path, folder in (
        (tmp_path / "file" / "queue.db", tmp_path / "queue"),
        (tmp_path / "queue.db", tmp_path / "file" / "queue"),
    ):
        store = SqliteStore(path, folder, dedup_window_s=1)
        with pytest.raises(StoreError, match="file"):
            await store.open(NOW)
        await store.close()


async def test_a_network_file_system_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text("27 1 0:9 / / rw - nfs4 server.test:/ rw\n")
    monkeypatch.setattr(filesystem, "_MOUNTINFO", mounts)
    store = SqliteStore(tmp_path / "queue.db", tmp_path / "queue", dedup_window_s=1)
    with pytest.raises(StoreError, match=r"network file system \(nfs4\).*local disk"):
        await store.open(NOW)
    assert not (tmp_path / "queue.db").exists()


# Reading beside the daemon


async def test_a_reader_beside_the_open_store_sees_what_is_committed(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    with SqliteReader(sqlite.database) as reader:
        assert dict(reader.counts()) == {}
        await store.accept(message("Q1", job_id="order-7"), SMALL, NOW)
        assert [record.claim.queue_id for record in reader.records()] == ["Q1"]
        assert reader.records() == await store.records()
        assert reader.find("order-7") == await store.find("Q1")
        await store.set_account_state(AccountState("work", "held", until=inf))
        assert reader.account_states() == await store.account_states()


async def test_another_process_reads_the_queue_of_a_running_daemon(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), SMALL, NOW)
    script = (
        "import sys; from pathlib import Path; from asyncnet.mailqueue.reader import SqliteReader\n"
        "with SqliteReader(Path(sys.argv[1])) as reader: print(dict(reader.counts()))"
    )
    answer = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", script, str(sqlite.database)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'queued'>: 1" in answer.stdout
    await store.accept(message("Q2"), SMALL, NOW)


@pytest.mark.parametrize("closed", [True, False], ids=["after a close", "after a crash"])
async def test_a_reader_makes_no_file(sqlite: SqliteEngine, closed: bool) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), SMALL, NOW)
    if closed:
        await store.close()
    else:
        sqlite.folder = sqlite.folder.rename(sqlite.folder.with_name("left behind"))
    before = sorted(sqlite.folder.rglob("*"))
    with SqliteReader(sqlite.database) as reader:
        assert dict(reader.counts()) == {JobStatus.QUEUED: 1}
        assert sorted(sqlite.folder.rglob("*")) == before
    assert sorted(sqlite.folder.rglob("*")) == before


def test_a_reader_of_nothing_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no queue at"):
        SqliteReader(tmp_path / "odd ?#% name.db")
    assert list(tmp_path.iterdir()) == []


async def test_a_reader_finds_a_file_of_an_odd_name(tmp_path: Path) -> None:
    path = tmp_path / "odd ?#% name.db"
    store = SqliteStore(path, tmp_path / "queue", dedup_window_s=1)
    await store.open(NOW)
    with SqliteReader(path) as reader:
        assert dict(reader.counts()) == {}
    await store.close()
    with SqliteReader(path) as reader:
        assert reader.records() == []


async def test_a_queue_of_the_first_schema_is_migrated_with_all_that_waits_in_it(
    sqlite: SqliteEngine,
) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), SMALL, NOW)
    await store.close()
    old = apsw.Connection(str(sqlite.database))
    (view,) = (it for it in QUERIES["schema_1"].split(";") if "CREATE VIEW lane" in it)
    old.execute("DROP VIEW lane; ALTER TABLE job DROP COLUMN word")
    old.execute(f"ALTER TABLE job DROP COLUMN note; {view}; PRAGMA user_version = 1")
    (due,) = (it for it in QUERIES["schema_1"].split(";") if "CREATE INDEX job_due" in it)
    old.execute(f"DROP INDEX job_due; ALTER TABLE job DROP COLUMN turn; {due}")
    old.execute("DROP INDEX job_content; ALTER TABLE job DROP COLUMN content_file")
    old.execute("ALTER TABLE job DROP COLUMN content_start")
    old.execute("ALTER TABLE job ADD COLUMN in_file INTEGER NOT NULL DEFAULT 0")
    old.close()
    with pytest.raises(StoreError, match="start the daemon once"):
        SqliteReader(sqlite.database)
    store = await sqlite.open()
    (told,) = await store.instruct(Word.HOLD, ["Q1"], NOW, "by hand")
    assert told.effect is Effect.DONE
    assert [(it.status, it.note) for it in await store.records()] == [("held", "by hand")]
