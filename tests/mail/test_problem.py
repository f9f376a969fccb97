"""How a mistake in a job is told."""

import pytest

from asyncnet.mail.problem import Problem


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (Problem("", "is empty"), "is empty"),
        (Problem("to[1]", "is missing the domain"), "to[1]: is missing the domain"),
        (
            Problem("to[1]", "is missing the domain", "write name@example.org", 4, 5),
            "line 4, column 5: to[1]: is missing the domain; write name@example.org",
        ),
        (
            Problem("", "a tab begins the line", None, 2, 1),
            "line 2, column 1: a tab begins the line",
        ),
    ],
)
def test_a_problem_reads_as_a_sentence(problem: Problem, told: str) -> None:
    assert str(problem) == told
