"""Counters since the start: what was answered, what was tried and what became of it.  No I/O.

Plain numbers in plain containers: counting one costs well under a microsecond, and what is to be
shown of them is worked out when somebody asks.
"""

from bisect import bisect_left
from collections import Counter

from asyncnet.mailqueue.store import Lease, Settlement

# Upper bounds of the histogram; an answer from memory takes a few tenths of a millisecond, and
# what takes longer waited for its client or for a busy loop.
BOUNDS_S = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0)

JOB_SERVERS = "(job)"  # the account label of servers that jobs name: there may be any number


class RequestTally:
    """The pages' answers by status and by the time they took."""

    def __init__(self) -> None:
        self.statuses = {b"200": 0, b"400": 0, b"404": 0}
        self.buckets = [0] * (len(BOUNDS_S) + 1)  # not cumulative; the last one is beyond all
        self.sum_s = 0.0

    def note(self, response: bytes, time_s: float) -> None:
        """Count one response; time_s is from its connection to its answer."""
        self.statuses[response[9:12]] += 1
        self.buckets[bisect_left(BOUNDS_S, time_s)] += 1
        self.sum_s += time_s


class SettlementTally:
    """Attempts, verdicts and octets, by account, as they are committed."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()  # by account and class
        self.verdicts: Counter[tuple[str, str]] = Counter()  # by account and status
        self.octets: Counter[str] = Counter()  # by account, of messages that somebody accepted

    def note(self, lease: Lease, settlement: Settlement) -> None:
        """Count one settlement; one without verdicts is a lease given back."""
        verdicts = settlement.verdicts.values()
        if not verdicts:
            return
        account = lease.route.account or JOB_SERVERS
        statuses = Counter(str(verdict.status) for verdict in verdicts)
        for status, number in statuses.items():
            self.verdicts[account, status] += number
        if "expired" in statuses:
            return  # its time was over: nothing was tried
        kinds = {str(verdict.kind) for verdict in verdicts if verdict.kind is not None}
        self.attempts[account, _class(kinds, in_doubt="in_doubt" in statuses)] += 1
        if "accepted" in statuses:
            self.octets[account] += lease.size_octets


def _class(kinds: set[str], *, in_doubt: bool) -> str:
    """What went wrong in one attempt: "none", the class of all its failures, or "several"."""
    if in_doubt:
        return "in_doubt"
    return "none" if not kinds else kinds.pop() if len(kinds) == 1 else "several"
