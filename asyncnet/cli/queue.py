"""`asyncnet queue list` and `show`: the store read beside the daemon, or without one.

What acts on jobs stands in queue_words.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from asyncnet.cli import exit_codes
from asyncnet.cli.printing import console_for_tables, span
from asyncnet.cli.settings import read_settings
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.opening import open_reader
from asyncnet.mailqueue.store import AccountState, Record, StoreError
from asyncnet.spool.result import result_document

LISTED = 1000  # rows at most
_COLOURS = {
    JobStatus.SENT: "green",
    JobStatus.QUEUED: "cyan",
    JobStatus.DEFERRED: "yellow",
    JobStatus.HELD: "yellow",
}


def list_jobs(config: Path | None, *, everything: bool, as_json: bool) -> int:
    """Print the jobs that wait, or all that are kept."""
    states = tuple(JobStatus) if everything else ()
    settings = read_settings(config)
    try:
        with open_reader(settings.queue, settings.database) as reader:
            records = reader.records(states=states, limit=LISTED)
            accounts = dict(reader.account_states())
    except StoreError as error:
        print(f"asyncnet: {error}", file=sys.stderr)
        return exit_codes.UNAVAILABLE
    if as_json:
        print(json.dumps([_document(it) for it in records], ensure_ascii=False, indent=2))
        return exit_codes.OK
    if not records:
        print("no job waits" if not everything else "no job is known")
    else:
        console_for_tables().print(_table(records, time.time()))
    _print_troubles(accounts, time.time())
    return exit_codes.OK


def show(key: str, config: Path | None, *, as_json: bool) -> int:
    """Print the jobs that key names."""
    settings = read_settings(config)
    try:
        with open_reader(settings.queue, settings.database) as reader:
            records = reader.find(key)
    except StoreError as error:
        print(f"asyncnet: {error}", file=sys.stderr)
        return exit_codes.UNAVAILABLE
    if as_json:
        print(json.dumps([_document(it) for it in records], ensure_ascii=False, indent=2))
        return exit_codes.OK if records else exit_codes.DATA
    if not records:
        print(f"asyncnet: no job has the id or name {key!r}", file=sys.stderr)
        return exit_codes.DATA
    for record in records:
        _print_record(record, time.time())
    return exit_codes.OK


def _document(record: Record) -> dict[str, Any]:
    """The result as it is or would be, and when a waiting job is due."""
    return {**result_document(record), "due_at_epoch_s": record.due_at, "note": record.note}


def _table(records: list[Record], now: float) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for title in ("queue id", "name", "status", "by", "tries", "next try", "to", "answer"):
        # The id is what the other commands want: it is never cut.
        table.add_column(title, no_wrap=True, min_width=16 if title == "queue id" else None)
    for record in records:
        worst = _telling(record)
        table.add_row(
            record.claim.queue_id,
            escape(record.claim.name),
            f"[{_COLOURS.get(record.status, 'red')}]{record.status}[/]",
            escape(record.account or record.server or ""),
            str(record.attempts),
            _when(record, now),
            str(len(record.recipients)),
            escape(worst),
        )
    return table


def _telling(record: Record) -> str:
    """The one line that says most: what is wrong, else the last answer."""
    if record.errors:
        return str(record.errors[0])
    if record.note:
        return record.note
    verdicts = [it.verdict for it in record.recipients]
    for verdict in sorted(verdicts, key=lambda it: it.code or 0, reverse=True):
        if verdict.text:
            return f"{verdict.code or ''} {verdict.text}".strip()[:80]
    return ""


def _when(record: Record, now: float) -> str:
    if record.due_at is None or record.status is JobStatus.HELD:
        return ""
    wait_s = record.due_at - now
    return "now" if wait_s <= 0 else f"in {span(wait_s)}"


def _print_record(record: Record, now: float) -> None:
    console = Console(soft_wrap=True)
    console.print(f"[bold]{escape(record.claim.name)}[/]  {record.claim.queue_id}")
    for label, value in {
        "status": record.status,
        "next try": _when(record, now),
        "tries": record.attempts,
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


def _print_troubles(accounts: dict[str, AccountState], now: float) -> None:
    """Accounts whose mail waits, since that is why jobs stand still."""
    for state in accounts.values():
        if state.state == "ok" or state.until <= now:
            continue
        until = "until a person releases it"
        if state.until != float("inf"):
            until = f"tried again in {span(state.until - now)}"
        hint = f"; {state.hint}" if state.hint else ""
        print(f"{state.name} is {state.state}, {until}: {state.reason}{hint}")
