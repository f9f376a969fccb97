"""The doors to the SQLite file: opened for writing or reading, refused with reasons.

Through apsw only: it carries a current SQLite, and the one inside Python 3.11 may damage a
write-ahead log (versions 3.7.0 to 3.51.2).
"""

import errno
import os
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import apsw

from asyncnet.mailqueue.filesystem import network_kind_of
from asyncnet.mailqueue.queries import Queries
from asyncnet.mailqueue.store import StoreAway, StoreBroken, StoreError

QUERIES = Queries(files("asyncnet.mailqueue").joinpath("sqlite.sql").read_text("utf-8"))

# PRAGMA user_version counts how many of these a file has been through; each is one
# transaction.  A migration is a further query at the end, never a change of one that is out.
MIGRATIONS = ("schema_1", "schema_2", "schema_3", "schema_4")

APPLICATION_ID = 0x61736E71  # "asnq": says whose file it is (sqlite.org/pragma.html)
BUSY_TIMEOUT_MS = 5_000
CACHE_KIB = 4_096  # it fills where much waits; what a burst works on fits in
WAL_LIMIT_OCTETS = 64 * 1024 * 1024  # what a burst leaves of the log's file on the disk


def open_writer(path: Path) -> apsw.Connection:
    """Make or open the file, migrated, in WAL mode, flushed at every commit.

    Raises StoreError where it cannot be used: network file system, damaged, of another
    program, of a newer version, no permission.
    """
    _refuse_network(path)
    _touch(path)
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise refusal(path, error) from error
    try:
        _check_owner(path, connection)
        _configure(connection)
        _migrate(connection)
    except apsw.Error as error:
        connection.close()
        raise refusal(path, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> apsw.Connection:
    """Open an existing queue for reading only; no file is made, also beside an open writer.

    Raises StoreError.  Without a log beside it the file is at rest, and is read as one that
    does not change: SQLite would have to make the log's files otherwise.
    """
    if not path.exists():
        raise StoreError(f"there is no queue at {path}")
    at_rest = not path.with_name(path.name + "-wal").exists()
    uri = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro{'&immutable=1' * at_rest}"
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI
    try:
        connection = apsw.Connection(uri, flags=flags)
    except apsw.Error as error:
        raise refusal(path, error) from error
    try:
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        _check_owner(path, connection)
        if connection.pragma("user_version") != len(MIGRATIONS):
            raise StoreError(f"{path} is of an older version; start the daemon once")
    except apsw.Error as error:
        connection.close()
        raise refusal(path, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def refusal(path: Path, error: apsw.Error) -> StoreError:
    """Why the file cannot be used, in words for the operator; the error is not raised.

    StoreAway where it passes by itself: whoever starts then need not put any setting right.
    """
    kind: type[StoreError] = StoreError
    match error:
        case apsw.FullError():
            kind, why = StoreAway, "the disk is full; make room"
        case apsw.IOError():  # on a full disk, too, where the log's files are to be made
            kind, why = StoreAway, "the disk is full or fails"
        case apsw.BusyError() | apsw.LockedError():
            kind, why = StoreAway, "another process is writing to it"
        case apsw.CorruptError() | apsw.NotADBError():
            why = "it is damaged or no queue at all; move it away, or restore a copy"
        case apsw.ReadOnlyError() | apsw.PermissionsError() | apsw.AuthError():
            why = "it may not be written; check the owner and mode of the file and its folder"
        case apsw.CantOpenError():
            why = "it cannot be opened; check that the folder exists and may be written"
        case _:
            why = "SQLite failed"
    return kind(f"{path}: {why} ({error})")


def is_fatal(error: BaseException) -> bool:
    """Whether nobody can tell any more what the disk holds."""
    fatal = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError)
    return isinstance(error, (*fatal, StoreBroken))


def _refuse_network(path: Path) -> None:
    kind = network_kind_of(path)
    if kind is not None:
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where SQLite cannot keep a queue; "
            "set [queue] url to a file on a local disk"
        )


def _touch(path: Path) -> None:
    # Before SQLite does it, for the mode: mail is private.  The log's files inherit it.
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        kind = StoreAway if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        raise kind(f"cannot use {path}: {error.strerror}") from error


def _check_owner(path: Path, connection: apsw.Connection) -> None:
    owner, version = connection.pragma("application_id"), connection.pragma("user_version")
    if owner == APPLICATION_ID and isinstance(version, int) and version > len(MIGRATIONS):
        raise StoreError(
            f"{path} was made by a newer version of asyncnet (schema {version}, "
            f"this one knows {len(MIGRATIONS)}); upgrade, or use another file"
        )
    empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    if owner != APPLICATION_ID and not (empty and owner == 0 and not connection.readonly("main")):
        raise StoreError(f"{path} is a database, but no queue of asyncnet; use another file")


def _configure(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(BUSY_TIMEOUT_MS)
    if connection.pragma("journal_mode", "wal") != "wal":
        raise apsw.CantOpenError("no write-ahead log can be kept here")
    connection.pragma("synchronous", "FULL")
    connection.pragma("foreign_keys", True)
    connection.pragma("cache_size", -CACHE_KIB)
    connection.pragma("temp_store", "MEMORY")
    connection.pragma("trusted_schema", False)
    connection.pragma("journal_size_limit", WAL_LIMIT_OCTETS)


def _migrate(connection: apsw.Connection) -> None:
    version = connection.pragma("user_version")
    assert isinstance(version, int)
    for number, name in enumerate(MIGRATIONS[version:], version + 1):
        with connection:
            connection.execute(QUERIES[name])
            connection.pragma("application_id", APPLICATION_ID)
            connection.pragma("user_version", number)
