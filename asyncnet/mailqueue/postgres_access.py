"""The door to PostgreSQL: one connection opened, or refused with reasons.

What is said of it never holds a password: neither the URL nor what the driver's errors quote.
"""

import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import asyncpg
from asyncpg import exceptions

from asyncnet.mailqueue.store import StoreAway, StoreBroken, StoreError

CONNECT_S = 5.0
COMMAND_S = 30.0  # a line that was cut without a word is noticed by then
OLDEST_SERVER = 13  # pg_current_xact_id()

# What a session is told, whatever the role's defaults are.  A process that was stopped in the
# middle of a transaction must not keep its locks for ever, nor a machine that lost its line.
SESSION = {
    "application_name": "asyncnet",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "idle_in_transaction_session_timeout": "30s",
    "lock_timeout": "10s",
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "jit": "off",  # for statements that take milliseconds it costs more than it gives
    # Every statement has its index.  A queue grows faster than its statistics: in the first minute
    # of a burst the planner would walk the whole table for each step (measured: 20 ms for 1 ms).
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
# The server may run with it off; then a commit that was answered could be lost with the power.
_DURABLE = (
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'"
)

# What the driver raises: the line's own errors, the server's, and its own.
ERRORS = (
    OSError,
    TimeoutError,
    exceptions.PostgresError,
    exceptions.InterfaceError,
    exceptions.InternalClientError,
)

# SQLSTATE classes and codes (PostgreSQL, appendix A).
LOST = ("08", "57P")  # the connection broke; the server is going down or coming up
_ONCE_MORE = ("40", "55P03", "57014", "25P03", "53300", "25006")
_UNSOUND = ("22", "23", "54")
_DAMAGED = ("XX001", "XX002")
_NUMBER = re.compile(r"\[Errno -?[0-9]+\] ")  # asyncio joins several errors to one text
_FATAL = ("42P01", "42703")  # our tables are not there, or others


class Connection(Protocol):
    """What is used of a connection of the driver's; rows behave like tuples."""

    async def fetch(self, query: str, *parameters: Any) -> list[Sequence[Any]]: ...

    async def fetchval(self, query: str, *parameters: Any) -> Any: ...

    async def fetchmany(
        self, query: str, parameters: Iterable[Sequence[Any]]
    ) -> list[Sequence[Any]]: ...

    async def execute(self, query: str, *parameters: Any) -> str: ...

    async def executemany(self, query: str, parameters: Iterable[Sequence[Any]]) -> None: ...

    async def add_listener(
        self, channel: str, callback: Callable[[object, int, str, object], None]
    ) -> None: ...

    def add_termination_listener(self, callback: Callable[[object], None]) -> None: ...

    def get_server_version(self) -> Any: ...

    def is_closed(self) -> bool: ...

    async def close(self, **options: float) -> None: ...

    def terminate(self) -> None: ...


class Damaged(StoreBroken):
    """The database found that it has lost what it was asked for."""


class Unsound(StoreError):
    """The database cannot take a value that it was given, or not beside those it has."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the database is and how one gets in; only place is fit to be shown."""

    url: str = field(repr=False)

    @property
    def place(self) -> str:
        """Host and database, without user, password and options."""
        parts = urlsplit(self.url)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def connect(self) -> Connection:
        """Raises StoreError, StoreAway when trying again may help.

        The password comes from the URL, $PGPASSWORD or the password file, as libpq has it.
        """
        try:
            connection: Connection = await asyncpg.connect(
                self.url,
                timeout=CONNECT_S,
                command_timeout=COMMAND_S,
                server_settings=SESSION,
                target_session_attrs="read-write",
            )
        except (*ERRORS, ValueError) as error:
            raise refusal(self.place, error) from None  # the cause may hold the password
        try:
            if connection.get_server_version().major < OLDEST_SERVER:
                raise StoreError(f"{self.place}: needs PostgreSQL {OLDEST_SERVER} or later")
            await connection.execute(_DURABLE)
        except ERRORS as error:
            connection.terminate()
            raise refusal(self.place, error) from None
        except BaseException:
            connection.terminate()
            raise
        return connection


def state_of(error: BaseException) -> str:
    """The SQLSTATE of a server's error, else nothing."""
    return getattr(error, "sqlstate", None) or ""


def _words(error: Exception) -> str:
    """An error's first line; the system's own words in place of its number and asyncio's."""
    if isinstance(error, OSError) and error.errno:
        own_numbers = isinstance(error, socket.gaierror | ssl.SSLError)
        return (error.strerror or "") if own_numbers else os.strerror(error.errno)
    words = _NUMBER.sub("", str(error).partition("\n")[0])
    return words or type(error).__name__


def refusal(place: str, error: Exception) -> StoreError:
    """Why the database cannot be used, in words for the operator; the error is not raised."""
    state = state_of(error)
    words = _words(error)
    match error:
        case exceptions.InvalidAuthorizationSpecificationError():
            why = "it does not let us in; check user and password ($PGPASSWORD, password file)"
        case exceptions.InvalidCatalogNameError():
            why = "there is no such database; create it"
        case exceptions.InsufficientPrivilegeError():
            why = "it does not let us do this; the role must own the queue's tables"
        case exceptions.DiskFullError() | exceptions.OutOfMemoryError():
            why = "its disk or memory is full; make room"
        case ValueError():
            return StoreError(f"{place}: the URL cannot be used; see [queue] url")
        case _ if state.startswith(_DAMAGED):
            return Damaged(f"{place}: {words}; the database is damaged")
        case _ if state.startswith(_FATAL):
            return StoreBroken(f"{place}: {words}; the process must end and start afresh")
        case _ if state.startswith(_UNSOUND):
            return Unsound(f"{place}: {words}")
        case _ if not isinstance(error, exceptions.PostgresError) or state.startswith(LOST):
            return StoreAway(f"{place}: the database cannot be reached now ({words})")
        case _ if state.startswith(_ONCE_MORE):
            return StoreAway(f"{place}: the database cannot do it now ({words})")
        case _:
            why = "PostgreSQL failed"
    return StoreError(f"{place}: {why} ({words})")
