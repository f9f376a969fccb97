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
_AS_PYTHON = str.maketrans(ALPHABET, "0123456789ABCDEFGHIJKLMNOPQRSTUV")  # the digits of int()


class QueueIds:
    """Gives ids each of which sorts behind the one before, whatever the clock does."""

    def __init__(self) -> None:
        self._last = -1
        self._time, self._written = -1, ""  # the milliseconds that were written last

    def next(self, now: float, random: int) -> str:
        """A new id for a claim at now (seconds since the epoch); random has RANDOM_BITS bits.

        A clock that stands still or goes back is not followed: the last id counts on.
        """
        fresh = (int(now * 1000) << RANDOM_BITS) | (random & ((1 << RANDOM_BITS) - 1))
        self._last = max(fresh, self._last + 1)
        time = self._last >> RANDOM_BITS
        if time != self._time:  # in a burst, one in ten
            self._time, self._written = time, _encode_time(time)
        return self._written + _encode_random(self._last)


def claimed_at(queue_id: str) -> float:
    """The time an id was made at, in seconds since the epoch."""
    return int(queue_id[:TIME_CHARACTERS].translate(_AS_PYTHON), 32) / 1000


def _encode_time(milliseconds: int) -> str:
    shifts = range(5 * (TIME_CHARACTERS - 2), -1, -10)
    return "".join([_PAIRS[milliseconds >> shift & 1023] for shift in shifts])


def _encode_random(number: int) -> str:
    """Its last RANDOM_BITS."""
    # Written out, since every job gets one.
    return _PAIRS[number >> 20 & 1023] + _PAIRS[number >> 10 & 1023] + _PAIRS[number & 1023]
