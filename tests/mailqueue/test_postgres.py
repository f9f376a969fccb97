"""What the PostgreSQL engine does in its own way: schema, memory, secrets, errors, lost answers."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnet.config.sections import QueueSettings
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue import postgres_link
from asyncnet.mailqueue.opening import make_store, open_reader
from asyncnet.mailqueue.owner import NAME_FILE, owner_of
from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.postgres_access import Access, Connection
from asyncnet.mailqueue.postgres_link import QUERIES, Link
from asyncnet.mailqueue.postgres_reader import MIGRATIONS, PostgresReader
from asyncnet.mailqueue.store import (
    Acceptance,
    StoreAway,
    StoreBroken,
    StoreError,
)
from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import ACCEPTED, DEDUP_WINDOW_S, NOW, SMALL, leased, message, settled
from tests.support.cutting_proxy import CuttingProxy, Way
from tests.support.postgres import PostgresServer

REPOSITORY = Path(__file__).parent.parent.parent
SECRET = "7h3-p4ssw0rd"


def store_at(url: str) -> PostgresStore:
    return PostgresStore(url, "here", dedup_window_s=DEDUP_WINDOW_S)


# The schema


async def test_a_queue_of_a_newer_version_is_refused(postgres: PostgresEngine) -> None:
    store = await postgres.open()
    await store.close()
    assert postgres.url is not None
    newer = len(MIGRATIONS) + 1
    await postgres.server.execute(f"UPDATE schema_version SET asyncnet = {newer}", postgres.url)
    with pytest.raises(StoreError, match=f"newer version of asyncnet .schema {newer}"):
        await postgres.open()


async def test_daemons_that_start_at_once_make_one_schema(postgres_server: PostgresServer) -> None:
    url = await postgres_server.new_schema()
    stores = [store_at(url) for _ in range(4)]
    await asyncio.gather(*(store.open(NOW) for store in stores))
    (row,) = await postgres_server.fetch("SELECT asyncnet FROM schema_version", url)
    assert row[0] == len(MIGRATIONS)
    for store in stores:
        await store.close()


async def test_tables_that_vanish_end_the_process(postgres: PostgresEngine) -> None:
    store = await postgres.open()
    await postgres.server.execute("DROP TABLE recipient, content, job", postgres.url)
    with pytest.raises(StoreBroken):
        await store.accept(message("Q1"), SMALL, NOW)
    with pytest.raises(StoreBroken):
        await store.counts()


async def test_one_value_that_cannot_be_kept_fails_alone(postgres: PostgresEngine) -> None:
    store = await postgres.open()
    outcomes = await asyncio.gather(
        store.accept(message("Q1"), SMALL, NOW),
        store.accept(message("Q2", priority=1 << 40), SMALL, NOW),
        store.accept(message("Q3\x00"), SMALL, NOW),
        store.accept(message("Q4"), SMALL, NOW),
        return_exceptions=True,
    )
    assert [outcomes[0], outcomes[3]] == [Acceptance.QUEUED] * 2
    assert all(isinstance(it, StoreError) for it in outcomes[1:3])


async def test_a_damaged_row_is_set_aside_and_stops_nobody(postgres: PostgresEngine) -> None:
    store = await postgres.open()
    for number in range(4):
        await store.accept(message(f"Q{number}"), SMALL, NOW)
    damage = r"UPDATE {} = '\xff80' WHERE {} = 'Q1'"
    await postgres.server.execute(damage.format("job SET reverse_path", "queue_id"), postgres.url)
    await postgres.server.execute("UPDATE job SET meta = '{' WHERE queue_id = 'Q2'", postgres.url)
    store.finished.clear()
    leases = await store.lease(NOW, 10)
    assert [lease.queue_id for lease in leases] == ["Q0", "Q2", "Q3"]
    assert store.finished.is_set()
    for lease in leases:
        await store.settle(lease, settled(ACCEPTED), NOW)
    records = {record.claim.queue_id: record for record in await store.unreported(10)}
    assert {it: record.status for it, record in records.items()} == {
        "Q0": JobStatus.SENT,
        "Q1": JobStatus.FAILED,
        "Q2": JobStatus.SENT,
        "Q3": JobStatus.SENT,
    }
    assert "damaged" in records["Q1"].recipients[0].verdict.text
    assert "meta" in str(records["Q2"].errors[0])


def test_every_query_is_described_and_used() -> None:
    folder = Path(postgres_link.__file__).parent
    code = "".join(path.read_text("utf-8") for path in folder.glob("postgres*.py"))
    for name in QUERIES:
        assert QUERIES.description(name)
        assert re.search(rf'"{name}"', code), f"nobody runs {name}"


# Lost answers


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_link, "PATIENCE_S", 0.2)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("way", ["request", "answer"])
async def test_a_lease_whose_commit_was_never_answered_is_not_lost(
    postgres_server: PostgresServer, way: Way
) -> None:
    url = await postgres_server.new_schema()
    direct = store_at(url)
    async with CuttingProxy(postgres_server.port).running() as proxy:
        store = PostgresStore(
            url.replace(str(postgres_server.port), str(proxy.port)),
            "there",
            dedup_window_s=DEDUP_WINDOW_S,
            lease_term_s=1.5,
        )
        await direct.open(NOW)
        await store.open(NOW)
        for number in range(1, 8):
            queue_id = f"Q{number}"
            await direct.accept(message(queue_id), SMALL, NOW)
            await store.counts()
            assert await store.lease(NOW, 1, {"work"}) == []  # the line is up
            proxy.cut_for_good_at(way, number)
            try:
                found = await store.lease(NOW, 1)
            except StoreError:
                found = []
            proxy.revive()
            proxy.disarm()
            async with asyncio.timeout(20):
                while not found:
                    store.ready.clear()
                    try:
                        found = await store.lease(NOW, 1)
                    except StoreError:
                        continue
                    if not found:
                        await store.ready.wait()
            (lease,) = found
            assert lease.queue_id == queue_id
            await store.settle(lease, settled(ACCEPTED), NOW)
        await store.close()
    assert dict(await direct.counts()) == {JobStatus.SENT: 7}
    await direct.close()


@pytest.mark.usefixtures("impatient")
async def test_a_settlement_whose_commit_was_never_answered_may_be_made_again(
    postgres_server: PostgresServer,
) -> None:
    url = await postgres_server.new_schema()
    async with CuttingProxy(postgres_server.port).running() as proxy:
        store = store_at(url.replace(str(postgres_server.port), str(proxy.port)))
        await store.open(NOW)
        for number in range(1, 12):
            queue_id = f"Q{number:02}"
            await store.accept(message(queue_id), SMALL, NOW)
            lease = await leased(store, queue_id)
            proxy.cut_for_good_at("answer", number)
            try:
                await store.settle(lease, settled(ACCEPTED), NOW)
            except StoreError:
                proxy.revive()
                await store.settle(lease, settled(ACCEPTED), NOW)
            proxy.revive()
            proxy.disarm()
            (record,) = await store.find(queue_id)
            assert (record.status, record.attempts) == (JobStatus.SENT, 1)
        assert proxy.cuts > 5
        await store.close()


# Memory


def test_content_of_25_mb_passes_in_little_memory(postgres_server: PostgresServer) -> None:
    url = asyncio.run(postgres_server.new_schema())
    done = subprocess.run(
        [sys.executable, "-m", "tests.mailqueue.large_content_process", url],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    grown_octets = int(done.stdout)
    assert grown_octets < 12_000_000


# Secrets and settings


async def test_a_password_is_in_no_error(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "PATIENCE_S", 0.0)
    for url in (
        f"postgresql://who:{SECRET}@127.0.0.1:1/queue",
        f"postgresql://who:{SECRET}@127.0.0.1:{postgres_server.port}/nothing",
        f"postgresql://127.0.0.1:1/queue?user=who&password={SECRET}",
        f"postgresql://who:{SECRET}@127.0.0.1:{postgres_server.port}/postgres?sslmode={SECRET}",
        f"postgresql://who:{SECRET}@127.0.0.1:port/queue",
    ):
        store = store_at(url)
        with pytest.raises(StoreError) as caught:
            await store.open(NOW)
        told = f"{caught.value!r} {store!r} {Access(url)!r} {QueueSettings(url=url)!r}"
        assert SECRET not in told
        assert caught.value.__cause__ is None
        assert "127.0.0.1" in str(caught.value)


async def test_a_server_that_does_not_answer_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_link, "PATIENCE_S", 0.0)
    with pytest.raises(StoreAway, match="cannot be reached now"):
        await store_at("postgresql://127.0.0.1:1/queue").open(NOW)


async def test_the_password_may_come_from_the_environment_or_a_file(
    postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await postgres_server.execute(f"CREATE ROLE mailer LOGIN SUPERUSER PASSWORD '{SECRET}'")
    url = (await postgres_server.new_schema()).replace("postgres@", "mailer@")
    async with postgres_server.asking_for_passwords():
        with pytest.raises(StoreError, match="does not let us in"):
            await store_at(url).open(NOW)
        passfile = tmp_path / "pgpass"
        passfile.write_text(f"127.0.0.1:{postgres_server.port}:*:mailer:{SECRET}\n")
        passfile.chmod(0o600)
        for variable, value in (("PGPASSWORD", SECRET), ("PGPASSFILE", str(passfile))):
            with monkeypatch.context() as environment:
                environment.setenv(variable, value)
                store = store_at(url)
                await store.open(NOW)
                await store.close()


def test_without_the_driver_the_error_names_the_extra(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from pathlib import Path\n"
        "from asyncnet.config.sections import QueueSettings\n"
        "from asyncnet.mailqueue.opening import make_store, open_reader\n"
        "settings = QueueSettings(url='postgresql://127.0.0.1/queue')\n"
        "for make in (lambda: make_store(settings, Path('x'), Path('.'), takes_jobs=False),\n"
        "             lambda: open_reader(settings, Path('x'))):\n"
        "    try: make()\n"
        "    except Exception as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("StoreError") == 2
    assert done.stdout.count("install 'asyncnet[postgres]'") == 2


def test_a_spool_keeps_its_name_and_no_two_have_the_same(tmp_path: Path) -> None:
    names = [owner_of(tmp_path / "one"), owner_of(tmp_path / "one"), owner_of(tmp_path / "two")]
    assert names[0] == names[1] != names[2]
    (tmp_path / "one" / NAME_FILE).write_bytes(b"\xff")
    with pytest.raises(StoreError):
        owner_of(tmp_path / "one")


# Reading beside a daemon


async def test_a_command_reads_beside_a_daemon(postgres: PostgresEngine, tmp_path: Path) -> None:
    settings = QueueSettings(url=await postgres.server.new_schema())
    nothing = tmp_path / "queue.db"

    def read() -> list[str]:
        with open_reader(settings, nothing) as reader:
            assert isinstance(reader, PostgresReader)
            assert reader.find("Q2") == []
            assert (dict(reader.counts()), reader.account_states()) == ({JobStatus.QUEUED: 1}, {})
            assert list(reader.backlogs()) == ["work"]
            return [record.claim.queue_id for record in reader.records()]

    def under_way() -> frozenset[str]:
        with open_reader(settings, nothing) as reader:
            return reader.under_way(["Q1", "Q2", "\udcff", "it's"])

    with pytest.raises(StoreError, match="there is no queue"):
        await asyncio.to_thread(read)
    store = make_store(settings, nothing, tmp_path, takes_jobs=True)
    await store.open(NOW)
    await store.accept(message("Q1"), SMALL, NOW)
    assert await asyncio.to_thread(read) == ["Q1"]
    assert await asyncio.to_thread(under_way) == frozenset()
    await store.lease(NOW, 1)
    assert await asyncio.to_thread(under_way) == {"Q1"}
    await store.close()
    assert not nothing.exists()


async def test_a_link_that_is_cancelled_begins_anew(postgres_server: PostgresServer) -> None:
    link = Link(Access(postgres_server.url()))
    task = asyncio.create_task(link.repeat(lambda it: it.fetch("SELECT pg_sleep(30)")))
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    ((one,),) = await link.repeat(lambda it: it.fetch("SELECT 1"))
    assert one == 1
    await link.close()


async def test_a_line_that_is_lost_while_it_is_written_to_is_opened_again(
    postgres_server: PostgresServer,
) -> None:
    """uvloop, unlike asyncio's own loop, raises RuntimeError then."""
    link = Link(Access(postgres_server.url()))
    lost: list[Connection] = []

    async def work(connection: Connection) -> str:
        if not lost:
            lost.append(connection)
            connection.terminate()
            raise RuntimeError("unable to perform operation; the handler is closed")
        return "done"

    assert await link.transact(work) == "done"
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        await link.repeat(mistaken)
    await link.close()


async def mistaken(connection: Connection) -> None:
    raise RuntimeError("a mistake of ours")
