"""The SQLite engine of the store: one file, one writer, one owner.

Small content lies in the file, larger content beside it (contentfile).  That only one
process owns the queue is for the caller to see to; others may read (reader).

A content file that holds several is there for all whose rows speak of it, and for those on their
way into the rows: it goes when a message is done with it and neither needs it any more.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from asyncnet.mail.letter import Content, Octets
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue import damage, steps, words
from asyncnet.mailqueue.being_read import BeingRead
from asyncnet.mailqueue.contentfile import ContentFolder, Place, joined
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

# Contents in one file: it stays as long as one of them is needed, so this bounds what a mail that
# waits for days keeps on the disk (4 MiB).
FILE_CONTENTS = 32
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
        self._arriving: set[asyncio.Task[Acceptance]] = set()
        # Contents that lie in a file and are on their way into a row, and the files for which
        # somebody asked meanwhile whether they are needed.
        self._in_flight: Counter[str] = Counter()
        self._asked_for: set[str] = set()
        self._together: GroupCommit[tuple[str, Content], Place] = GroupCommit(
            self._write_together, unsound=(StoreError, ValueError), max_batch=FILE_CONTENTS
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
            wanted = await self._writer.submit(steps.needed_files)
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
            await asyncio.wait(self._arriving)
        # The writer goes last: who closes a file last, empties and removes its log.
        if self._reader is not None:
            reader, self._reader = self._reader, None
            await self._in_reading_thread(reader.close)
        await self._writer.stop()
        self._reading.shutdown(wait=False)

    def accept(self, message: NewMessage, content: Content, now: float) -> Awaitable[Acceptance]:
        if content.octets <= INLINE_OCTETS:
            arrival = steps.Arrival(message, content.octets, joined(content), now)
            return self._insert(arrival)
        return self._accept_large(message, content, now)

    def _accept_large(
        self, message: NewMessage, content: Content, now: float
    ) -> asyncio.Future[Acceptance]:
        # A task of its own: a caller that goes away leaves the disk's thread at work, and
        # what it writes must be either committed or removed.
        task = asyncio.create_task(self._accept_in_file(message, content, now))
        if not isinstance(content, Octets):
            self._being_read.add(message.claim.queue_id, task)
        self._arriving.add(task)
        task.add_done_callback(self._arrived)
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
        assert lease.place is not None
        return self._contents.content(Place(*lease.place), lease.size_octets)

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
        await self._drop_unneeded(step)

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

    def _insert(self, arrival: steps.Arrival) -> asyncio.Future[Acceptance]:
        return self._writer.join(self._accept, arrival, hint=self._accepted)

    async def _accept_in_file(
        self, message: NewMessage, content: Content, now: float
    ) -> Acceptance:
        self._writer.check()
        place = await self._written(message.claim.queue_id, content)
        needed = False
        try:
            arrival = steps.Arrival(message, content.octets, place, now)
            acceptance = await self._insert(arrival)
            needed = acceptance is Acceptance.QUEUED
        except StoreBroken:
            # The row may be on the disk; if it is not, the next start sweeps the file.
            needed = True
            raise
        finally:
            await self._landed(place.file, needed=needed)
        return acceptance

    async def _written(self, queue_id: str, content: Content) -> Place:
        """Where it lies, in flight.  Raises what stands at ContentFolder.write()."""
        if isinstance(content, Octets) and content.octets <= HELD_OCTETS:
            return await self._together.submit((queue_id, content))
        threads = None if isinstance(content, Octets) else self._unread
        (place,) = await self._write(queue_id, [content], threads)
        return place

    async def _write_together(
        self, contents: Sequence[tuple[str, Content]]
    ) -> Sequence[Place | Exception]:
        try:
            return await self._write(contents[0][0], [content for _, content in contents])
        except StoreBroken as error:  # none is tried again
            return [StoreBroken(str(error)) for _ in contents]

    async def _write(
        self, queue_id: str, contents: Sequence[Content], threads: Executor | None = None
    ) -> list[Place]:
        """threads: None for the loop's own, where nothing may be read but memory."""
        loop = asyncio.get_running_loop()
        try:
            places = await loop.run_in_executor(threads, self._contents.write, queue_id, contents)
        except StoreBroken as error:
            self._writer.declare_broken(error)
            raise
        self._in_flight[places[0].file] += len(places)
        return places

    async def _landed(self, file: str, *, needed: bool) -> None:
        """A content in a file has its row, or will never have one."""
        self._in_flight[file] -= 1
        if not needed:
            self._asked_for.add(file)
        if self._in_flight[file]:
            return
        del self._in_flight[file]
        if file in self._asked_for:
            self._asked_for.discard(file)
            with contextlib.suppress(StoreError):  # the next start sweeps it
                await self._drop_unneeded(partial(steps.unneeded, files=[file]))

    async def _drop_unneeded(self, step: Callable[[apsw.Cursor], list[str]]) -> None:
        """Unlink the files that a step finds unneeded, once that is committed.

        Whoever is cancelled before leaves them to the next start.
        """
        unneeded: list[str] = []

        def note(files: list[str]) -> None:
            # At this very moment: a row that the step did not see is still in flight.
            unneeded.extend(file for file in files if file not in self._in_flight)
            self._asked_for.update(file for file in files if file in self._in_flight)

        await self._writer.submit(step, hint=note)
        if unneeded:
            await asyncio.to_thread(self._discard, unneeded)

    def _discard(self, files: Iterable[str]) -> None:
        for file in files:
            self._contents.discard(file)

    def _arrived(self, task: asyncio.Task[Acceptance]) -> None:
        self._arriving.discard(task)
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
