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


@dataclass(eq=False, slots=True)
class Lane:
    """The leases of one Route.key.

    talking counts deliveries that hold or want a talk, held all leases in hand, those being
    settled included.  proven: something went through since the start or the last trouble; until
    then one message at a time goes, so that a bad password costs one login and not one for
    each connection.
    """

    key: str
    account: Account
    state: AccountState
    waiting: deque[Lease] = field(default_factory=deque)
    talking: int = 0
    held: int = 0
    proven: bool = False
    next_start_at: float = 0.0
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
        if not self.waiting or self.blocked(now) or now < self.next_start_at:
            return None
        if self.talking >= (limit if self.proven else 1):
            return None
        self.talking += 1
        self.next_start_at = now + self.account.interval_s
        return self.waiting.popleft()
