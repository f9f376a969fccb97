"""One mistake in a job, told so that its writer can put it right.  No I/O."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, where, and what would be right.

    field is a path such as "to[1]" ("" for the whole file); line and column count from 1 and
    are None where the mistake has no place in the file.
    """

    field: str
    problem: str
    suggestion: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}, column {self.column}: "
        field = f"{self.field}: " if self.field else ""
        advice = f"; {self.suggestion}" if self.suggestion else ""
        return f"{place}{field}{self.problem}{advice}"
