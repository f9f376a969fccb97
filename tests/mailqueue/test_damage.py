"""Damaged rows and contents of a real queue: they are set aside, and stop nobody else."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from asyncnet.mail.letter import ContentError
from asyncnet.mail.verdict import JobStatus, RecipientStatus
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import AccountState
from tests.mailqueue.damaged import (
    accept_three,
    all_three_are_reported,
    of,
    settle_all,
    the_second_is_set_aside,
)
from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.messages import ACCEPTED, DEFERRED, LARGE, NOW, message, settled

NO_UTF8 = "CAST(x'ff80' AS TEXT)"


def damage(database: Path, *statements: str) -> None:
    """Write into the file behind the store's back; the schema's checks are switched off."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


async def three(sqlite: SqliteEngine) -> SqliteStore:
    store = await sqlite.open()
    await accept_three(store)
    return store


@pytest.mark.parametrize("opened_again", [False, True])
@pytest.mark.parametrize(
    "damaged",
    [
        "UPDATE job SET account = NULL WHERE queue_id = 'Q2'",
        "UPDATE job SET account = 7 WHERE queue_id = 'Q2'",
        f"UPDATE job SET account = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET host = 'x', port = 25, tls_mode = 'maybe' WHERE queue_id = 'Q2'",
        "UPDATE job SET host = 'x', tls_mode = 'none' WHERE queue_id = 'Q2'",
        "UPDATE job SET reverse_path = NULL WHERE queue_id = 'Q2'",
        f"UPDATE job SET message_id = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET message_id = x'ff' WHERE queue_id = 'Q2'",
        "UPDATE job SET on_doubt = 'never' WHERE queue_id = 'Q2'",
        "UPDATE job SET size_octets = NULL WHERE queue_id = 'Q2'",
        "UPDATE recipient SET address = 3.5 WHERE job = 2",
        f"UPDATE recipient SET address = {NO_UTF8} WHERE job = 2 AND position = 1",
        "UPDATE recipient SET status = 'gone' WHERE job = 2",
        "DELETE FROM recipient WHERE job = 2",
        "DELETE FROM content WHERE job = 2",
        "UPDATE job SET content_file = 'Q2.msg', content_start = 0 WHERE queue_id = 'Q2'",
    ],
)
async def test_a_damaged_message_is_set_aside_with_the_reason_and_the_others_go(
    sqlite: SqliteEngine, damaged: str, opened_again: bool
) -> None:
    store = await three(sqlite)
    damage(sqlite.database, damaged)
    if opened_again:
        store = await sqlite.crash()
    store.finished.clear()
    await the_second_is_set_aside(store)


@pytest.mark.parametrize(
    "damaged",
    [
        f"UPDATE job SET status = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET status = 'splendid' WHERE queue_id = 'Q2'",
        "UPDATE job SET errors = '[[1]]' WHERE queue_id = 'Q2'",
        "UPDATE job SET errors = '{\"a\": ' WHERE queue_id = 'Q2'",
        "UPDATE job SET warnings = '[7]' WHERE queue_id = 'Q2'",
        "UPDATE job SET meta = 'null' WHERE queue_id = 'Q2'",
        "UPDATE job SET meta = '{\"a\": NaN}' WHERE queue_id = 'Q2'",
        "UPDATE job SET tls = '[]' WHERE queue_id = 'Q2'",
        "UPDATE job SET finished_at = 1e300 WHERE queue_id = 'Q2'",
        "UPDATE job SET claimed_at = -1e9 WHERE queue_id = 'Q2'",
        "UPDATE job SET name = 'a/../../b' WHERE queue_id = 'Q2'",
        "UPDATE job SET name = 'a' || char(0) WHERE queue_id = 'Q2'",
        f"UPDATE job SET name = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET job_file = '/etc/passwd' WHERE queue_id = 'Q2'",
        "UPDATE job SET job_id = 12, account = x'c3' WHERE queue_id = 'Q2'",
        f"UPDATE recipient SET text = {NO_UTF8}, hint = 9 WHERE job = 2",
        "UPDATE recipient SET phase = 'lunch', kind = 'of blue' WHERE job = 2",
        "UPDATE recipient SET status = 'gone' WHERE job = 2 AND position = 1",
        f"UPDATE job SET queue_id = {NO_UTF8} WHERE queue_id = 'Q2'",
        "UPDATE job SET queue_id = '../Q2' WHERE queue_id = 'Q2'",
    ],
)
async def test_a_damaged_finished_job_is_reported_and_the_others_too(
    sqlite: SqliteEngine, damaged: str
) -> None:
    store = await three(sqlite)
    await settle_all(store)
    damage(sqlite.database, damaged)
    listed = await store.records(states=JobStatus)
    found = await store.find("Q1")
    assert {it.claim.job_file for it in found} == {"Q1~hello.yaml"}
    assert len(listed) == 3 or "status" in damaged
    await all_three_are_reported(store, damaged)


async def test_the_store_opens_on_a_damaged_lease(sqlite: SqliteEngine) -> None:
    store = await three(sqlite)
    leases = await store.lease(NOW, 10)
    for lease in leases:
        await store.mark_dot(lease)
    damage(
        sqlite.database,
        "UPDATE recipient SET status = 'gone' WHERE job = 1",
        f"UPDATE job SET status = {NO_UTF8} WHERE queue_id = 'Q2'",
    )
    store = await sqlite.crash()
    records = await store.unreported(10)
    assert {it.verdict.status for it in of(records, "Q1").recipients} == {RecipientStatus.IN_DOUBT}
    assert "Q3" in [it.queue_id for it in await store.lease(NOW, 10)]


async def test_a_verdict_beside_a_damaged_recipient_is_kept(sqlite: SqliteEngine) -> None:
    store = await three(sqlite)
    lease = (await store.lease(NOW, 1))[0]
    damage(sqlite.database, "UPDATE recipient SET status = 'gone' WHERE job = 1 AND position = 1")
    await store.settle(lease, settled(ACCEPTED, DEFERRED), NOW)
    (record,) = await store.unreported(10)
    assert record.status is JobStatus.PARTIAL
    assert record.recipients[0].verdict == ACCEPTED
    assert record.recipients[1].verdict.status is RecipientStatus.IN_DOUBT


async def test_a_row_without_a_route_hides_no_other(sqlite: SqliteEngine) -> None:
    store = await three(sqlite)
    damage(sqlite.database, "UPDATE job SET route_key = NULL WHERE queue_id = 'Q1'")
    assert [it.queue_id for it in await store.lease(NOW, 10)] == ["Q2", "Q3"]
    store = await sqlite.crash()
    (record,) = await store.unreported(10)
    assert record.status is JobStatus.FAILED
    assert "names no account" in record.recipients[0].verdict.text


async def test_a_damaged_state_of_an_account_says_nothing(sqlite: SqliteEngine) -> None:
    store = await three(sqlite)
    await store.set_account_state(AccountState("home", "held", until=NOW + 5))
    for name in ("work", "club", "shop"):
        await store.set_account_state(AccountState(name))
    damage(
        sqlite.database,
        "UPDATE account_state SET state = 'tired' WHERE name = 'work'",
        f"UPDATE account_state SET reason = {NO_UTF8} WHERE name = 'club'",
        f"UPDATE account_state SET name = {NO_UTF8} WHERE name = 'shop'",
    )
    assert (await store.account_states())["home"].state == "held"
    assert "work" not in await store.account_states()
    assert len(await store.lease(NOW, 10)) == 3


@pytest.mark.parametrize("left", [b"", LARGE.data[:-1], None])
async def test_a_damaged_content_is_an_error_of_its_own(
    sqlite: SqliteEngine, left: bytes | None
) -> None:
    store = await sqlite.open()
    for number in (1, 2):
        await store.accept(message(f"Q{number}"), LARGE, NOW)
    file = sqlite.folder / "queue" / "Q1.msg"
    if left is None:
        file.unlink()
    else:
        file.write_bytes(left)
    hurt, whole = await store.lease(NOW, 10)
    with pytest.raises(ContentError, match=r"Q1\.msg"):
        b"".join(store.content(hurt).blocks())
    assert b"".join(store.content(whole).blocks()) == LARGE.data


@pytest.mark.parametrize(
    "damaged",
    [
        "content_file = '../Q2.msg'",
        "content_file = ''",
        "content_file = NULL",
        f"content_file = {NO_UTF8}",
        "content_start = -1",
        "content_start = NULL",
    ],
)
@pytest.mark.parametrize("opened_again", [False, True])
async def test_one_whose_content_lies_nowhere_is_set_aside_and_its_file_kept_for_the_others(
    sqlite: SqliteEngine, damaged: str, opened_again: bool
) -> None:
    store = await sqlite.open()
    ids = ["Q1", "Q2", "Q3"]
    await asyncio.gather(*(store.accept(message(it), LARGE, NOW) for it in ids))
    damage(sqlite.database, f"UPDATE job SET {damaged} WHERE queue_id = 'Q2'")
    if opened_again:
        store = await sqlite.open()
    first, third = await store.lease(NOW, 10)
    await store.settle(first, settled(ACCEPTED), NOW)
    assert {it.claim.queue_id for it in await store.unreported(10)} == {"Q1", "Q2"}
    await store.mark_reported(["Q1", "Q2"])
    assert b"".join(store.content(third).blocks()) == LARGE.data
    await store.settle(third, settled(ACCEPTED), NOW)
    await store.mark_reported(["Q3"])
    assert await store.unreported(10) == []
    assert sqlite.content_files() == []
