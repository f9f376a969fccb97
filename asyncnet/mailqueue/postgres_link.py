"""A connection to PostgreSQL that heals, and transactions whose outcome is always found out.

What can fail, and what is left then:

  the connection, before COMMIT was sent    nothing is done; the work is done again on a new one
  the connection, after COMMIT was sent     the server is asked, by the transaction's number, what
                                            became of it; until it says so nobody knows
  a deadlock, a lock held too long          nothing is done; the work is done again
  the server is away for PATIENCE_S         StoreError; nothing is done, or OutcomeUnknown
  the server says its data are damaged, or  StoreBroken: the process ends, and its next start
  our tables are gone or others             says what is wrong

A flush that fails is the server's affair: it ends itself then and recovers from its log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, TypeVar

from asyncpg import exceptions

from asyncnet.mailqueue.postgres_access import (
    ERRORS,
    LOST,
    Access,
    Connection,
    Unsound,
    refusal,
    state_of,
)
from asyncnet.mailqueue.queries import Queries
from asyncnet.mailqueue.rows import Row
from asyncnet.mailqueue.store import StoreAway, StoreError

T = TypeVar("T")

PATIENCE_S = 5.0  # a server that restarts is back by then; callers wait longer by themselves
PAUSE_S = 0.01  # before another attempt, doubled each time
LONGEST_PAUSE_S = 0.5


def _queries(*names: str) -> Queries:
    folder = files("asyncnet.mailqueue")
    return Queries("\n".join(folder.joinpath(name).read_text("utf-8") for name in names))


SCHEMA = _queries("postgres_schema.sql")
QUERIES = _queries("postgres_life.sql", "postgres_words.sql")


class OutcomeUnknown(StoreError):
    """COMMIT was sent, and the server cannot be asked now what became of it.

    transaction is its number, result what the work gave, good if it was committed.
    """

    def __init__(self, place: str, transaction: str, result: object) -> None:
        super().__init__(f"{place}: whether a step was committed is not known yet")
        self.transaction = transaction
        self.result = result


class Link:
    """One connection, opened when it is needed and again when it was lost.

    Whoever calls while another is at work waits.  Cancelling a call closes the connection.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._connection: Connection | None = None
        self._busy = asyncio.Lock()
        self._closed = False

    async def close(self) -> None:
        """When what is under way is done.  May be called twice."""
        async with self._busy:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                await _part_from(connection)

    async def ask(self, query: str, *parameters: Any) -> list[Row]:
        """The rows of a query that may be asked twice, being a question or a repeatable step."""
        return await self.repeat(partial(_rows, text=QUERIES[query], parameters=parameters))

    async def repeat(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work that may be done twice, until an answer comes.  Raises StoreError."""
        async with self._busy:
            return await self._patiently(work)

    async def transact(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Do work in one transaction, exactly once, or raise StoreError and nothing is done.

        Raises OutcomeUnknown, which says neither.  work is called again when nothing of its
        first call was kept; what it raises otherwise undoes it.
        """
        async with self._busy:
            return await self._patiently(partial(self._once, work=work))

    async def outcome(self, transaction: str) -> bool:
        """Whether a transaction was committed.  Raises StoreError while that is not known."""
        async with self._busy:
            return await self._outcome(transaction)

    async def _patiently(self, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        patience = _Patience()
        while True:
            try:
                return await self._try(attempt)
            except OutcomeUnknown as unknown:
                if await self._outcome(unknown.transaction, unknown):
                    result: T = unknown.result  # type: ignore[assignment]
                    return result
            except StoreAway:
                if patience.over:
                    raise
                await patience.pause()

    async def _try(self, attempt: Callable[[Connection], Awaitable[T]]) -> T:
        connection = await self._connected()
        try:
            return await attempt(connection)
        except ERRORS as error:
            raise self._judged(connection, error) from error
        except RuntimeError as error:
            # uvloop's, at writing to a line that was just lost; the driver learns it a turn later.
            await asyncio.sleep(0)
            if not connection.is_closed():
                raise
            raise self._judged(connection, error) from error
        except asyncio.CancelledError:
            self._drop(connection)
            raise

    def _judged(self, connection: Connection, error: Exception) -> Exception:
        """What is to be raised for it; a connection of which nobody knows the state is dropped."""
        state = state_of(error)
        ours = isinstance(error, exceptions.PostgresError) and not state.startswith(LOST)
        if ours and not connection.is_closed() and state != "25006":
            return refusal(self._access.place, error)
        if isinstance(error, exceptions.InterfaceError) and not connection.is_closed():
            return Unsound(f"{self._access.place}: {error}")  # found before it was sent
        self._drop(connection)
        return refusal(self._access.place, error)

    async def _once(self, connection: Connection, work: Callable[[Connection], Awaitable[T]]) -> T:
        await connection.execute("BEGIN")
        try:
            result = await work(connection)
            ((transaction,),) = await connection.fetch(QUERIES["this_transaction"])
        except BaseException:
            await self._roll_back(connection)
            raise
        try:
            await connection.execute("COMMIT")
        except (*ERRORS, RuntimeError) as error:
            if state_of(error) and not state_of(error).startswith(LOST):
                raise  # an answer: it was rolled back
            self._drop(connection)
            raise OutcomeUnknown(self._access.place, str(transaction), result) from error
        return result

    async def _roll_back(self, connection: Connection) -> None:
        if connection.is_closed():
            return
        try:
            await connection.execute("ROLLBACK")
        except (*ERRORS, RuntimeError):
            self._drop(connection)

    async def _outcome(self, transaction: str, unknown: OutcomeUnknown | None = None) -> bool:
        """Raises unknown, or StoreError, when PATIENCE_S have passed without an answer."""
        text = QUERIES["outcome"]
        patience = _Patience()
        while True:
            try:
                ((outcome,),) = await self._try(partial(_rows, text=text, parameters=[transaction]))
                why = StoreAway(f"{self._access.place}: a transaction is still under way")
            except Unsound:
                # "in the future": another server took over, and its history is without it.
                return False
            except StoreAway as error:
                outcome, why = "in progress", error
            if outcome != "in progress":
                return bool(outcome == "committed")
            if patience.over:
                raise unknown or why
            await patience.pause()

    async def _connected(self) -> Connection:
        if self._closed:
            raise StoreError(f"{self._access.place} is closed")
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._access.connect()
        return self._connection

    def _drop(self, connection: Connection) -> None:
        connection.terminate()
        self._connection = None


class _Patience:
    """PATIENCE_S from now on, in pauses that grow."""

    def __init__(self) -> None:
        self._until = asyncio.get_running_loop().time() + PATIENCE_S
        self._pause_s = PAUSE_S

    @property
    def over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until

    async def pause(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)


async def _rows(connection: Connection, text: str, parameters: Sequence[Any]) -> list[Row]:
    return [tuple(row) for row in await connection.fetch(text, *parameters)]


async def _part_from(connection: Connection) -> None:
    try:
        await connection.close(timeout=1.0)
    except (*ERRORS, RuntimeError):
        connection.terminate()
