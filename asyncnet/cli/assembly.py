"""Reading jobs outside the daemon, for check, render and send: files lie beside the job."""

import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

from asyncnet.cli.excerpt import excerpt, lines_of, visible
from asyncnet.config import Settings
from asyncnet.mail.problem import Problem
from asyncnet.spool.assemble import Assembled, Rules, assemble
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import Job, MistakenJob, in_order, job_kind, read_job
from asyncnet.spool.queue_id import RANDOM_BITS, QueueIds


class JobProblems(Exception):
    """A job file that cannot be used, with its octets as far as they could be read."""

    def __init__(self, path: Path, problems: tuple[Problem, ...], octets: bytes = b"") -> None:
        super().__init__(str(path))
        self.path = path
        self.problems = problems
        self.octets = octets


def assemble_file(
    path: Path,
    settings: Settings,
    *,
    allow_server: bool | None = None,
    beside: Path | None = None,
    change: Callable[[Job], Job] = lambda job: job,
) -> Assembled:
    """The job at path as a letter with envelope and route; change may turn it before.

    Its files are looked for beside it, or in the folder beside.  Raises JobProblems.
    """
    octets = _read(path)
    spool = settings.spool
    folders = AllowedFolders(
        ((beside or path.parent).absolute(), *spool.attachment_roots), spool.max_message
    )
    rules = Rules(
        folders,
        settings.account,
        spool.allow_server if allow_server is None else allow_server,
        settings.queue,
    )
    now = time.time()
    seed = QueueIds().next(now, secrets.randbits(RANDOM_BITS))
    try:
        owner = path.stat().st_uid

        def letter(job: Job) -> Assembled:
            return assemble(change(job), rules, owner=owner, now=now, seed=seed)

        return _judge_all(octets, path.name, letter)
    except JobRefused as error:
        raise JobProblems(path, tuple(in_order(error.problems)), octets) from error
    except OSError as error:
        problem = Problem("", f"a file of the job cannot be read: {error.strerror}")
        raise JobProblems(path, (problem,), octets) from error


def _judge_all(octets: bytes, name: str, letter: Callable[[Job], Assembled]) -> Assembled:
    """The letter, or JobRefused with the mistakes of the job and of the files it names."""
    try:
        job = read_job(octets, job_kind(name))
    except MistakenJob as mistaken:
        try:
            letter(mistaken.rest)
        except JobRefused as refused:
            raise mistaken.with_more(refused.problems) from None
        raise
    return letter(job)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_OCTETS + 1)
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror}")
        raise JobProblems(path, (problem,)) from error


def print_problems(refused: JobProblems) -> None:
    """Every mistake on stderr as FILE:LINE:COLUMN, with the line and a mark under the column."""
    lines = lines_of(refused.octets)
    for problem in refused.problems:
        place = f"{refused.path}"
        if problem.line is not None:
            place += f":{problem.line}:{problem.column}"
        field = f"{problem.field}: " if problem.field else ""
        advice = f"; {problem.suggestion}" if problem.suggestion else ""
        print(visible(f"{place}: {field}{problem.problem}{advice}"), file=sys.stderr)
        if problem.line is not None and problem.line <= len(lines) and lines[problem.line - 1]:
            line, blanks = excerpt(lines[problem.line - 1], problem.column or 1)
            print(f"    {line}\n    {blanks}^", file=sys.stderr)
