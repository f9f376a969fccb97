"""Open talks, shared and kept for the next messages of the same route.

A login costs several round trips, and providers count logins: a talk is used again while its
server takes it, and carries several messages one behind the other where that saves round trips.
A talk lies idle in the pool, carries messages, or is closed.

Where no talk is open, one is opened for all who want one: the password may have been changed since
the last one, and providers lock accounts out that get it wrong on many connections.
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Protocol

from asyncnet.delivery.accounts import Account, AccountError
from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Target
from asyncnet.smtp.transaction import Plan

IDLE_S = 30.0  # servers hang up after minutes, some providers count open connections
# A server that failed a plan is spared it so long; then it may have been put right, or it was
# the network's fault.
PLAN_MEMORY_S = 3600.0


class Connect(Protocol):
    """Exchange.connect, or a test's stand-in for it."""

    def __call__(self, target: Target, /) -> Awaitable[Exchange]: ...


@dataclass(eq=False, slots=True)
class Talk:
    """An exchange in the pool's care.  users: messages that took it and did not give it back."""

    key: str
    exchange: Exchange
    number: int  # later ones have higher numbers
    made_at: float
    idle_since: float = 0.0
    users: int = 0
    begun: int = 0  # messages it was taken for
    retired: bool = False  # takes no more messages; closed when the last one is over


@dataclass(eq=False, slots=True)
class _Shelf:
    """What one route has open.  limit is the number of talks it may have at a time."""

    limit: int
    connecting: int = 0
    opening: asyncio.Future[None] | None = None  # the last one that was begun, until it is open
    talks: list[Talk] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    plan: Plan = Plan.CHUNKED
    plan_until: float = 0.0


class Pool:
    """Talks by Route.key, within each account's limits.

    clock gives seconds; only differences of it count.
    """

    def __init__(
        self,
        connect: Connect,
        clock: Callable[[], float],
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._idle_s = idle_s
        self._shelves: dict[str, _Shelf] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)

    async def take(self, key: str, account: Account, *, after: Talk | None = None) -> Talk:
        """A talk for one message: an idle one, else a new one, else a place on a busy one.

        Waits while the route has as many as it may and none has room.  after: only one that was
        made later than that talk; those that lie idle and are older are closed, since what
        killed one killed all.  Raises ExchangeFailed or AccountError when a new one cannot be
        had, the same to all who waited for it.  Every talk taken is given back or discarded.
        Cancelling leaves nothing open or in use.
        """
        shelf = self._shelves.get(key)
        if shelf is None:
            shelf = self._shelves[key] = _Shelf(account.connections)
        if after is not None:
            self._retire(shelf, lambda talk: talk.number <= after.number)
        while True:
            talk = self._idle(shelf, account)
            if talk is None and (first := self._first(shelf)) is not None:
                await asyncio.wait([first])
                first.result()
                continue
            if talk is None and len(shelf.talks) + shelf.connecting < shelf.limit:
                talk = await self._open(shelf, key, account)
            if talk is None:
                talk = self._with_room(shelf, account)
            if talk is not None:
                talk.users += 1
                talk.begun += 1
                return talk
            shelf.changed.clear()
            await shelf.changed.wait()

    def give(self, talk: Talk, account: Account) -> None:
        """Take a talk back: kept for the next message, or closed where its time is over."""
        talk.retired = talk.retired or self._worn(talk, account)
        self._release(talk)

    def discard(self, talk: Talk) -> None:
        """Take a talk back that is not to be used again."""
        talk.retired = True
        self._release(talk)

    def fewer(self, key: str) -> None:
        """Have one talk less at a time from now on, one at least: the server asked for it."""
        shelf = self._shelves.get(key)
        if shelf is not None:
            shelf.limit = max(1, shelf.limit - 1)

    def limit(self, key: str, account: Account) -> int:
        """How many messages of the route may be on their way at a time."""
        shelf = self._shelves.get(key)
        if shelf is None:
            return account.connections
        places = max(0, shelf.limit - len(shelf.talks))  # one on each that is to come
        for talk in shelf.talks:
            if not talk.retired:
                places += max(talk.users, talk.exchange.places)
        return max(1, places)

    def sweep(self) -> float | None:
        """Close what lay idle too long; the time when to come again (None: nothing lies here)."""
        now, oldest = self._clock(), math.inf
        for shelf in self._shelves.values():
            for talk in [talk for talk in shelf.talks if not talk.users]:
                if now - talk.idle_since >= self._idle_s:
                    talk.retired = True
                    self._close_retired(shelf, talk)
                else:
                    oldest = min(oldest, talk.idle_since)
        return None if math.isinf(oldest) else oldest + self._idle_s

    async def close(self) -> None:
        """Close every talk that lies here, and wait until they are closed."""
        for shelf in self._shelves.values():
            self._retire(shelf, lambda _: True)
        while self._closing:
            await asyncio.wait(self._closing)

    async def _open(self, shelf: _Shelf, key: str, account: Account) -> Talk:
        now = self._clock()
        plan = shelf.plan if now < shelf.plan_until else Plan.CHUNKED
        shelf.connecting += 1
        opening = shelf.opening = asyncio.get_running_loop().create_future()
        try:
            target = await account.target()
            exchange = await self._connect(replace(target, plan=plan))
        except (ExchangeFailed, AccountError) as error:
            opening.set_exception(error)
            opening.exception()  # nobody need have waited for it
            raise
        finally:
            if not opening.done():
                opening.set_result(None)
            shelf.connecting -= 1
            shelf.changed.set()
        now = self._clock()
        talk = Talk(key, exchange, next(self._numbers), made_at=now, idle_since=now)
        shelf.talks.append(talk)
        return talk

    def _first(self, shelf: _Shelf) -> asyncio.Future[None] | None:
        """The talk being opened to which others are to wait: none is open yet, or any more."""
        opening = shelf.opening
        if opening is None or opening.done():
            return None
        return None if any([talk.exchange.usable for talk in shelf.talks]) else opening

    def _idle(self, shelf: _Shelf, account: Account) -> Talk | None:
        """The talk that lay here for the shortest time: the others may reach their idle time."""
        idle = [talk for talk in shelf.talks if not talk.users]
        for talk in sorted(idle, key=_idle_since, reverse=True) if len(idle) > 1 else idle:
            if not self._worn(talk, account):
                return talk
            talk.retired = True
            self._close_retired(shelf, talk)
        return None

    def _with_room(self, shelf: _Shelf, account: Account) -> Talk | None:
        """The busy talk with the fewest messages that has a place for another one, or None."""
        for talk in sorted(shelf.talks, key=_users):
            talk.retired = talk.retired or self._worn(talk, account)
            if not talk.retired and talk.users < talk.exchange.places:
                return talk
        return None

    def _worn(self, talk: Talk, account: Account) -> bool:
        """Whether it is to carry no more messages."""
        now = self._clock()
        most, longest_s = account.messages_per_connection, account.connection_s
        its_most = talk.exchange.message_limit
        return (
            not talk.exchange.usable
            or (not talk.users and now - talk.idle_since >= self._idle_s)
            or (most is not None and talk.begun >= most)
            or (its_most is not None and talk.begun >= its_most)
            or (longest_s is not None and now - talk.made_at >= longest_s)
        )

    def _release(self, talk: Talk) -> None:
        shelf, now = self._shelves[talk.key], self._clock()
        tripped = talk.exchange.tripped
        if tripped is not None:
            talk.retired = True
            shelf.plan, shelf.plan_until = Plan(max(0, tripped - 1)), now + PLAN_MEMORY_S
        talk.users -= 1
        talk.idle_since = now
        self._close_retired(shelf, talk)
        shelf.changed.set()

    def _retire(self, shelf: _Shelf, condition: Callable[[Talk], bool]) -> None:
        """Give out no more what fits; closed at once or with its last message."""
        for talk in [talk for talk in shelf.talks if condition(talk)]:
            talk.retired = True
            self._close_retired(shelf, talk)

    def _close_retired(self, shelf: _Shelf, talk: Talk) -> None:
        if talk.retired and not talk.users:
            shelf.talks.remove(talk)
            self._close(talk)

    def _close(self, talk: Talk) -> None:
        # Beside the way of the mail: whatever QUIT meets, no message waits for it.
        task = asyncio.create_task(talk.exchange.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


_users = attrgetter("users")
_idle_since = attrgetter("idle_since")
