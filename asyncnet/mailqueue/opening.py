"""Which engine keeps the queue: by the URL of the settings, imported only where it is used."""

from pathlib import Path
from typing import TYPE_CHECKING

from asyncnet.config.sections import QueueSettings
from asyncnet.mailqueue.owner import owner_of, random_owner
from asyncnet.mailqueue.reader import SqliteReader
from asyncnet.mailqueue.store import Store, StoreError

if TYPE_CHECKING:
    from asyncnet.mailqueue.postgres_reader import PostgresReader

_MISSING = (
    "[queue] url names a PostgreSQL database, which needs the package asyncpg; "
    "install 'asyncnet[postgres]'"
)


def make_store(settings: QueueSettings, file: Path, spool: Path, *, takes_jobs: bool) -> Store:
    """The store, not open yet.  file is SQLite's; takes_jobs: jobs are dropped into the spool.

    Whoever takes jobs must hold the spool's lock.  Raises StoreError.
    """
    window_s = settings.dedup_window
    if settings.server is None:
        from asyncnet.mailqueue.sqlite import SqliteStore

        return SqliteStore(file, spool / "queue", dedup_window_s=window_s)
    try:
        from asyncnet.mailqueue.postgres import PostgresStore
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    owner = owner_of(spool) if takes_jobs else random_owner()
    return PostgresStore(settings.server, owner, dedup_window_s=window_s, alone=takes_jobs)


def open_reader(settings: QueueSettings, file: Path) -> "SqliteReader | PostgresReader":
    """The questions of a command, beside a daemon or without one.

    Raises StoreError: no queue there, not readable, of another version.
    """
    if settings.server is None:
        return SqliteReader(file)
    try:
        from asyncnet.mailqueue.postgres_reader import PostgresReader
    except ModuleNotFoundError as error:
        raise _missing(error) from error
    return PostgresReader(settings.server)


def queue_exists(settings: QueueSettings, file: Path) -> bool:
    """Whether there may be a queue to ask; a server is not asked for that."""
    return settings.server is not None or file.exists()


def _missing(error: ModuleNotFoundError) -> Exception:
    return StoreError(_MISSING) if error.name == "asyncpg" else error
