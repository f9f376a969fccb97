"""One route's mail in the agent's hands: what waits, what is under way, how the account stands.

No I/O.
"""

from collections import deque
from dataclasses import dataclass, field

from asyncnet.delivery.accounts import Account
from asyncnet.mailqueue.store import AccountState, Lease

# Leased ahead for each talk: enough that a fast server never waits for the store, and little
# enough that mail of a higher priority soon gets its turn.
AHEAD_PER_TALK = 16

# A server that asks us to slow down gets its mail at intervals that double with each time it asks,
# and that shrink with each message it takes: after some twenty of them all is as before.
FIRST_SLOWED_S = 1.0
MOST_SLOWED_S = 60.0
SPEED_UP = 0.9
LEAST_SLOWED_S = 0.1


@dataclass(eq=False, slots=True)
class Lane:
    """The leases of one Route.key.

    talking counts deliveries that hold or want a talk, held all leases in hand, those being
    settled included.  proven: something went through since the start or the last trouble; until
    then one message at a time goes.  slowed_s: the time between two messages that throttling
    taught us.
    """

    key: str
    account: Account
    state: AccountState
    waiting: deque[Lease] = field(default_factory=deque)
    talking: int = 0
    held: int = 0
    proven: bool = False
    next_start_at: float = 0.0
    slowed_s: float = 0.0
    starts: deque[float] = field(default_factory=deque)  # of the last account.burst messages
    state_unwritten: bool = False  # state is newer than the store's

    @property
    def room(self) -> int:
        return AHEAD_PER_TALK * self.account.connections

    @property
    def full(self) -> bool:
        """Whether it has enough in hand: more would only keep others' mail from being leased."""
        return self.held >= self.room

    @property
    def at_leisure(self) -> bool:
        """Whether it was full and has room for a good part of a batch again."""
        return self.held <= self.room // 2

    def blocked(self, now: float) -> bool:
        """Whether the account waits."""
        return self.state.until > now

    def next_lease(self, now: float, limit: int) -> Lease | None:
        """The lease to begin with now; None where limit (on talks) or the rate lets none begin."""
        if not self.waiting or self.blocked(now):
            return None
        # More than that is no pace but a clock that was put back.
        if 0.0 < self.next_start_at - now <= self.account.interval_s + MOST_SLOWED_S:
            return None
        if self.talking >= (limit if self.proven else 1):
            return None
        self.talking += 1
        self._count_start(now)
        return self.waiting.popleft()

    def slow_down(self) -> None:
        """The server throttled us."""
        self.slowed_s = min(max(2.0 * self.slowed_s, FIRST_SLOWED_S), MOST_SLOWED_S)

    def speed_up(self) -> None:
        """The server took a message."""
        slower_s = self.slowed_s * SPEED_UP
        self.slowed_s = slower_s if slower_s >= LEAST_SLOWED_S else 0.0

    def _count_start(self, now: float) -> None:
        """Find when the next message may begin: account.burst of them within interval_s."""
        self.next_start_at = now + self.slowed_s
        if self.account.interval_s <= 0.0:
            return
        self.starts.append(now)
        while len(self.starts) > self.account.burst:
            self.starts.popleft()
        if len(self.starts) == self.account.burst:
            room_at = self.starts[0] + self.account.interval_s
            self.next_start_at = max(self.next_start_at, room_at)
