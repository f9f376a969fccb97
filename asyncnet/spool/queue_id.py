"""Queue ids: 16 characters that sort by the time of the claim.  No I/O.

Ten characters of milliseconds since the epoch and six of randomness, in Crockford's base32,
which has no letters that are mistaken for digits and is safe in every file name.
"""

import re

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TIME_CHARACTERS = 10  # 50 bits of milliseconds last until the year 37,648
RANDOM_CHARACTERS = 6
RANDOM_BITS = 5 * RANDOM_CHARACTERS
LENGTH = TIME_CHARACTERS + RANDOM_CHARACTERS
QUEUE_ID = re.compile(f"[{ALPHABET}]{{{LENGTH}}}")

_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


class QueueIds:
    """Gives ids each of which sorts behind the one before, whatever the clock does."""

    def __init__(self) -> None:
        self._last = -1

    def next(self, now: float, random: int) -> str:
        """A new id for a claim at now (seconds since the epoch); random has RANDOM_BITS bits.

        A clock that stands still or goes back is not followed: the last id counts on.
        """
        fresh = (int(now * 1000) << RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1))
        self._last = max(fresh, self._last + 1)
        return _encode(self._last)


def claimed_at(queue_id: str) -> float:
    """The time an id was made at, in seconds since the epoch."""
    milliseconds = 0
    for character in queue_id[:TIME_CHARACTERS]:
        milliseconds = milliseconds * 32 + _VALUES[character]
    return milliseconds / 1000


def _encode(number: int) -> str:
    # A pair at a time: every job gets one.
    top = 5 * (LENGTH - 2)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(top, -1, -10)])
