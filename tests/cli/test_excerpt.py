"""The line under a mistake: the mark stands where the eye looks, whatever is in the line."""

import pytest
from rich.cells import cell_len

from asyncnet.cli.excerpt import WIDTH_CELLS, excerpt, lines_of


@pytest.mark.parametrize(
    ("line", "column", "shown", "marked"),
    [
        ("to: nobody", 5, "to: nobody", "n"),
        ("to: [你好, x]", 10, "to: [你好, x]", "x"),
        ("\tto: x", 2, "→   to: x", "t"),
        ("a\x1b[31mb", 7, "a\\x1b[31mb", "b"),
        ("a\u202eb", 3, "a\\u202eb", "b"),
        ("é: x", 4, "é: x", "x"),
    ],
)
def test_the_mark_stands_under_the_column(line: str, column: int, shown: str, marked: str) -> None:
    printed, blanks = excerpt(line, column)
    assert printed == shown
    before = printed[: printed.rindex(marked)]
    assert len(blanks) == cell_len(before)


@pytest.mark.parametrize("column", [1, 50, 5_000, 9_999, 10_001])
@pytest.mark.parametrize("character", ["x", "你", "\0"])
def test_a_long_line_is_cut_around_the_column(column: int, character: str) -> None:
    printed, blanks = excerpt(character * 10_000, column)
    assert cell_len(printed) <= WIDTH_CELLS + 2
    assert len(blanks) <= WIDTH_CELLS
    assert printed.isprintable()


def test_lines_are_those_that_positions_count() -> None:
    octets = "\ufeffa\x85b\u2028c\rd\r\ne\nf".encode()
    assert lines_of(octets) == ["a\x85b\u2028c", "d", "e", "f"]
