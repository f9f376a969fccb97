"""Each engine against a model of a few dictionaries: any sequence of steps and crashes."""

import asyncio
import tempfile
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import inf, isinf
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Content
from asyncnet.mail.verdict import JobStatus, RecipientStatus, Verdict, job_status
from asyncnet.mailqueue.store import (
    Acceptance,
    AccountState,
    Effect,
    Lease,
    NewMessage,
    OnDoubt,
    Settlement,
    Word,
)
from tests.mailqueue.engines import Engine, PostgresEngine, SqliteEngine
from tests.mailqueue.messages import (
    ACCEPTED,
    DEFERRED,
    EXPIRED,
    IN_DOUBT,
    LARGE,
    NOW,
    REJECTED,
    SMALL,
    message,
)
from tests.support.postgres import PostgresServer

ACCOUNTS = ("work", "home", "club")
SENDERS = ("a@example.org", "b@example.org", "")
VERDICTS = (ACCEPTED, REJECTED, DEFERRED, IN_DOUBT, EXPIRED)


@dataclass
class Job:
    """A message as the contract speaks of it."""

    account: str
    priority: int
    due_at: float
    expires_at: float
    on_doubt: OnDoubt
    statuses: list[RecipientStatus]
    doubted: set[int] = field(default_factory=set)
    status: JobStatus = JobStatus.QUEUED
    lease: Lease | None = None
    dot: bool = False
    attempts: int = 0
    reported: bool = False
    word: Word | None = None  # noted until the lease ends
    turn: int = 0  # in its lane's line

    @property
    def tried(self) -> bool:
        return self.attempts > 0 or any(it is not RecipientStatus.PENDING for it in self.statuses)

    @property
    def waits(self) -> bool:
        return self.lease is None and not self.status.final and self.status is not JobStatus.HELD

    def settle(self, settlement: Settlement) -> None:
        hold = settlement.hold or self.word is Word.HOLD
        word, self.word = self.word, None
        for position, verdict in settlement.verdicts.items():
            status = verdict.status
            if status is RecipientStatus.IN_DOUBT and self.on_doubt != "fail":
                status = RecipientStatus.DEFERRED
                self.doubted.add(position)
                hold = hold or self.on_doubt == "hold"
            self.statuses[position] = status
        self.attempts += settlement.counted
        self.lease, self.dot, self.due_at = None, False, settlement.due_at
        if all(status.final for status in self.statuses):
            self.status = job_status(self.statuses)
        elif word is Word.CANCEL:
            self.cancel()
        elif hold:
            self.status = JobStatus.HELD
        elif settlement.counted or settlement.verdicts:
            self.status = JobStatus.DEFERRED

    def cancel(self) -> None:
        self.statuses = [it if it.final else RecipientStatus.CANCELED for it in self.statuses]
        self.status = job_status(self.statuses)

    def hear(self, word: Word, now: float) -> Effect:
        """What the contract says of a word."""
        if self.status.final:
            return Effect.FINISHED
        if self.lease is not None:
            self.word = word if word in (Word.HOLD, Word.CANCEL) else None
            return Effect.UNDER_WAY
        if word is Word.CANCEL:
            self.cancel()
            return Effect.DONE
        held = self.status is JobStatus.HELD
        if word is Word.HOLD:
            self.status = JobStatus.HELD
            return Effect.UNCHANGED if held else Effect.DONE
        if not held and (word is Word.RELEASE or self.due_at <= now):
            return Effect.UNCHANGED
        self.status = JobStatus.DEFERRED if self.tried else JobStatus.QUEUED
        self.turn = 0
        if not self.tried and self.due_at > now:
            return Effect.SCHEDULED
        self.due_at = now
        return Effect.DONE


class QueueLife(RuleBasedStateMachine):
    """Drives the store and the model side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.cleanup = AsyncExitStack()
        self.engine = self.make_engine(Path(self.folder.name), self.cleanup)
        self.store = self.runner.run(self.engine.open())
        self.now = NOW
        self.jobs: dict[str, Job] = {}
        self.until = dict.fromkeys(ACCOUNTS, 0.0)
        self.lasts: dict[tuple[str, int], dict[str, int]] = {}  # each sender's last turn

    def make_engine(self, folder: Path, cleanup: AsyncExitStack) -> Engine:
        return SqliteEngine(folder, cleanup)

    def teardown(self) -> None:
        self.runner.run(self.cleanup.aclose())
        self.runner.close()
        self.folder.cleanup()

    @rule(
        account=st.sampled_from(ACCOUNTS),
        priority=st.integers(0, 2),
        wait=st.integers(0, 30),
        life=st.integers(1, 90),
        on_doubt=st.sampled_from(["retry", "hold", "fail"]),
        recipients=st.integers(1, 3),
        large=st.booleans(),
        sender=st.sampled_from(SENDERS),
    )
    def accept(
        self,
        account: str,
        priority: int,
        wait: int,
        life: int,
        on_doubt: OnDoubt,
        recipients: int,
        large: bool,
        sender: str,
    ) -> None:
        queue_id = f"Q{len(self.jobs):03}"
        due_at, expires_at = self.now + wait, self.now + life
        addresses = [f"{n}@example.org" for n in range(recipients)]
        given = message(
            queue_id,
            envelope=Envelope(sender, tuple(addresses)),
            route=Route(account),
            priority=priority,
            due_at=due_at,
            expires_at=expires_at,
            on_doubt=on_doubt,
        )
        content = LARGE if large else SMALL
        turn = self.turn_of(account, priority, sender) if wait == 0 else 0
        for expected in (Acceptance.QUEUED, Acceptance.KNOWN):
            assert self.runner.run(self._accept(given, content)) is expected
        pending = [RecipientStatus.PENDING] * recipients
        job = Job(account, priority, due_at, expires_at, on_doubt, pending, turn=turn)
        self.jobs[queue_id] = job
        if turn and not large:  # of which the store asks first whether the id is known
            self.turn_of(account, priority, sender)  # the repeated step took one, too

    async def _accept(self, given: NewMessage, content: Content) -> Acceptance:
        return await self.store.accept(given, content, self.now)

    def turn_of(self, account: str, priority: int, sender: str) -> int:
        line = [
            job.turn
            for job in self.jobs.values()
            if job.waits and job.turn and (job.account, job.priority) == (account, priority)
        ]
        if not line:
            self.lasts[account, priority] = {}
        lasts = self.lasts.setdefault((account, priority), {})
        lasts[sender] = max(min(line, default=1), lasts.get(sender, 0) + 1)
        return lasts[sender]

    @rule(limit=st.integers(1, 4))
    def lease(self, limit: int) -> None:
        waiting = {queue_id: job for queue_id, job in self.jobs.items() if job.waits}
        over = {it: job for it, job in waiting.items() if job.expires_at <= self.now}
        due = {
            it: job
            for it, job in waiting.items()
            if (job.turn or job.due_at <= self.now)
            and self.until[job.account] <= self.now
            and it not in over
        }

        leases = self.runner.run(self.store.lease(self.now, limit))
        taken = [lease.queue_id for lease in leases]
        first = min(limit, len(over))
        assert set(taken[:first]) <= over.keys()
        assert len(set(taken)) == len(taken)
        assert taken[first:] == self.fairly(due)[: limit - first]
        for lease in leases:
            job = self.jobs[lease.queue_id]
            job.lease, job.turn = lease, 0
            still_open = [n for n, status in enumerate(job.statuses) if not status.final]
            assert list(lease.positions) == still_open
            assert lease.attempts == job.attempts
            assert sum(map(len, self.store.content(lease).blocks())) == lease.size_octets

    def fairly(self, due: dict[str, Job]) -> list[str]:
        """In the order of sending."""
        place: dict[str, int] = {}
        ahead: Counter[tuple[str, int, bool]] = Counter()
        for it in sorted(due, key=lambda it: (due[it].turn, due[it].due_at, it)):
            part = (due[it].account, due[it].priority, due[it].turn > 0)
            place[it], ahead[part] = ahead[part], ahead[part] + 1
        return sorted(due, key=lambda it: (due[it].priority, place[it], due[it].due_at, it))

    def leased(self) -> list[str]:
        return [queue_id for queue_id, job in self.jobs.items() if job.lease is not None]

    async def _marked(self, lease: Lease) -> None:
        await self.store.mark_dot(lease)

    @precondition(lambda self: self.leased())
    @rule(choice=st.data())
    def mark_dot(self, choice: st.DataObject) -> None:
        job = self.jobs[choice.draw(st.sampled_from(self.leased()))]
        assert job.lease is not None
        self.runner.run(self._marked(job.lease))
        job.dot = True

    @precondition(lambda self: self.leased())
    @rule(choice=st.data(), wait=st.integers(0, 40), counted=st.booleans(), hold=st.booleans())
    def settle(self, choice: st.DataObject, wait: int, counted: bool, hold: bool) -> None:
        job = self.jobs[choice.draw(st.sampled_from(self.leased()))]
        assert job.lease is not None
        places = st.dictionaries(st.sampled_from(job.lease.positions), st.sampled_from(VERDICTS))
        verdicts: dict[int, Verdict] = choice.draw(places)
        settlement = Settlement(verdicts, self.now + wait, counted=counted, hold=hold)
        self.runner.run(self.store.settle(job.lease, settlement, self.now))
        job.settle(settlement)

    @precondition(lambda self: self.jobs)
    @rule(choice=st.data(), word=st.sampled_from(Word))
    def say(self, choice: st.DataObject, word: Word) -> None:
        meant = choice.draw(st.lists(st.sampled_from(sorted(self.jobs)), unique=True))
        told = self.runner.run(self.store.instruct(word, meant, self.now))
        assert sorted(it.queue_id for it in told) == sorted(meant)
        for it in told:
            job = self.jobs[it.queue_id]
            assert it.effect is job.hear(word, self.now)
            assert (it.status, it.pending) == (job.status, job.word)

    @rule(account=st.sampled_from(ACCOUNTS), wait=st.sampled_from([0.0, 20.0, inf]))
    def close_account(self, account: str, wait: float) -> None:
        self.until[account] = self.now + wait
        state = AccountState(account, "held", until=self.until[account])
        self.runner.run(self.store.set_account_state(state))

    @rule()
    def report(self) -> None:
        records = self.runner.run(self.store.unreported(1000))
        finished = {it for it, job in self.jobs.items() if job.status.final and not job.reported}
        assert {record.claim.queue_id for record in records} == finished
        self.runner.run(self.store.mark_reported(finished))
        for queue_id in finished:
            self.jobs[queue_id].reported = True

    @rule(seconds=st.integers(1, 60))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @rule(closed=st.booleans())
    def start_again(self, closed: bool) -> None:
        start = self.engine.open if closed else self.engine.crash
        self.store = self.runner.run(start(self.now))
        self.lasts = {}
        for job in self.jobs.values():
            if job.lease is not None and job.dot:
                doubt = dict.fromkeys(job.lease.positions, IN_DOUBT)
                job.settle(Settlement(doubt, self.now))
            elif job.lease is not None and job.word is not None:
                job.settle(Settlement({}, self.now, counted=False))
            job.lease = None

    @invariant()
    def the_store_tells_what_the_model_tells(self) -> None:
        records = self.runner.run(self.store.records(states=JobStatus))
        assert [record.claim.queue_id for record in records] == sorted(self.jobs, reverse=True)
        for record in records:
            job = self.jobs[record.claim.queue_id]
            assert record.status is job.status
            assert [it.verdict.status for it in record.recipients] == job.statuses
            doubted = {n for n, it in enumerate(record.recipients) if it.possible_duplicate}
            assert doubted == job.doubted
            assert record.attempts == job.attempts
            assert record.due_at == (None if job.status.final else job.due_at)

    @invariant()
    def next_due_is_when_the_model_says(self) -> None:
        waiting = [job for job in self.jobs.values() if job.waits]
        at = [max(job.due_at, self.until[job.account]) for job in waiting]
        first = min([*at, *(job.expires_at for job in waiting)], default=inf)
        assert self.runner.run(self.store.next_due(self.now)) == (None if isinf(first) else first)


LIVES = settings(
    max_examples=30,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def test_sqlite_does_what_the_model_does() -> None:
    run_state_machine_as_test(QueueLife, settings=LIVES)


def test_postgres_does_what_the_model_does(postgres_server: PostgresServer) -> None:
    class PostgresLife(QueueLife):
        def make_engine(self, folder: Path, cleanup: AsyncExitStack) -> Engine:
            return PostgresEngine(postgres_server, cleanup)

    run_state_machine_as_test(PostgresLife, settings=settings(LIVES, max_examples=15))
