"""The PostgreSQL engine of the store: several daemons, one queue, content included.

Each daemon has a few connections, one for each kind of work, and on each the waiting calls go
together in one transaction.  Who may send a message is told by its fencing number; who is alive,
by the table of holders (postgres_pulse).  Who took a job in is its owner, and files its result.
"""

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from asyncnet.mail.letter import Content, Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.being_read import BeingRead
from asyncnet.mailqueue.contentfile import joined
from asyncnet.mailqueue.group import GroupCommit
from asyncnet.mailqueue.postgres_access import Access
from asyncnet.mailqueue.postgres_content import LocalFault
from asyncnet.mailqueue.postgres_pulse import LEASE_TERM_S, Pulse
from asyncnet.mailqueue.postgres_reader import Questions
from asyncnet.mailqueue.postgres_steps import Arrival, Ending
from asyncnet.mailqueue.postgres_work import UNSOUND, Work
from asyncnet.mailqueue.rows import account_state_row, octets, refusal_row
from asyncnet.mailqueue.store import (
    INLINE_OCTETS,
    Acceptance,
    AccountState,
    Backlog,
    Census,
    Ended,
    Instructed,
    Lease,
    NewMessage,
    Page,
    Record,
    Refusal,
    Selection,
    Settlement,
    StoreBroken,
    StoreError,
    Word,
)

T = TypeVar("T")


class PostgresStore:
    """A Store (see there for the contract) in a PostgreSQL database.

    owner names who files the results of the jobs that are accepted here.  With alone the caller
    vouches that no other process works for it: what an earlier one held is taken back at once.
    """

    def __init__(
        self,
        url: str,
        owner: str,
        *,
        dedup_window_s: float,
        alone: bool = True,
        lease_term_s: float = LEASE_TERM_S,
    ) -> None:
        """Nothing is opened yet."""
        self.ready = asyncio.Event()
        self.finished = asyncio.Event()
        self._access = Access(url)
        self._alone = alone
        self._pulse = Pulse(
            self._access,
            owner,
            term_s=lease_term_s,
            on_ready=self.ready.set,
            on_finished=self.finished.set,
            tidy=self._tidy,
        )
        self._work = Work(self._access, self._pulse, owner, dedup_window_s)
        self._questions = Questions(self._work.asking)
        self._arrivals = GroupCommit(self._work.accept, unsound=UNSOUND)
        self._refusals = GroupCommit(self._work.refuse, unsound=UNSOUND)
        self._marks = GroupCommit(self._work.mark_dots)
        self._endings = GroupCommit(self._work.settle, unsound=UNSOUND)
        self._tasks: set[asyncio.Task[Any]] = set()  # of callers that may go away
        self._being_read = BeingRead()
        self._refusal: StoreError | None = StoreError(f"{self._access.place} is not open")

    async def open(self, now: float) -> None:
        try:
            await self._work.migrate()
            await self._pulse.begin(now, alone=self._alone)
        except StoreError:
            await self._close()
            raise
        self._refusal = None
        self.ready.set()
        self.finished.set()

    async def close(self) -> None:
        self._refusal = self._refusal or StoreError(f"{self._access.place} is closed")
        await self._being_read.end()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        for group in (self._arrivals, self._refusals, self._marks, self._endings):
            await group.drained()
        await self._close()

    async def accept(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        self._check()
        if content.octets <= INLINE_OCTETS:
            arrival = Arrival(message, content.octets, now, joined(content))
            acceptance = await self._watched(self._arrivals.submit(arrival))
        else:
            task = self._begin(self._streamed(message, content, now))
            if not isinstance(content, Octets):
                self._being_read.add(message.claim.queue_id, task)
            acceptance = await self._watched(asyncio.shield(task))
        if acceptance is Acceptance.DUPLICATE:
            self.finished.set()
        else:
            # Known, too: it may be ours by a commit that was not answered, and nobody leased it.
            self.ready.set()
        return acceptance

    async def refuse(self, refusal: Refusal, now: float) -> None:
        self._check()
        await self._watched(self._refusals.submit(refusal_row(refusal, now, octets)))
        self.finished.set()

    async def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        return await self._ask(self._questions.known(list(queue_ids)))

    async def lease(
        self, now: float, limit: int, passing_over: Collection[str] = ()
    ) -> list[Lease]:
        self._check()
        task = self._begin(self._work.lease(now, limit, list(passing_over)))
        try:
            return await self._watched(asyncio.shield(task))
        except asyncio.CancelledError:
            # Nobody would ever settle them.
            self._begin(self._given_back(task, now))
            raise

    async def next_due(self, now: float, passing_over: Collection[str] = ()) -> float | None:
        return await self._ask(self._questions.next_due(passing_over))

    def content(self, lease: Lease) -> Content:
        if lease.inline is not None:
            return Octets(lease.inline)
        return self._work.contents.content(lease.queue_id, lease.size_octets)

    async def mark_dot(self, lease: Lease) -> None:
        self._check()
        await self._watched(self._marks.submit((lease.queue_id, lease.fence)))

    async def settle(self, lease: Lease, settlement: Settlement, now: float) -> None:
        if not settlement.verdicts.keys() <= set(lease.positions):
            raise ValueError(f"verdicts on positions outside of {lease.positions}")
        self._check()
        ending = Ending((lease.queue_id, lease.fence), settlement, now)
        settled = await self._watched(self._endings.submit(ending))
        (self.finished if settled.owner is not None else self.ready).set()

    async def select(self, selection: Selection, after: str = "", limit: int = 500) -> Page:
        return await self._ask(self._questions.select(selection, after, limit))

    async def instruct(
        self, word: Word, queue_ids: Collection[str], now: float, reason: str = ""
    ) -> list[Instructed]:
        step = self._work.instruct(word, [it for it in queue_ids if "\0" not in it], reason, now)
        instructed = await self._ask(step)
        self.ready.set()
        if any(it.status.final for it in instructed):
            self.finished.set()
        return instructed

    async def unreported(self, limit: int) -> list[Record]:
        return await self._ask(self._questions.unreported(self._work.owner, limit))

    async def mark_reported(self, queue_ids: Iterable[str]) -> None:
        await self._ask(self._work.mark_reported(list(queue_ids)))

    async def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        return await self._ask(self._questions.records(tuple(states), limit))

    async def find(self, key: str) -> list[Record]:
        return await self._ask(self._questions.find(key))

    async def counts(self) -> Mapping[JobStatus, int]:
        return await self._ask(self._questions.counts())

    async def backlogs(self) -> Mapping[str, Backlog]:
        return await self._ask(self._questions.backlogs())

    async def census(self) -> Census:
        return await self._ask(self._questions.census())

    async def latest(self, limit: int) -> list[Ended]:
        return await self._ask(self._questions.latest(limit))

    async def account_states(self) -> Mapping[str, AccountState]:
        return await self._ask(self._questions.account_states())

    async def set_account_state(self, state: AccountState) -> None:
        await self._ask(self._work.set_account_state(account_state_row(state, octets)))
        self.ready.set()

    async def clock_put_back(self, by_s: float, before: float) -> None:
        pass  # see there; the database's own clock, by which leases go, is the pulse's affair

    async def purge(self, before: float) -> int:
        purged = 0
        while number := await self._ask(self._work.purge(before)):
            purged += number
        return purged

    async def _streamed(self, message: NewMessage, content: Content, now: float) -> Acceptance:
        try:
            return await self._work.accept_streamed(Arrival(message, content.octets, now), content)
        except LocalFault as fault:
            raise fault.error from fault

    async def _given_back(self, task: asyncio.Task[list[Lease]], now: float) -> None:
        await asyncio.wait([task])
        if task.exception() is not None or not task.result():
            return
        try:
            await self._work.unlease(task.result(), now)
        except StoreError:
            self._work.orphan(task.result(), now)  # with the next beat
        self.ready.set()
        self.finished.set()  # by a word that was said meanwhile

    async def _tidy(self) -> None:
        if await self._work.unlease_orphans():
            self.ready.set()

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of its own: a caller that goes away leaves it at work."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # seen, although the caller may be gone

    async def _ask(self, question: Coroutine[Any, Any, T]) -> T:
        try:
            self._check()
        except StoreError:
            question.close()
            raise
        return await self._watched(question)

    async def _watched(self, answer: "asyncio.Future[T] | Coroutine[Any, Any, T]") -> T:
        try:
            return await answer
        except StoreBroken as error:
            self._refusal = error
            raise

    def _check(self) -> None:
        """Raise what every call gets while the store is not open, or broken."""
        if self._refusal is not None:
            raise type(self._refusal)(str(self._refusal)) from self._refusal

    async def _close(self) -> None:
        await self._pulse.end()
        await self._work.close()
