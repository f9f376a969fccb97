"""How jobs stand, printed: as rows of a list, at length, or as JSON.

The records are those that queue has read; nothing is asked here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from asyncnet.cli.excerpt import visible
from asyncnet.cli.listing import Row, print_list, titled
from asyncnet.cli.printing import span
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import AccountState, Record
from asyncnet.spool.result import result_document

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


def print_json(records: list[Record], sight: Sight) -> None:
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


def print_record(record: Record, sight: Sight) -> None:
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


def print_troubles(sight: Sight) -> None:
    """Accounts whose mail waits, since that is why jobs stand still."""
    for state in sight.accounts.values():
        if state.state == "ok" or state.until <= sight.now:
            continue
        until = _until(state, sight.now)
        hint = f"; {state.hint}" if state.hint else ""
        print(f"{state.name} is {state.state}, {until}: {state.reason}{hint}")
