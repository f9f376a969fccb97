"""Reading job files: octets from pickup/ or queue/, judged as a job or refused."""

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import LOCAL_FAULTS
from asyncnet.spool.folder import JobFile, read_job_file
from asyncnet.spool.job import Job, job_kind, read_job

SMALL_JOB_OCTETS = 65_536  # a larger one is judged in a thread: 1 MiB may take a second


@dataclass(frozen=True, slots=True)
class Taken:
    """A job file that was read: the job, or why it is none, and the file's status then."""

    outcome: Job | JobRefused
    status: os.stat_result

    @property
    def may_be_under_way(self) -> bool:
        """Whether its writer may not be done: it does not parse, or has a second name.

        Whoever drops a file by link() and unlink() leaves it two names for a moment.
        """
        unfinished = isinstance(self.outcome, JobRefused) and self.outcome.unfinished
        return unfinished or self.status.st_nlink != 1


async def take(folder: Path, name: str) -> Taken | None:
    """Read and judge a job file; None for a folder.

    Raises FileNotFoundError where there is none, and OSError for a fault of this machine;
    any other fault is the file's own and makes it refused.
    """
    try:
        file = read_job_file(folder / name, MAX_DOCUMENT_OCTETS)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or error.errno in LOCAL_FAULTS:
            raise
        return _unreadable(folder / name, error)
    if file.status.st_nlink != 1:
        # Nothing of it is told: it may be anybody's file under a second name.
        return Taken(_refused("the file has more than one name (hard links)"), file.status)
    if len(file.octets) <= SMALL_JOB_OCTETS:
        return Taken(_judge(file, name), file.status)
    return Taken(await asyncio.to_thread(_judge, file, name), file.status)


def _judge(file: JobFile, name: str) -> Job | JobRefused:
    if name.lower().endswith(".eml"):
        return _refused("ready messages are not supported yet", "drop a .yaml or .json job")
    try:
        return read_job(file.octets, job_kind(name))
    except JobRefused as refused:
        return refused


def _unreadable(path: Path, error: OSError) -> Taken | None:
    status = os.lstat(path)
    if stat.S_ISDIR(status.st_mode):
        return None
    if not stat.S_ISREG(status.st_mode):
        return Taken(_refused("is no regular file"), status)
    # Its rights may be about to be set, so it gets the time of an unfinished one.
    problem = Problem("", f"cannot be read: {error.strerror}")
    return Taken(JobRefused((problem,), unfinished=True), status)


def _refused(problem: str, suggestion: str | None = None) -> JobRefused:
    return JobRefused((Problem("", problem, suggestion),))
