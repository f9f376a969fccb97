"""The verbs account.list, account.hold and account.release.

What they do lies in the account book; here are their arguments, their answers and their refusals.
A daemon's book carries the lanes along, a book of a command's own the store alone.
"""

import difflib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from asyncnet.control.protocol import Arguments, RefusalKind, Refused, Verb
from asyncnet.delivery.account_book import AccountBook
from asyncnet.delivery.standing import held_by_person
from asyncnet.mailqueue.store import AccountState, Backlog, Store, StoreError

MAX_REASON = 500  # characters

Document = dict[str, Any]


class AccountVerbs:
    """The three verbs over one book and its store.  clock gives seconds since the epoch."""

    def __init__(
        self, book: AccountBook, store: Store, clock: Callable[[], float] = time.time
    ) -> None:
        self._book = book
        self._store = store
        self._clock = clock

    def table(self) -> dict[str, Verb]:
        return {
            "account.list": self.list_all,
            "account.hold": self.hold,
            "account.release": self.release,
        }

    async def list_all(self, arguments: Arguments) -> list[Document]:
        """How all accounts stand, by name."""
        _refuse_unknown(arguments, ())
        try:
            states = await self._book.standings()
            backlogs = await self._store.backlogs()
        except StoreError as error:
            raise _not_now(error) from error
        return documents(states, backlogs, self._clock())

    async def hold(self, arguments: Arguments) -> list[Document]:
        """Hold accounts until they are released; how they stand then."""
        _refuse_unknown(arguments, ("names", "reason"))
        reason = arguments.get("reason", "")
        if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
            raise Refused(
                RefusalKind.USAGE, f"a reason is one line of at most {MAX_REASON} characters"
            )
        names = await self._names(arguments)
        try:
            for name in names:
                await self._book.hold(name, self._clock(), reason)
        except StoreError as error:
            raise _not_now(error) from error
        return await self._stand(names)

    async def release(self, arguments: Arguments) -> list[Document]:
        """End holds and waits: the accounts are tried at once; how they stand then."""
        _refuse_unknown(arguments, ("names",))
        names = await self._names(arguments)
        try:
            for name in names:
                await self._book.release(name)
        except StoreError as error:
            raise _not_now(error) from error
        return await self._stand(names)

    async def _stand(self, names: Iterable[str]) -> list[Document]:
        wanted = set(names)
        return [it for it in await self.list_all({}) if it["name"] in wanted]

    async def _names(self, arguments: Arguments) -> list[str]:
        """The accounts named, all of them known: nothing is done by halves for a slip."""
        names = arguments.get("names")
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise Refused(RefusalKind.USAGE, "names is a list of accounts, one at least")
        try:
            known = list(await self._book.standings())
        except StoreError as error:
            raise _not_now(error) from error
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                advice = f"did you mean {near[0]!r}?" if near else _listed(known)
                raise Refused(RefusalKind.UNKNOWN, f"there is no account {name!r}; {advice}")
        return names


def documents(
    states: Mapping[str, AccountState], backlogs: Mapping[str, Backlog], now: float
) -> list[Document]:
    """What `account list --json` prints: times as in results; until null: no time ends it."""
    names = sorted(states.keys() | backlogs.keys())
    return [
        _document(states.get(name, AccountState(name)), backlogs.get(name, Backlog(0, None)), now)
        for name in names
    ]


def _document(state: AccountState, backlog: Backlog, now: float) -> Document:
    return {
        "name": state.name,
        "state": state.state,
        "since": _moment(state.since) if state.state != "ok" else None,
        "until": _moment(state.until) if now < state.until < math.inf else None,
        "held_by_person": held_by_person(state),
        "failures": state.failures,
        "reason": state.reason,
        "hint": state.hint,
        "waiting": backlog.messages,
        "due_at": _moment(backlog.due_at),
    }


def _moment(at: float | None) -> str | None:
    if at is None or not 0.0 <= at < 253_402_300_800.0:  # the year 10000
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _refuse_unknown(arguments: Arguments, known: Iterable[str]) -> None:
    if strange := set(arguments) - set(known):
        raise Refused(RefusalKind.USAGE, f"unknown argument {min(strange)!r}")


def _listed(names: list[str]) -> str:
    return f"known are: {', '.join(names)}" if names else "none is configured"


def _not_now(error: StoreError) -> Refused:
    return Refused(RefusalKind.UNAVAILABLE, str(error))
