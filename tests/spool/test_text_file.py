"""Files that are text: judged in blocks as they would be as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.letter import BLOCK_OCTETS, Content, Octets
from asyncnet.spool.errors import FileRefused
from asyncnet.spool.text_file import PIECE_OCTETS, Edited, judge_text, read_body, read_text


@dataclass(frozen=True)
class Cut:
    """Content in blocks of one size."""

    data: bytes
    size: int

    @property
    def octets(self) -> int:
        return len(self.data)

    def blocks(self) -> Iterator[bytes]:
        for start in range(0, len(self.data), self.size):
            yield self.data[start : start + self.size]


def octets_of(content: Content) -> bytes:
    octets = b"".join(content.blocks())
    assert len(octets) == content.octets
    return octets


@given(st.text(), st.integers(3, 9))
def test_a_text_is_read_however_it_is_cut(text: str, size: int) -> None:
    text = text.replace("\0", "").removeprefix("\ufeff")
    assert read_text(Cut(text.encode(), size)) == text
    assert read_text(Cut(text.encode("utf-8-sig"), size)) == text


@pytest.mark.parametrize("size", [3, 4, 5, 64, BLOCK_OCTETS])
@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"a\nb\xe4c", "octet 0xE4 on line 2 of the file is not UTF-8"),
        (b"abc\nd\xc3\nx", "octet 0xC3 on line 2 of the file is not UTF-8"),
        (b"abc\n\nd\xf0\x9f\x8e", "octet 0xF0 on line 3 of the file is not UTF-8"),
        (b"abcdefg\n\xed\xa0\x80", "octet 0xED on line 2 of the file is not UTF-8"),
        (b"\xef\xbb\xbfab\n\xff", "octet 0xFF on line 2 of the file is not UTF-8"),
        (b"\xef\xbb\xbf\n\n\nab\n\xc3", "octet 0xC3 on line 5 of the file is not UTF-8"),
        (b"\xff\xfea\0", "the file is UTF-16"),
        (b"\xfe\xff\0a", "the file is UTF-16"),
        (b"a\0b", "the file holds the character U+0000"),
        (b"a\0b\nc\xff", "octet 0xFF on line 2 of the file is not UTF-8"),
    ],
)
def test_what_is_no_text_is_refused(octets: bytes, problem: str, size: int) -> None:
    with pytest.raises(FileRefused) as caught:
        read_text(Cut(octets, size))
    assert caught.value.problem == problem


@pytest.mark.parametrize("place", [PIECE_OCTETS - 1, PIECE_OCTETS, BLOCK_OCTETS + 9, 199_999])
def test_one_wrong_octet_in_a_long_file_is_found(place: int) -> None:
    octets = bytearray(b"123456789\n" * 20_000)
    octets[place] = 0xB5
    with pytest.raises(FileRefused) as caught:
        read_body(Octets(bytes(octets)))
    line = place // 10 + 1
    assert caught.value.problem == f"octet 0xB5 on line {line} of the file is not UTF-8"


def test_a_short_file_is_its_text_and_a_long_one_stays_where_it_is() -> None:
    assert read_body(Octets(b"\xef\xbb\xbfshort")) == "short"
    long = Octets("größer\n".encode() * 20_000)
    assert read_body(long) is long
    marked = read_body(Octets(b"\xef\xbb\xbf" + long.data))
    assert not isinstance(marked, str)
    assert octets_of(marked) == long.data


def test_a_long_text_is_told_part_by_part() -> None:
    parts: list[str] = []
    text = "größer\n" * 20_000
    assert judge_text(Octets(b"\xef\xbb\xbf" + text.encode()), parts.append) == 3
    assert "".join(parts) == text
    assert max(map(len, parts)) <= PIECE_OCTETS


@given(
    st.binary(max_size=60),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.binary(max_size=5)), max_size=8),
    st.integers(1, 9),
)
def test_edits_are_made_wherever_the_blocks_end(
    octets: bytes, steps: list[tuple[int, int, bytes]], size: int
) -> None:
    edits, expected, at = [], b"", 0
    for before, replaced, new in steps:
        start = min(at + before, len(octets))
        end = min(start + replaced, len(octets))
        edits.append((start, end, new))
        expected += octets[at:start] + new
        at = end
    expected += octets[at:]
    assert octets_of(Edited(Cut(octets, size), tuple(edits))) == expected


def test_edits_make_no_block_too_long() -> None:
    content = Octets(b"x" * BLOCK_OCTETS)
    edited = Edited(content, tuple((at, at + 1, b"y" * 9_999) for at in range(100)))
    assert max(map(len, edited.blocks())) <= BLOCK_OCTETS
    assert octets_of(edited) == b"y" * 999_900 + b"x" * (BLOCK_OCTETS - 100)
