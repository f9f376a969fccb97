"""What is said of a store that cannot be used: once when it begins, once when it is over.

All the mail in hand meets it, and meets it again every few seconds.
"""

import structlog

from asyncnet.mailqueue.store import StoreError

log = structlog.get_logger()


class StoreTrouble:
    """Shared by all that use the store."""

    def __init__(self) -> None:
        self._lasts = False

    def met(self, error: StoreError) -> None:
        """A step failed, and will be done again."""
        if not self._lasts:
            log.warning("the store cannot be used now", reason=str(error))
            self._lasts = True

    def over(self) -> None:
        """A step that writes went well."""
        if self._lasts:
            log.info("the store can be used again")
            self._lasts = False
