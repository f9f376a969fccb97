"""How a verb reaches the queue: through the running daemon, or on the store where none runs.

Never behind a daemon's back: whoever opens a store in the spool to write holds its lock meanwhile.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from asyncnet.cli import exit_codes
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.config.sections import Settings
from asyncnet.control.client import NoDaemon, ask
from asyncnet.control.protocol import Arguments, ControlError, RefusalKind, Refused
from asyncnet.mailqueue.opening import make_store, queue_exists
from asyncnet.mailqueue.store import Store, StoreError
from asyncnet.spool.errors import SpoolError
from asyncnet.spool.folder import SpoolFolder

T = TypeVar("T")

_EXIT_CODES = {
    RefusalKind.USAGE: exit_codes.USAGE,
    RefusalKind.UNKNOWN: exit_codes.USAGE,
    RefusalKind.UNAVAILABLE: exit_codes.TEMPFAIL,
    RefusalKind.VERSION: exit_codes.TEMPFAIL,
    RefusalKind.FAULT: exit_codes.SOFTWARE,
}


def answer(settings: Settings, verb: str, arguments: Arguments) -> Any:
    """What the running daemon says.  Raises NoDaemon and CommandFailed."""
    try:
        return ask(settings.spool.dir, verb, arguments)
    except NoDaemon:
        raise
    except Refused as refused:
        raise failed(refused) from refused
    except ControlError as error:
        raise CommandFailed(exit_codes.TEMPFAIL, [str(error)]) from error


def on_the_store(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    """What work gives on the open store, while no daemon runs.  Raises CommandFailed."""
    if not queue_exists(settings.queue, settings.database):
        raise CommandFailed(
            exit_codes.UNAVAILABLE,
            [f"there is no queue at {settings.database}; start the daemon once"],
        )
    try:
        with _held_spool(settings):
            return asyncio.run(_open_for(settings, work))
    except Refused as refused:
        raise failed(refused) from refused
    except StoreError as error:
        raise CommandFailed(exit_codes.UNAVAILABLE, [str(error)]) from error


@contextmanager
def _held_spool(settings: Settings) -> Iterator[None]:
    """Keep daemons out of a queue that lies in the spool; a database has room for several."""
    if settings.queue.server is not None:
        yield
        return
    folder = SpoolFolder(settings.spool.dir)
    try:
        folder.lock()
    except SpoolError as error:
        why = f"{error}, which does not listen at its control socket"
        raise CommandFailed(exit_codes.TEMPFAIL, [why]) from error
    try:
        yield
    finally:
        folder.unlock()


def failed(refused: Refused) -> CommandFailed:
    """How a command ends that was refused."""
    return CommandFailed(_EXIT_CODES[refused.kind], [str(refused)])


async def _open_for(settings: Settings, work: Callable[[Store], Awaitable[T]]) -> T:
    store = make_store(settings.queue, settings.database, settings.spool.dir, takes_jobs=False)
    await store.open(time.time())
    try:
        return await work(store)
    finally:
        await store.close()
