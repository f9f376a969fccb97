"""`asyncnet queue list` and `show`: the store read beside the daemon, or without one.

What acts on jobs stands in queue_words, how they are shown in queue_printing.
"""

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from asyncnet.cli import exit_codes
from asyncnet.cli.asking import failed
from asyncnet.cli.excerpt import visible
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.cli.listing import console_for_lists
from asyncnet.cli.queue_printing import Sight, print_jobs, print_json, print_record, print_troubles
from asyncnet.cli.queue_words import Which
from asyncnet.cli.settings import read_settings
from asyncnet.config.sections import Settings
from asyncnet.control.client import listens
from asyncnet.control.protocol import Refused
from asyncnet.control.queue import refuse_unknown_account
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.opening import open_reader
from asyncnet.mailqueue.store import Record, Selection, StoreError

if TYPE_CHECKING:
    from asyncnet.mailqueue.postgres_reader import PostgresReader
    from asyncnet.mailqueue.reader import SqliteReader

Reader: TypeAlias = "SqliteReader | PostgresReader"

LISTED = 1000  # rows at most


def list_jobs(which: Which, config: Path | None, *, as_json: bool) -> int:
    """Print the jobs that are meant, one a row; without any term those that wait.

    Ends with 0, with 65 when a key names no job, 69 when what it names is not among those asked
    for.  Raises CommandFailed.
    """
    records, sight, code = _look(which, config)
    if as_json:
        print_json(records, sight)
    elif records:
        print_jobs(console_for_lists(), records, sight)
    elif which.terms:
        _print_nothing_meant(which)
    else:
        print("no job is known" if which.everything else "no job waits")
    if not as_json:
        print_troubles(sight)
    return code


def show(which: Which, config: Path | None, *, as_json: bool) -> int:
    """Print all about the jobs that are meant, one after the other.  Ends as list_jobs() does."""
    if not which.terms:
        raise CommandFailed(exit_codes.USAGE, ["say which: ids or names, an account, or a state"])
    records, sight, code = _look(which, config)
    if as_json:
        print_json(records, sight)
    elif not records:
        _print_nothing_meant(which)
    else:
        for record in records:
            print_record(record, sight)
    return code


def _look(which: Which, config: Path | None) -> tuple[list[Record], Sight, int]:
    """The jobs that are meant, how they stand, and the exit code.  Raises CommandFailed."""
    settings = read_settings(config)
    try:
        with open_reader(settings.queue, settings.database) as reader:
            if which.keys:
                records, code = _named(reader, which)
            else:
                records, code = _newest(reader, which), exit_codes.OK
            sight = _sight(settings, reader, records)
        if which.account is not None and not records and code == exit_codes.OK:
            refuse_unknown_account(which.account, {*settings.account, *sight.accounts})
    except StoreError as error:
        raise CommandFailed(exit_codes.UNAVAILABLE, [str(error)]) from error
    except Refused as refused:
        raise failed(refused) from refused
    return records, sight, code


def _named(reader: Reader, which: Which) -> tuple[list[Record], int]:
    """In the order of the keys, and of each the newest first; what a key lacks goes to stderr."""
    found: dict[str, Record] = {}  # by queue id: two keys may name one job
    codes = set()
    for key in dict.fromkeys(which.keys):
        named = reader.find(key)
        meant = _meeting(reader, which, key, named)
        if not meant:
            codes.add(_print_why_not(key, named))
        found |= {it.claim.queue_id: it for it in meant}
    return list(found.values()), min(codes, default=exit_codes.OK)  # DATA before UNAVAILABLE


def _newest(reader: Reader, which: Which) -> list[Record]:
    # Looking further back until there are enough: a quiet account may be far behind a busy one.
    reach = LISTED
    while True:
        records = reader.records(states=_states(which), limit=reach)
        meant = _meeting(reader, which, None, records)
        if len(meant) >= LISTED or len(records) < reach:
            return meant[:LISTED]
        reach *= 10


def _meeting(reader: Reader, which: Which, key: str | None, records: list[Record]) -> list[Record]:
    """Those of records that meet the terms besides the keys."""
    states, account = _states(which), which.account
    standing = [it for it in records if it.status in states]
    if account is None:
        return standing
    waiting = _selected(reader, Selection(key, account, states))
    return [
        it
        for it in standing
        if (_went_by(it, account) if it.status.final else it.claim.queue_id in waiting)
    ]


def _selected(reader: Reader, selection: Selection) -> frozenset[str]:
    """The queue ids of those that wait, as the verbs that act on them select them."""
    found: set[str] = set()
    after: str | None = ""
    while after is not None:
        page = reader.select(selection, after, LISTED)
        found.update(page.queue_ids)
        after = page.after
    return frozenset(found)


def _went_by(record: Record, account: str) -> bool:
    """Whether a finished job did, which the store no longer selects; account is a Route.key."""
    if record.account is not None or record.server is None:
        return record.account == account
    return account.startswith(f"server {record.server}/")


def _states(which: Which) -> frozenset[JobStatus]:
    """Those asked for; finished jobs are named, or asked for, or not meant."""
    if which.states:
        return frozenset(map(JobStatus, which.states))
    every = which.everything or which.keys
    return frozenset(it for it in JobStatus if every or not it.final)


def _print_why_not(key: str, named: list[Record]) -> int:
    """Say why a key has nothing to show; the exit code of that."""
    if not named:
        print(f"asyncnet: no job has the id or name {key!r}", file=sys.stderr)
        return exit_codes.DATA
    claim, status = named[0].claim, named[0].status
    why = f"{visible(claim.name)} ({claim.queue_id}) is {status}: not asked for"
    print(f"asyncnet: {why}", file=sys.stderr)
    return exit_codes.UNAVAILABLE


def _print_nothing_meant(which: Which) -> None:
    if not which.keys:  # else it is told of each
        waits = "" if any(it.final for it in _states(which)) else " that waits"
        print(f"asyncnet: no job{waits} is meant", file=sys.stderr)


def _sight(settings: Settings, reader: Reader, records: list[Record]) -> Sight:
    sending = reader.under_way([it.claim.queue_id for it in records if not it.status.final])
    # A lease outlives the daemon that ended in the middle; other machines may send from a server.
    if sending and settings.queue.server is None and not listens(settings.spool.dir):
        sending = frozenset()
    return Sight(sending, dict(reader.account_states()), time.time())
