"""One lease in, one settlement out: makes the attempt and says what is to be committed of it.

Whatever ends an attempt, cancelling included, ends in a settlement: nothing where its dot was not
marked, in doubt where it was and no answer came.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import structlog

from asyncnet.config.sections import QueueSettings
from asyncnet.delivery.account_book import AccountBook
from asyncnet.delivery.attempt import Attempt
from asyncnet.delivery.judgement import BEFORE_MAIL, Action, Judgement
from asyncnet.delivery.lane import Lane
from asyncnet.delivery.outcome import Outcome, combine, cut_off, gave_up, summary
from asyncnet.delivery.pool import Pool
from asyncnet.delivery.schedule import next_attempt
from asyncnet.delivery.store_trouble import STORE_RETRY_S, StoreTrouble
from asyncnet.mailqueue.store import Lease, LeaseLost, Settlement, Store, StoreBroken, StoreError

# A message at which its account got into trouble goes behind the others for that long at most:
# if it is the trouble itself, they still get through.
STEP_BACK_S = 900.0

log = structlog.get_logger()


class Carrier:
    """clock and chance as DeliveryAgent has them."""

    def __init__(
        self,
        store: Store,
        pool: Pool,
        book: AccountBook,
        settings: QueueSettings,
        clock: Callable[[], float],
        chance: Callable[[], float],
        trouble: StoreTrouble,
    ) -> None:
        self._store = store
        self._pool = pool
        self._book = book
        self._settings = settings
        self._clock = clock
        self._chance = chance
        self._trouble = trouble
        self._resting: dict[str, Mapping[int, float]] = {}  # by queue id; see _places

    async def carry(self, lane: Lane, lease: Lease) -> Settlement | None:
        """Make the attempt, draw its consequences for the account; what to commit.

        None: nothing, the lease is lost.  Cancelled, it returns, too.  Raises StoreBroken.
        """
        now = self._clock()
        places, more = self._places(lane, lease, now)
        if not places:
            rested_at = min(self._resting[lease.queue_id].values())
            return Settlement({}, rested_at, counted=False)
        attempt = Attempt(self._store, self._pool, lane, lease, places, self._clock)
        try:
            judgements = await attempt.run()
            return self._judged(lane, lease, attempt, judgements, untouched=more)
        except asyncio.CancelledError:
            return self._cut_off(lease, attempt, "we were stopped before the answer came")
        except LeaseLost:
            log.warning("lease lost", queue_id=lease.queue_id, account=lane.key)
            return None
        except StoreBroken:
            raise
        except StoreError as error:
            self._trouble.met(error)
            return self._cut_off(lease, attempt, str(error), delay_s=STORE_RETRY_S)
        except Exception:
            # A net for our own mistakes: one message must not stop all the others.
            log.exception("delivery failed", queue_id=lease.queue_id, account=lane.key)
            return self._cut_off(lease, attempt, "an error of ours; see the log", counted=True)

    async def expire(self, lease: Lease) -> Settlement:
        """The verdicts on a message whose time is over, with the last words of its server."""
        self._resting.pop(lease.queue_id, None)
        try:
            found = await self._store.find(lease.queue_id)
        except StoreBroken:
            raise
        except StoreError as error:
            self._trouble.met(error)
            return Settlement({}, self._clock() + STORE_RETRY_S, counted=False)
        record = next((r for r in found if r.claim.queue_id == lease.queue_id), None)
        state = self._book.state(lease.route.key)
        # By position, which a damaged row need not have.
        last = dict(enumerate(it.verdict for it in record.recipients)) if record else {}
        verdicts = {position: gave_up(last.get(position), state) for position in lease.positions}
        log.warning("expired", queue_id=lease.queue_id, account=lease.route.key)
        return Settlement(verdicts, self._clock(), counted=False)

    def forget_rests(self, queue_ids: Iterable[str]) -> None:
        """Let the recipients of these messages be tried whenever their message is."""
        for queue_id in queue_ids:
            self._resting.pop(queue_id, None)

    def _places(self, lane: Lane, lease: Lease, now: float) -> tuple[Sequence[int], bool]:
        """The places of the lease for one transaction, and whether others are left for a next.

        Where a message takes several transactions, those of its recipients who were deferred
        by one rest until their time, while the others go on.
        """
        ready: Sequence[int] = range(len(lease.positions))
        resting = self._resting.get(lease.queue_id)
        if resting is not None:
            ready = [it for it in ready if resting.get(lease.positions[it], 0.0) <= now]
        limit = lane.account.recipients or len(ready)
        return ready[:limit], len(ready) > limit

    def _judged(
        self,
        lane: Lane,
        lease: Lease,
        attempt: Attempt,
        judgements: Mapping[int, Judgement],
        *,
        untouched: bool,
    ) -> Settlement:
        now = self._clock()
        outcome = combine(
            lease, judgements, self._settings, now, self._chance(), untouched=untouched
        )
        self._note(lane, outcome, now)
        log.info(
            "attempt",
            queue_id=lease.queue_id,
            account=lane.key,
            server=attempt.server,
            recipients=len(attempt.positions),
            attempt=lease.attempts + 1,
            **summary(outcome.verdicts.values()),
        )
        return Settlement(
            outcome.verdicts,
            self._due_at(lane, lease, outcome, now),
            counted=outcome.counted,
            server=attempt.server,
            tls=attempt.tls,
        )

    def _note(self, lane: Lane, outcome: Outcome, now: float) -> None:
        """Draw the consequences for the account, before another of its messages begins."""
        if outcome.trouble is not None:
            self._book.trouble(lane, outcome.trouble, now)
            if outcome.trouble.action is Action.FEWER_CONNECTIONS:
                self._pool.fewer(lane.key)
        elif outcome.healthy:
            self._book.success(lane)

    def _due_at(self, lane: Lane, lease: Lease, outcome: Outcome, now: float) -> float:
        """When the message is due again, and who of it rests until later."""
        resting = {**self._resting.pop(lease.queue_id, {}), **outcome.retry_at}
        if outcome.trouble is None:
            due_at = now if outcome.go_on else min(resting.values(), default=now)
        elif outcome.trouble.verdict.phase in BEFORE_MAIL:
            due_at = now
        else:
            due_at = min(max(lane.state.until, now), now + STEP_BACK_S)
        later = {position: at for position, at in resting.items() if at > due_at}
        if later:
            self._resting[lease.queue_id] = later
        return due_at

    def _cut_off(
        self,
        lease: Lease,
        attempt: Attempt,
        why: str,
        *,
        counted: bool = False,
        delay_s: float = 0.0,
    ) -> Settlement:
        """What to commit of an attempt that ended without judgements."""
        now = self._clock()
        verdicts = cut_off(attempt.positions, why, dot_marked=attempt.dot_marked)
        counted = counted or bool(verdicts)
        due_at = now + delay_s
        if counted:
            attempts = lease.attempts + 1
            due_at = next_attempt(self._settings, attempts, now, lease.expires_at, self._chance())
        return Settlement(verdicts, due_at, counted=counted, server=attempt.server, tls=attempt.tls)
