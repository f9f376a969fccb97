"""Open talks, kept for the next message of the same route.

A login costs several round trips, and providers count logins: a talk is used again while its
server takes it.  A talk lies in the pool, is in use by exactly one transaction, or is closed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from asyncnet.delivery.accounts import Account
from asyncnet.delivery.exchange import Exchange, Target

IDLE_S = 30.0  # servers hang up after minutes, some providers count open connections


class Connect(Protocol):
    """Exchange.connect, or a test's stand-in for it."""

    def __call__(self, target: Target, /) -> Awaitable[Exchange]: ...


@dataclass(eq=False, slots=True)
class Talk:
    """An exchange in the pool's care."""

    key: str
    exchange: Exchange
    made_at: float
    idle_since: float = 0.0
    reused: bool = False  # it carried a message before: the server may have left meanwhile


@dataclass(eq=False, slots=True)
class _Shelf:
    """What one route has open.  limit is the number of talks it may have at a time."""

    limit: int
    in_use: int = 0
    idle: list[Talk] = field(default_factory=list)
    freed: asyncio.Event = field(default_factory=asyncio.Event)


class Pool:
    """Talks by Route.key, within each account's limits.

    clock gives seconds; only differences of it count.
    """

    def __init__(
        self, connect: Connect, clock: Callable[[], float], *, idle_s: float = IDLE_S
    ) -> None:
        self._connect = connect
        self._clock = clock
        self._idle_s = idle_s
        self._shelves: dict[str, _Shelf] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def take(self, key: str, account: Account, *, fresh: bool = False) -> Talk:
        """An open talk; waits while the route has as many in use as it may.

        fresh: not one that lay here; those are closed, since what killed one killed all.
        Raises ExchangeFailed or AccountError when a new one cannot be had.  Every talk taken
        is given back or discarded.  Cancelling leaves nothing open or in use.
        """
        shelf = self._shelves.setdefault(key, _Shelf(account.connections))
        while shelf.in_use >= shelf.limit:
            shelf.freed.clear()
            await shelf.freed.wait()
        if fresh:
            self._close_all(shelf)
        self._close_old(shelf, account)
        if shelf.idle:
            # The last one in: the others may reach their idle time and go.
            talk = shelf.idle.pop()
            shelf.in_use += 1
            return talk
        shelf.in_use += 1
        try:
            exchange = await self._connect(await account.target())
        except BaseException:
            self._free(shelf)
            raise
        return Talk(key, exchange, self._clock())

    def give(self, talk: Talk, account: Account) -> None:
        """Take a talk back: kept for the next message, or closed where its time is over."""
        shelf = self._shelves[talk.key]
        self._free(shelf)
        talk.idle_since = self._clock()
        talk.reused = True
        shelf.idle.append(talk)
        self._close_old(shelf, account)

    def discard(self, talk: Talk) -> None:
        """Take a talk back that is not to be used again."""
        self._free(self._shelves[talk.key])
        self._close(talk)

    def fewer(self, key: str) -> None:
        """Have one talk less at a time from now on, one at least: the server asked for it."""
        shelf = self._shelves.get(key)
        if shelf is not None:
            shelf.limit = max(1, shelf.limit - 1)

    def limit(self, key: str, account: Account) -> int:
        """How many talks the route may have in use at a time."""
        shelf = self._shelves.get(key)
        return account.connections if shelf is None else shelf.limit

    def sweep(self) -> float | None:
        """Close what lay idle too long; the time when to come again (None: nothing lies here)."""
        now = self._clock()
        for shelf in self._shelves.values():
            self._close_where(shelf, lambda talk: now - talk.idle_since >= self._idle_s)
        times = [talk.idle_since for shelf in self._shelves.values() for talk in shelf.idle]
        return min(times) + self._idle_s if times else None

    async def close(self) -> None:
        """Close every talk that lies here, and wait until they are closed."""
        for shelf in self._shelves.values():
            self._close_all(shelf)
        while self._closing:
            await asyncio.wait(self._closing)

    def _free(self, shelf: _Shelf) -> None:
        shelf.in_use -= 1
        shelf.freed.set()

    def _close_old(self, shelf: _Shelf, account: Account) -> None:
        now = self._clock()
        most, longest_s = account.messages_per_connection, account.connection_s
        self._close_where(
            shelf,
            lambda talk: (
                not talk.exchange.usable
                or now - talk.idle_since >= self._idle_s
                or (most is not None and talk.exchange.transactions >= most)
                or (longest_s is not None and now - talk.made_at >= longest_s)
            ),
        )

    def _close_all(self, shelf: _Shelf) -> None:
        self._close_where(shelf, lambda _: True)

    def _close_where(self, shelf: _Shelf, condition: Callable[[Talk], bool]) -> None:
        for talk in [talk for talk in shelf.idle if condition(talk)]:
            shelf.idle.remove(talk)
            self._close(talk)

    def _close(self, talk: Talk) -> None:
        # Beside the way of the mail: whatever QUIT meets, no message waits for it.
        task = asyncio.create_task(talk.exchange.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
