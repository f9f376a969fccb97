"""Queues that older versions of the program left, on both engines."""

import asyncio
from math import inf
from pathlib import Path

import apsw
import pytest

from asyncnet.mail.verdict import JobStatus, RecipientStatus
from asyncnet.mailqueue import connection, postgres_reader
from asyncnet.mailqueue.connection import QUERIES
from asyncnet.mailqueue.postgres_link import SCHEMA
from asyncnet.mailqueue.reader import SqliteReader
from asyncnet.mailqueue.store import AccountState, StoreError, Word
from tests.mailqueue.engines import PostgresEngine, SqliteEngine
from tests.mailqueue.messages import ACCEPTED, LARGE, NOW, SMALL, leased, message, settled

OLD_QUEUES = Path(__file__).parent / "old_queues"
VERSIONS = [int(path.stem.rpartition("_")[2]) for path in OLD_QUEUES.glob("sqlite_schema_*.sql")]


def lay_down(engine: SqliteEngine, version: int) -> None:
    """The file as that version left it."""
    engine.database.parent.mkdir(parents=True)
    old = apsw.Connection(str(engine.database))
    old.execute((OLD_QUEUES / f"sqlite_schema_{version}.sql").read_text("utf-8"))
    assert old.pragma("user_version") == version
    old.close()


def test_every_older_schema_has_a_queue_to_try() -> None:
    assert sorted(VERSIONS) == list(range(1, len(connection.MIGRATIONS)))


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_old_file_goes_on_where_it_was(sqlite: SqliteEngine, version: int) -> None:
    lay_down(sqlite, version)
    with pytest.raises(StoreError, match="of an older version; start the daemon once"):
        SqliteReader(sqlite.database)
    store = await sqlite.open(NOW + 2)
    records = {record.claim.queue_id: record for record in await store.records(states=JobStatus)}
    assert {queue_id: record.status for queue_id, record in records.items()} == {
        "Q1": JobStatus.QUEUED,
        "Q2": JobStatus.DEFERRED,
        "Q3": JobStatus.DEFERRED,
        "Q4": JobStatus.HELD,
        "Q5": JobStatus.INVALID,
        "Q6": JobStatus.SENT,
    }
    assert [it.possible_duplicate for it in records["Q2"].recipients] == [True, True]
    assert (records["Q3"].claim.name, records["Q3"].meta) == ("odd\udcff", {"n": [1]})
    assert records["Q6"].recipients[0].verdict == ACCEPTED
    assert [it.claim.queue_id for it in await store.unreported(10)] == ["Q5", "Q6"]
    home = AccountState("home", "held", inf, NOW, reason="wrong password")
    assert dict(await store.account_states()) == {"home": home}
    leases = await store.lease(NOW + 2, 10)
    assert [lease.queue_id for lease in leases] == ["Q2", "Q1"]
    assert b"".join(store.content(leases[0]).blocks()) == SMALL.data
    await store.instruct(Word.CANCEL, ["Q4"], NOW + 2)
    assert (await store.find("Q4"))[0].recipients[0].verdict.status is RecipientStatus.CANCELED


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_content_file_of_an_old_queue_is_found(sqlite: SqliteEngine, version: int) -> None:
    """Each content had a file of its own, called after its job."""
    lay_down(sqlite, version)
    old = apsw.Connection(str(sqlite.database))
    old.execute("DELETE FROM content WHERE job IN (4, 6)")
    old.execute("UPDATE job SET in_file = 1, size_octets = ?1 WHERE id IN (4, 6)", (LARGE.octets,))
    old.close()
    (sqlite.folder / "queue").mkdir()
    for queue_id in ("Q4", "Q6"):
        (sqlite.folder / "queue" / f"{queue_id}.msg").write_bytes(LARGE.data)
    store = await sqlite.open(NOW + 2)
    assert sqlite.content_files() == ["Q4.msg"]  # the other is finished
    await store.instruct(Word.RELEASE, ["Q4"], NOW + 2)
    (lease,) = [it for it in await store.lease(NOW + 2, 10) if it.queue_id == "Q4"]
    assert b"".join(store.content(lease).blocks()) == LARGE.data
    await store.settle(lease, settled(ACCEPTED), NOW + 2)
    await store.mark_reported(["Q4", "Q6"])
    assert sqlite.content_files() == []


async def test_an_old_file_becomes_what_a_new_one_is(sqlite: SqliteEngine, tmp_path: Path) -> None:
    def columns(path: Path) -> dict[str, list[tuple[object, ...]]]:
        file = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        tables = [
            name
            for (name,) in file.execute(
                "SELECT name FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name"
            )
        ]
        found = {
            name: [tuple(row)[1:] for row in file.execute(f"PRAGMA table_xinfo({name})")]
            for name in tables
        }
        file.close()
        return found

    lay_down(sqlite, 1)
    await (await sqlite.open()).close()
    old = columns(sqlite.database)
    sqlite.folder = tmp_path / "new"
    await (await sqlite.open()).close()
    assert old == columns(sqlite.database)


async def test_a_migration_that_fails_leaves_the_old_file(
    sqlite: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_down(sqlite, 1)
    broken = {**QUERIES, "broken": "ALTER TABLE job ADD COLUMN extra TEXT; SELECT nonsense"}
    with monkeypatch.context() as patch:
        patch.setattr(connection, "QUERIES", broken)
        patch.setattr(connection, "MIGRATIONS", ("schema_1", "broken"))
        with pytest.raises(StoreError):
            await sqlite.open()
    assert len(await (await sqlite.open()).records()) == 4


async def test_a_database_of_an_older_version_is_migrated_in_one_step(
    postgres: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await postgres.open()
    await store.accept(message("Q1"), SMALL, NOW)
    await store.close()
    assert postgres.url is not None
    later = len(postgres_reader.MIGRATIONS) + 1
    steps = {**SCHEMA, "next": "ALTER TABLE job ADD COLUMN extra text NOT NULL DEFAULT 'x'"}
    monkeypatch.setattr(postgres_reader, "SCHEMA", steps)
    monkeypatch.setattr(postgres_reader, "MIGRATIONS", (*postgres_reader.MIGRATIONS, "next"))
    with pytest.raises(StoreError, match="of an older version; start the daemon once"):
        await asyncio.to_thread(postgres_reader.PostgresReader, postgres.url)
    store = await postgres.open()
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
    ((version, extra),) = await postgres.server.fetch(
        "SELECT asyncnet, extra FROM schema_version, job", postgres.url
    )
    assert (version, extra) == (later, "x")


async def test_what_waits_in_a_database_of_the_first_schema_goes_by_its_time(
    postgres: PostgresEngine,
) -> None:
    postgres.url = await postgres.server.new_schema()
    await postgres.server.fetch(SCHEMA["version"], postgres.url)
    for step in SCHEMA["schema_1"].split(";\n"):
        await postgres.server.fetch(step, postgres.url)
    await postgres.server.fetch("INSERT INTO schema_version VALUES (1)", postgres.url)
    for number, due_at in enumerate((NOW + 1, NOW, NOW + 60)):
        await postgres.server.fetch(
            f"WITH job AS (INSERT INTO job (queue_id, owner, name, job_file, claimed_at, status,"
            f" stage, route_key, account, message_id, reverse_path, size_octets, due_at,"
            f" expires_at, on_doubt) VALUES ('Q{number}', 'here', 'hello', 'Q{number}~hello.yaml',"
            f" {NOW}, 'queued', 'waiting', 'work', 'work', '<1@example.org>', 'a@example.org', 0,"
            f" {due_at}, {NOW + 900}, 'retry') RETURNING id)"
            f" INSERT INTO recipient (job, position, address) SELECT id, 0, 'b@example.org'"
            f" FROM job",
            postgres.url,
        )
    store = await postgres.open()
    await store.accept(message("Q3"), SMALL, NOW)
    assert [it.queue_id for it in await store.lease(NOW + 1, 10)] == ["Q1", "Q3", "Q0"]


async def test_a_migration_that_fails_leaves_the_old_database(
    postgres: PostgresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await postgres.open()
    await store.accept(message("Q1"), SMALL, NOW)
    steps = {**SCHEMA, "next": "ALTER TABLE job ADD COLUMN extra text; SELECT 1 / 0"}
    with monkeypatch.context() as patch:
        patch.setattr(postgres_reader, "SCHEMA", steps)
        patch.setattr(postgres_reader, "MIGRATIONS", (*postgres_reader.MIGRATIONS, "next"))
        with pytest.raises(StoreError):
            await postgres.open()
    store = await postgres.open()
    assert len(await store.records()) == 1
