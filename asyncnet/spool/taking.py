"""Reading job files and what lies beside them, from pickup/ or queue/: judged or refused."""

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.earlier import MAX_RESULT_OCTETS, Earlier, read_earlier
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import DISK_FAILS, LOCAL_FAULTS
from asyncnet.spool.folder import (
    ENVELOPE_ENDING,
    NO_FILE,
    RESULT_ENDING,
    JobFile,
    companion_name,
    read_job_file,
)
from asyncnet.spool.job import Job, job_kind, read_job, read_simple_job
from asyncnet.spool.ready_orders import Orders, read_orders

# What is larger, the job or what lies beside it, is judged in a thread: so much takes 10 ms where
# each line is an unknown key, and 1 MiB may take a second …
SMALL_JOB_OCTETS = 4096
# … but for these, where they are simple: half a millisecond, and some thirty for a line a letter.
SIMPLE_JOB_OCTETS = 262_144


@dataclass(slots=True)
class Taken:
    """A job file that was read: the job, or why it is none, and the file's status then.

    Of a ready message it is the orders beside it, the message itself being read later.
    earlier is the attempt whose result lies beside it.  fault: it could not be read, and perhaps
    the disk is to blame.
    """

    outcome: Job | Orders | JobRefused
    status: os.stat_result
    earlier: Earlier | None = None
    fault: OSError | None = None

    @property
    def may_be_under_way(self) -> bool:
        """Whether its writer may not be done: it does not parse, or has a second name.

        Whoever drops a file by link() and unlink() leaves it two names for a moment.
        """
        unfinished = isinstance(self.outcome, JobRefused) and self.outcome.unfinished
        return unfinished or self.status.st_nlink != 1

    @property
    def is_alone(self) -> bool:
        """Whether it is a job with which nothing goes: no orders beside it, no earlier result."""
        return isinstance(self.outcome, Job) and self.earlier is None


async def take(folder: Path | str, name: str) -> Taken | None:
    """Read and judge a job file with what goes with it; None for a folder.

    Raises FileNotFoundError where there is none, and OSError for a fault of this machine;
    any other fault is the file's own and makes it refused.
    """
    try:
        return _take(folder, name)
    except _LargeJob:
        return await asyncio.to_thread(_take, folder, name, may_be_large=True)


class _LargeJob(Exception):
    """It may take long to be judged."""


def _take(folder: Path | str, name: str, *, may_be_large: bool = False) -> Taken | None:
    """As take().  Raises _LargeJob where it may not be large and is."""
    is_message = name.lower().endswith(".eml")
    max_octets = MAX_DOCUMENT_OCTETS if may_be_large else SIMPLE_JOB_OCTETS
    try:
        # Of a message one octet tells enough here: whether there is any.
        file = read_job_file(f"{folder}/{name}", 0 if is_message else max_octets)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno in LOCAL_FAULTS:
            raise
        return _unreadable(f"{folder}/{name}", error)
    if file.status.st_nlink != 1:
        # Nothing of it is told: it may be anybody's file under a second name.
        return Taken(_refused("the file has more than one name (hard links)"), file.status)
    if len(file.octets) > max_octets and not may_be_large:
        raise _LargeJob
    try:
        earlier = _earlier(folder, name, file.status, may_be_large)
        if is_message:
            return Taken(_orders(folder, name, file, may_be_large), file.status, earlier)
        if may_be_large or len(file.octets) <= SMALL_JOB_OCTETS:
            job = read_job(file.octets, job_kind(name))
        elif (simple := read_simple_job(file.octets, job_kind(name))) is not None:
            job = simple
        else:
            raise _LargeJob
    except JobRefused as refused:
        return Taken(refused, file.status)
    return Taken(job, file.status, earlier)


def _orders(folder: Path | str, name: str, message: JobFile, may_be_large: bool) -> Orders:
    if not message.octets:
        problem = Problem("", "the file is empty", "a message begins with header fields")
        raise JobRefused((problem,), unfinished=True)
    max_octets = MAX_DOCUMENT_OCTETS if may_be_large else None
    orders = _beside(folder, name, ENVELOPE_ENDING, max_octets, message.status)
    return Orders() if orders is None else read_orders(orders)


def _earlier(
    folder: Path | str, name: str, status: os.stat_result, may_be_large: bool
) -> Earlier | None:
    max_octets = MAX_RESULT_OCTETS if may_be_large else None
    octets = _beside(folder, name, RESULT_ENDING, max_octets, status)
    return None if octets is None else read_earlier(octets)


def _beside(
    folder: Path | str, name: str, ending: str, max_octets: int | None, job: os.stat_result
) -> bytes | None:
    """The octets of the file that goes with a job; None where there is none.

    max_octets None: it may not be large.  Raises JobRefused, _LargeJob where it may not be large
    and is, or OSError for a fault of this machine.
    """
    limit = max_octets or SMALL_JOB_OCTETS
    try:
        file = read_job_file(f"{folder}/{companion_name(name, ending)}", limit)
    except OSError as error:
        if error.errno in NO_FILE:
            return None
        if error.errno in LOCAL_FAULTS:
            raise
        problem = Problem("", f"the {ending} beside the job cannot be read: {error.strerror}")
        raise JobRefused((problem,), unfinished=True) from error
    # Whoever may write into pickup/ must not decide over the mail of others.  Results are
    # ours, and an administrator may have moved them.
    if file.status.st_uid not in (job.st_uid, os.geteuid(), 0) or file.status.st_nlink != 1:
        raise _refused(f"the {ending} beside the job belongs to another user, or has a second name")
    if max_octets is None and len(file.octets) > limit:
        raise _LargeJob
    return file.octets


def _unreadable(path: str, error: OSError) -> Taken | None:
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return Taken(_refused("is no regular file"), status)
    # Its rights may be about to be set, so it gets the time of an unfinished one.
    problem = Problem("", f"cannot be read: {error.strerror}")
    fault = error if error.errno == DISK_FAILS else None
    return Taken(JobRefused((problem,), unfinished=True), status, fault=fault)


def _refused(problem: str, suggestion: str | None = None) -> JobRefused:
    return JobRefused((Problem("", problem, suggestion),))
