"""Transfer encodings, judged by base64 and quopri of the standard library."""

import base64
import quopri
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.mail.letter import BLOCK_OCTETS, ContentError, Octets, PlainText
from asyncnet.mime.encoding import (
    ROW_OCTETS,
    Base64,
    are_plain,
    base64_octets,
    base64_rows,
    encode_text,
    quoted_printable,
)
from asyncnet.mime.errors import UnsafeText
from tests.mime.reading import assert_fit_to_send

LINES = st.lists(
    st.tuples(
        st.sampled_from(["", "a", ".", "From ", "From", "--=_", "--=", "F", "-"]),
        st.sampled_from([0, 1, 70, 400, 993, 994, 997, 998]),
    ).map(lambda it: it[0] + "b" * it[1])
)
SIZES = [0, 1, 2, 3, 56, 57, 58, 114, 57 * 64 - 1, 57 * 64, 57 * 64 + 1, BLOCK_OCTETS]
ALPHABET = st.one_of(st.sampled_from(".F\r\n \t=_-aé\0"), st.characters(exclude_categories=["Cs"]))
TEXTS = st.one_of(
    st.text(ALPHABET),
    st.lists(
        st.sampled_from(["From ", ".", "..", "a" * 75, "b" * 77, " ", "\t", "=", "é" * 30, "\n"])
    ).map("".join),
)


def lines_of(text: str) -> str:
    """The text as it must arrive: LF, and the last line ended."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else text + "\n"


def content_of(encoding: str, octets: bytes) -> bytes:
    if encoding == "base64":
        return base64.b64decode(octets, validate=False)
    return quopri.decodestring(octets) if encoding == "quoted-printable" else octets


@pytest.mark.parametrize("octets", SIZES)
def test_base64_rows_are_those_of_the_standard_library(octets: int) -> None:
    content = bytes(range(256)) * (octets // 256) + bytes(octets % 256)
    rows = base64_rows(content)
    assert rows == base64.encodebytes(content).replace(b"\n", b"\r\n")
    assert len(rows) == base64_octets(octets)


@given(st.binary(max_size=8_000))
def test_base64_gives_back_what_it_was_given(content: bytes) -> None:
    rows = base64_rows(content)
    assert base64.b64decode(rows) == content
    assert len(rows) == base64_octets(len(content))
    assert all(len(row) == 76 for row in rows.split(b"\r\n")[:-2])


@dataclass(frozen=True)
class Pieces:
    """Content that comes in blocks of any size, and may break its promise."""

    octets: int
    given: tuple[bytes, ...]

    def blocks(self) -> Iterator[bytes]:
        yield from self.given


@given(st.lists(st.binary(max_size=200), max_size=12))
def test_base64_does_not_depend_on_where_the_content_was_cut(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    encoded = Base64(Pieces(len(whole), tuple(blocks)))
    assert b"".join(encoded.blocks()) == base64_rows(whole)
    assert encoded.octets == base64_octets(len(whole))


def test_an_oversized_block_is_encoded_in_blocks_all_the_same() -> None:
    whole = bytes(3 * BLOCK_OCTETS + 5)
    blocks = list(Base64(Pieces(len(whole), (whole,))).blocks())
    assert max(map(len, blocks)) == base64_octets(BLOCK_OCTETS)
    assert b"".join(blocks) == base64_rows(whole)


@pytest.mark.parametrize(
    "blocks",
    [
        pytest.param((), id="vanished"),
        pytest.param((b"x" * 99,), id="shrank by one"),
        pytest.param((b"x" * 101,), id="grew by one"),
        pytest.param((b"x" * 57, b"x" * 57), id="grew by a block"),
    ],
)
def test_content_that_changed_is_an_error(blocks: tuple[bytes, ...]) -> None:
    with pytest.raises(ContentError, match="100 octets"):
        list(Base64(Pieces(100, blocks)).blocks())


def test_a_content_that_grows_is_left_at_once() -> None:
    given_blocks = iter([bytes(600)] * 1_000)

    @dataclass(frozen=True)
    class Growing:
        octets: int = 1_000

        def blocks(self) -> Iterator[bytes]:
            return given_blocks

    with pytest.raises(ContentError):
        list(Base64(Growing()).blocks())
    assert len(list(given_blocks)) == 998


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("", "7bit"),
        ("plain\n", "7bit"),
        ("no line end", "7bit"),
        ("tab\tand trailing blanks  \n", "7bit"),
        ("a" * 998, "7bit"),
        ("a" * 999, "quoted-printable"),
        ("a\n" + "b" * 999 + "\nc", "quoted-printable"),
        (".\n", "quoted-printable"),
        ("a\n.b\n", "quoted-printable"),
        ("From here on\n", "quoted-printable"),
        ("a\r\nFrom here on\n", "quoted-printable"),
        ("Fromage\n.5 is no start in the middle: .\n", "quoted-printable"),
        ("Fromage\n", "7bit"),
        (" .\n From here\n", "7bit"),
        ("--=_0123\n", "quoted-printable"),
        ("x --=_0123\n", "7bit"),
        ("a\0b\n", "quoted-printable"),
        ("form\x0cfeed\n", "quoted-printable"),
        ("Grüße\n", "base64"),
        ("café au lait, s'il vous plaît\n", "quoted-printable"),
        ("你好，世界\n", "base64"),
        ("\x01\x02\x03\x04\x05\n", "base64"),
    ],
)
def test_the_content_decides_the_encoding(text: str, encoding: str) -> None:
    assert encode_text(text)[0] == encoding


PLAIN_LINES = st.sampled_from(
    ["From ", ".", "..", "--=_", "a" * 76, "b" * 998, "c" * 999, " ", "\t", "=", "~", "\n", "\n\n"]
)


@given(st.lists(PLAIN_LINES).map("".join))
@example("a\n" + "b" * 999)
@example("a\n.b\n")
def test_a_text_known_to_be_plain_is_encoded_as_any_other(text: str) -> None:
    assert encode_text(PlainText(text)) == encode_text(text)


@example("." * 300)
@example("From " * 60)
@example("é" * 37 + ". \n")
@given(TEXTS)
def test_a_text_arrives_and_keeps_every_promise(text: str) -> None:
    encoding, octets = encode_text(text)
    assert_fit_to_send(octets or b"\r\n")
    assert content_of(encoding, octets) == lines_of(text).replace("\n", "\r\n").encode()
    assert encoding == "7bit" or all(len(line) <= 76 for line in octets.split(b"\r\n"))
    assert b"\n--=_" not in b"\n" + octets


@pytest.mark.parametrize("end", [" ", "\t"])
@pytest.mark.parametrize("columns", range(70, 80))
def test_a_blank_at_the_end_of_a_line_makes_it_no_longer_than_76(columns: int, end: str) -> None:
    lines = "x" * columns + end + "\nnext\n"
    quoted = quoted_printable(lines.encode())
    assert max(map(len, quoted.split(b"\r\n"))) <= 76
    assert quopri.decodestring(quoted) == lines.replace("\n", "\r\n").encode()


@given(TEXTS)
def test_the_smaller_encoding_is_taken(text: str) -> None:
    encoding, octets = encode_text(text)
    lines = lines_of(text).encode()
    rivals = {
        "quoted-printable": len(quoted_printable(lines)),
        "base64": base64_octets(len(lines) + lines.count(b"\n")),
    }
    assert encoding == "7bit" or len(octets) == min(rivals.values())
    if encoding == "base64":
        assert rivals["quoted-printable"] > rivals["base64"]


@given(TEXTS)
def test_quoted_printable_by_itself_is_right(text: str) -> None:
    lines = lines_of(text)
    quoted = quoted_printable(lines.encode())
    assert quopri.decodestring(quoted) == lines.replace("\n", "\r\n").encode()
    assert_fit_to_send(quoted or b"\r\n")
    assert all(len(line) <= 76 for line in quoted.split(b"\r\n"))
    assert b"=_" not in quoted


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UnsafeText, match=r"text: half of a character, U\+D83D"):
        encode_text("broken \ud83d emoji")


def test_25_megabytes_are_encoded_in_the_memory_of_a_few_blocks() -> None:
    content = Pieces(400 * BLOCK_OCTETS, (bytes(BLOCK_OCTETS),) * 400)
    tracemalloc.start()
    try:
        octets = sum(map(len, Base64(content).blocks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert octets == base64_octets(content.octets)
    assert peak < 600_000


def test_blocks_are_whole_rows() -> None:
    assert BLOCK_OCTETS % ROW_OCTETS == 0
    blocks = list(Base64(Octets(bytes(2 * BLOCK_OCTETS + 100))).blocks())
    assert all(block.endswith(b"\r\n") for block in blocks)
    assert len(blocks) <= 4


@example(["b" * 998] * 30)
@example(["a"] * 2_000 + ["b" * 999])
@example(["a"] * 2_000 + ["."])
@given(LINES.map(lambda lines: lines * 8))
def test_lines_are_plain_by_their_beginnings_and_lengths_however_long_they_are(
    lines: list[str],
) -> None:
    bad = [it for it in lines if len(it) > 998 or it.startswith((".", "From ", "--=_"))]
    assert are_plain("".join(f"{it}\n" for it in lines).encode()) == (not bad)
