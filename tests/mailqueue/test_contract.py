"""The store's contract: what every engine keeps while nothing goes wrong."""

import asyncio
from dataclasses import replace
from math import inf

import pytest

from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.letter import Content, ContentError, Octets
from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import JobStatus, RecipientStatus, Verdict
from asyncnet.mailqueue.store import (
    INLINE_OCTETS,
    Acceptance,
    AccountState,
    Backlog,
    Claim,
    LeaseLost,
    Refusal,
    Settlement,
    Store,
    StoreError,
    Word,
)
from tests.mailqueue.engines import Engine
from tests.mailqueue.messages import (
    ACCEPTED,
    CANCELED,
    DEDUP_WINDOW_S,
    DEFERRED,
    EXPIRED,
    IN_DOUBT,
    LARGE,
    NOW,
    REJECTED,
    SMALL,
    claim,
    leased,
    message,
    settled,
)


@pytest.fixture
async def store(engine: Engine) -> Store:
    return await engine.open()


def octets(content: Content) -> bytes:
    return b"".join(content.blocks())


# Taking over


async def test_lanes_whose_holder_has_enough_are_passed_over(store: Store) -> None:
    work, other = Route("work"), Route("other")
    await store.accept(message("Q1", route=work), Octets(b"x"), NOW)
    await store.accept(message("Q2", route=other, due_at=NOW + 7), Octets(b"x"), NOW)
    assert await store.lease(NOW, 10, {"work"}) == []
    assert await store.next_due(NOW, {"work"}) == NOW + 7
    assert [it.queue_id for it in await store.lease(NOW + 7, 10, {"work"})] == ["Q2"]
    assert [it.queue_id for it in await store.lease(NOW + 7, 10)] == ["Q1"]


async def test_a_message_comes_back_as_it_was_given(store: Store) -> None:
    given = message(
        "Q1",
        "b@example.org",
        "c@example.org",
        route=Route(server=Server("2001:db8::1", 2525, "starttls")),
        envelope=Envelope(
            "",
            ("b@example.org", "ü@example.org"),
            smtputf8=True,
            require_tls=True,
            body_8bit=True,
        ),
        priority=0,
        on_doubt="fail",
        expires_at=NOW + 60,
    )
    assert await store.accept(given, SMALL, NOW) is Acceptance.QUEUED
    lease = await leased(store, "Q1")
    assert lease.route == given.route
    assert lease.envelope == replace(given.envelope, envid=lease.queue_id)
    assert (lease.positions, lease.attempts, lease.priority) == ((0, 1), 0, 0)
    assert (lease.message_id, lease.size_octets) == (given.message_id, SMALL.octets)
    assert (lease.claimed_at, lease.expires_at, lease.on_doubt) == (NOW, NOW + 60, "fail")
    assert octets(store.content(lease)) == SMALL.data


@pytest.mark.parametrize("size", [0, 1, INLINE_OCTETS, INLINE_OCTETS + 1, 3 * 65_664 + 1])
async def test_content_of_any_size_comes_back_and_can_be_read_again(
    store: Store, size: int
) -> None:
    given = Octets(bytes(index * 7 % 251 for index in range(size)))
    await store.accept(message("Q1"), given, NOW)
    content = store.content(await leased(store, "Q1"))
    assert content.octets == size
    assert octets(content) == octets(content) == given.data


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_the_same_queue_id_is_known_and_nothing_is_done(
    engine: Engine, content: Octets
) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), content, NOW)
    other = Octets(b"y" * content.octets)
    again = await store.accept(message("Q1", "x@example.org"), other, NOW)
    assert again is Acceptance.KNOWN
    lease = await leased(store, "Q1")
    assert lease.envelope.recipients == ("b@example.org",)
    assert octets(store.content(lease)) == content.data


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_of_two_at_once_under_one_queue_id_one_is_taken(
    store: Store, content: Octets
) -> None:
    outcomes = await asyncio.gather(*(store.accept(message("Q1"), content, NOW) for _ in range(3)))
    assert sorted(outcomes) == ["known", "known", "queued"]
    assert octets(store.content(await leased(store, "Q1"))) == content.data


class Broken:
    """Content that promises one number of octets and gives another, or fails half-way."""

    def __init__(self, octets: int, given: int, *, fails: bool = False) -> None:
        self.octets = octets
        self._given, self._fails = given, fails

    def blocks(self):  # type: ignore[no-untyped-def]
        yield b"x" * self._given
        if self._fails:
            raise ContentError("the file vanished")


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(Broken(10, 9), id="small, shrank"),
        pytest.param(Broken(10, 11), id="small, grew"),
        pytest.param(Broken(100_000, 99_999), id="large, shrank"),
        pytest.param(Broken(100_000, 100_001), id="large, grew"),
        pytest.param(Broken(10, 5, fails=True), id="small, vanished"),
        pytest.param(Broken(100_000, 50_000, fails=True), id="large, vanished"),
    ],
)
async def test_content_that_is_not_as_promised_leaves_nothing(
    engine: Engine, content: Broken
) -> None:
    store = await engine.open()
    with pytest.raises(ContentError):
        await store.accept(message("Q1"), content, NOW)
    assert await store.known(["Q1"]) == frozenset()
    assert engine.content_files() == []
    assert await store.accept(message("Q1"), LARGE, NOW) is Acceptance.QUEUED


async def test_known_tells_those_with_a_row(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await store.refuse(Refusal(claim("Q2"), ()), NOW)
    assert await store.known(["Q2", "Q1", "Q3", "it's", "\udcff"]) == {"Q1", "Q2"}
    assert await store.known([]) == frozenset()


# Idempotency keys


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_the_same_job_id_within_the_window_is_a_duplicate(
    engine: Engine, content: Octets
) -> None:
    store = await engine.open()
    await store.accept(message("Q1", job_id="order-7"), content, NOW)
    files = engine.content_files()
    later = NOW + DEDUP_WINDOW_S
    second = message("Q2", "b@example.org", "c@example.org", at=later, job_id="order-7")
    assert await store.accept(second, content, later) is Acceptance.DUPLICATE
    assert engine.content_files() == files
    (record,) = await store.unreported(10)
    assert record.claim == second.claim
    assert (record.status, record.finished_at) == (JobStatus.DUPLICATE, later)
    assert [it.verdict.status for it in record.recipients] == [RecipientStatus.CANCELED] * 2
    assert all("Q1" in it.verdict.text for it in record.recipients)
    assert [lease.queue_id for lease in await store.lease(later, 10)] == ["Q1"]


async def test_a_job_id_is_free_again_after_the_window(store: Store) -> None:
    await store.accept(message("Q1", job_id="order-7"), SMALL, NOW)
    later = NOW + DEDUP_WINDOW_S + 1
    again = await store.accept(message("Q2", at=later, job_id="order-7"), SMALL, later)
    assert again is Acceptance.QUEUED


async def test_of_many_with_one_job_id_at_once_one_is_queued(store: Store) -> None:
    outcomes = await asyncio.gather(
        *(store.accept(message(f"Q{n}", job_id="order-7"), SMALL, NOW) for n in range(10))
    )
    assert outcomes.count(Acceptance.QUEUED) == 1
    assert outcomes.count(Acceptance.DUPLICATE) == 9


@pytest.mark.parametrize(
    ("verdict", "outcome"),
    [
        (ACCEPTED, Acceptance.DUPLICATE),
        (IN_DOUBT, Acceptance.DUPLICATE),
        (REJECTED, Acceptance.QUEUED),
        (EXPIRED, Acceptance.QUEUED),
        (CANCELED, Acceptance.QUEUED),
    ],
)
async def test_only_a_job_whose_mail_may_have_arrived_makes_duplicates(
    store: Store, verdict: Verdict, outcome: Acceptance
) -> None:
    await store.accept(message("Q1", job_id="order-7", on_doubt="fail"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(verdict), NOW)
    assert await store.accept(message("Q2", job_id="order-7"), SMALL, NOW) is outcome


async def test_a_refused_job_may_come_again_under_its_job_id(store: Store) -> None:
    await store.refuse(Refusal(claim("Q1"), (), job_id="order-7"), NOW)
    again = await store.accept(message("Q2", job_id="order-7"), SMALL, NOW)
    assert again is Acceptance.QUEUED


# Refusing


async def test_a_refusal_is_reported_as_invalid_with_its_errors(store: Store) -> None:
    problems = (
        Problem("to[1]", "no @", "write name@domain", 4, 5),
        Problem("", "the file is no YAML"),
    )
    refusal = Refusal(claim("Q1"), problems, "order-7", {"who": "cron"}, ("a warning",))
    await store.refuse(refusal, NOW + 1)
    await store.refuse(replace(refusal, errors=()), NOW + 2)  # repeated: nothing changes
    (record,) = await store.unreported(10)
    assert record.claim == refusal.claim
    assert (record.status, record.finished_at) == (JobStatus.INVALID, NOW + 1)
    assert (record.errors, record.warnings) == (problems, ("a warning",))
    assert (record.job_id, record.meta) == ("order-7", {"who": "cron"})
    assert (record.message_id, record.envelope_from, record.recipients) == (None, None, ())
    assert (record.size_octets, record.due_at, record.expires_at) == (None, None, None)


# Leasing


async def test_leases_go_by_priority_then_due_time_then_id(store: Store) -> None:
    order = [("Q5", 0, 9), ("Q2", 1, 1), ("Q3", 1, 1), ("Q1", 1, 2), ("Q4", 2, 0)]
    for queue_id, priority, due in sorted(order):
        given = message(queue_id, priority=priority, due_at=NOW + due, route=Route(queue_id))
        await store.accept(given, SMALL, NOW)
    first = await store.lease(NOW + 10, 2)
    rest = await store.lease(NOW + 10, 10)
    assert [it.queue_id for it in first + rest] == [queue_id for queue_id, _, _ in order]


async def test_a_message_is_leased_once_and_not_before_it_is_due(store: Store) -> None:
    await store.accept(message("Q1", due_at=NOW + 5), SMALL, NOW)
    assert await store.lease(NOW + 4.9, 10) == []
    assert len(await store.lease(NOW + 5, 10)) == 1
    assert await store.lease(NOW + 5, 10) == []


async def test_many_callers_never_get_the_same_message(store: Store) -> None:
    for n in range(50):
        await store.accept(message(f"Q{n:02}"), SMALL, NOW)
    taken = await asyncio.gather(*(store.lease(NOW, 7) for _ in range(10)))
    ids = [lease.queue_id for leases in taken for lease in leases]
    assert sorted(ids) == [f"Q{n:02}" for n in range(50)]


async def test_an_account_that_waits_is_passed_over(store: Store) -> None:
    work, server = Route("work"), Route(server=Server("192.0.2.1", 25, "none"))
    await store.accept(message("Q1", route=work), SMALL, NOW)
    await store.accept(message("Q2", route=server), SMALL, NOW)
    await store.set_account_state(AccountState(work.key, "held", until=inf))
    await store.set_account_state(AccountState(server.key, "down", until=NOW + 60))
    assert await store.lease(NOW + 59, 10) == []
    assert [it.queue_id for it in await store.lease(NOW + 60, 10)] == ["Q2"]
    await store.set_account_state(AccountState(work.key))
    assert [it.queue_id for it in await store.lease(NOW + 60, 10)] == ["Q1"]


async def test_backlogs_count_what_waits_and_what_is_under_way(store: Store) -> None:
    assert await store.backlogs() == {}
    odd = Route("wörk\udcff")
    for name, due_at in (("Q1", NOW), ("Q2", NOW + 7), ("Q3", NOW + 9)):
        await store.accept(message(name, due_at=due_at), SMALL, NOW)
    await store.accept(message("Q4", route=odd), SMALL, NOW)
    work = (await store.lease(NOW, 1, {odd.key}))[0]
    assert await store.backlogs() == {"work": Backlog(3, NOW + 7), odd.key: Backlog(1, NOW)}
    await store.settle(work, settled(ACCEPTED), NOW)
    other = await leased(store, "Q4")
    assert await store.backlogs() == {"work": Backlog(2, NOW + 7), odd.key: Backlog(1, None)}
    await store.settle(other, settled(DEFERRED, hold=True), NOW)
    assert await store.backlogs() == {"work": Backlog(2, NOW + 7)}


async def test_one_whose_time_is_over_is_due_at_once_even_of_a_waiting_account(
    store: Store,
) -> None:
    await store.accept(message("Q1", due_at=NOW + 900, expires_at=NOW + 60), SMALL, NOW)
    await store.set_account_state(AccountState("work", "held", until=inf))
    assert await store.lease(NOW + 59, 10) == []
    assert [it.queue_id for it in await store.lease(NOW + 60, 10)] == ["Q1"]


async def test_only_recipients_that_are_open_are_leased_again(store: Store) -> None:
    await store.accept(message("Q1", *(f"{n}@example.org" for n in range(4))), SMALL, NOW)
    lease = await leased(store, "Q1")
    await store.settle(lease, settled(ACCEPTED, DEFERRED, REJECTED), NOW)
    again = await leased(store, "Q1")
    assert again.positions == (1, 3)
    assert again.envelope.recipients == ("1@example.org", "3@example.org")
    assert (again.attempts, again.fence > lease.fence) == (1, True)


async def test_a_lease_that_its_caller_no_longer_waits_for_is_given_back(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    task = asyncio.create_task(store.lease(NOW, 10))
    await asyncio.sleep(0)  # the step is handed over
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    store.ready.clear()
    again = await store.lease(NOW, 10)
    if not again:
        async with asyncio.timeout(10):
            await store.ready.wait()
        again = await store.lease(NOW, 10)
    assert [(it.queue_id, it.attempts) for it in again] == [("Q1", 0)]


# When something will be due


async def test_next_due_is_the_first_due_time(store: Store) -> None:
    assert await store.next_due(NOW) is None
    await store.accept(message("Q1", due_at=NOW + 50), SMALL, NOW)
    await store.accept(message("Q2", due_at=NOW + 40, priority=2), SMALL, NOW)
    assert await store.next_due(NOW) == NOW + 40
    await store.lease(NOW + 40, 10)
    assert await store.next_due(NOW) == NOW + 50


async def test_next_due_considers_when_accounts_open_and_when_messages_expire(
    store: Store,
) -> None:
    await store.accept(message("Q1", expires_at=NOW + 500), SMALL, NOW)
    await store.accept(message("Q2", route=Route("other"), due_at=NOW + 400), SMALL, NOW)
    await store.set_account_state(AccountState("work", "throttled", until=NOW + 100))
    assert await store.next_due(NOW) == NOW + 100
    await store.set_account_state(AccountState("work", "held", until=inf))
    assert await store.next_due(NOW) == NOW + 400
    await store.set_account_state(AccountState("other", "held", until=inf))
    assert await store.next_due(NOW) == NOW + 500


async def test_next_due_is_none_when_time_alone_brings_nothing(store: Store) -> None:
    await store.accept(message("Q1", expires_at=inf), SMALL, NOW)
    await store.set_account_state(AccountState("work", "held", until=inf))
    assert await store.next_due(NOW) is None


# Settling


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ((ACCEPTED, ACCEPTED), JobStatus.SENT),
        ((ACCEPTED, REJECTED), JobStatus.PARTIAL),
        ((REJECTED, REJECTED), JobStatus.FAILED),
        ((EXPIRED, EXPIRED), JobStatus.EXPIRED),
        ((CANCELED, CANCELED), JobStatus.CANCELED),
        ((IN_DOUBT, REJECTED), JobStatus.IN_DOUBT),
    ],
)
async def test_a_job_is_finished_when_every_recipient_is_final(
    store: Store, verdicts: tuple[Verdict, ...], status: JobStatus
) -> None:
    given = message("Q1", "b@example.org", "c@example.org", on_doubt="fail")
    await store.accept(given, SMALL, NOW)
    tls = {"version": "TLSv1.3", "verified": True}
    end = settled(*verdicts, server="mx.example:465", tls=tls)
    await store.settle(await leased(store, "Q1"), end, NOW + 3)
    (record,) = await store.unreported(10)
    assert record.status is status
    assert tuple(it.verdict for it in record.recipients) == verdicts
    assert not any(it.possible_duplicate for it in record.recipients)
    assert (record.server, record.tls, record.attempts) == ("mx.example:465", tls, 1)
    assert (record.finished_at, record.due_at) == (NOW + 3, None)
    assert await store.lease(NOW + 1e9, 10) == []


async def test_a_deferred_job_waits_until_it_is_due_again(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(DEFERRED, due_at=NOW + 60), NOW)
    (record,) = await store.records()
    assert (record.status, record.attempts, record.due_at) == (JobStatus.DEFERRED, 1, NOW + 60)
    assert record.recipients[0].verdict == DEFERRED
    assert await store.lease(NOW + 59, 10) == []
    assert (await leased(store, "Q1", NOW + 60)).attempts == 1


async def test_trouble_of_the_account_costs_no_attempt(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await store.settle(lease, Settlement({}, due_at=NOW, counted=False), NOW)
    (record,) = await store.records()
    assert (record.status, record.attempts) == (JobStatus.QUEUED, 0)
    assert (await leased(store, "Q1")).attempts == 0


async def test_a_held_message_waits_for_a_person(store: Store) -> None:
    await store.accept(message("Q1", expires_at=NOW + 10), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(DEFERRED, hold=True), NOW)
    assert [record.status for record in await store.records()] == [JobStatus.HELD]
    assert await store.lease(NOW + 1e9, 10) == []
    assert await store.next_due(NOW) is None


async def test_a_final_verdict_is_never_overwritten(store: Store) -> None:
    await store.accept(message("Q1", "b@example.org", "c@example.org"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await store.settle(lease, settled(ACCEPTED, DEFERRED), NOW)
    again = await leased(store, "Q1")
    forged = replace(again, positions=(0, 1))
    await store.settle(forged, settled(REJECTED, ACCEPTED), NOW)
    (record,) = await store.unreported(10)
    assert record.status is JobStatus.SENT


async def test_a_verdict_on_a_place_that_was_not_leased_is_a_fault_of_the_caller(
    store: Store,
) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    lease = await leased(store, "Q1")
    with pytest.raises(ValueError, match="positions"):
        await store.settle(lease, settled(ACCEPTED, ACCEPTED), NOW)
    await store.settle(lease, settled(ACCEPTED), NOW)


async def test_the_server_last_reached_stays_when_a_later_attempt_reaches_none(
    store: Store,
) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    reached = settled(DEFERRED, server="mx.example:25", tls={"version": "TLSv1.3"})
    await store.settle(await leased(store, "Q1"), reached, NOW)
    await store.settle(await leased(store, "Q1"), settled(EXPIRED), NOW)
    (record,) = await store.unreported(10)
    assert (record.server, record.tls) == ("mx.example:25", {"version": "TLSv1.3"})


async def test_an_old_lease_is_lost_and_its_holder_changes_nothing(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    old = await leased(store, "Q1")
    await store.settle(old, settled(DEFERRED), NOW)
    for holder_of_none in (old, replace(old, queue_id="Q9")):
        with pytest.raises(LeaseLost):
            await store.mark_dot(holder_of_none)
    new = await leased(store, "Q1")
    with pytest.raises(LeaseLost):
        await store.mark_dot(old)
    with pytest.raises(LeaseLost):
        await store.settle(old, settled(REJECTED), NOW)
    await store.mark_dot(new)
    await store.settle(new, settled(ACCEPTED), NOW)
    with pytest.raises(LeaseLost):
        await store.settle(new, settled(REJECTED), NOW)
    assert [record.status for record in await store.unreported(10)] == [JobStatus.SENT]


async def test_a_lost_lease_among_many_is_lost_alone(store: Store) -> None:
    for n in range(3):
        await store.accept(message(f"Q{n}"), SMALL, NOW)
    first, second, third = await store.lease(NOW, 10)
    lost = replace(second, fence=second.fence + 1)
    marked = await asyncio.gather(
        *(store.mark_dot(lease) for lease in (first, lost, third)), return_exceptions=True
    )
    assert [type(it) for it in marked] == [type(None), LeaseLost, type(None)]
    ended = await asyncio.gather(
        store.settle(first, settled(ACCEPTED), NOW),
        store.settle(lost, settled(ACCEPTED), NOW),
        store.settle(third, settled(REJECTED), NOW),
        store.settle(first, settled(REJECTED), NOW),
        return_exceptions=True,
    )
    assert [type(it) for it in ended] == [type(None), LeaseLost, type(None), LeaseLost]
    done = {record.claim.queue_id: record.status for record in await store.unreported(10)}
    assert done == {"Q0": JobStatus.SENT, "Q2": JobStatus.FAILED}
    await store.settle(second, settled(ACCEPTED), NOW)


async def test_many_that_end_at_once_end_each_in_its_own_way(store: Store) -> None:
    for n in range(5):
        await store.accept(message(f"Q{n}", "a@example.org", "b@example.org"), SMALL, NOW)
    leases = await store.lease(NOW, 10)
    await store.instruct(Word.CANCEL, ["Q3"], NOW)
    endings = [
        settled(ACCEPTED, REJECTED),
        settled(ACCEPTED, DEFERRED, due_at=NOW + 60.0),
        Settlement({}, NOW + 60.0, counted=False),
        settled(DEFERRED),
        settled(ACCEPTED, DEFERRED, hold=True),
    ]
    await asyncio.gather(
        *(store.settle(lease, it, NOW) for lease, it in zip(leases, endings, strict=True))
    )
    found = {n: (await store.find(f"Q{n}"))[0] for n in range(5)}
    assert {n: record.status for n, record in found.items()} == {
        0: JobStatus.PARTIAL,
        1: JobStatus.DEFERRED,
        2: JobStatus.QUEUED,
        3: JobStatus.CANCELED,
        4: JobStatus.HELD,
    }
    assert [found[n].attempts for n in range(5)] == [1, 1, 0, 1, 1]


# In doubt


async def test_in_doubt_with_retry_is_tried_again_and_marked_a_possible_duplicate(
    store: Store,
) -> None:
    await store.accept(message("Q1", "b@example.org", "c@example.org"), SMALL, NOW)
    lease = await leased(store, "Q1")
    await store.mark_dot(lease)
    await store.settle(lease, settled(IN_DOUBT, DEFERRED, due_at=NOW + 60), NOW)
    (record,) = await store.records()
    assert record.status is JobStatus.DEFERRED
    assert record.recipients[0].verdict == replace(IN_DOUBT, status=RecipientStatus.DEFERRED)
    assert [it.possible_duplicate for it in record.recipients] == [True, False]
    await store.settle(await leased(store, "Q1", NOW + 60), settled(ACCEPTED, ACCEPTED), NOW)
    (record,) = await store.unreported(10)
    assert [it.possible_duplicate for it in record.recipients] == [True, False]


async def test_in_doubt_with_hold_parks_the_message(store: Store) -> None:
    await store.accept(message("Q1", on_doubt="hold"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(IN_DOUBT), NOW)
    (record,) = await store.records()
    assert record.status is JobStatus.HELD
    assert not record.recipients[0].verdict.status.final
    assert record.recipients[0].verdict.text == IN_DOUBT.text
    assert await store.lease(NOW + 1e9, 10) == []


async def test_a_hold_of_the_agents_is_kept_beside_a_doubt(store: Store) -> None:
    await store.accept(message("Q1"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(IN_DOUBT, hold=True), NOW)
    assert [record.status for record in await store.records()] == [JobStatus.HELD]


async def test_in_doubt_with_fail_is_final(store: Store) -> None:
    await store.accept(message("Q1", on_doubt="fail"), SMALL, NOW)
    await store.settle(await leased(store, "Q1"), settled(IN_DOUBT), NOW)
    (record,) = await store.unreported(10)
    assert record.status is JobStatus.IN_DOUBT
    assert record.recipients[0].verdict == IN_DOUBT


# Reporting


async def test_finished_jobs_are_reported_once_oldest_first(store: Store) -> None:
    for n in (3, 1, 2):
        await store.refuse(Refusal(claim(f"Q{n}"), ()), NOW + n)
    assert [it.claim.queue_id for it in await store.unreported(2)] == ["Q1", "Q2"]
    await store.mark_reported(["Q1", "Q3", "unknown"])
    await store.mark_reported(["Q1"])
    assert [it.claim.queue_id for it in await store.unreported(10)] == ["Q2"]


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_the_content_is_dropped_when_the_result_is_filed(
    engine: Engine, content: Octets
) -> None:
    store = await engine.open()
    await store.accept(message("Q1"), content, NOW)
    await store.accept(message("Q2"), LARGE, NOW)
    await store.mark_reported(["Q1"])  # not finished: nothing is dropped
    first, second = await store.lease(NOW, 2)
    assert octets(store.content(first)) == content.data
    await store.settle(first, settled(ACCEPTED), NOW)
    await store.mark_reported(["Q1"])
    assert octets(store.content(second)) == LARGE.data
    assert engine.content_files() in ([], ["Q2.msg"])  # [] for one that keeps it in rows


async def test_purge_forgets_what_is_reported_and_old(store: Store) -> None:
    for n in range(1200):
        await store.refuse(Refusal(claim(f"Q{n:04}"), ()), NOW + n)
    await store.accept(message("Q9999"), SMALL, NOW)
    await store.mark_reported(f"Q{n:04}" for n in range(1, 1200))
    assert await store.purge(NOW + 1100) == 1099
    assert await store.purge(NOW + 1100) == 0
    assert await store.known(["Q0000", "Q0001", "Q1099", "Q1100", "Q9999"]) == {
        "Q0000",  # not reported
        "Q1100",  # not old
        "Q9999",  # not finished
    }


# Asking


async def test_records_are_the_unfinished_jobs_newest_first(store: Store) -> None:
    for n in range(4):
        await store.accept(message(f"Q{n}", priority=n % 3), SMALL, NOW)
    first, second, *_ = await store.lease(NOW, 10)
    assert (first.queue_id, second.queue_id) == ("Q0", "Q3")
    await store.settle(first, settled(DEFERRED), NOW)
    await store.settle(second, settled(ACCEPTED), NOW)

    async def asked(limit: int = 1000, *states: JobStatus) -> list[str]:
        records = await store.records(states=states, limit=limit)
        return [record.claim.queue_id for record in records]

    assert await asked() == ["Q2", "Q1", "Q0"]
    assert await asked(2) == ["Q2", "Q1"]
    assert await asked(9, JobStatus.SENT) == ["Q3"]
    assert await asked(9, JobStatus.SENT, JobStatus.DEFERRED) == ["Q3", "Q0"]


async def test_a_record_tells_all_of_a_waiting_message(store: Store) -> None:
    given = message("Q1", job_id="order-7", meta={"n": [1, None]}, warnings=("w",), priority=2)
    await store.accept(given, SMALL, NOW)
    (record,) = await store.records()
    assert (record.claim, record.status) == (given.claim, JobStatus.QUEUED)
    assert (record.job_id, record.account, record.priority) == ("order-7", "work", 2)
    assert (record.message_id, record.envelope_from) == (given.message_id, "a@example.org")
    assert (record.size_octets, record.attempts) == (SMALL.octets, 0)
    assert (record.due_at, record.expires_at) == (NOW, given.expires_at)
    assert (record.finished_at, record.server, record.tls) == (None, None, None)
    assert (record.meta, record.warnings) == ({"n": [1, None]}, ("w",))
    assert [it.verdict for it in record.recipients] == [Verdict(RecipientStatus.PENDING)]


async def test_find_knows_a_job_by_queue_id_job_id_and_name(store: Store) -> None:
    await store.accept(message("Q1", job_id="order-7", claim=claim("Q1", name="a")), SMALL, NOW)
    await store.accept(message("Q2", claim=claim("Q2", name="order-7")), SMALL, NOW)
    await store.refuse(Refusal(claim("Q3", name="a"), ()), NOW)

    async def found(key: str) -> list[str]:
        return [record.claim.queue_id for record in await store.find(key)]

    assert await found("Q1") == ["Q1"]
    assert await found("order-7") == ["Q2", "Q1"]
    assert await found("a") == ["Q3", "Q1"]
    assert await found("nothing") == []


async def test_counts_tell_how_many_stand_where(store: Store) -> None:
    assert dict(await store.counts()) == {}
    for n in range(3):
        await store.accept(message(f"Q{n}"), SMALL, NOW)
    await store.refuse(Refusal(claim("Q8"), ()), NOW)
    (lease,) = await store.lease(NOW, 1)
    await store.settle(lease, settled(ACCEPTED), NOW)
    assert dict(await store.counts()) == {
        JobStatus.QUEUED: 2,
        JobStatus.SENT: 1,
        JobStatus.INVALID: 1,
    }


@pytest.mark.parametrize(
    "odd",
    [
        "生日快乐 🎂",
        "caf\u0065\u0301",
        "it's; DROP TABLE job --",
        "bad\udcff\udc80name",  # a file name that is no UTF-8 (PEP 383)
        "nul\x00inside",
        " ",
    ],
)
async def test_odd_text_comes_back_as_it_was(store: Store, odd: str) -> None:
    oddly_named = Claim("Q1", odd, f"Q1~{odd}.yaml", NOW)
    given = message("Q1", f"{odd}@example.org", claim=oddly_named, route=Route(odd))
    given = replace(given, job_id=odd, meta={odd: odd}, warnings=(odd,))
    await store.accept(given, SMALL, NOW)
    lease = await leased(store, "Q1")
    assert lease.envelope.recipients == (f"{odd}@example.org",)
    assert lease.route == Route(odd)
    verdict = replace(REJECTED, text=odd, hint=odd, enhanced=odd)
    await store.settle(lease, settled(verdict, server=odd, tls={"version": odd}), NOW)
    (record,) = await store.find(odd)
    assert (record.claim, record.job_id, record.meta) == (oddly_named, odd, {odd: odd})
    assert (record.warnings, record.server) == ((odd,), odd)
    assert (record.account, record.recipients[0].verdict) == (odd, verdict)
    await store.set_account_state(AccountState(odd, "held", reason=odd, hint=odd))
    assert (await store.account_states())[odd].reason == odd


async def test_a_thousand_recipients_have_a_verdict_each(store: Store) -> None:
    addresses = [f"{n}@example.org" for n in range(1000)]
    await store.accept(message("Q1", *addresses), SMALL, NOW)
    lease = await leased(store, "Q1")
    assert list(lease.envelope.recipients) == addresses
    verdicts = [REJECTED if n % 10 == 0 else ACCEPTED for n in range(1000)]
    await store.settle(lease, settled(*verdicts), NOW)
    (record,) = await store.unreported(10)
    assert [it.verdict for it in record.recipients] == verdicts


# Account states


async def test_an_account_state_is_kept_as_it_was_last_set(engine: Engine) -> None:
    store = await engine.open()
    assert dict(await store.account_states()) == {}
    throttled = AccountState("work", "throttled", NOW + 60, NOW, 3, "slow down", "wait")
    await store.set_account_state(AccountState("work", "down", NOW))
    await store.set_account_state(throttled)
    held = AccountState("home", "held", until=inf, since=NOW, reason="wrong password")
    await store.set_account_state(held)
    reopened = await engine.open()
    assert dict(await reopened.account_states()) == {"work": throttled, "home": held}


# Hints


async def test_ready_is_set_when_something_may_be_due(store: Store) -> None:
    async def hinted() -> bool:
        was = store.ready.is_set()
        store.ready.clear()
        return was

    assert await hinted()  # by open()
    await store.accept(message("Q1", due_at=NOW + 60), SMALL, NOW)
    assert await hinted()
    lease = await leased(store, "Q1", NOW + 60)
    assert not await hinted()
    await store.settle(lease, settled(DEFERRED), NOW)
    assert await hinted()
    await store.set_account_state(AccountState("work"))
    assert await hinted()


async def test_finished_is_set_when_something_may_be_unreported(store: Store) -> None:
    async def hinted() -> bool:
        was = store.finished.is_set()
        store.finished.clear()
        return was

    assert await hinted()  # by open()
    await store.accept(message("Q1", job_id="order-7"), SMALL, NOW)
    assert not await hinted()
    await store.accept(message("Q2", job_id="order-7"), SMALL, NOW)
    assert await hinted()
    await store.refuse(Refusal(claim("Q3"), ()), NOW)
    assert await hinted()
    await store.settle(await leased(store, "Q1"), settled(ACCEPTED), NOW)
    assert await hinted()


# Closing


async def test_close_finishes_what_was_handed_over(engine: Engine) -> None:
    store = await engine.open()
    pending = [
        asyncio.ensure_future(store.accept(message(f"Q{n}"), (SMALL, LARGE)[n % 2], NOW))
        for n in range(20)
    ]
    await asyncio.sleep(0)  # each has handed its step over
    await store.close()
    outcomes = await asyncio.gather(*pending)
    assert outcomes == [Acceptance.QUEUED] * 20
    reopened = await engine.open()
    assert len(await reopened.records()) == 20


async def test_close_may_be_called_twice_and_nothing_works_after_it(engine: Engine) -> None:
    store = await engine.open()
    await asyncio.gather(store.close(), store.close())
    await store.close()
    for content in (SMALL, LARGE):
        with pytest.raises(StoreError):
            await store.accept(message("Q1"), content, NOW)
    with pytest.raises(StoreError):
        await store.counts()


async def test_callers_that_go_away_break_nothing(engine: Engine) -> None:
    store = await engine.open()
    tasks = [
        asyncio.ensure_future(store.accept(message(f"Q{n}"), (SMALL, LARGE)[n % 2], NOW))
        for n in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert outcomes.count(Acceptance.QUEUED) == 13
    # Each of the others was done or not, and the step can be repeated.
    for n in range(20):
        await store.accept(message(f"Q{n}"), (SMALL, LARGE)[n % 2], NOW)
    leases = await store.lease(NOW, 100)
    assert len(leases) == 20
    for lease in leases:
        expected = (SMALL, LARGE)[int(lease.queue_id[1:]) % 2]
        assert octets(store.content(lease)) == expected.data
