"""The line under a mistake: the mark stands where the eye looks, whatever is in the line."""

from collections.abc import Iterator

import pytest
from rich.cells import cell_len

from asyncnet.cli.excerpt import WIDTH_CELLS, excerpt, lines_at
from asyncnet.mail.letter import Octets
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS


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


class Blocks:
    """Content in given blocks."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks
        self.read = 0

    @property
    def octets(self) -> int:
        return sum(map(len, self._blocks))

    def blocks(self) -> Iterator[bytes]:
        for block in self._blocks:
            self.read += 1
            yield block


FILE = "\ufeffa\x85b\u2028c\rd\r\n\r\r\né\nf".encode()


@pytest.mark.parametrize("cut", range(len(FILE) + 1))
def test_lines_are_those_that_positions_count_whatever_the_cut(cut: int) -> None:
    content = Blocks(FILE[:cut], FILE[cut:])
    expected = {1: "a\x85b\u2028c", 2: "d", 3: "", 4: "", 5: "é", 6: "f"}
    assert lines_at(content, range(20)) == expected
    assert lines_at(content, {2, 5}) == {2: "d", 5: "é"}


def test_no_more_is_read_and_kept_than_must_be() -> None:
    content = Blocks(b"a\nb\n", *[b"x" * 60_000] * 100)
    assert lines_at(content, {2}) == {2: "b"}
    assert content.read == 2
    (line,) = lines_at(content, {3}).values()
    assert len(line) == MAX_DOCUMENT_OCTETS


def test_octets_that_are_no_text_are_shown_as_such() -> None:
    assert lines_at(Octets(b"Subject: \xe4\xff\n"), {1}) == {1: "Subject: \ufffd\ufffd"}
