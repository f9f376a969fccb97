"""The pulse of a process on PostgreSQL: its leases are renewed, dead ones' are judged, bells heard.

All leases of a process hang on one row of holder, so that a beat costs one small update, however
many they are.  A process that does not beat for LEASE_TERM_S (killed, stopped, cut off) is dead
for the others: one of them locks its row, takes its leases back and deletes the row.  Should it
live on, its fencing numbers and its place in holder are gone; it enters anew.

Where nobody could beat (the database was away), nobody is dead: after a start of the server, and
after a late beat of our own, the others get a whole term to come back.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from asyncnet.mailqueue import postgres_steps as steps
from asyncnet.mailqueue.postgres_access import Access, Connection
from asyncnet.mailqueue.postgres_link import QUERIES, Link
from asyncnet.mailqueue.store import StoreError

LEASE_TERM_S = 30.0  # well above the longest stall of a healthy process, well below a person's
BEATS = 3  # in a term: two may be lost
LEAVE_S = 3.0  # a database that hangs is not waited for: without a word our term ends, too

READY, FINISHED = "asyncnet_ready", "asyncnet_finished"


class Pulse:
    """Enters the process into the table of holders and keeps it there.

    on_ready is called when something may be due by another machine's doing, on_finished when
    something of owner's is finished by it; both after each connection, since bells that rang
    meanwhile were not heard.  tidy is called before each look at the others.
    """

    def __init__(
        self,
        access: Access,
        owner: str,
        *,
        term_s: float,
        on_ready: Callable[[], None],
        on_finished: Callable[[], None],
        tidy: Callable[[], Awaitable[None]],
    ) -> None:
        self.holder = 0
        self.term_s = term_s
        self._owner = owner
        self._on_ready = on_ready
        self.on_finished = on_finished
        self._tidy = tidy
        self._link = Link(access)
        self._listening: Connection | None = None
        self._beaten_at = 0.0
        self._judge_from = 0.0  # on the loop's clock
        self._task: asyncio.Task[None] | None = None
        self._lost = asyncio.Event()
        self._entering = asyncio.Lock()

    async def begin(self, now: float, *, alone: bool) -> None:
        """Enter, and judge the dead; alone: earlier processes of the owner are.

        Raises StoreError.
        """
        owner = self._owner if alone else None
        await self._judge(now, owner)
        await self._enter()
        await self._link.repeat(self._listen)
        self._beaten_at = asyncio.get_running_loop().time()
        self._task = asyncio.create_task(self._beat_for_ever(), name="mailqueue-pulse")

    async def end(self) -> None:
        """Leave: leases that are still held are over.  May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(LEAVE_S):
                    await self._link.ask("leave", self.holder)
        await self._link.close()

    async def enter_after(self, holder: int) -> None:
        """Begin as a new holder in place of one that was removed.  Raises StoreError."""
        async with self._entering:
            if self.holder == holder:
                await self._enter()

    async def _enter(self) -> None:
        ((self.holder,),) = await self._link.ask("enter_holder", self._owner, self.term_s)

    async def _listen(self, connection: Connection) -> None:
        if connection is self._listening:
            return
        await connection.add_listener(READY, self._heard)
        await connection.add_listener(FINISHED, self._heard)
        connection.add_termination_listener(self._line_lost)
        self._listening = connection

    def _heard(self, connection: object, pid: int, channel: str, payload: object) -> None:
        # What rang by our own doing was answered at once, when it was committed.
        if channel == READY and payload != str(self.holder):
            self._on_ready()
        elif channel == FINISHED and payload == self._owner:
            self.on_finished()

    def _line_lost(self, connection: object) -> None:
        self._lost.set()

    async def _beat_for_ever(self) -> None:
        while True:
            self._lost.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.term_s / BEATS):
                    await self._lost.wait()
            try:
                await self._beat()
            except StoreError:
                # Whoever calls the store learns it; here the next beat comes by itself.
                await asyncio.sleep(min(1.0, self.term_s / BEATS))

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        holder = self.holder
        if not await self._link.ask("beat", holder, self.term_s):
            await self.enter_after(holder)  # we were dead for the others
        if loop.time() - self._beaten_at > self.term_s * 2 / BEATS:
            self._judge_from = loop.time() + self.term_s
        self._beaten_at = loop.time()
        before = self._listening
        await self._link.repeat(self._listen)
        if self._listening is not before:
            self._on_ready()
            self.on_finished()
        await self._tidy()
        if loop.time() >= self._judge_from:
            # Ours, not the server's: by the daemons' clocks mail is due.
            if await self._judge(time.time(), None):
                self._on_ready()
                self.on_finished()

    async def _judge(self, now: float, owner: str | None) -> bool:
        """Whether somebody was dead."""
        return await self._link.transact(partial(self._judge_dead, owner=owner, now=now))

    async def _judge_dead(self, connection: Connection, owner: str | None, now: float) -> bool:
        owners: Sequence[str] | None = await steps.judge(connection, owner, self.term_s, now)
        if owners is None:
            return False
        await steps.ring(connection, str(self.holder), owners)
        return True


async def beat_within(connection: Connection, holder: int, term_s: float) -> bool:
    """Whether the holder is still there; it is locked then until the transaction ends."""
    return bool(await connection.fetch(QUERIES["beat"], holder, term_s))
