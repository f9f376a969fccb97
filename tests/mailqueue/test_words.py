"""What persons say to messages, on every engine: hold, release, retry, cancel, and selections."""

import pytest

from asyncnet.mail.envelope import Route
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import JobStatus, RecipientStatus
from asyncnet.mailqueue.store import (
    Acceptance,
    AccountState,
    Effect,
    Instructed,
    Record,
    Selection,
    Settlement,
    Store,
    Word,
)
from tests.mailqueue.engines import Engine
from tests.mailqueue.messages import (
    ACCEPTED,
    DEFERRED,
    IN_DOUBT,
    LARGE,
    NOW,
    REJECTED,
    SMALL,
    leased,
    message,
    settled,
)

LATER = NOW + 500.0


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


async def say(
    store: Store, word: Word, queue_id: str = "Q1", now: float = NOW, reason: str = ""
) -> Instructed:
    (told,) = await store.instruct(word, [queue_id], now, reason)
    assert told.queue_id == queue_id
    return told


async def the_record(store: Store, queue_id: str = "Q1") -> Record:
    (record,) = await store.find(queue_id)
    return record


async def test_a_held_message_waits_for_its_release_over_a_crash(engine: Engine) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), SMALL, NOW)
    told = await say(store, Word.HOLD, reason="the lawyers are in")
    assert (told.effect, told.status, told.name, told.account) == (
        Effect.DONE,
        JobStatus.HELD,
        "hello",
        "work",
    )
    store = await engine.crash()
    assert await store.lease(NOW + 1e9, 10) == []
    assert await store.next_due(NOW) is None
    record = await the_record(store)
    assert (record.status, record.note) == (JobStatus.HELD, "the lawyers are in")
    store.ready.clear()
    told = await say(store, Word.RELEASE, now=LATER)
    assert (told.effect, told.status, told.due_at) == (Effect.DONE, JobStatus.QUEUED, LATER)
    assert store.ready.is_set()
    assert (await the_record(store)).note == ""
    assert (await leased(store, "Q1", LATER)).attempts == 0


async def test_said_twice_it_is_so_already(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    assert (await say(store, Word.RELEASE)).effect is Effect.UNCHANGED
    assert (await say(store, Word.RETRY)).effect is Effect.UNCHANGED
    assert (await say(store, Word.HOLD)).effect is Effect.DONE
    assert (await say(store, Word.HOLD)).effect is Effect.UNCHANGED
    assert (await say(store, Word.CANCEL)).effect is Effect.DONE
    for word in Word:
        told = await say(store, word)
        assert (told.effect, told.status) == (Effect.FINISHED, JobStatus.CANCELED)


async def test_a_retry_ends_a_deferral_and_resets_nothing(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(DEFERRED, due_at=LATER), NOW)
    assert (await say(store, Word.RELEASE)).effect is Effect.UNCHANGED
    assert await store.lease(NOW + 1, 10) == []
    told = await say(store, Word.RETRY, now=NOW + 1)
    assert (told.effect, told.status, told.due_at) == (Effect.DONE, JobStatus.DEFERRED, NOW + 1)
    lease = await leased(store, "Q1", NOW + 1)
    assert (lease.attempts, lease.expires_at) == (1, NOW + 172_800.0)


async def test_a_deferred_message_is_deferred_again_after_a_hold(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(DEFERRED, due_at=LATER), NOW)
    assert (await say(store, Word.HOLD)).status is JobStatus.HELD
    told = await say(store, Word.RETRY)
    assert (told.effect, told.status, told.due_at) == (Effect.DONE, JobStatus.DEFERRED, NOW)


@pytest.mark.parametrize("word", [Word.RELEASE, Word.RETRY])
async def test_neither_hold_nor_release_makes_a_send_at_come_early(
    store: Store, word: Word
) -> None:
    await store.accept(message("Q1", due_at=LATER), SMALL, NOW)
    assert (await say(store, Word.HOLD)).effect is Effect.DONE
    told = await say(store, word)
    assert (told.effect, told.status, told.due_at) == (Effect.SCHEDULED, JobStatus.QUEUED, LATER)
    assert await store.lease(NOW, 10) == []
    assert (await store.next_due(NOW)) == LATER
    await leased(store, "Q1", LATER)


async def test_trouble_of_an_account_counts_as_tried(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    trouble = settled(DEFERRED, due_at=LATER, counted=False)
    await store.settle(await leased(store, "Q1"), trouble, NOW)
    told = await say(store, Word.RETRY)
    assert (told.effect, told.status) == (Effect.DONE, JobStatus.DEFERRED)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_canceled_message_is_reported_with_the_reason(
    engine: Engine, content: Octets
) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), content, NOW)
    store.finished.clear()
    told = await say(store, Word.CANCEL, now=LATER, reason="sent by post")
    assert (told.effect, told.status, told.due_at) == (Effect.DONE, JobStatus.CANCELED, None)
    assert store.finished.is_set()
    store = await engine.crash()
    (record,) = await store.unreported(10)
    (recipient,) = record.recipients
    assert (record.status, record.finished_at, record.attempts) == (JobStatus.CANCELED, LATER, 0)
    assert recipient.verdict.status is RecipientStatus.CANCELED
    assert recipient.verdict.text == "canceled by hand: sent by post"
    await store.mark_reported(["Q1"])
    assert engine.content_files() == []


async def test_whom_a_server_accepted_stays_accepted(store: Store) -> None:
    await store.accept(message("Q1", "a@x.test", "b@x.test", "c@x.test"), SMALL, NOW)
    verdicts = settled(ACCEPTED, REJECTED, DEFERRED, due_at=LATER)
    await store.settle(await leased(store, "Q1"), verdicts, NOW)
    assert (await say(store, Word.CANCEL)).status is JobStatus.PARTIAL
    first, second, third = ((await store.unreported(10))[0]).recipients
    assert (first.verdict, second.verdict) == (ACCEPTED, REJECTED)
    assert third.verdict.status is RecipientStatus.CANCELED
    assert (third.verdict.code, third.verdict.text) == (451, "come back later")
    assert third.verdict.hint == "canceled by hand"


async def test_one_held_in_doubt_can_be_released_or_canceled(store: Store) -> None:
    for queue_id in ("Q1", "Q2"):
        await store.accept(message(queue_id, on_doubt="hold", job_id=queue_id), SMALL, NOW)
        await store.settle(await leased(store, queue_id), settled(IN_DOUBT), NOW)
    assert (await say(store, Word.RELEASE, "Q1")).status is JobStatus.DEFERRED
    assert (await leased(store, "Q1")).attempts == 1
    assert (await say(store, Word.CANCEL, "Q2")).status is JobStatus.CANCELED
    (recipient,) = (await the_record(store, "Q2")).recipients
    assert (recipient.possible_duplicate, recipient.verdict.text) == (True, "cut off")
    again = message("Q3", job_id="Q2")
    assert await store.accept(again, SMALL, NOW) is Acceptance.DUPLICATE, "it may have arrived"


async def test_a_lease_is_never_taken_away(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    for word in (Word.HOLD, Word.CANCEL):
        told = await say(store, word)
        assert (told.effect, told.status, told.pending) == (
            Effect.UNDER_WAY,
            JobStatus.QUEUED,
            word,
        )
    assert await store.lease(NOW, 10) == []
    await store.mark_dot(lease)
    await store.settle(lease, settled(ACCEPTED), NOW)
    assert (await the_record(store)).status is JobStatus.SENT


@pytest.mark.parametrize(
    ("word", "status"), [(Word.HOLD, JobStatus.HELD), (Word.CANCEL, JobStatus.PARTIAL)]
)
async def test_a_word_to_a_message_under_way_falls_on_what_is_left_open(
    store: Store, word: Word, status: JobStatus
) -> None:
    await store.accept(message("Q1", "a@x.test", "b@x.test"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await say(store, word, reason="by post")
    store.finished.clear()
    await store.settle(lease, settled(ACCEPTED, DEFERRED), NOW)
    assert await store.lease(NOW + 1e9, 10) == []
    record = await the_record(store)
    assert (record.status, record.attempts) == (status, 1)
    assert store.finished.is_set() is status.final
    if word is Word.HOLD:
        assert record.note == "by post"
    else:
        assert record.recipients[1].verdict.hint == "canceled by hand: by post"


@pytest.mark.parametrize(
    ("word", "status"), [(Word.HOLD, JobStatus.HELD), (Word.CANCEL, JobStatus.CANCELED)]
)
async def test_what_is_given_back_unbegun_is_as_the_word_says(
    store: Store, word: Word, status: JobStatus
) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await say(store, word)
    await store.settle(lease, Settlement({}, NOW, counted=False), NOW)
    record = await the_record(store)
    assert (record.status, record.attempts) == (status, 0)


async def test_a_word_falls_once(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await say(store, Word.HOLD)
    await store.settle(lease, settled(DEFERRED), NOW)
    await say(store, Word.RELEASE)
    await store.settle(await leased(store, "Q1"), settled(DEFERRED), NOW)
    assert (await the_record(store)).status is JobStatus.DEFERRED


async def test_the_last_word_counts(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await say(store, Word.CANCEL)
    told = await say(store, Word.RELEASE)
    assert (told.effect, told.pending) == (Effect.UNDER_WAY, None)
    await store.settle(lease, settled(DEFERRED, due_at=LATER), NOW)
    assert (await the_record(store)).status is JobStatus.DEFERRED
    await leased(store, "Q1", LATER)


@pytest.mark.parametrize("dot", [False, True])
@pytest.mark.parametrize(
    ("word", "status"), [(Word.HOLD, JobStatus.HELD), (Word.CANCEL, JobStatus.CANCELED)]
)
async def test_a_word_that_was_noted_outlives_a_crash(
    engine: Engine, word: Word, status: JobStatus, dot: bool
) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await say(store, word)
    if dot:
        await store.mark_dot(lease)
    store = await engine.crash()
    record = await the_record(store)
    assert (record.status, record.attempts) == (status, int(dot))
    assert record.recipients[0].possible_duplicate is dot
    assert await store.lease(NOW + 1e9, 10) == []


async def test_a_held_message_does_not_expire_before_its_release(store: Store) -> None:
    await store.accept(message("Q1", expires_at=NOW + 5), SMALL, NOW)
    await say(store, Word.HOLD)
    assert await store.lease(NOW + 10, 10) == []
    told = await say(store, Word.RELEASE, now=NOW + 10)
    assert told.expires_at == NOW + 5
    await leased(store, "Q1", NOW + 10)


async def test_a_release_leaves_the_account_as_it_is(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await say(store, Word.HOLD)
    await store.set_account_state(AccountState("work", "held", until=LATER))
    await say(store, Word.RELEASE)
    assert await store.lease(NOW, 10) == []
    await leased(store, "Q1", LATER)


async def test_ids_that_nobody_knows_are_left_out(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    assert [it.queue_id for it in await store.instruct(Word.HOLD, ["Q1", "Q9"], NOW)] == ["Q1"]
    assert await store.instruct(Word.HOLD, [], NOW) == []


# Selections


async def meant(store: Store, selection: Selection, limit: int = 500) -> list[str]:
    found: list[str] = []
    after: str | None = ""
    while after is not None:
        page = await store.select(selection, after, limit)
        assert len(page.queue_ids) <= limit
        found += page.queue_ids
        after = page.after
    return found


@pytest.fixture
async def some(store: Store) -> Store:
    """Q1 finished, Q2 deferred, Q3 and Q5 queued, Q4 held; Q4 and Q5 of another account."""
    await store.accept(message("Q1", job_id="bill-7"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(REJECTED), NOW)
    await store.accept(message("Q2", job_id="bill-7"), SMALL, NOW)
    await store.settle(await leased(store, "Q2"), settled(DEFERRED, due_at=LATER), NOW)
    for queue_id, account in (("Q3", "work"), ("Q4", "home"), ("Q5", "home")):
        await store.accept(message(queue_id, route=Route(account)), SMALL, NOW)
    await say(store, Word.HOLD, "Q4")
    return store


@pytest.mark.parametrize("limit", [1, 2, 3, 500])
async def test_a_selection_is_all_that_meets_its_terms(some: Store, limit: int) -> None:
    held, queued = frozenset({JobStatus.HELD}), frozenset({JobStatus.QUEUED})
    for selection, expected in {
        Selection(): ["Q2", "Q3", "Q4", "Q5"],
        Selection(states=held): ["Q4"],
        Selection(states=held | queued): ["Q3", "Q4", "Q5"],
        Selection(states=frozenset({JobStatus.FAILED})): [],
        Selection(account="home"): ["Q4", "Q5"],
        Selection(account="home", states=queued): ["Q5"],
        Selection(key="Q3"): ["Q3"],
        Selection(key="Q1"): [],
        Selection(key="bill-7"): ["Q2"],
        Selection(key="hello"): ["Q2", "Q3", "Q4", "Q5"],
        Selection(key="hello", account="work", states=queued): ["Q3"],
        Selection(key="no such"): [],
    }.items():
        assert await meant(some, selection, limit) == expected


async def test_a_page_goes_on_where_the_one_before_ended_whatever_was_said_meanwhile(
    store: Store,
) -> None:
    for number in range(1, 8):
        await store.accept(message(f"Q{number}"), SMALL, NOW)
    after: str | None = ""
    held: list[str] = []
    while after is not None:
        page = await store.select(Selection(), after, 2)
        held += [it.queue_id for it in await store.instruct(Word.HOLD, page.queue_ids, NOW)]
        after = page.after
    assert sorted(held) == [f"Q{number}" for number in range(1, 8)]
