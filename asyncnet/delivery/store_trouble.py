"""What is said of a store that cannot be used: once when it begins, once when it is over.

All the mail in hand meets it, and meets it again every few seconds.
"""

import math
import time
from collections.abc import Callable

import structlog

from asyncnet.mailqueue.store import StoreError

STORE_RETRY_S = 5.0  # a full disk and the like; no mail fails by it
# That one step goes well again does not end it: without descriptors mail is leased, and cannot
# be read.  What failed is done again after STORE_RETRY_S, and has then had time to fail again.
QUIET_S = 2 * STORE_RETRY_S

log = structlog.get_logger()


class StoreTrouble:
    """Shared by all that use the store.  clock gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._over_at: float | None = None

    @property
    def over_at(self) -> float:
        """When it may be over; infinity where there is none."""
        return math.inf if self._over_at is None else self._over_at

    def met(self, error: StoreError) -> None:
        """A step failed, and will be done again."""
        if self._over_at is None:
            log.warning("the store cannot be used now", reason=str(error))
        self._over_at = self._clock() + QUIET_S

    def step_done(self) -> None:
        """A step that writes went well."""
        if self._clock() >= self.over_at:
            log.info("the store can be used again")
            self._over_at = None
