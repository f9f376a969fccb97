"""`asyncnet account list`, `hold` and `release`: how accounts stand, and a person's word on it.

The running daemon is asked over its control socket.  Where none runs, the command does the same
itself, on the store alone, and holds the spool's lock while it writes: never behind a daemon's
back.
"""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from asyncnet.cli import asking, exit_codes
from asyncnet.cli.excerpt import visible
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.cli.listing import Row, console_for_lists, print_list, titled
from asyncnet.cli.printing import span
from asyncnet.cli.settings import read_settings
from asyncnet.config.sections import Settings
from asyncnet.control.accounts import AccountVerbs, documents
from asyncnet.control.client import NoDaemon
from asyncnet.control.protocol import Arguments
from asyncnet.delivery.account_book import AccountBook
from asyncnet.mailqueue.opening import open_reader, queue_exists
from asyncnet.mailqueue.store import AccountState, Store, StoreError
from asyncnet.providers.builtin import catalogue

Document = dict[str, Any]

_COLOURS = {"ok": "green", "throttled": "yellow", "held": "red", "down": "red"}


def list_accounts(config: Path | None, *, as_json: bool) -> int:
    """Print all accounts: their state, since and until when, why, and what waits for them."""
    settings = read_settings(config)
    try:
        found = asking.answer(settings, "account.list", {})
    except NoDaemon:
        found = _read(settings)
    if as_json:
        _print_json(found)
    elif not found:
        print("no account is configured")
    else:
        print_accounts(console_for_lists(), found, time.time())
        _print_hints(found)
    return exit_codes.OK


def hold(names: Sequence[str], config: Path | None, reason: str | None, *, as_json: bool) -> int:
    """Let nothing of these accounts go out until they are released."""
    arguments = {"names": list(names)} | ({} if reason is None else {"reason": reason})
    found, running = _act(read_settings(config), "account.hold", arguments)
    if as_json:
        _print_json(found)
        return exit_codes.OK
    for it in found:
        print(f"{it['name']} is held{_waiting(it)} until: asyncnet account release {it['name']}")
    _print_running(running)
    return exit_codes.OK


def release(names: Sequence[str], config: Path | None, *, as_json: bool) -> int:
    """Try these accounts at once, whatever they waited for."""
    found, running = _act(read_settings(config), "account.release", {"names": list(names)})
    if as_json:
        _print_json(found)
        return exit_codes.OK
    for it in found:
        print(f"{it['name']} is released{_waiting(it)}{_first_due(it, time.time())}")
    _print_running(running)
    return exit_codes.OK


# Asking, and doing it oneself.


def _act(settings: Settings, verb: str, arguments: Arguments) -> tuple[list[Document], bool]:
    """The answer, and whether a daemon gave it.  Raises CommandFailed."""
    try:
        return asking.answer(settings, verb, arguments), True
    except NoDaemon:
        pass

    async def act(store: Store) -> list[Document]:
        verbs = AccountVerbs(AccountBook(store, settings.account, catalogue()), store)
        found = await verbs.table()[verb](arguments)
        assert isinstance(found, list)
        return found

    return asking.on_the_store(settings, act), False


def _read(settings: Settings) -> list[Document]:
    """How the accounts stand, read without writing anything."""
    states: Mapping[str, AccountState] = {name: AccountState(name) for name in settings.account}
    if not queue_exists(settings.queue, settings.database):
        return documents(states, {}, time.time())
    try:
        with open_reader(settings.queue, settings.database) as reader:
            states = {**states, **reader.account_states()}
            return documents(states, reader.backlogs(), time.time())
    except StoreError as error:
        raise CommandFailed(exit_codes.UNAVAILABLE, [str(error)]) from error


# Printing.


def _print_json(found: list[Document]) -> None:
    print(json.dumps(found, ensure_ascii=False, indent=2))


def print_accounts(console: Console, found: list[Document], now: float) -> None:
    """How the accounts stand, one a row."""
    titles = ("account", "state", "since", "tried again", "failures", "waiting")
    rows = [Row(_cells(it, now), (), visible(it["reason"])) for it in found]
    print_list(console, titled(titles, "reason"), rows)


def _cells(it: Document, now: float) -> list[Text]:
    return [
        Text(it["name"]),
        Text(it["state"], _COLOURS.get(it["state"], "red")),
        Text(_ago(it["since"], now)),
        Text(_again(it, now)),
        Text(str(it["failures"] or "")),
        Text(str(it["waiting"])),
    ]


def _print_hints(found: list[Document]) -> None:
    for it in found:
        if it["hint"] and not it["held_by_person"]:
            print(f"{it['name']}: {it['hint']}")


def _again(it: Document, now: float) -> str:
    if it["state"] == "ok":
        return ""
    if it["held_by_person"]:
        return "when released"
    until = _epoch(it["until"])
    return "now" if until is None or until <= now else f"in {span(until - now)}"


def _ago(moment: str | None, now: float) -> str:
    at = _epoch(moment)
    return "" if at is None else f"{span(max(0.0, now - at))} ago"


def _waiting(it: Document) -> str:
    number = it["waiting"]
    return f"; {number} {'mail waits' if number == 1 else 'mails wait'}" if number else ""


def _first_due(it: Document, now: float) -> str:
    """When its mail goes, where that is not at once: the account is free, the mail has its time."""
    due_at = _epoch(it["due_at"])
    if due_at is None or due_at <= now + 1.0:
        return ""
    return f", the first is due in {span(due_at - now)}"


def _epoch(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()


def _print_running(running: bool) -> None:
    if not running:
        print("no daemon runs; it counts from its next start on", file=sys.stderr)
