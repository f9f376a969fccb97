"""What damage tests of both engines have in common: three messages, and what is asked of the store
when the second one was damaged behind its back."""

from asyncnet.mail.verdict import JobStatus, RecipientStatus
from asyncnet.mailqueue.store import Record, Store
from tests.mailqueue.messages import ACCEPTED, NOW, SMALL, message, settled


async def accept_three(store: Store) -> None:
    """Q1, Q2 and Q3 wait, each with two recipients."""
    for number in (1, 2, 3):
        given = message(f"Q{number}", "a@example.org", "b@example.org", job_id=f"bill-{number}")
        await store.accept(given, SMALL, NOW)


async def settle_all(store: Store) -> None:
    """All that is due is accepted by its server."""
    for lease in await store.lease(NOW, 10):
        await store.settle(lease, settled(ACCEPTED, ACCEPTED), NOW)


def of(records: list[Record], queue_id: str) -> Record:
    return next(it for it in records if it.claim.queue_id == queue_id)


def told(record: Record) -> list[str]:
    """All that it says of what is wrong."""
    return [it.verdict.text for it in record.recipients] + [str(it) for it in record.errors]


async def the_second_is_set_aside(store: Store) -> None:
    """With the reason; the others go, and nothing of it comes again."""
    assert [it.queue_id for it in await store.lease(NOW, 10)] == ["Q1", "Q3"]
    assert store.finished.is_set()
    (record,) = await store.unreported(10)
    assert (record.claim.queue_id, record.status.final) == ("Q2", True)
    assert record.status is not JobStatus.SENT
    assert all(it.verdict.status is not RecipientStatus.ACCEPTED for it in record.recipients)
    assert not record.recipients or any("damaged" in text for text in told(record))
    await store.mark_reported(["Q2"])
    assert await store.unreported(10) == []
    assert await store.lease(NOW + 1, 10) == []


async def all_three_are_reported(store: Store, damaged: str) -> None:
    """The one that is hurt says so, where it was hurt in what is told, and names no other place."""
    records = await store.unreported(10)
    assert len(records) == 3
    assert of(records, "Q1").status is of(records, "Q3").status is JobStatus.SENT
    (hurt,) = [it for it in records if it.claim.queue_id not in ("Q1", "Q3")]
    said = any("damaged" in text for text in told(hurt))
    assert said or "phase" in damaged or "text" in damaged
    assert not {"/", "\0"} & set(hurt.claim.name + hurt.claim.job_file + hurt.claim.queue_id)
    await store.mark_reported([it.claim.queue_id for it in records])
    assert await store.unreported(10) == []
