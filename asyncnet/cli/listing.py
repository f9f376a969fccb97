"""A list on a terminal: columns that keep their words whole, and a remark that gives way."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

PIPE_COLUMNS = 200
GAP_COLUMNS = 2
LEAST_COLUMNS = 30  # of remarks that stand beside their rows


@dataclass(frozen=True, slots=True)
class Row:
    """A row, or the titles.  What is aside has columns only where the remark has one, too."""

    cells: Sequence[Text]
    aside: Sequence[str]
    remark: str


def console_for_lists() -> Console:
    """A console as wide as the terminal; in a pipe nobody sees an edge to end lines at."""
    return Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS, highlight=False)


def titled(cells: Sequence[str], remark: str, aside: Sequence[str] = ()) -> Row:
    return Row([Text(it, "bold") for it in cells], aside, remark)


def print_list(console: Console, titles: Row, rows: Sequence[Row]) -> None:
    """Remarks are cut where the console ends; where there is no room for them, they stand below
    their rows, broken between words.
    """
    lines = [titles, *rows]
    wide = [[*row.cells, *(Text(it) for it in row.aside)] for row in lines]
    widths = [max(cell.cell_len for cell in column) for column in zip(*wide, strict=True)]
    left = console.width - sum(width + GAP_COLUMNS for width in widths)
    longest = max(Text(row.remark).cell_len for row in lines)
    if left >= min(LEAST_COLUMNS, longest):
        for row, cells in zip(lines, wide, strict=True):
            remark = Text(row.remark)
            remark.truncate(left, overflow="ellipsis")
            _print_line(console, [*cells, remark], [*widths, 0])
        return
    for row in lines:
        _print_line(console, row.cells, widths)
        if row is not titles:
            _print_below(console, titles, row)


def _print_line(console: Console, cells: Sequence[Text], widths: Sequence[int]) -> None:
    line = Text()
    for cell, width in zip(cells, widths, strict=False):
        line.append_text(cell)
        line.append(" " * (width - cell.cell_len + GAP_COLUMNS))
    line.rstrip()
    console.print(line, soft_wrap=True)


def _print_below(console: Console, titles: Row, row: Row) -> None:
    named = zip(titles.aside, row.aside, strict=True)
    aside = ", ".join(f"{title} {words}" for title, words in named if words)
    below = Text(": ".join(filter(None, (aside, row.remark))))
    for line in below.wrap(console, max(1, console.width - GAP_COLUMNS)):
        line.rstrip()
        console.print(Text(" " * GAP_COLUMNS).append_text(line), soft_wrap=True)
