"""Reading jobs outside the daemon, for check, render and send: files lie beside the job."""

import secrets
import sys
import time
from collections.abc import Callable
from pathlib import Path

from asyncnet.config import Settings
from asyncnet.mail.problem import Problem
from asyncnet.spool.assemble import Assembled, Rules, assemble
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.files import AllowedFolders
from asyncnet.spool.job import Job, job_kind, read_job
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
        job = change(read_job(octets, job_kind(path.name)))
        return assemble(job, rules, owner=path.stat().st_uid, now=now, seed=seed)
    except JobRefused as error:
        raise JobProblems(path, error.problems, octets) from error
    except OSError as error:
        problem = Problem("", f"a file of the job cannot be read: {error.strerror}")
        raise JobProblems(path, (problem,), octets) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_DOCUMENT_OCTETS + 1)
    except OSError as error:
        problem = Problem("", f"cannot be read: {error.strerror}")
        raise JobProblems(path, (problem,)) from error


def print_problems(refused: JobProblems) -> None:
    """Every mistake on stderr as FILE:LINE:COLUMN, with the line and a mark under the column."""
    lines = refused.octets.decode("utf-8", "replace").splitlines()
    for problem in refused.problems:
        place = f"{refused.path}"
        if problem.line is not None:
            place += f":{problem.line}:{problem.column}"
        field = f"{problem.field}: " if problem.field else ""
        advice = f"; {problem.suggestion}" if problem.suggestion else ""
        print(f"{place}: {field}{problem.problem}{advice}", file=sys.stderr)
        if problem.line is not None and problem.line <= len(lines):
            line = lines[problem.line - 1]
            before = line[: (problem.column or 1) - 1]
            print(f"    {line}\n    {_same_width(before)}^", file=sys.stderr)


def _same_width(text: str) -> str:
    """Blanks as wide as text on a terminal: tabs stay, East Asian characters count twice."""
    from rich.cells import cell_len

    return "".join(c if c == "\t" else " " * cell_len(c) for c in text)
