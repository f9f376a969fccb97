"""What can go wrong around the watched folder.  No I/O."""

from asyncnet.mail.problem import Problem

MAX_PROBLEMS = 1_000  # told of one job; a file of 5,000 mistakes is no job


class SpoolError(Exception):
    """Root of this room.  As itself: the spool cannot be used; str() is one clear line."""


class SpoolBroken(SpoolError):
    """A folder could not be flushed: nobody knows what is on the disk.  End the process (75)."""


class JobRefused(SpoolError):
    """The job cannot be sent; problems holds every mistake found, in the order of the file.

    unfinished tells that the file is empty or does not parse at all, which is also how a
    file looks whose writer has not come to its end yet.
    """

    def __init__(self, problems: tuple[Problem, ...], *, unfinished: bool = False) -> None:
        more = len(problems) - MAX_PROBLEMS
        if more > 0:
            problems = (*problems[:MAX_PROBLEMS], Problem("", f"and {more:,} more mistakes"))
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
        self.unfinished = unfinished


class FileRefused(SpoolError):
    """A file that a job names must not or cannot be read.

    missing tells that there is none under this name (yet).
    """

    def __init__(
        self, problem: str, suggestion: str | None = None, *, missing: bool = False
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.suggestion = suggestion
        self.missing = missing
