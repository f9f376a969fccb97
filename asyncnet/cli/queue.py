"""`asyncnet queue list` and `show`: the store read beside the daemon, or without one.

What acts on jobs stands in queue_words.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from asyncnet.cli import exit_codes
from asyncnet.cli.asking import failed
from asyncnet.cli.excerpt import visible
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.cli.listing import Row, console_for_lists, print_list, titled
from asyncnet.cli.printing import span
from asyncnet.cli.queue_words import Which
from asyncnet.cli.settings import read_settings
from asyncnet.config.sections import Settings
from asyncnet.control.client import listens
from asyncnet.control.protocol import Refused
from asyncnet.control.queue import refuse_unknown_account
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.opening import open_reader
from asyncnet.mailqueue.store import AccountState, Record, Selection, StoreError
from asyncnet.spool.result import result_document

if TYPE_CHECKING:
    from asyncnet.mailqueue.postgres_reader import PostgresReader
    from asyncnet.mailqueue.reader import SqliteReader

Reader: TypeAlias = "SqliteReader | PostgresReader"

LISTED = 1000  # rows at most
_COLOURS = {
    JobStatus.SENT: "green",
    JobStatus.QUEUED: "cyan",
    JobStatus.DEFERRED: "yellow",
    JobStatus.HELD: "yellow",
}


@dataclass(frozen=True, slots=True)
class Sight:
    """What tells how a job stands besides its record."""

    sending: frozenset[str]  # queue ids
    accounts: Mapping[str, AccountState]
    now: float


def list_jobs(which: Which, config: Path | None, *, as_json: bool) -> int:
    """Print the jobs that are meant, one a row; without any term those that wait.

    Ends with 0, with 65 when a key names no job, 69 when what it names is not among those asked
    for.  Raises CommandFailed.
    """
    records, sight, code = _look(which, config)
    if as_json:
        _print_json(records, sight)
    elif records:
        print_jobs(console_for_lists(), records, sight)
    elif which.terms:
        _print_nothing_meant(which)
    else:
        print("no job is known" if which.everything else "no job waits")
    if not as_json:
        _print_troubles(sight)
    return code


def show(which: Which, config: Path | None, *, as_json: bool) -> int:
    """Print all about the jobs that are meant, one after the other.  Ends as list_jobs() does."""
    if not which.terms:
        raise CommandFailed(exit_codes.USAGE, ["say which: ids or names, an account, or a state"])
    records, sight, code = _look(which, config)
    if as_json:
        _print_json(records, sight)
    elif not records:
        _print_nothing_meant(which)
    else:
        for record in records:
            _print_record(record, sight)
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


def _print_json(records: list[Record], sight: Sight) -> None:
    documents = [_document(it, sight) for it in records]
    print(json.dumps(documents, ensure_ascii=False, indent=2))


def _document(record: Record, sight: Sight) -> dict[str, Any]:
    """The result as it is or would be, and how a waiting job stands."""
    return {
        **result_document(record),
        "sending": record.claim.queue_id in sight.sending,
        "due_at_epoch_s": record.due_at,
        "note": record.note,
    }


def print_jobs(console: Console, records: list[Record], sight: Sight) -> None:
    """The jobs, one a row."""
    titles = titled(
        ("queue id", "name", "status", "tries", "next try"), "answer", aside=("by", "to")
    )
    rows = [
        Row(
            _cells(it, sight),
            (visible(it.account or it.server or ""), str(len(it.recipients))),
            visible(_telling(it)),
        )
        for it in records
    ]
    print_list(console, titles, rows)


def _cells(record: Record, sight: Sight) -> list[Text]:
    return [
        Text(record.claim.queue_id),
        Text(visible(record.claim.name)),
        Text(_status(record, sight), _COLOURS.get(record.status, "red")),
        Text(str(record.attempts)),
        Text(_when(record, sight)),
    ]


def _status(record: Record, sight: Sight) -> str:
    return "sending" if record.claim.queue_id in sight.sending else str(record.status)


def _telling(record: Record) -> str:
    """The one line that says most: what is wrong, else the last answer."""
    if record.errors:
        return str(record.errors[0])
    if record.note:
        return record.note
    verdicts = [it.verdict for it in record.recipients]
    for verdict in sorted(verdicts, key=lambda it: it.code or 0, reverse=True):
        if verdict.text:
            return f"{verdict.code or ''} {verdict.text}".strip()
    return ""


def _when(record: Record, sight: Sight) -> str:
    """When it is tried next; what keeps it is told in its place."""
    if record.due_at is None or record.status is JobStatus.HELD:
        return ""
    if record.claim.queue_id in sight.sending:
        return "now"
    account = _obstacle(record, sight)
    if account is not None:
        return f"account {account.state}"
    wait_s = record.due_at - sight.now
    return "now" if wait_s <= 0 else f"in {span(wait_s)}"


def _obstacle(record: Record, sight: Sight) -> AccountState | None:
    """The account that a job waits for, longer than for its own time."""
    account = sight.accounts.get(record.account or "")
    if account is None or account.state == "ok" or record.due_at is None:
        return None
    return account if account.until > max(record.due_at, sight.now) else None


def _print_record(record: Record, sight: Sight) -> None:
    console = Console(soft_wrap=True)
    console.print(f"[bold]{escape(record.claim.name)}[/]  {record.claim.queue_id}")
    waits = not record.status.final
    for label, value in {
        "status": _status(record, sight),
        "next try": _when_at_length(record, sight),
        "tries": record.attempts,
        "since": _moment(record.claim.claimed_at),
        "expires": _moment(record.expires_at) if waits else None,
        "by": record.account or record.server,
        "server": record.server,
        "message": record.message_id,
        "octets": record.size_octets,
        "from": record.envelope_from,
        "held for": record.note,
    }.items():
        if value not in (None, ""):
            console.print(f"  {label:<9} {escape(str(value))}")
    for it in record.recipients:
        verdict = it.verdict
        code = " ".join(filter(None, (str(verdict.code or ""), verdict.enhanced)))
        console.print(f"  {escape(it.address)}: {verdict.status} {code} {escape(verdict.text)}")
        if verdict.hint:
            console.print(f"    [italic]{escape(verdict.hint)}[/]")
    for error in record.errors:
        console.print(f"  [red]{escape(str(error))}[/]")
    for warning in record.warnings:
        console.print(f"  [yellow]warning: {escape(warning)}[/]")


def _when_at_length(record: Record, sight: Sight) -> str:
    account = None if record.claim.queue_id in sight.sending else _obstacle(record, sight)
    if account is None or record.status is JobStatus.HELD:
        return _when(record, sight)
    why = f" ({account.reason})" if account.reason else ""
    until = _until(account, sight.now)
    return f"waits for its account, which is {account.state}{why}, {until}"


def _until(account: AccountState, now: float) -> str:
    if account.until == float("inf"):
        return "until a person releases it"
    return f"tried again in {span(account.until - now)}"


def _moment(at: float | None) -> str | None:
    if at is None or not 0.0 <= at < 253_402_300_800.0:  # the year 10000
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _print_troubles(sight: Sight) -> None:
    """Accounts whose mail waits, since that is why jobs stand still."""
    for state in sight.accounts.values():
        if state.state == "ok" or state.until <= sight.now:
            continue
        until = _until(state, sight.now)
        hint = f"; {state.hint}" if state.hint else ""
        print(f"{state.name} is {state.state}, {until}: {state.reason}{hint}")
