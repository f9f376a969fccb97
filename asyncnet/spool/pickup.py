"""Which files of pickup/ are ready to be taken, and which must wait.

A file that an event told of is ready: its writer closed it or renamed it in.  One that the
scan found is ready when its size and time have stood still for settle_s: where events run,
by the file's own time, else as seen by two scans, since the clocks of a network file system
and of this machine may differ.  One that does not parse yet waits until it is grace_s old.
"""

import asyncio
import math
import os
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from asyncnet.spool.files import identity
from asyncnet.spool.folder import is_job_name


@dataclass(slots=True)
class _Seen:
    """A file as the scan saw it first; not_before is when it is looked at again."""

    identity: tuple[int, ...]
    since: float
    not_before: float = 0.0


class Pickup:
    """The names that are ready, in the order they were noticed.  Times are wall-clock."""

    def __init__(self, folder: Path, settle_s: float, grace_s: float) -> None:
        self.bell = asyncio.Event()  # set when a name became ready
        self.followed = False  # whether events come
        self._folder = folder
        self._settle_s = settle_s
        self._grace_s = grace_s
        # A dict's first key is searched for behind all that left: in a burst, by the thousands.
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._seen: dict[str, _Seen] = {}

    @property
    def ready(self) -> bool:
        return bool(self._ready)

    def next(self) -> str:
        return self._ready.popitem(last=False)[0]

    def notice(self, name: str) -> None:
        """An event told of name, or it is to be tried again."""
        if is_job_name(name):
            self._ready[name] = None
            self.bell.set()

    def look(self) -> dict[str, os.stat_result]:
        """The job files in the folder.  Blocking; raises OSError where it cannot be listed."""
        found = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if not is_job_name(entry.name) or entry.name in self._ready:
                    continue
                try:
                    if not entry.is_dir(follow_symlinks=False):
                        found[entry.name] = entry.stat(follow_symlinks=False)
                except OSError:
                    continue  # gone, or not to be looked at: the next scan asks again
        return found

    def compare(self, found: dict[str, os.stat_result], now: float) -> float:
        """Make ready what stood still long enough since the scans before.

        Returns when the next of the others may be ready, infinity when there are none.
        """
        following = math.inf
        self._seen = {
            name: seen for name, seen in self._seen.items() if name in found or name in self._ready
        }
        for name, status in found.items():
            seen = self._note(name, status, now)
            # Whoever keeps a file's old time (mv, cp -p) wrote it elsewhere before.
            own_time = status.st_mtime if self.followed else now
            ready_at = max(min(seen.since, own_time) + self._settle_s, seen.not_before)
            if ready_at <= now:
                self.notice(name)
            else:
                following = min(following, ready_at)
        return following

    def may_wait(self, name: str, status: os.stat_result, now: float) -> bool:
        """Whether an unfinished file still has time; it is looked at again when that is over.

        A time in the future counts as now.
        """
        seen = self._note(name, status, now)
        seen.not_before = min(status.st_mtime, seen.since) + self._grace_s
        return now < seen.not_before

    def may_settle(self, name: str, status: os.stat_result, now: float) -> bool:
        """Whether a file was seen first less than settle_s ago; it is looked at again then."""
        seen = self._note(name, status, now)
        seen.not_before = max(seen.not_before, seen.since + self._settle_s)
        return now < seen.not_before

    def put_off(self, name: str, status: os.stat_result, until: float) -> None:
        self._note(name, status, until).not_before = until

    def forget(self, name: str) -> None:
        self._seen.pop(name, None)

    def _note(self, name: str, status: os.stat_result, now: float) -> _Seen:
        seen = self._seen.get(name)
        # The status time too: rights that were set, or a second name that is gone, are news.
        present = (*identity(status), status.st_ctime_ns)
        if seen is None or seen.identity != present:
            seen = self._seen[name] = _Seen(present, now)
        return seen
