"""Retention: jobs whose results are old enough go from sent/ and failed/ ([spool] keep_sent, …).

Only what is proven to be ours goes: NAME.result.json, a plain file that says so itself by its name
and queue id, with the one job file NAME.yaml (.yml, .json, .eml, that one with its envelope) beside
it.  Links, folders, files of others and jobs without a result stay.  The result goes last: a job
without it, moved back to pickup/, would be sent again to those who have it.

A result without its job, and QUEUEID.earlier.json, go when they have lain there as long and nothing
in pickup/ or queue/ bears their names: a job on its way back may be about to need them.
"""

import asyncio
import contextlib
import itertools
import math
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from asyncnet.config.sections import SpoolSettings
from asyncnet.spool.earlier import MAX_RESULT_OCTETS
from asyncnet.spool.earlier_files import EARLIER_ENDING, result_in
from asyncnet.spool.folder import (
    ENDINGS,
    ENVELOPE_ENDING,
    RESULT_ENDING,
    SpoolFolder,
    split_name,
    stem_of,
)
from asyncnet.spool.queue_id import LENGTH, QUEUE_ID
from asyncnet.spool.result import SCHEMA
from asyncnet.spool.trouble import sleep_unless

STEP_FILES = 500  # looked at in one go: some milliseconds of a disk that others want, too
PAUSE_S = 0.05  # between steps
LONGEST_WAIT_S = 3600.0
SHORTEST_WAIT_S = 1.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


_NUMBER = re.compile(r"~\d+\Z")  # of a result put back to failed/, where its name was taken


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
        self._waiting = partial(waiting_names, folder)
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
        old = OldJobs(kept.folder, self._clock() - kept.seconds, self._waiting)
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


@dataclass(frozen=True, slots=True)
class Old:
    """Files that may go together, in this order.

    names are those under which a job may wait that belongs to them; none where the job is one of
    the files.
    """

    files: tuple[Path, ...]
    names: frozenset[str] = frozenset()


class OldJobs:
    """The jobs of one folder whose results were written before a time, taken in steps.

    removed counts them; fault is the last thing that could not be removed, and why.  waiting
    tells the names in pickup/ and queue/, among those it is given.
    """

    def __init__(
        self, folder: Path, before: float, waiting: Callable[[frozenset[str]], set[str]]
    ) -> None:
        self.removed = 0
        self.fault: str | None = None
        self._folder = folder
        self._before = before
        self._waiting = waiting
        self._names = _names(folder)

    def step(self) -> bool:
        """Look at some files; whether there are more.  Blocking.  What resists stays."""
        try:
            names = list(itertools.islice(self._names, STEP_FILES))
        except OSError as error:
            self.fault = f"{self._folder}: {error.strerror}"
            return False
        alone: list[Old] = []
        for name in names:
            with self._noting(name):
                old = _old(self._folder, name, self._before)
                if old is not None and old.names:
                    alone.append(old)
                elif old is not None:
                    self._remove(old)
        if alone:
            self._remove_alone(alone)
        return len(names) == STEP_FILES

    def _remove_alone(self, alone: list[Old]) -> None:
        # A job may be on its way to the result or away from it: it is looked for where it would
        # go, when it was seen not to lie here, and then here again.
        wanted = frozenset[str]().union(*(it.names for it in alone))
        try:
            waiting = self._waiting(wanted)
        except OSError as error:
            self.fault = f"{error.filename}: {error.strerror}"
            return
        for old in alone:
            name = old.files[-1].name
            if waiting.isdisjoint(old.names) and not _jobs_beside(self._folder, name):
                with self._noting(name):
                    self._remove(old)

    def _remove(self, old: Old) -> None:
        for file in old.files:
            file.unlink()
        self.removed += 1
        name = old.files[-1].name.removesuffix(RESULT_ENDING)
        log.debug("old job removed", folder=self._folder.name, name=name)

    @contextlib.contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            pass  # somebody moved it away just now
        except OSError as error:
            self.fault = f"{self._folder / name}: {error.strerror}"


def waiting_names(folder: SpoolFolder, wanted: frozenset[str]) -> set[str]:
    """Which of these are the name or queue id of something in pickup/ or queue/.  Raises OSError.

    pickup/ is read first: what is claimed meanwhile is seen in queue/.
    """
    found = {split_name(file)[0] for file in os.listdir(folder.pickup)} & wanted
    with folder.in_queue() as listing:
        for file in listing:
            found.update(wanted.intersection((file[:LENGTH], stem_of(file[LENGTH + 1 :]))))
    return found


def _names(folder: Path) -> Iterator[str]:
    """All names in the folder; a link in its place is none of ours."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with os.scandir(descriptor) as entries:
            for entry in entries:
                yield entry.name
    finally:
        os.close(descriptor)


def _old(folder: Path, name: str, before: float) -> Old | None:
    """What goes with the file of that name, where it is old and all of it ours; else None."""
    path = folder / name
    if name.endswith(EARLIER_ENDING) and QUEUE_ID.fullmatch(name.removesuffix(EARLIER_ENDING)):
        has_lain = _is_old_file(path, before, also_here=True)
        return Old((path,), frozenset({name[:LENGTH]})) if has_lain else None
    if name.startswith(".") or not name.endswith(RESULT_ENDING) or not _is_old_file(path, before):
        return None
    jobs = _jobs_beside(folder, name)
    stem = name.removesuffix(RESULT_ENDING)
    envelope = folder / f"{stem}{ENVELOPE_ENDING}"
    if not jobs:
        return None if os.path.lexists(envelope) else _alone(path, stem, before)
    if len(jobs) != 1 or not _is_plain_file(jobs[0]) or stem not in _names_in(path):
        return None
    if jobs[0].suffix == ".eml" and _is_plain_file(envelope):
        return Old((envelope, *jobs, path))
    return Old((*jobs, path))


def _jobs_beside(folder: Path, name: str) -> list[Path]:
    stem = name.removesuffix(RESULT_ENDING)
    return [file for ending in ENDINGS if os.path.lexists(file := folder / f"{stem}{ending}")]


def _alone(result: Path, stem: str, before: float) -> Old | None:
    """A result without its job, which came or was put back there (as NAME~2) before a time."""
    names = _names_in(result)
    ours = stem in names or _NUMBER.sub("", stem) in names
    if not ours or not _is_old_file(result, before, also_here=True):
        return None
    return Old((result,), frozenset({stem, *names, names[-1][-LENGTH:]}))


def _is_old_file(path: Path, before: float, *, also_here: bool = False) -> bool:
    """Whether it is a plain file written before a time; also_here: and moved there before it."""
    with contextlib.suppress(OSError):
        status = path.lstat()
        return (
            stat.S_ISREG(status.st_mode)
            and status.st_mtime < before
            and (not also_here or status.st_ctime < before)
            and status.st_size <= MAX_RESULT_OCTETS
        )
    return False


def _is_plain_file(path: Path) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISREG(path.lstat().st_mode)
    return False


def _names_in(result: Path) -> tuple[str, ...]:
    """The names that the job of a result may have, NAME~QUEUEID last; none where it is not ours."""
    document = result_in(result)
    queue_id, name = document.get("queue_id"), document.get("name")
    if document.get("schema") != SCHEMA or not isinstance(queue_id, str):
        return ()
    if not isinstance(name, str) or not QUEUE_ID.fullmatch(queue_id):
        return ()
    return name, f"{name}~{queue_id}"
