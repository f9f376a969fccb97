"""What is wrong with a job or a ready message, told file by file for a terminal."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asyncnet.cli.excerpt import excerpt, lines_at, visible
from asyncnet.mail.letter import Content, ContentError
from asyncnet.mail.problem import Problem


@dataclass(frozen=True, slots=True)
class MistakenFile:
    """One file and what is wrong in it, with the lines that the problems name."""

    path: Path
    problems: tuple[Problem, ...]
    lines: Mapping[int, str]


class JobProblems(Exception):
    """A job that cannot be used.  problems are all, as its result would tell them; files have
    them where they are to be put right: in the message, or in the envelope beside it.
    """

    def __init__(
        self, path: Path, problems: tuple[Problem, ...], files: Sequence[MistakenFile]
    ) -> None:
        super().__init__(str(path))
        self.problems = problems
        self.files = files

    @classmethod
    def of(cls, path: Path, problem: Problem) -> "JobProblems":
        """One problem of the whole file."""
        return cls(path, (problem,), [MistakenFile(path, (problem,), {})])


def mistaken_file(path: Path, problems: tuple[Problem, ...], content: Content) -> MistakenFile:
    """content is the file's; what cannot be read of it (again) is not shown."""
    numbers = frozenset(problem.line for problem in problems if problem.line is not None)
    try:
        lines = lines_at(content, numbers)
    except (ContentError, OSError):
        lines = {}
    return MistakenFile(path, problems, lines)


def print_problems(refused: JobProblems) -> None:
    """Every mistake on stderr as FILE:LINE:COLUMN, with the line and a mark under the column."""
    for file in refused.files:
        for problem in file.problems:
            _print(file, problem)


def _print(file: MistakenFile, problem: Problem) -> None:
    place = f"{file.path}"
    if problem.line is not None:
        place += f":{problem.line}:{problem.column}"
    field = f"{problem.field}: " if problem.field else ""
    advice = f"; {problem.suggestion}" if problem.suggestion else ""
    print(visible(f"{place}: {field}{problem.problem}{advice}"), file=sys.stderr)
    if problem.line is not None and (wrong := file.lines.get(problem.line)):
        line, blanks = excerpt(wrong, problem.column or 1)
        print(f"    {line}\n    {blanks}^", file=sys.stderr)
