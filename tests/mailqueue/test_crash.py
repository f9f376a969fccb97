"""The crash story of mailqueue/store, arrow by arrow, on every engine.

engine.crash() gives a new store on what lies on the disk at that instant, nothing closed.
"""

import pytest

from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus
from asyncnet.mailqueue.store import Acceptance, LeaseLost, Refusal
from tests.mailqueue.engines import Engine, SqliteEngine
from tests.mailqueue.messages import (
    ACCEPTED,
    DEFERRED,
    LARGE,
    NOW,
    SMALL,
    claim,
    leased,
    message,
    settled,
)

CONTENTS = pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])


@CONTENTS
async def test_claimed_without_a_row_intake_is_done_again(engine: Engine, content: Octets) -> None:
    await engine.open()
    store = await engine.crash()
    assert await store.known(["Q1"]) == frozenset()
    assert await store.accept(message("Q1"), content, NOW) is Acceptance.QUEUED


async def test_a_content_file_without_a_row_is_swept(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    strangers = ["hello~Q7.yaml", "Q7.msg.part", "..msg", "a b.msg", "x" * 65 + ".msg", "Q8.msg~"]
    for name in ["Q2.msg", "01JDX0V6S3N2K7AB.msg", *strangers]:
        (sqlite.folder / "queue" / name).write_bytes(b"written before a commit that never came")
    (sqlite.folder / "queue" / "Q9.msg").mkdir()
    await sqlite.crash()
    assert sqlite.content_files() == sorted(["Q1.msg", "Q9.msg", *strangers])


@CONTENTS
async def test_a_waiting_message_waits_again(engine: Engine, content: Octets) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), content, NOW)
    store = await engine.crash()
    lease = await leased(store, "Q1")
    assert b"".join(store.content(lease).blocks()) == content.data
    assert await store.accept(message("Q1"), content, NOW) is Acceptance.KNOWN


async def test_a_lease_without_a_dot_mark_is_taken_back_and_its_holder_is_late(
    engine: Engine,
) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), SMALL, NOW)
    old = await leased(store, "Q1")
    store = await engine.crash()
    with pytest.raises(LeaseLost):
        await store.mark_dot(old)
    new = await leased(store, "Q1")
    assert (new.attempts, new.fence > old.fence) == (0, True)
    with pytest.raises(LeaseLost):
        await store.settle(old, settled(ACCEPTED), NOW)


async def test_a_dot_mark_without_a_verdict_is_retried_as_a_possible_duplicate(
    engine: Engine,
) -> None:
    store = await engine.open()
    await store.accept(message("Q1", "b@example.org", "c@example.org"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED, DEFERRED), NOW)
    await store.mark_dot(await leased(store, "Q1"))
    store = await engine.crash(NOW + 50)
    (record,) = await store.records()
    assert (record.status, record.due_at, record.attempts) == (JobStatus.DEFERRED, NOW + 50, 2)
    assert [it.possible_duplicate for it in record.recipients] == [False, True]
    first, second = (it.verdict for it in record.recipients)
    assert first == ACCEPTED
    assert (second.status, second.phase) == (RecipientStatus.DEFERRED, Phase.DOT)
    assert "between the final dot and" in second.text
    assert (await leased(store, "Q1", NOW + 50)).positions == (1,)


async def test_a_dot_mark_without_a_verdict_is_held_where_the_job_says_so(engine: Engine) -> None:
    store = await engine.open()
    await store.accept(message("Q1", on_doubt="hold"), SMALL, NOW)
    await store.mark_dot(await leased(store, "Q1"))
    store = await engine.crash()
    (record,) = await store.records()
    assert record.status is JobStatus.HELD
    assert "between the final dot and" in record.recipients[0].verdict.text
    assert await store.lease(NOW + 1e9, 10) == []


async def test_a_dot_mark_without_a_verdict_is_final_where_the_job_says_so(
    engine: Engine,
) -> None:
    store = await engine.open()
    await store.accept(message("Q1", on_doubt="fail"), LARGE, NOW)
    await store.mark_dot(await leased(store, "Q1"))
    store = await engine.crash(NOW + 50)
    (record,) = await store.unreported(10)
    assert (record.status, record.finished_at) == (JobStatus.IN_DOUBT, NOW + 50)
    assert record.recipients[0].verdict.status is RecipientStatus.IN_DOUBT
    assert engine.content_files() == []


async def test_a_dot_mark_does_not_outlive_its_attempt(engine: Engine) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await store.mark_dot(lease)
    await store.settle(lease, settled(DEFERRED), NOW)
    await leased(store, "Q1")
    store = await engine.crash()
    (record,) = await store.records()
    assert not record.recipients[0].possible_duplicate


async def test_a_finished_job_is_reported_until_that_is_noted(engine: Engine) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), LARGE, NOW)
    await store.refuse(Refusal(claim("Q2"), ()), NOW)
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW + 1)
    store = await engine.crash()
    assert store.finished.is_set()
    assert [it.claim.queue_id for it in await store.unreported(10)] == ["Q2", "Q1"]
    await store.mark_reported(["Q1", "Q2"])
    store = await engine.crash()
    assert await store.unreported(10) == []
    assert dict(await store.counts()) == {JobStatus.SENT: 1, JobStatus.INVALID: 1}


async def test_content_that_outlived_its_report_is_dropped(sqlite: SqliteEngine) -> None:
    store = await sqlite.open()
    await store.accept(message("Q1"), LARGE, NOW)
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
    await store.mark_reported(["Q1"])
    (sqlite.folder / "queue" / "Q1.msg").write_bytes(LARGE.data)  # the unlink never came
    await sqlite.crash()
    assert sqlite.content_files() == []


async def test_a_crash_while_starting_changes_nothing_more(engine: Engine) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), SMALL, NOW)
    await store.mark_dot(await leased(store, "Q1"))
    await engine.crash(NOW + 1)
    await engine.crash(NOW + 2)
    store = await engine.crash(NOW + 3)
    (record,) = await store.records()
    assert (record.attempts, record.due_at) == (1, NOW + 1)
