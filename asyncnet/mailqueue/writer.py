"""The one writer: operations in, group commits out.

A thread owns the connection.  It takes whatever operations wait, runs them in one
transaction, commits once, and answers all callers at once: one flush when the daemon is idle,
many operations to a flush when it is busy.  Those of one step that stand together are one call
of it: a statement for all of them costs little more than one for each.

What can fail, and what is left then:

  an operation's own error (LeaseLost, …)   the batch is done again, each in a savepoint of its
                                            own; that one's is rolled back, the others go on
  no room on the disk                       as above; found only at the commit, the batch is
                                            done again one by one, so that small ones pass
  another process keeps the write lock      StoreError for the batch; nothing is done
  a failed commit, flush or read            StoreBroken, now and for ever: the kernel may have
                                            dropped pages, and the next flush would "succeed"
"""

import asyncio
import itertools
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import apsw

from asyncnet.mailqueue.connection import is_fatal, open_writer, refusal
from asyncnet.mailqueue.store import StoreBroken, StoreError

T = TypeVar("T")
Given = TypeVar("Given")
# Does what is given by several callers, all of it or, raising, nothing; what becomes of each.
Step = Callable[[apsw.Cursor, Sequence[Given]], Sequence[T]]

MAX_BATCH = 1_000  # bounds how long the first of a batch waits for the last
# Of those that are not urgent, so many a batch: some 4 ms of work.  In a burst of new jobs the
# verdict on a mail that a server has taken would else wait for hundreds of them, and a crash
# meanwhile leaves it in doubt.
MAX_AT_LEISURE = 128
CHECKPOINT_PAGES = 1_000  # SQLite's own default: 4 MiB of log


class Urgency(IntEnum):
    """What a batch begins with: where it is late, a crash leaves a mail in doubt."""

    MARK = 0
    VERDICT = 1
    NONE = 2


@dataclass(slots=True)
class Operation:
    """Something to do, and whom to tell.

    step may be called again when nothing of the first call was kept.  hint is called on the
    loop, only when the operation is on the disk, and also when its caller has gone.  Urgent
    ones go before the others, in their own order.
    """

    step: Step[Any, Any]
    given: Any
    future: asyncio.Future[Any]
    urgency: Urgency
    hint: Callable[[Any], None] | None
    result: Any = None
    error: Exception | None = None


class _OneFailed(Exception):
    """An operation failed and the transaction was rolled back: nothing of the batch was kept."""


class _NoRoom(Exception):
    """The transaction is gone for want of room: nothing of the batch was kept."""


class Writer:
    """Owns the writing connection.  commits counts the transactions that reached the disk."""

    def __init__(self, path: Path) -> None:
        self.commits = 0
        self._path = path
        self._inbox: queue.SimpleQueue[list[Operation] | None] = queue.SimpleQueue()
        self._gathered: list[Operation] = []  # this turn of the loop's
        self._waiting = {urgency: deque[Operation]() for urgency in Urgency}  # the thread's
        self._ended: asyncio.Future[None] | None = None
        self._stopping = False
        self._refusal: StoreError | None = StoreError(f"{path} is not open")
        self._log_pages = 0

    async def start(self) -> None:
        """Open the file in the writer's thread.  Raises StoreError."""
        self._loop = asyncio.get_running_loop()
        opened: asyncio.Future[None] = self._loop.create_future()
        self._ended = self._loop.create_future()
        # A daemon thread: a process that ends without close() is a crash like any other.
        threading.Thread(
            target=self._main, args=(opened,), name="mailqueue-writer", daemon=True
        ).start()
        await opened
        self._refusal = None

    async def stop(self) -> None:
        """Do what was handed over, then close the file.  May be called twice."""
        if self._ended is None:
            return
        if not self._stopping:
            self._stopping = True
            self._hand_over()
            self._refusal = self._refusal or StoreError(f"{self._path} is closed")
            self._inbox.put(None)
        await asyncio.shield(self._ended)

    def check(self) -> None:
        """Raise what every call gets while the store is not open, or broken."""
        if self._refusal is not None:
            raise _another(self._refusal) from self._refusal

    def submit(
        self,
        run: Callable[[apsw.Cursor], T],
        *,
        urgency: Urgency = Urgency.NONE,
        hint: Callable[[T], None] | None = None,
    ) -> asyncio.Future[T]:
        """Hand over what no other operation can be done together with; else as join()."""
        return self.join(_one_by_one, run, urgency=urgency, hint=hint)

    def join(
        self,
        step: Step[Given, T],
        given: Given,
        *,
        urgency: Urgency = Urgency.NONE,
        hint: Callable[[T], None] | None = None,
    ) -> asyncio.Future[T]:
        """Hand an operation over; the future gets its result once it is on the disk.

        Call it on the loop.  The future fails at once with what check() would raise.  A
        cancelled future does not call the operation back.
        """
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if self._refusal is not None:
            future.set_exception(_another(self._refusal))
            return future
        # All operations of one turn of the loop go over together: the thread is woken once
        # and finds a batch, where the first alone would cost a flush of its own.
        if not self._gathered:
            self._loop.call_soon(self._hand_over)
        self._gathered.append(Operation(step, given, future, urgency, hint))
        return future

    def declare_broken(self, error: StoreBroken) -> None:
        """Refuse everything from here on; what is handed over is still answered."""
        if not isinstance(self._refusal, StoreBroken):
            self._refusal = error

    def _hand_over(self) -> None:
        if self._gathered:
            self._inbox.put(self._gathered)
            self._gathered = []

    # From here on: the writer's thread.

    def _main(self, opened: asyncio.Future[None]) -> None:
        try:
            connection = open_writer(self._path)
        except StoreError as error:
            self._tell(_fail, opened, error)
            self._tell(_succeed, self._ended)
            return
        connection.set_wal_hook(self._note_log)
        self._cursor = connection.cursor()
        self._connection = connection
        self._tell(_succeed, opened)
        ended = False
        while not ended:
            batch, ended = self._take()
            self._do(batch)
        self._close()

    def _take(self) -> tuple[list[Operation], bool]:
        """At least one of the operations that wait, the urgent ones first; or the end."""
        ended, waiting = False, self._waiting
        while not ended and not (self._inbox.empty() and any(waiting.values())):
            handed_over = self._inbox.get()
            ended = handed_over is None
            for operation in handed_over or ():
                waiting[operation.urgency].append(operation)
        batch: list[Operation] = []
        # Marks, then verdicts: those of one message in their order, and those alike together.
        for urgency, operations in waiting.items():
            most = MAX_AT_LEISURE if urgency is Urgency.NONE else MAX_BATCH
            # Nothing comes after the end.
            batch += _first(operations, len(operations) if ended else most)
        return batch, ended

    def _do(self, batch: list[Operation]) -> None:
        if not batch:
            return
        try:
            if isinstance(self._refusal, StoreBroken):
                raise self._refusal
            self._write(batch)
        except StoreBroken as error:
            self.declare_broken(error)
            for operation in batch:
                operation.error = StoreBroken(str(error))
        self._tell(_answer, batch)
        if self._log_pages >= CHECKPOINT_PAGES:
            self._checkpoint()

    def _write(self, batch: Sequence[Operation]) -> None:
        try:
            try:
                # Savepoints would be many of all statements, and hardly ever anything fails.
                together = itertools.groupby(batch, key=attrgetter("step"))
                self._commit([list(group) for _, group in together], self._run)
            except _OneFailed:
                self._commit([[operation] for operation in batch], self._run_apart)
        except _NoRoom as error:
            if len(batch) == 1:
                batch[0].error = StoreError(str(error))
                return
            for operation in batch:
                self._write([operation])

    def _commit(
        self, groups: Sequence[list[Operation]], run: Callable[[list[Operation]], None]
    ) -> None:
        """One transaction.  Raises _OneFailed or _NoRoom with nothing kept, or StoreBroken."""
        try:
            self._cursor.execute("BEGIN IMMEDIATE")
        except apsw.BusyError as error:
            for operation in itertools.chain.from_iterable(groups):
                operation.error = refusal(self._path, error)
            return
        except apsw.Error as error:
            raise self._broken(error) from error
        for group in groups:
            run(group)
        try:
            self._cursor.execute("COMMIT")
        except apsw.FullError as error:
            # The commit's record is not whole in the log, so it never counts.
            self._roll_back()
            raise _NoRoom(str(refusal(self._path, error))) from error
        except apsw.Error as error:
            raise self._broken(error) from error
        self.commits += 1

    def _run(self, group: list[Operation]) -> None:
        try:
            self._step(group)
        except Exception as error:  # whatever it is: whose it is, the second run tells
            if is_fatal(error):
                raise self._broken(error) from error
            self._roll_back()
            raise _OneFailed from error

    def _step(self, group: list[Operation]) -> None:
        results = group[0].step(self._cursor, [operation.given for operation in group])
        for operation, result in zip(group, results, strict=True):
            operation.result, operation.error = result, None

    def _run_apart(self, group: list[Operation]) -> None:
        (operation,) = group
        execute = self._cursor.execute
        try:
            execute("SAVEPOINT step")
            self._step(group)
            execute("RELEASE step")
        except Exception as error:  # whatever it is, it belongs to the one who asked
            if is_fatal(error):
                raise self._broken(error) from error
            if not self._connection.in_transaction:
                # SQLite may give up the whole transaction where memory or disk ran out.
                raise _NoRoom(f"{self._path}: {error}") from error
            operation.error = error
            if isinstance(error, apsw.Error):
                operation.error = refusal(self._path, error)
                operation.error.__cause__ = error
            self._roll_back("ROLLBACK TO step; RELEASE step")

    def _roll_back(self, statements: str = "ROLLBACK") -> None:
        if not self._connection.in_transaction:
            return
        try:
            self._cursor.execute(statements)
        except apsw.Error as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> StoreBroken:
        reason = refusal(self._path, error) if isinstance(error, apsw.Error) else error
        return StoreBroken(f"{reason}; the process must end and start afresh")

    def _note_log(self, connection: apsw.Connection, database: str, pages: int) -> int:
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint(self) -> None:
        # After the answers, not within a commit, where it would delay them; and with its
        # errors seen, which SQLite's automatic checkpoint swallows.
        try:
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except (apsw.BusyError, apsw.LockedError, apsw.FullError):
            pass  # the log grows until there is room, or the reader is done
        except apsw.Error as error:
            self.declare_broken(self._broken(error))
        self._log_pages = 0

    def _close(self) -> None:
        if isinstance(self._refusal, StoreBroken):
            # The log is the last good witness: nothing is copied out of it any more.
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        try:
            self._roll_back()
            self._connection.close()
        except (apsw.Error, StoreBroken):
            pass  # every answer is given, and the next start reads the log
        self._tell(_succeed, self._ended)

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            return  # the loop is closed: nobody listens any more


def _first(waiting: deque[Operation], most: int) -> list[Operation]:
    """Up to so many from the front, which leave it."""
    if len(waiting) > most:
        return [waiting.popleft() for _ in range(most)]
    everything = list(waiting)
    waiting.clear()
    return everything


def _one_by_one(cursor: apsw.Cursor, runs: Sequence[Callable[[apsw.Cursor], T]]) -> list[T]:
    return [run(cursor) for run in runs]


def _another(refusal: StoreError) -> StoreError:
    """The same for another caller: a traceback grows with every raise."""
    return type(refusal)(str(refusal))


def _answer(batch: list[Operation]) -> None:
    for operation in batch:
        if operation.error is None and operation.hint is not None:
            operation.hint(operation.result)
        if operation.future.done():
            continue  # its caller was cancelled
        if operation.error is None:
            operation.future.set_result(operation.result)
        else:
            operation.future.set_exception(operation.error)


def _succeed(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
