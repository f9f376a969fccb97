"""File names in their two fields, read back as old and as new programs read them."""

from email.message import EmailMessage
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.header import field
from asyncnet.mime.parameter import filename_words, name_words
from tests.mime.reading import assert_fit_to_send, decoded, read

NAMES = st.one_of(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029")
        | st.sampled_from(" \t\".,;:=?%*'\\()<>@é你🎉"),
        min_size=1,
    ),
    st.sampled_from(["n" * 300 + ".txt", "名" * 100 + ".pdf", "é" * 255, "=?utf-8?q?x?=", "a'b'c"]),
)


def part_named(name: str) -> tuple[str, EmailMessage]:
    written = field("Content-Type", ["application/pdf;", *name_words(name)])
    written += field("Content-Disposition", ["attachment;", *filename_words(name)])
    assert_fit_to_send(written.encode())
    return written, read(f"{written}\r\n".encode())


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("report.pdf", ['filename="report.pdf"']),
        ("my report (1).pdf", ['filename="my report (1).pdf"']),
        ("é.txt", ["filename*=utf-8''%C3%A9.txt"]),
        ('say "hi".txt', ["filename*=utf-8''say%20%22hi%22.txt"]),
        ("back\\slash.txt", ["filename*=utf-8''back%5Cslash.txt"]),
        (" a  b ", ["filename*=utf-8''%20a%20%20b%20"]),
        ("n" * 61, ["filename*0*=utf-8''" + "n" * 55 + ";", "filename*1*=" + "n" * 6]),
    ],
)
def test_a_name_is_written_as_plainly_as_it_can_be(name: str, written: list[str]) -> None:
    assert filename_words(name) == written


@example("名" * 2000)
@given(NAMES)
def test_new_programs_read_the_name_in_the_disposition(name: str) -> None:
    _, part = part_named(name)
    disposition = part["content-disposition"]
    assert disposition.params["filename"] == name  # get_filename() takes blanks and <> off
    assert not disposition.defects


@example("名" * 2000)
@given(NAMES)
def test_old_programs_read_the_name_in_the_type(name: str) -> None:
    written, _ = part_named(name)
    line = written.split("Content-Disposition:")[0].replace("\r\n ", " ")
    quoted = line.split('name="')[1].removesuffix('"\r\n')
    assert decoded(quoted) == name
    assert "\\" not in quoted


@example("名" * 2000)
@given(NAMES)
def test_no_line_is_too_long_and_no_segment_splits_a_character(name: str) -> None:
    written, _ = part_named(name)
    assert all(len(line) <= 78 for line in written.split("\r\n"))
    assert all(len(line) <= 76 for line in written.split("\r\n") if "=?" in line)
    for word in filename_words(name):
        if "*" in word.split("=")[0]:
            value = word.split("=", 1)[1].removeprefix("utf-8''").removesuffix(";")
            unquote_to_bytes(value).decode()  # fails on half a character


@pytest.mark.parametrize("character", "\r\n\0\x1b\x7f\x85\u2028\ud800")
def test_no_name_can_bring_a_control_into_a_field(character: str) -> None:
    for name in (f"a{character}b", f"é{character}", f'{character}"; x="y'):
        with pytest.raises(UnsafeText):
            filename_words(name)
        with pytest.raises(UnsafeText):
            name_words(name)
