"""The verbs queue.hold, queue.release, queue.retry and queue.cancel.

What they do to messages lies in the store (see Store.instruct); here are their arguments, their
answers in words, and their refusals.  A selection is answered page by page, each of them one step
of the store: whoever asks goes on with the "after" that came back, until it is null.  So neither
memory nor waiting grows with the queue.
"""

import difflib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from asyncnet.control.protocol import Arguments, RefusalKind, Refused, Verb
from asyncnet.mail.verdict import JobStatus
from asyncnet.mailqueue.store import (
    AccountState,
    Effect,
    Instructed,
    Record,
    Selection,
    Store,
    StoreError,
    Word,
)

PAGE_JOBS = 500  # one transaction of about 10 ms
MAX_REASON = 500  # characters

Document = dict[str, Any]


class Hands(Protocol):
    """Who holds leases: the delivery agent."""

    async def let_go(self, queue_ids: Collection[str]) -> frozenset[str]: ...

    def hasten(self, queue_ids: Collection[str]) -> None: ...


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as it was understood; place and after are where this page begins."""

    keys: tuple[str | None, ...]  # (None,): whatever meets the other terms
    account: str | None
    states: frozenset[JobStatus]
    reason: str
    place: int
    after: str

    def selection(self, key: str | None) -> Selection:
        return Selection(key, self.account, self.states)


class QueueVerbs:
    """The four verbs over one store.  clock gives seconds since the epoch.

    hands is None where nothing is leased in this process; accounts are those of the settings.
    Not running: no daemon is there that would send at once.
    """

    def __init__(
        self,
        store: Store,
        accounts: Collection[str] = (),
        hands: Hands | None = None,
        clock: Callable[[], float] = time.time,
        *,
        running: bool = True,
    ) -> None:
        self._store = store
        self._running = running
        self._accounts = accounts
        self._hands = hands
        self._clock = clock

    def table(self) -> dict[str, Verb]:
        return {f"queue.{word}": partial(self._say, word) for word in Word}

    async def _say(self, word: Word, arguments: Arguments) -> Document:
        """{"jobs": what became of each, "after": where the next page begins, or null}."""
        asked = _asked(arguments)
        try:
            return await self._page(word, asked)
        except StoreError as error:
            raise Refused(RefusalKind.UNAVAILABLE, str(error)) from error

    async def _page(self, word: Word, asked: _Asked) -> Document:
        jobs: list[Document] = []
        place, after = asked.place, asked.after
        states = await self._store.account_states()
        while place < len(asked.keys) and len(jobs) < PAGE_JOBS:
            key = asked.keys[place]
            found, following = await self._some(word, asked, key, after, PAGE_JOBS - len(jobs))
            sight = _Sight(states, self._clock(), self._running)
            jobs += [_document(it, word, key, sight) for it in found]
            if not found and not after and key is not None:
                jobs.append(await self._why_not(key))
            place, after = (place + 1, "") if following is None else (place, following)
        if not jobs and asked.account is not None:
            refuse_unknown_account(asked.account, {*self._accounts, *states})
        more = place < len(asked.keys)
        return {"jobs": jobs, "after": f"{place}:{after}" if more else None}

    async def _some(
        self, word: Word, asked: _Asked, key: str | None, after: str, limit: int
    ) -> tuple[list[Instructed], str | None]:
        try:
            page = await self._store.select(asked.selection(key), after, limit)
        except ValueError as error:
            raise _usage("after is what the page before gave") from error
        if not page.queue_ids:
            return [], page.after
        now = self._clock()
        found = await self._store.instruct(word, page.queue_ids, now, asked.reason)
        found = await self._in_hand(word, found, asked.reason)
        order = {queue_id: place for place, queue_id in enumerate(page.queue_ids)}
        return sorted(found, key=lambda it: order[it.queue_id]), page.after

    async def _in_hand(self, word: Word, found: list[Instructed], reason: str) -> list[Instructed]:
        """The same when those that lay leased and had not begun are given back."""
        if self._hands is None:
            return found
        if word in (Word.RELEASE, Word.RETRY):
            self._hands.hasten([it.queue_id for it in found if it.effect is Effect.DONE])
            return found
        leased = [it.queue_id for it in found if it.effect is Effect.UNDER_WAY]
        given_back = await self._hands.let_go(leased) if leased else frozenset()
        if not given_back:
            return found
        # Said again to learn how they stand: the word fell on them as they came back.
        again = await self._store.instruct(word, given_back, self._clock(), reason)
        done = {it.queue_id: replace(it, effect=Effect.DONE, pending=None) for it in again}
        return [done.get(it.queue_id, it) for it in found]

    async def _why_not(self, key: str) -> Document:
        """Why a key has nothing to act on."""
        records = await self._store.find(key)
        if not records:
            return {"key": key, "effect": "unknown", "text": f"no job has the id or name {key!r}"}
        record = records[0]
        effect = Effect.FINISHED.value if record.status.final else "passed_over"
        text = _finished(record) if record.status.final else f"is {record.status}: not asked for"
        return {
            "key": key,
            "queue_id": record.claim.queue_id,
            "name": record.claim.name,
            "id": record.job_id,
            "account": record.account or record.server,
            "effect": effect,
            "status": str(record.status),
            "due_at": _moment(record.due_at),
            "text": text,
        }


def refuse_unknown_account(account: str, known: Collection[str]) -> None:
    """Tell an account that has no jobs from one that is not there.  Raises Refused."""
    if account in known or not known or account.startswith("server "):
        return
    near = difflib.get_close_matches(account, sorted(known), n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(known))}"
    raise Refused(RefusalKind.UNKNOWN, f"there is no account {account!r}; {advice}")


def _asked(arguments: Arguments) -> _Asked:
    """The question.  Raises Refused."""
    known = ("keys", "account", "states", "all", "reason", "after")
    if strange := set(arguments) - set(known):
        raise _usage(f"unknown argument {min(strange)!r}")
    keys, states = _texts(arguments, "keys"), _texts(arguments, "states")
    account, after = arguments.get("account"), arguments.get("after", "0:")
    reason = arguments.get("reason", "")
    if account is not None and not isinstance(account, str):
        raise _usage("account is a text")
    if not isinstance(reason, str) or len(reason) > MAX_REASON or not reason.isprintable():
        raise _usage(f"a reason is one line of at most {MAX_REASON} characters")
    if not (keys or states or account or arguments.get("all") is True):
        raise _usage("say which: ids or names, an account, a state, or all")
    if keys and arguments.get("all") is True:
        raise _usage("all of them, or those named: not both")
    place, colon, rest = after.partition(":") if isinstance(after, str) else ("", "", "")
    if not (colon and place.isascii() and place.isdigit()):
        raise _usage("after is what the page before gave")
    wanted = frozenset(_state(state) for state in states)
    return _Asked(keys or (None,), account, wanted, reason, int(place), rest)


def _state(name: str) -> JobStatus:
    waiting = [str(state) for state in JobStatus if not state.final]
    if name not in waiting:
        raise _usage(f"{name!r} is no state that jobs wait in; these are: {', '.join(waiting)}")
    return JobStatus(name)


def _texts(arguments: Arguments, name: str) -> tuple[str, ...]:
    texts = arguments.get(name, [])
    if not isinstance(texts, list) or not all(isinstance(it, str) and it for it in texts):
        raise _usage(f"{name} is a list of texts")
    return tuple(dict.fromkeys(texts))


def _usage(text: str) -> Refused:
    return Refused(RefusalKind.USAGE, text)


# In words.


@dataclass(frozen=True, slots=True)
class _Sight:
    """What the words tell besides the message."""

    accounts: Mapping[str, AccountState]
    now: float
    running: bool


def _document(it: Instructed, word: Word, key: str | None, sight: _Sight) -> Document:
    return {
        "key": key,
        "queue_id": it.queue_id,
        "name": it.name,
        "id": it.job_id,
        "account": it.account,
        "effect": str(it.effect),
        "status": str(it.status),
        "due_at": _moment(it.due_at),
        "text": _words(it, word, sight),
    }


def _words(it: Instructed, word: Word, sight: _Sight) -> str:
    if it.effect is Effect.FINISHED:
        return f"is finished: {it.status}"
    if it.effect is Effect.UNDER_WAY:
        return _under_way(word)
    if word is Word.HOLD:
        already = "is held already" if it.effect is Effect.UNCHANGED else "is held"
        return f"{already}, until: asyncnet queue release {it.queue_id}"
    if word is Word.CANCEL:
        some = "; some of its recipients have it" if it.status is JobStatus.PARTIAL else ""
        return f"is canceled{some}"
    said = _tried(it, running=sight.running) if word is Word.RETRY else _released(it)
    return said + _obstacle(it, sight.accounts.get(it.account), sight.now)


def _under_way(word: Word) -> str:
    match word:
        case Word.HOLD:
            return "is being sent right now, which is finished first; what stays open is held then"
        case Word.CANCEL:
            return (
                "is being sent right now, which cannot be stopped; what stays open is canceled then"
            )
        case _:
            return "is being sent right now"


def _tried(it: Instructed, *, running: bool) -> str:
    if it.effect is Effect.SCHEDULED:
        return f"is not tried before its time, {_moment(it.due_at)}"
    due_already = it.effect is Effect.UNCHANGED
    if not running:
        is_due = "is due already, and " if due_already else "is "
        return f"{is_due}tried as soon as a daemon runs: none does now"
    return "is due already" if due_already else "is tried now"


def _released(it: Instructed) -> str:
    if it.effect is Effect.SCHEDULED:
        return f"is released; it goes at its time, {_moment(it.due_at)}"
    return "is not held" if it.effect is Effect.UNCHANGED else "is released"


def _obstacle(it: Instructed, account: AccountState | None, now: float) -> str:
    """What keeps a message that is due from being sent."""
    if it.expires_at is not None and it.expires_at <= now:
        return "; but its time is over, so it ends as expired"
    if account is not None and account.state != "ok" and account.until > now:
        why = f" ({account.reason})" if account.reason else ""
        return f"; but its account is {account.state}{why}: asyncnet account release {account.name}"
    return ""


def _finished(record: Record) -> str:
    if record.status is JobStatus.SENT:
        return "is finished: sent"
    name, ending = record.claim.name, record.claim.job_file.rpartition(".")[2]
    return (
        f"is finished: {record.status}; to send it again, move {name}.{ending} and "
        f"{name}.result.json from failed/ back to pickup/: who has it already is left out"
    )


def _moment(at: float | None) -> str | None:
    if at is None or not 0.0 <= at < 253_402_300_800.0:  # the year 10000
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
