"""The delivery agent: leases what is due, carries it to its servers, settles what became of it.

One message's or one account's trouble stops nobody else.  The crash story is the store's: an
attempt is leased, its dot is marked before it leaves, and its verdicts are committed as soon as
they are known, before anything else is done with that message.
"""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any

import structlog

from asyncnet.config.sections import AccountSettings, QueueSettings
from asyncnet.delivery.account_book import AccountBook
from asyncnet.delivery.bell import Bell
from asyncnet.delivery.carrier import Carrier
from asyncnet.delivery.exchange import Exchange
from asyncnet.delivery.lane import Lane
from asyncnet.delivery.pool import IDLE_S, Connect, Pool
from asyncnet.delivery.store_trouble import STORE_RETRY_S, StoreTrouble
from asyncnet.mail.verdict import RecipientStatus
from asyncnet.mailqueue.store import Lease, LeaseLost, Settlement, Store, StoreBroken, StoreError
from asyncnet.providers.builtin import catalogue
from asyncnet.providers.presets import Catalogue

LEASE_BATCH = 64  # one query for many; Lane.room tells how much may lie in hand
MAX_HELD = 2048  # leases in all, about 1 KB each
LONGEST_WAIT_S = 60.0  # look at the store that often, whatever it said: clocks jump
RECHECK_S = 1.0  # between looks for mail that is due and that the store does not give

log = structlog.get_logger()


class DeliveryAgent:
    """Sends the store's mail through the accounts until it is told to stop.

    clock gives seconds since the epoch, chance random numbers in [0, 1), sleep waits.
    on_settled is told each settlement that was committed.
    """

    def __init__(
        self,
        store: Store,
        accounts: Mapping[str, AccountSettings],
        settings: QueueSettings,
        *,
        clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        connect: Connect = Exchange.connect,
        providers: Catalogue | None = None,
        idle_s: float = IDLE_S,
        on_settled: Callable[[Lease, Settlement], None] | None = None,
    ) -> None:
        self._store = store
        self._on_settled = on_settled
        self._clock = clock
        self._sleep = sleep
        self._trouble = StoreTrouble(clock)
        self._book = AccountBook(store, accounts, providers or catalogue(), self._trouble)
        self._bell = Bell(clock, sleep)  # something happened: take another turn
        self._pool = Pool(connect, clock, idle_s=idle_s)
        self._carrier = Carrier(
            store, self._pool, self._book, settings, clock, chance, self._trouble
        )
        self._look_at = -math.inf  # when the store may have something for us
        self._passed_over: frozenset[str] = frozenset()  # the lanes that were full then
        self._tasks: dict[asyncio.Task[None], Lease] = {}
        self._carrying: set[int] = set()  # id() of those leases that may be cut off
        self._recalled: set[str] = set()  # queue ids that are not to begin; see let_go
        self._broken: StoreBroken | None = None
        self._stopping = False
        self._cutting_off = False
        self._grace_s = 0.0
        self._over: asyncio.Event | None = None

    @property
    def book(self) -> AccountBook:
        """How the accounts stand; a person's word in it counts at once."""
        return self._book

    async def run(self) -> None:
        """Deliver until stop().

        Raises StoreBroken when the store is: nothing more is written then, and the process is
        to end.  Cancelled, it stops without grace.
        """
        self._over = asyncio.Event()
        watch = asyncio.create_task(self._watch_store())
        try:
            await self._book.recall()
            while not self._stopping and self._broken is None:
                self._bell.hush()
                await self._bell.wait(until=await self._turn())
        except StoreBroken as error:
            self._broken = error
        finally:
            watch.cancel()
            self._bell.close()
            await self._end()
            self._over.set()
        if self._broken is not None:
            raise self._broken

    async def stop(self, grace_s: float) -> None:
        """Begin nothing more, let what runs finish within grace_s, give back the rest.

        Returns when run() is over.  What is cut off before its dot goes back unharmed, what is
        cut off after it is in doubt.
        """
        self._grace_s = grace_s
        self._stopping = True
        self._bell.ring()
        if self._over is not None:
            await self._over.wait()

    # What a person says to messages.

    async def let_go(self, queue_ids: Collection[str]) -> frozenset[str]:
        """Give back those of the messages that have not begun, as if they had not been leased.

        Returns which, when that is committed.  Those under way are left alone; those that the
        store is only about to give us go back as they come.
        """
        wanted = set(queue_ids)
        self._recalled |= wanted
        in_hand: list[str] = []
        given_back = []
        for lane in self._book.lanes.values():
            found = [lease for lease in lane.waiting if lease.queue_id in wanted]
            if found:
                lane.waiting = deque(it for it in lane.waiting if it.queue_id not in wanted)
                lane.held -= len(found)
            in_hand += [lease.queue_id for lease in found]
            now = self._clock()
            given_back += [self._spawn(self._give_back(lease, now), lease) for lease in found]
        if given_back:
            await asyncio.wait(given_back)
        return frozenset(in_hand)

    def hasten(self, queue_ids: Collection[str]) -> None:
        """Let none of the recipients of these messages rest until a time of their own."""
        self._carrier.forget_rests(queue_ids)

    # What is leased and begun.

    async def _turn(self) -> float:
        """Lease and begin what can be; when to take the next turn if nothing happens before."""
        now = self._clock()
        swept_at = self._pool.sweep()
        self._book.forget_idle(now)
        wake = [now + LONGEST_WAIT_S, math.inf if swept_at is None else swept_at]
        lanes = self._book.lanes
        if any(key not in lanes or lanes[key].at_leisure for key in self._passed_over):
            self._look_at = -math.inf
        self._look_at = min(self._look_at, self._trouble.over_at)  # that it is over is told
        wake.append(await self._look(now) if self._look_at <= now else self._look_at)
        for lane in lanes.values():
            if lane.waiting and lane.blocked(now) and not lane.state_unwritten:
                self._empty(lane)  # a person held the account
            self._begin(lane)
            if lane.waiting and lane.next_start_at > now:
                wake.append(lane.next_start_at)
        return min(wake)

    async def _look(self, now: float) -> float:
        """Lease what is due; when to look again if nothing happens before."""
        try:
            in_hand = sum(len(lane.waiting) for lane in self._book.lanes.values())
            if len(self._tasks) + in_hand > MAX_HELD:
                return math.inf  # whatever ends rings for another turn
            full = frozenset(lane.key for lane in self._book.lanes.values() if lane.full)
            # Before the query: a hint that comes during it must not be written over.
            self._look_at, self._passed_over = math.inf, full
            leases = await self._store.lease(now, LEASE_BATCH, full)
            self._trouble.step_done()
            for lease in leases:
                await self._take_in_or_give_back(lease, now)
            more = len(leases) == LEASE_BATCH  # else all that was due is in hand, as a rule
            due_at = now if more else await self._store.next_due(now, full)
        except StoreBroken:
            raise
        except StoreError as error:
            self._trouble.met(error)
            due_at = now + STORE_RETRY_S
            leases = []
        if due_at is not None:
            if due_at <= now and not leases:
                # It is kept back by something that only the store knows of.
                due_at = now + RECHECK_S
            self._look_at = min(self._look_at, due_at)
        return self._look_at

    async def _take_in_or_give_back(self, lease: Lease, now: float) -> None:
        """One lease that the store fails at must not leave the others lying."""
        try:
            await self._take_in(lease, now)
        except StoreBroken:
            raise
        except StoreError as error:
            self._trouble.met(error)
            self._spawn(self._give_back(lease, now + STORE_RETRY_S), lease)

    async def _take_in(self, lease: Lease, now: float) -> None:
        """Put a lease in hand into its lane, or give it back where its account waits."""
        if lease.queue_id in self._recalled:
            self._spawn(self._give_back(lease, now), lease)
            return
        if now >= lease.expires_at:
            self._spawn(self._expire(lease), lease)
            return
        lane = await self._book.lane(lease.route, now)
        if lane is None:
            # A moment later, because the store may only be about to learn why.
            self._spawn(self._give_back(lease, now + 1.0), lease)
            return
        lane.held += 1
        lane.waiting.append(lease)

    def _begin(self, lane: Lane) -> None:
        """Begin as many deliveries of a lane as its limits allow."""
        if not lane.waiting or self._stopping:
            return
        now, limit = self._clock(), self._pool.limit(lane.key, lane.account)
        while (lease := lane.next_lease(now, limit)) is not None:
            self._spawn(self._deliver(lane, lease), lease)

    # One delivery.

    async def _deliver(self, lane: Lane, lease: Lease) -> None:
        settlement = None
        try:
            settlement = await self._carry(lane, lease)
        finally:
            lane.talking -= 1
            lane.held -= 1
            self._begin(lane)  # the talk is free; what follows needs the store alone
        # Verdicts first.  Where there is none, the store learns first that the account waits,
        # or it would give us the message again.
        if settlement is not None:
            if lane.state_unwritten and not _decides(settlement):
                await self._book.save_state(lane)
            await self._settle(lease, settlement)
        if lane.state_unwritten:
            await self._book.save_state(lane)
        if lane.blocked(self._clock()):
            self._empty(lane)

    async def _carry(self, lane: Lane, lease: Lease) -> Settlement | None:
        now = self._clock()
        if self._cutting_off or lane.blocked(now):
            return Settlement({}, now, counted=False)
        if now >= lease.expires_at:
            return await self._carrier.expire(lease)
        self._carrying.add(id(lease))
        try:
            return await self._carrier.carry(lane, lease)
        finally:
            self._carrying.discard(id(lease))

    async def _expire(self, lease: Lease) -> None:
        await self._settle(lease, await self._carrier.expire(lease))

    def _empty(self, lane: Lane) -> None:
        """Give back what waits in a lane."""
        while lane.waiting:
            lane.held -= 1
            lease = lane.waiting.popleft()
            self._spawn(self._give_back(lease, self._clock()), lease)

    async def _give_back(self, lease: Lease, due_at: float) -> None:
        await self._settle(lease, Settlement({}, due_at, counted=False))

    async def _settle(self, lease: Lease, settlement: Settlement) -> None:
        """Commit, however long the disk is full; nothing is lost if we are stopped meanwhile."""
        self._recalled.discard(lease.queue_id)
        while self._broken is None:
            try:
                await self._store.settle(lease, settlement, self._clock())
            except LeaseLost:
                log.warning("lease lost", queue_id=lease.queue_id, account=lease.route.key)
            except StoreBroken as error:
                self._break(error)
            except StoreError as error:
                self._trouble.met(error)
                if not self._stopping:
                    await self._sleep(STORE_RETRY_S)
                    continue
            else:
                if self._on_settled is not None:
                    self._on_settled(lease, settlement)
                if _still_open(lease, settlement):
                    self._look_at = min(self._look_at, settlement.due_at)
            return

    # Tasks and times.

    def _spawn(self, work: Coroutine[Any, Any, None], lease: Lease) -> asyncio.Task[None]:
        task = asyncio.create_task(self._guarded(work, lease))
        self._tasks[task] = lease
        task.add_done_callback(self._tasks.pop)
        return task

    async def _guarded(self, work: Coroutine[Any, Any, None], lease: Lease) -> None:
        try:
            await work
        except StoreBroken as error:
            self._break(error)
        except Exception:
            # The lease stays as it is; the next start takes it back or judges its dot.
            log.exception("delivery cannot be settled", queue_id=lease.queue_id)
        finally:
            self._bell.ring()

    def _break(self, error: StoreBroken) -> None:
        self._broken = self._broken or error
        self._bell.ring()

    async def _watch_store(self) -> None:
        while True:
            await self._store.ready.wait()
            self._store.ready.clear()
            self._look_at = -math.inf
            self._bell.ring()

    async def _end(self) -> None:
        """Give back what did not begin, wait for the rest with patience, cut off what is left."""
        self._stopping = True
        for lane in self._book.lanes.values():
            self._empty(lane)
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=self._grace_s)
        self._cutting_off = True
        for task, lease in self._tasks.items():
            if id(lease) in self._carrying:
                task.cancel()
        while self._tasks:
            await asyncio.wait(set(self._tasks))
        await self._pool.close()


def _decides(settlement: Settlement) -> bool:
    return any([verdict.status.final for verdict in settlement.verdicts.values()])


def _still_open(lease: Lease, settlement: Settlement) -> bool:
    """Whether the message may have to be sent again."""
    statuses = [verdict.status for verdict in settlement.verdicts.values()]
    return (
        len(statuses) < len(lease.positions)
        or RecipientStatus.IN_DOUBT in statuses
        or not all([status.final for status in statuses])
    )
