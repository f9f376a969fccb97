"""The SQLite engine of the store: one file, one writer, one owner.

Small content lies in the file, larger content beside it (contentfile).  That only one
process owns the queue is for the caller to see to; others may read (reader).
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from asyncnet.mail.letter import Content, Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue import damage, steps, words
from asyncnet.mailqueue.being_read import BeingRead
from asyncnet.mailqueue.contentfile import ContentFolder, joined
from asyncnet.mailqueue.group import GroupCommit
from asyncnet.mailqueue.mending import UNREADABLE
from asyncnet.mailqueue.reader import SqliteReader
from asyncnet.mailqueue.rows import account_state_row, json_list, refusal_row
from asyncnet.mailqueue.store import (
    HELD_OCTETS,
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
from asyncnet.mailqueue.turns import Turns
from asyncnet.mailqueue.writer import Urgency, Writer
from asyncnet.threads import UnwaitedThreads

T = TypeVar("T")

FILES_TOGETHER = 32  # contents that one thread writes, each with a descriptor meanwhile
UNREAD_AT_ONCE = 4  # contents that are read while they are written


class SqliteStore:
    """A Store (see there for the contract) in one SQLite file."""

    def __init__(self, path: Path, content_folder: Path, *, dedup_window_s: float) -> None:
        """Nothing is opened yet.  content_folder is made if it is not there."""
        self.ready = asyncio.Event()
        self.finished = asyncio.Event()
        self._path = path
        self._content_folder = content_folder
        self._contents = ContentFolder(content_folder)
        self._writer = Writer(path)
        self._turns = Turns()  # touched by the writer's steps alone
        self._accept = partial(steps.accept, window_s=dedup_window_s, turns=self._turns)
        self._reader: SqliteReader | None = None
        # Questions have a thread and a connection of their own: a long list of records must
        # not hold up a commit.
        self._reading = ThreadPoolExecutor(1, "mailqueue-reader")
        # What has yet to be read may lie on a disk that hangs.  In the loop's own threads a few of
        # those would stop all that waits for one: flushes, results, other contents.
        self._unread = UnwaitedThreads(UNREAD_AT_ONCE, "mailqueue-unread")
        self._being_read = BeingRead()
        self._arriving: dict[str, asyncio.Task[Acceptance]] = {}  # the last of each queue id
        self._small_files: GroupCommit[tuple[str, Content], None] = GroupCommit(
            self._write_files, unsound=(ValueError,), max_batch=FILES_TOGETHER
        )

    @property
    def commits(self) -> int:
        """How many transactions were committed since open()."""
        return self._writer.commits

    async def open(self, now: float) -> None:
        await asyncio.to_thread(self._make_folder)
        await self._writer.start()
        try:
            await self._writer.submit(partial(steps.judge_at_start, now=now))
            wanted = await self._writer.submit(steps.unfinished_files)
            await asyncio.to_thread(self._contents.sweep, wanted.__contains__)
            self._reader = await self._in_reading_thread(partial(SqliteReader, self._path))
        except StoreError:
            await self._writer.stop()
            raise
        self.ready.set()
        self.finished.set()

    async def close(self) -> None:
        # The file of one that hangs is left to the next sweep.
        await self._being_read.end()
        while self._arriving:
            await asyncio.wait(self._arriving.values())
        # The writer goes last: who closes a file last, empties and removes its log.
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await self._in_reading_thread(reader.close)
        await self._writer.stop()
        self._reading.shutdown(wait=False)

    def accept(self, message: NewMessage, content: Content, now: float) -> Awaitable[Acceptance]:
        if content.octets <= INLINE_OCTETS:
            return self._insert(message, content.octets, joined(content), now)
        return self._accept_large(message, content, now)

    def _accept_large(
        self, message: NewMessage, content: Content, now: float
    ) -> asyncio.Future[Acceptance]:
        queue_id = message.claim.queue_id
        # A task of its own: a caller that goes away leaves the disk's thread at work, and
        # what it writes must be either committed or removed.
        earlier = self._arriving.get(queue_id)
        task = asyncio.create_task(self._accept_in_file(message, content, now, earlier))
        if not isinstance(content, Octets):
            self._being_read.add(queue_id, task)
        self._arriving[queue_id] = task
        task.add_done_callback(partial(self._arrived, queue_id))
        return asyncio.shield(task)

    async def refuse(self, refusal: Refusal, now: float) -> None:
        await self._writer.submit(
            partial(steps.refuse, row=refusal_row(refusal, now)),
            hint=lambda _: self.finished.set(),
        )

    async def known(self, queue_ids: Iterable[str]) -> frozenset[str]:
        return await self._ask(partial(SqliteReader.known, queue_ids=list(queue_ids)))

    async def lease(
        self, now: float, limit: int, passing_over: Collection[str] = ()
    ) -> list[Lease]:
        lanes = json_list(passing_over)
        step = partial(steps.lease, now=now, limit=limit, passing_over=lanes, turns=self._turns)
        future = self._writer.submit(step, hint=self._leased)
        try:
            return (await asyncio.shield(future)).leases
        except asyncio.CancelledError:
            # Nobody would ever settle them.
            future.add_done_callback(partial(self._give_back, now))
            raise

    async def next_due(self, now: float, passing_over: Collection[str] = ()) -> float | None:
        return await self._ask(partial(SqliteReader.next_due, passing_over=passing_over))

    def content(self, lease: Lease) -> Content:
        if lease.inline is not None:
            return Octets(lease.inline)
        return self._contents.content(lease.queue_id, lease.size_octets)

    def mark_dot(self, lease: Lease) -> Awaitable[None]:
        return self._writer.join(steps.mark_dots, lease, urgency=Urgency.MARK)

    async def settle(self, lease: Lease, settlement: Settlement, now: float) -> None:
        if not settlement.verdicts.keys() <= set(lease.positions):
            raise ValueError(f"verdicts on positions outside of {lease.positions}")
        ending = steps.Ending(lease, settlement, now)
        await self._writer.join(steps.settle, ending, urgency=Urgency.VERDICT, hint=self._settled)

    async def select(self, selection: Selection, after: str = "", limit: int = 500) -> Page:
        return await self._ask(
            partial(SqliteReader.select, selection=selection, after=after, limit=limit)
        )

    async def instruct(
        self, word: Word, queue_ids: Collection[str], now: float, reason: str = ""
    ) -> list[Instructed]:
        ids = json_list(queue_ids)
        step = partial(words.instruct, word=word, queue_ids=ids, reason=reason, now=now)
        return await self._writer.submit(step, hint=self._instructed)

    async def unreported(self, limit: int) -> list[Record]:
        question = partial(SqliteReader.unreported, limit=limit)
        try:
            return await self._ask(question)
        except UNREADABLE:
            await self._writer.submit(partial(damage.mend_unreported, limit=limit))
        return await self._ask(question)

    async def mark_reported(self, queue_ids: Iterable[str]) -> None:
        step = partial(steps.mark_reported, queue_ids=json_list(queue_ids))
        # Once that is committed.  Whoever is cancelled before leaves them to the next start.
        if dropped := await self._writer.submit(step):
            await asyncio.to_thread(self._drop_files, dropped)

    async def records(self, *, states: Iterable[JobStatus] = (), limit: int = 1000) -> list[Record]:
        return await self._ask(partial(SqliteReader.records, states=tuple(states), limit=limit))

    async def find(self, key: str) -> list[Record]:
        return await self._ask(partial(SqliteReader.find, key=key))

    async def counts(self) -> Mapping[JobStatus, int]:
        return await self._ask(SqliteReader.counts)

    async def backlogs(self) -> Mapping[str, Backlog]:
        return await self._ask(SqliteReader.backlogs)

    async def census(self) -> Census:
        return await self._ask(SqliteReader.census)

    async def latest(self, limit: int) -> list[Ended]:
        return await self._ask(partial(SqliteReader.latest, limit=limit))

    async def account_states(self) -> Mapping[str, AccountState]:
        return await self._ask(SqliteReader.account_states)

    async def set_account_state(self, state: AccountState) -> None:
        await self._writer.submit(
            partial(steps.set_account_state, row=account_state_row(state)),
            hint=lambda _: self.ready.set(),
        )

    async def clock_put_back(self, by_s: float, before: float) -> None:
        await self._writer.submit(
            partial(steps.clock_put_back, by_s=by_s, before=before),
            hint=lambda _: self.ready.set(),
        )

    async def purge(self, before: float) -> int:
        purged = 0
        while number := await self._writer.submit(partial(steps.purge, before=before)):
            purged += number
        return purged

    def _insert(
        self, message: NewMessage, size_octets: int, inline: bytes | None, now: float
    ) -> asyncio.Future[Acceptance]:
        arrival = steps.Arrival(message, size_octets, inline, now)
        return self._writer.join(self._accept, arrival, hint=self._accepted)

    async def _accept_in_file(
        self,
        message: NewMessage,
        content: Content,
        now: float,
        earlier: "asyncio.Task[Acceptance] | None",
    ) -> Acceptance:
        """earlier has the same queue id, and so the same file."""
        self._writer.check()
        if earlier is not None:
            await asyncio.wait([earlier])
        queue_id = message.claim.queue_id
        try:
            await self._write_file(queue_id, content)
        except FileExistsError:
            if await self.known([queue_id]):
                return Acceptance.KNOWN
            await self._discard(queue_id)
            await self._write_file(queue_id, content)
        try:
            acceptance = await self._insert(message, content.octets, None, now)
        except StoreBroken:
            raise  # the row may be on the disk, so the file stays; if not, the next start sweeps it
        except StoreError:
            await self._discard(queue_id)
            raise
        if acceptance is not Acceptance.QUEUED:
            await self._discard(queue_id)
        return acceptance

    async def _write_file(self, queue_id: str, content: Content) -> None:
        """Raises what stands at ContentFolder.write()."""
        if isinstance(content, Octets) and content.octets <= HELD_OCTETS:
            await self._small_files.submit((queue_id, content))
            return
        threads = None if isinstance(content, Octets) else self._unread
        if error := (await self._write_files([(queue_id, content)], threads))[0]:
            raise error

    async def _write_files(
        self, contents: Sequence[tuple[str, Content]], threads: Executor | None = None
    ) -> Sequence[Exception | None]:
        """threads: None for the loop's own, where nothing may be read but memory."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(threads, self._contents.write, contents)
        except StoreBroken as error:
            self._writer.declare_broken(error)
            raise

    async def _discard(self, queue_id: str) -> None:
        await asyncio.to_thread(self._contents.discard, queue_id)

    def _arrived(self, queue_id: str, task: asyncio.Task[Acceptance]) -> None:
        if self._arriving[queue_id] is task:
            del self._arriving[queue_id]
        if not task.cancelled():
            task.exception()  # seen, although the caller may be gone

    def _accepted(self, acceptance: Acceptance) -> None:
        if acceptance is Acceptance.QUEUED:
            self.ready.set()
        elif acceptance is Acceptance.DUPLICATE:
            self.finished.set()

    def _settled(self, finished: bool) -> None:
        (self.finished if finished else self.ready).set()

    def _give_back(self, now: float, future: asyncio.Future[steps.Leased]) -> None:
        if future.cancelled() or future.exception() is not None or not future.result().leases:
            return
        step = partial(steps.unlease, leases=future.result().leases, now=now)
        given_back = self._writer.submit(step, hint=self._unleased)
        # Closed or broken: the next start takes every lease back.
        given_back.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _leased(self, leased: steps.Leased) -> None:
        if leased.set_aside:
            self.finished.set()

    def _unleased(self, _: None) -> None:
        self.ready.set()
        self.finished.set()  # by a word that was said meanwhile

    def _instructed(self, instructed: list[Instructed]) -> None:
        self.ready.set()
        if any(it.status.final for it in instructed):
            self.finished.set()

    def _drop_files(self, queue_ids: list[str]) -> None:
        for queue_id in queue_ids:
            self._contents.discard(queue_id)

    def _make_folder(self) -> None:
        try:
            self._content_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot make {self._content_folder}: {error.strerror}") from error

    async def _ask(self, question: Callable[[SqliteReader], T]) -> T:
        self._writer.check()
        if self._reader is None:
            raise StoreError(f"{self._path} is closed")
        return await self._in_reading_thread(partial(question, self._reader))

    async def _in_reading_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reading, call)
