"""Retention: jobs whose results are old enough go from sent/ and failed/ ([spool] keep_sent, …).

Only what is proven to be ours goes, and only as a pair: NAME.result.json, a plain file that says
so itself by its name and queue id, and the one job file NAME.yaml (.yml, .json, .eml, that one with
its envelope) beside it.  Links, folders, files of others and results without a job stay.  The
result goes last: a job without it, moved back to pickup/, would be sent again to those who have it.
"""

import asyncio
import contextlib
import itertools
import math
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog

from asyncnet.config.sections import SpoolSettings
from asyncnet.spool.earlier import MAX_RESULT_OCTETS
from asyncnet.spool.earlier_files import result_in
from asyncnet.spool.folder import ENDINGS, ENVELOPE_ENDING, RESULT_ENDING, SpoolFolder
from asyncnet.spool.queue_id import QUEUE_ID
from asyncnet.spool.result import SCHEMA
from asyncnet.spool.trouble import sleep_unless

STEP_FILES = 500  # looked at in one go: some milliseconds of a disk that others want, too
PAUSE_S = 0.05  # between steps
LONGEST_WAIT_S = 3600.0
SHORTEST_WAIT_S = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder and how long the jobs in it are kept after their results."""

    folder: Path
    seconds: float


class Retention:
    """The service; it has nothing to do where neither time is set.  clock: wall-clock seconds."""

    def __init__(
        self,
        folder: SpoolFolder,
        settings: SpoolSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        times = ((folder.sent, settings.keep_sent), (folder.failed, settings.keep_failed))
        self._kept = [Kept(place, keep_s) for place, keep_s in times if keep_s is not None]
        self._clock = clock
        self._stopping = asyncio.Event()
        self._said: dict[Kept, str | None] = {}

    async def run(self) -> None:
        """Look at once, and again and again until stop().  What cannot be removed is told."""
        while not self._stopping.is_set():
            for kept in self._kept:
                await self._clear(kept)
            shortest_s = min((kept.seconds for kept in self._kept), default=math.inf)
            wait_s = max(SHORTEST_WAIT_S, min(shortest_s / 4, LONGEST_WAIT_S))
            await sleep_unless(self._stopping, wait_s)

    async def stop(self) -> None:
        """Begin no further step."""
        self._stopping.set()

    async def _clear(self, kept: Kept) -> None:
        old = OldJobs(kept.folder, self._clock() - kept.seconds)
        more = True
        while more and not self._stopping.is_set():
            more = await asyncio.to_thread(old.step)
            await sleep_unless(self._stopping, PAUSE_S if more else 0.0)
        if old.fault is not None and old.fault != self._said.get(kept):
            log.warning("old jobs cannot be removed", reason=old.fault)
        self._said[kept] = old.fault
        if old.removed:
            log.info(
                "old jobs removed", folder=kept.folder.name, jobs=old.removed, kept_s=kept.seconds
            )


class OldJobs:
    """The jobs of one folder whose results were written before a time, taken in steps.

    removed counts them; fault is the last thing that could not be removed, and why.
    """

    def __init__(self, folder: Path, before: float) -> None:
        self.removed = 0
        self.fault: str | None = None
        self._folder = folder
        self._before = before
        self._names = _names(folder)

    def step(self) -> bool:
        """Look at some files; whether there are more.  Blocking.  What resists stays."""
        try:
            names = list(itertools.islice(self._names, STEP_FILES))
        except OSError as error:
            self.fault = f"{self._folder}: {error.strerror}"
            return False
        for name in names:
            try:
                self.removed += _remove(self._folder, name, self._before)
            except FileNotFoundError:
                continue  # somebody moved it away just now
            except OSError as error:
                self.fault = f"{self._folder / name}: {error.strerror}"
        return len(names) == STEP_FILES


def _names(folder: Path) -> Iterator[str]:
    """All names in the folder; a link in its place is none of ours."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                yield entry.name
    finally:
        os.close(descriptor)


def _remove(folder: Path, name: str, before: float) -> bool:
    """Remove the job of a result, if it is old and both are ours.  Raises OSError."""
    if name.startswith(".") or not name.endswith(RESULT_ENDING):
        return False
    stem = name.removesuffix(RESULT_ENDING)
    result = folder / name
    if not _is_old_file(result, before):
        return False
    jobs = [file for ending in ENDINGS if os.path.lexists(file := folder / f"{stem}{ending}")]
    if len(jobs) != 1 or not _is_plain_file(jobs[0]) or not _speaks_of(result, stem):
        return False
    files = [*jobs, result]
    envelope = folder / f"{stem}{ENVELOPE_ENDING}"
    if jobs[0].suffix == ".eml" and _is_plain_file(envelope):
        files.insert(0, envelope)
    for file in files:
        file.unlink()
    log.debug("old job removed", folder=folder.name, name=stem)
    return True


def _is_old_file(path: Path, before: float) -> bool:
    with contextlib.suppress(OSError):
        status = path.lstat()
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_mtime < before
            and status.st_size <= MAX_RESULT_OCTETS
        )
    return False


def _is_plain_file(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _speaks_of(result: Path, stem: str) -> bool:
    """Whether a result is ours and of the job of that name."""
    document = result_in(result)
    queue_id, name = document.get("queue_id"), document.get("name")
    if document.get("schema") != SCHEMA or not isinstance(queue_id, str):
        return False
    return bool(QUEUE_ID.fullmatch(queue_id)) and stem in (name, f"{name}~{queue_id}")
