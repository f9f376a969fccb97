"""Damaged rows and contents in PostgreSQL: they are set aside with the reason, and stop nobody.

Most of it the schema keeps out: whatever no step would find, and no status that there is.
"""

from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import pytest

from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink
from asyncnet.mail.letter import ContentError
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.postgres import PostgresStore
from asyncnet.mailqueue.postgres_content import RowContent
from asyncnet.mailqueue.postgres_reader import MIGRATIONS
from asyncnet.mailqueue.store import AccountState
from tests.mailqueue.damaged import (
    accept_three,
    all_three_are_reported,
    settle_all,
    the_second_is_set_aside,
)
from tests.mailqueue.engines import PostgresEngine
from tests.mailqueue.messages import NOW, SMALL, VAST, message
from tests.support.daemon import config_text, running, start
from tests.support.postgres import PostgresServer

NO_UTF8 = r"'\xff80'"
OF_Q2 = "job = (SELECT id FROM job WHERE queue_id = 'Q2')"
# Reading the content of one job fails as it does where the disk gave back something else.
LOST_PAGE = """
    ALTER TABLE content RENAME TO stored;
    CREATE FUNCTION lost(queue_id text, octets bytea) RETURNS bytea LANGUAGE plpgsql AS $$
        BEGIN
            IF queue_id = 'Q2' THEN
                RAISE 'missing chunk number 0 for toast value' USING ERRCODE = 'data_corrupted';
            END IF;
            RETURN octets;
        END $$;
    CREATE VIEW content AS SELECT job, part, lost(
        (SELECT queue_id FROM job WHERE job.id = job), octets) AS octets FROM stored
"""


async def damage(postgres: PostgresEngine, *statements: str) -> None:
    """Write into the tables behind the store's back."""
    for statement in statements:
        await postgres.server.run(statement, postgres.url)


async def three(postgres: PostgresEngine) -> PostgresStore:
    store = await postgres.open()
    await accept_three(store)
    return store


@pytest.mark.parametrize(
    "damaged",
    [
        "UPDATE job SET account = NULL WHERE queue_id = 'Q2'",
        f"UPDATE job SET account = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET host = 'x', port = 25, tls_mode = 'maybe' WHERE queue_id = 'Q2'",
        "UPDATE job SET account = NULL, host = 'x', tls_mode = 'none' WHERE queue_id = 'Q2'",
        f"UPDATE job SET message_id = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET on_doubt = 'never' WHERE queue_id = 'Q2'",
        "UPDATE job SET size_octets = NULL WHERE queue_id = 'Q2'",
        "UPDATE job SET size_octets = 3 WHERE queue_id = 'Q2'",
        f"UPDATE recipient SET address = {NO_UTF8} WHERE {OF_Q2} AND position = 1",
        f"DELETE FROM recipient WHERE {OF_Q2}",
        f"UPDATE content SET octets = 'Subject: sma' WHERE {OF_Q2}",
    ],
)
async def test_a_damaged_message_is_set_aside_with_the_reason_and_the_others_go(
    postgres: PostgresEngine, damaged: str
) -> None:
    store = await three(postgres)
    await damage(postgres, damaged)
    store = await postgres.crash()
    await the_second_is_set_aside(store)


@pytest.mark.parametrize(
    "damaged",
    [
        "UPDATE job SET errors = '[[1]]' WHERE queue_id = 'Q2'",
        "UPDATE job SET errors = '{\"a\": ' WHERE queue_id = 'Q2'",
        "UPDATE job SET warnings = '[7]' WHERE queue_id = 'Q2'",
        "UPDATE job SET meta = 'null' WHERE queue_id = 'Q2'",
        "UPDATE job SET meta = '{\"a\": NaN}' WHERE queue_id = 'Q2'",
        "UPDATE job SET tls = '[]' WHERE queue_id = 'Q2'",
        "UPDATE job SET finished_at = 1e300 WHERE queue_id = 'Q2'",
        "UPDATE job SET finished_at = 'NaN' WHERE queue_id = 'Q2'",
        "UPDATE job SET claimed_at = -1e9 WHERE queue_id = 'Q2'",
        "UPDATE job SET name = 'a/../../b' WHERE queue_id = 'Q2'",
        r"UPDATE job SET name = '\x6100' WHERE queue_id = 'Q2'",
        f"UPDATE job SET name = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET job_file = '/etc/passwd' WHERE queue_id = 'Q2'",
        f"UPDATE job SET job_id = {NO_UTF8}, server = {NO_UTF8} WHERE queue_id = 'Q2'",
        f"UPDATE recipient SET text = {NO_UTF8}, hint = {NO_UTF8} WHERE {OF_Q2}",
        f"UPDATE recipient SET phase = 'lunch', kind = 'of blue' WHERE {OF_Q2}",
        "UPDATE job SET queue_id = '../Q2' WHERE queue_id = 'Q2'",
    ],
)
async def test_a_damaged_finished_job_is_reported_and_the_others_too(
    postgres: PostgresEngine, damaged: str
) -> None:
    store = await three(postgres)
    await settle_all(store)
    await damage(postgres, damaged)
    listed = await store.records(states=JobStatus)
    assert sum((await store.counts()).values()) == len(listed)
    assert len(listed) == 3
    await all_three_are_reported(store, damaged)


@pytest.mark.parametrize(
    "damaged",
    [
        "UPDATE job SET route_key = NULL",
        "UPDATE job SET due_at = NULL",
        "UPDATE job SET expires_at = NULL",
        "UPDATE job SET on_doubt = NULL",
        "UPDATE job SET reverse_path = NULL",
        "UPDATE job SET status = 'splendid'",
        "UPDATE job SET stage = 'lost'",
        "UPDATE recipient SET status = 'gone'",
    ],
)
async def test_the_schema_refuses_what_no_step_would_find(
    postgres: PostgresEngine, damaged: str
) -> None:
    await three(postgres)
    with pytest.raises(asyncpg.CheckViolationError):
        await damage(postgres, damaged)


async def test_the_store_opens_on_a_damaged_lease(postgres: PostgresEngine) -> None:
    store = await three(postgres)
    for lease in await store.lease(NOW, 10):
        await store.mark_dot(lease)
    await damage(
        postgres,
        f"UPDATE recipient SET address = {NO_UTF8}, text = {NO_UTF8} WHERE {OF_Q2}",
        f"UPDATE job SET on_doubt = 'never', word = 'sing', note = {NO_UTF8} WHERE queue_id = 'Q2'",
    )
    store = await postgres.crash()
    assert [it.queue_id for it in await store.lease(NOW, 10)] == ["Q1", "Q3"]
    (record,) = await store.unreported(10)
    assert (record.claim.queue_id, record.status.final) == ("Q2", True)


async def test_a_damaged_state_of_an_account_says_nothing(postgres: PostgresEngine) -> None:
    store = await three(postgres)
    await store.set_account_state(AccountState("home", "held", until=NOW + 5))
    for name in ("work", "club", "shop"):
        await store.set_account_state(AccountState(name))
    await damage(
        postgres,
        "UPDATE account_state SET state = 'tired' WHERE name = 'work'",
        f"UPDATE account_state SET reason = {NO_UTF8} WHERE name = 'club'",
        f"UPDATE account_state SET name = {NO_UTF8} WHERE name = 'shop'",
    )
    assert (await store.account_states())["home"].state == "held"
    assert "work" not in await store.account_states()
    assert len(await store.lease(NOW, 10)) == 3


@pytest.mark.parametrize(
    "damaged",
    [
        f"DELETE FROM content WHERE {OF_Q2}",
        f"DELETE FROM content WHERE {OF_Q2} AND part = 0",
        f"DELETE FROM content WHERE {OF_Q2} AND part = 1",
        f"UPDATE content SET octets = substring(octets, 2) WHERE {OF_Q2} AND part = 1",
        f"UPDATE content SET octets = octets || octets WHERE {OF_Q2} AND part = 0",
        LOST_PAGE,
    ],
)
async def test_a_damaged_content_is_an_error_of_its_own(
    postgres: PostgresEngine, damaged: str
) -> None:
    store = await postgres.open()
    for number in (1, 2):
        await store.accept(message(f"Q{number}"), VAST, NOW)
    await damage(postgres, damaged)
    whole, hurt = await store.lease(NOW, 10)
    for _ in range(2):
        with pytest.raises(ContentError, match="content of Q2"):
            b"".join(store.content(hurt).blocks())
        content = store.content(hurt)
        assert isinstance(content, RowContent)
        with pytest.raises(ContentError, match="content of Q2"):
            _ = [block async for block in content.arriving()]
        assert b"".join(store.content(whole).blocks()) == VAST.data


@pytest.mark.parametrize("damaged", [f"DELETE FROM content WHERE {OF_Q2}", LOST_PAGE])
async def test_a_small_content_that_is_lost_stops_no_lease(
    postgres: PostgresEngine, damaged: str
) -> None:
    store = await three(postgres)
    await damage(postgres, damaged)
    leases = {it.queue_id: store.content(it) for it in await store.lease(NOW, 10)}
    assert b"".join(leases["Q1"].blocks()) == b"".join(leases["Q3"].blocks()) == SMALL.data
    with pytest.raises(ContentError, match="content of Q2"):
        b"".join(leases["Q2"].blocks())


JOB = "from: a@example.org\nto: {0}@example.com\nsubject: {0}\nsend_at: 2099-01-01T00:00:00Z\n"


async def test_a_daemon_sets_aside_what_is_damaged_and_sends_the_rest(
    postgres_server: PostgresServer, tmp_path: Path
) -> None:
    url = await postgres_server.new_schema()
    names = ["row", "recipient", "small", "large", "whole"]
    async with AsyncExitStack() as stack:
        sink = Sink((Endpoint("127.0.0.1", 0),), tmp_path / "maildir")
        await sink.start()
        stack.push_async_callback(sink.stop)
        config = config_text(tmp_path, sink.endpoints[0].port, f'[queue]\nurl = "{url}"\n')
        async with running(tmp_path, config) as daemon:
            for name in names:
                text = "x" * 40_000 if name == "large" else "hello"
                daemon.drop(f"{name}.yaml", JOB.format(name) + f"text: {text}\n")
            for name in names:
                assert await daemon.said("job accepted", name=name)
        of = "job = (SELECT id FROM job WHERE name = '{}')"
        await postgres_server.run(
            f"UPDATE job SET due_at = 1.0;"
            f"UPDATE job SET reverse_path = {NO_UTF8} WHERE name = 'row';"
            f"UPDATE recipient SET address = {NO_UTF8} WHERE {of.format('recipient')};"
            f"UPDATE content SET octets = 'rubbish' WHERE {of.format('small')};"
            f"DELETE FROM content WHERE {of.format('large')}",
            url,
        )
        async with running(tmp_path, config) as daemon:
            results = {name: await daemon.result(name) for name in names}
    assert results.pop("whole")["status"] == "sent"
    for name, result in results.items():
        assert result["status"] == "failed", name
        assert "damaged" in result["recipients"][0]["text"], name
    assert sink.stored == 1


async def test_a_daemon_refuses_a_queue_of_a_newer_version_in_one_line(
    postgres: PostgresEngine, tmp_path: Path
) -> None:
    await (await postgres.open()).close()
    await postgres.server.run("UPDATE schema_version SET asyncnet = 99", postgres.url)
    config = config_text(tmp_path, 1, f'[queue]\nurl = "{postgres.url}"\n')
    daemon = await start(tmp_path, config)
    assert await daemon.wait() == 78
    (line,) = daemon.errors
    assert f"newer version of asyncnet (schema 99, this one knows {len(MIGRATIONS)})" in line
