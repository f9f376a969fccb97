"""A clock that moves when told, a store in memory and servers by script, for the delivery agent."""

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from asyncnet.delivery.exchange import Exchange, Target
from asyncnet.mail.envelope import Envelope, Route
from asyncnet.mail.letter import Content, Octets
from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus, Verdict, job_status
from asyncnet.mailqueue.store import (
    Acceptance,
    AccountState,
    Backlog,
    Census,
    Claim,
    Ended,
    Instructed,
    Lease,
    LeaseLost,
    NewMessage,
    OnDoubt,
    Page,
    RecipientRecord,
    Record,
    Refusal,
    Selection,
    Settlement,
    StoreError,
    Word,
)
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.transaction import Plan, RecipientReply

OK = Reply(250, ("2.0.0 OK",))
START = 1_000_000.0


async def let_all_run() -> None:
    """Return when everybody waits for something that only the test can bring about.

    The doubles do no real I/O, so a fixed number of rounds of the loop is enough.
    """
    for _ in range(200):
        await asyncio.sleep(0)


class Clock:
    """Seconds that pass only by advance()."""

    def __init__(self) -> None:
        self.now = START
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, delay_s: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + delay_s, next(self._numbers), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking each sleeper at its time and letting all run in between."""
        await let_all_run()
        end = self.now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                self.now = max(self.now, at)
                future.set_result(None)
                await let_all_run()
        self.now = end
        await let_all_run()


@dataclass
class Job:
    """A message in the store's memory."""

    message: NewMessage
    content: Content
    due_at: float
    verdicts: list[Verdict]
    possible_duplicates: set[int] = field(default_factory=set)
    attempts: int = 0
    fence: int = 0
    leased: bool = False
    dot: bool = False
    held: bool = False
    settlements: list[Settlement] = field(default_factory=list)

    @property
    def statuses(self) -> list[str]:
        return [verdict.status.value for verdict in self.verdicts]

    @property
    def open_positions(self) -> tuple[int, ...]:
        return tuple(p for p, v in enumerate(self.verdicts) if not v.status.final)

    @property
    def waits(self) -> bool:
        return bool(self.open_positions) and not self.leased and not self.held


class MemoryStore:
    """The store's contract in memory; what a test does not need is left out."""

    def __init__(self) -> None:
        self.ready = asyncio.Event()
        self.finished = asyncio.Event()
        self.jobs: dict[str, Job] = {}
        self.states: dict[str, AccountState] = {}
        self.log: list[str] = []
        self.fail_settle: list[StoreError] = []
        self.fail_lease: list[StoreError] = []
        self.fail_mark: list[StoreError] = []
        self.fail_find: list[StoreError] = []
        self.fail_states: list[StoreError] = []

    def add(
        self,
        queue_id: str,
        *recipients: str,
        account: str = "work",
        route: Route | None = None,
        on_doubt: OnDoubt = "retry",
        priority: int = 1,
        due_at: float = START,
        expires_at: float = START + 172_800.0,
    ) -> Job:
        claim = Claim(queue_id, queue_id, f"{queue_id}.yaml", START)
        envelope = Envelope("me@example.org", recipients or ("a@example.org",))
        message = NewMessage(
            claim,
            f"<{queue_id}@example.org>",
            envelope,
            route or Route(account=account),
            due_at,
            expires_at,
            priority=priority,
            on_doubt=on_doubt,
        )
        pending = [Verdict(RecipientStatus.PENDING) for _ in envelope.recipients]
        job = self.jobs[queue_id] = Job(
            message, Octets(b"Subject: x\r\n\r\nx\r\n"), due_at, pending
        )
        self.ready.set()
        return job

    async def open(self, now: float) -> None: ...

    async def close(self) -> None: ...

    async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        raise AssertionError("delivery has no business with this part of the store")

    async def refuse(self, refusal: Refusal, now: float) -> None:
        raise AssertionError("delivery has no business with this part of the store")

    async def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        return frozenset(self.jobs) & frozenset(queue_ids)

    def _open_at(self, job: Job) -> float:
        state = self.states.get(job.message.route.key)
        at = max(job.due_at, state.until if state else 0.0)
        return min(at, job.message.expires_at)

    async def lease(
        self, now: float, limit: int, passing_over: Collection[str] = ()
    ) -> list[Lease]:
        if self.fail_lease:
            raise self.fail_lease.pop(0)
        due = [job for job in self._offered(passing_over) if self._open_at(job) <= now]
        due.sort(key=lambda j: (j.message.priority, j.due_at, j.message.claim.queue_id))
        return [self._lease(job) for job in due[:limit]]

    def _lease(self, job: Job) -> Lease:
        job.leased, job.dot, job.fence = True, False, job.fence + 1
        envelope, positions = job.message.envelope, job.open_positions
        queue_id = job.message.claim.queue_id
        recipients = tuple(envelope.recipients[p] for p in positions)
        return Lease(
            queue_id=queue_id,
            fence=job.fence,
            route=job.message.route,
            envelope=replace(envelope, recipients=recipients, envid=queue_id),
            positions=positions,
            attempts=job.attempts,
            message_id=job.message.message_id,
            size_octets=job.content.octets,
            priority=job.message.priority,
            claimed_at=START,
            expires_at=job.message.expires_at,
            on_doubt=job.message.on_doubt,
        )

    async def next_due(self, now: float, passing_over: Collection[str] = ()) -> float | None:
        return min(map(self._open_at, self._offered(passing_over)), default=None)

    def _offered(self, passing_over: Collection[str]) -> list[Job]:
        return [
            job
            for job in self.jobs.values()
            if job.waits and job.message.route.key not in passing_over
        ]

    def content(self, lease: Lease) -> Content:
        return self.jobs[lease.queue_id].content

    def _leased(self, lease: Lease) -> Job:
        job = self.jobs[lease.queue_id]
        if not job.leased or job.fence != lease.fence:
            raise LeaseLost(lease.queue_id)
        return job

    async def mark_dot(self, lease: Lease) -> None:
        if self.fail_mark:
            raise self.fail_mark.pop(0)
        self._leased(lease).dot = True
        self.log.append(f"dot {lease.queue_id}")

    async def settle(self, lease: Lease, settlement: Settlement, now: float) -> None:
        if self.fail_settle:
            raise self.fail_settle.pop(0)
        await asyncio.sleep(0)  # no disk answers at once
        job = self._leased(lease)
        job.settlements.append(settlement)
        for position, verdict in settlement.verdicts.items():
            if verdict.status is RecipientStatus.IN_DOUBT and lease.on_doubt != "fail":
                verdict = replace(verdict, status=RecipientStatus.DEFERRED)
                job.possible_duplicates.add(position)
                job.held = lease.on_doubt == "hold"
            job.verdicts[position] = verdict
        job.leased, job.dot = False, False
        job.attempts += settlement.counted
        job.due_at = settlement.due_at
        self.log.append(f"settle {lease.queue_id}")

    async def select(self, selection: Selection, after: str = "", limit: int = 500) -> Page:
        raise AssertionError("delivery has no business with this part of the store")

    async def instruct(
        self, word: Word, queue_ids: Collection[str], now: float, reason: str = ""
    ) -> list[Instructed]:
        raise AssertionError("delivery has no business with this part of the store")

    async def unreported(self, limit: int) -> list[Record]:
        raise AssertionError("delivery has no business with this part of the store")

    async def mark_reported(self, queue_ids: Iterable[str]) -> None:
        raise AssertionError("delivery has no business with this part of the store")

    async def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        raise AssertionError("delivery has no business with this part of the store")

    async def find(self, key: str) -> list[Record]:
        if self.fail_find:
            raise self.fail_find.pop(0)
        job = self.jobs.get(key)
        return [] if job is None else [_record(job)]

    async def counts(self) -> Mapping[JobStatus, int]:
        raise AssertionError("delivery has no business with this part of the store")

    async def backlogs(self) -> Mapping[str, Backlog]:
        raise AssertionError("delivery has no business with this part of the store")

    async def census(self) -> Census:
        raise AssertionError("delivery has no business with this part of the store")

    async def latest(self, limit: int) -> list[Ended]:
        raise AssertionError("delivery has no business with this part of the store")

    async def account_states(self) -> Mapping[str, AccountState]:
        return dict(self.states)

    async def set_account_state(self, state: AccountState) -> None:
        if self.fail_states:
            raise self.fail_states.pop(0)
        self.states[state.name] = state
        self.log.append(f"state {state.name} {state.state}")
        self.ready.set()

    async def clock_put_back(self, by_s: float, before: float) -> None:
        raise AssertionError("delivery has no business with this part of the store")

    async def purge(self, before: float) -> int:
        raise AssertionError("delivery has no business with this part of the store")


def _record(job: Job) -> Record:
    recipients = tuple(
        RecipientRecord(address, verdict)
        for address, verdict in zip(job.message.envelope.recipients, job.verdicts, strict=True)
    )
    final = not job.open_positions
    return Record(
        claim=job.message.claim,
        status=job_status(v.status for v in job.verdicts) if final else JobStatus.QUEUED,
        job_id=None,
        account=job.message.route.account,
        server=None,
        tls=None,
        message_id=job.message.message_id,
        envelope_from=job.message.envelope.reverse_path,
        size_octets=job.content.octets,
        priority=job.message.priority,
        attempts=job.attempts,
        due_at=job.due_at,
        expires_at=job.message.expires_at,
        finished_at=None,
        recipients=recipients,
        errors=(),
        warnings=(),
        meta={},
    )


BeforeDot = Callable[[], Awaitable[None]]
Scene = Callable[["ScriptedExchange", Envelope, BeforeDot], Awaitable[tuple[RecipientReply, ...]]]


async def accept_all(
    exchange: "ScriptedExchange", envelope: Envelope, before_dot: BeforeDot
) -> tuple[RecipientReply, ...]:
    await before_dot()
    return tuple(RecipientReply(Phase.DOT, OK) for _ in envelope.recipients)


def refuse(phase: Phase, code: int, text: str, *, lost: bool = False) -> Scene:
    """A scene in which every recipient gets the same refusal; lost: the talk is over then."""

    async def scene(
        exchange: "ScriptedExchange", envelope: Envelope, before_dot: BeforeDot
    ) -> tuple[RecipientReply, ...]:
        if phase is Phase.DOT:
            await before_dot()
        exchange.usable = not lost
        return tuple(RecipientReply(phase, Reply(code, (text,))) for _ in envelope.recipients)

    return scene


async def die_before_dot(
    exchange: "ScriptedExchange", envelope: Envelope, before_dot: BeforeDot
) -> tuple[RecipientReply, ...]:
    exchange.usable = False
    lost = RecipientReply(Phase.MAIL, None, "the connection was lost")
    return (lost,) * len(envelope.recipients)


async def die_after_dot(
    exchange: "ScriptedExchange", envelope: Envelope, before_dot: BeforeDot
) -> tuple[RecipientReply, ...]:
    await before_dot()
    exchange.usable = False
    doubt = RecipientReply(Phase.DOT, None, "the connection was lost", in_doubt=True)
    return (doubt,) * len(envelope.recipients)


class ScriptedExchange(Exchange):
    """An exchange that plays the server's scenes, one a transaction."""

    def __init__(self, network: "Network", target: Target) -> None:
        self.server = f"{target.host}:{target.port}"
        self.tls: Mapping[str, Any] | None = {"version": "TLSv1.3", "verified": True}
        self.target = target
        self.closed = False
        self._usable = True
        self._load = 0
        self._network = network

    @property
    def load(self) -> int:
        return self._load

    @property
    def places(self) -> int:
        return 1

    @property
    def message_limit(self) -> int | None:
        return self._network.message_limit

    @property
    def tripped(self) -> Plan | None:
        return None

    @property
    def usable(self) -> bool:
        return self._usable

    @usable.setter
    def usable(self, usable: bool) -> None:
        self._usable = usable

    async def transact(
        self,
        envelope: Envelope,
        content: Content,
        before_dot: BeforeDot | None = None,
        progress: Any = None,
        *,
        alone: bool = False,
    ) -> tuple[RecipientReply, ...]:
        assert before_dot is not None
        scenes = self._network.scenes.get(self.target.host, [])
        scene = scenes.pop(0) if scenes else accept_all
        self._load += 1
        self._network.envelopes.append((self.target.host, envelope))
        try:
            return await scene(self, envelope, before_dot)
        finally:
            self._load -= 1

    async def close(self) -> None:
        self.closed = True


class Network:
    """All servers by host: what goes wrong at connecting, and the scenes to play."""

    def __init__(self, kind: type[ScriptedExchange] = ScriptedExchange) -> None:
        self._kind = kind
        self.scenes: dict[str, list[Scene]] = {}
        self.failures: dict[str, list[Exception]] = {}
        self.gates: dict[str, asyncio.Event] = {}  # connecting waits for it
        self.exchanges: list[ScriptedExchange] = []
        self.envelopes: list[tuple[str, Envelope]] = []
        self.targets: list[Target] = []
        self.message_limit: int | None = None

    async def connect(self, target: Target, /) -> Exchange:
        self.targets.append(target)
        await asyncio.sleep(0)  # no server answers at once
        if target.host in self.gates:
            await self.gates[target.host].wait()
        if failures := self.failures.get(target.host):
            raise failures.pop(0)
        exchange = self._kind(self, target)
        self.exchanges.append(exchange)
        return exchange

    def sent(self, host: str | None = None) -> list[tuple[str, ...]]:
        """The recipients of each transaction, in order."""
        return [e.recipients for name, e in self.envelopes if host in (None, name)]
