"""Long bodies give the octets that they give as a whole, and are never held."""

import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.mail.letter import BLOCK_OCTETS, ContentError, Octets
from asyncnet.mime.encoding import (
    TransferEncoding,
    base64_octets,
    encode_text,
    quoted_printable,
)
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.long_text import (
    LONG_TEXT_CHARACTERS,
    PIECE_OCTETS,
    Characters,
    PlainLines,
    encode_body,
    encode_long_text,
)
from tests.mime.reading import assert_fit_to_send

PARTS = st.sampled_from(
    [
        *("From ", ".", "..", "a" * 75, "b" * 76, "c" * 77, "d" * 997, "e" * 998, "f" * 999),
        *(" ", "\t", "=", "=3D", "é", "é" * 30, "你" * 40, "\n", "\r\n", "\r", "\n\n", "--=_"),
        *("Tell me about the weather, please.\n" * 3, "x\0y", "\x0c", " " * 80, "." * 90, "🎉"),
    ]
)
TEXTS = st.lists(PARTS, max_size=30).map("".join)


@dataclass(frozen=True)
class Cut:
    """Content in blocks of any size."""

    data: bytes
    sizes: tuple[int, ...]

    @property
    def octets(self) -> int:
        return len(self.data)

    def blocks(self) -> Iterator[bytes]:
        at = number = 0
        while at < len(self.data):
            size = self.sizes[number % len(self.sizes)]
            yield self.data[at : at + size]
            at, number = at + size, number + 1


@example("a\r\nb\r", (2,))
@example("é" * 37 + ". \n", (1,))
@example("." * 300, (7,))
@example("\f\n" + "a" * 148 + " \n", (151,))
@example("a" * 74 + " \n" + "=" * 3_000, (1_000,))
@given(TEXTS, st.lists(st.integers(1, 300), min_size=1, max_size=6).map(tuple))
def test_the_octets_are_those_of_the_whole_text(text: str, sizes: tuple[int, ...]) -> None:
    encoding, content = encode_long_text(Cut(text.encode(), sizes))
    octets = b"".join(content.blocks())
    assert (encoding, octets) == encode_text(text)
    assert content.octets == len(octets)


@pytest.mark.parametrize(
    ("unit", "encoding"),
    [
        ("All is well.\r\n", "7bit"),
        ("\n", "7bit"),
        ("All is well at the café of the corner.\n", "quoted-printable"),
        ("x", "quoted-printable"),
        ("a .b = ", "quoted-printable"),
        ("你好\n", "base64"),
        ("é", "base64"),
    ],
)
def test_a_text_above_every_limit_is_no_exception(unit: str, encoding: TransferEncoding) -> None:
    text = unit * (5 * BLOCK_OCTETS // len(unit))
    chosen, content = encode_body(text)
    assert not isinstance(content, bytes)
    blocks = list(content.blocks())
    assert max(map(len, blocks)) <= 2 * BLOCK_OCTETS
    assert (chosen, b"".join(blocks)) == (encoding, encode_text(text)[1])
    assert_fit_to_send(b"".join(blocks))


def test_of_two_encodings_as_long_the_same_is_taken() -> None:
    texts = ["é" * accented + "a" * plain for accented in range(1, 60) for plain in range(99)]
    even = [
        text
        for text in texts
        if len(quoted_printable(text.encode() + b"\n")) == base64_octets(len(text.encode()) + 2)
    ]
    assert even
    for text in even:
        assert encode_long_text(Octets(text.encode()))[0] == encode_text(text)[0]


def test_a_short_text_is_encoded_at_once() -> None:
    assert encode_body("x" * LONG_TEXT_CHARACTERS)[1] == encode_text("x" * LONG_TEXT_CHARACTERS)[1]


@pytest.mark.parametrize("place", [0, PIECE_OCTETS - 1, PIECE_OCTETS, 3 * PIECE_OCTETS])
def test_half_a_character_is_refused_wherever_it_stands(place: int) -> None:
    with pytest.raises(UnsafeText, match=r"text: half of a character, U\+D83D"):
        encode_body("x" * place + "\ud83d" + "x" * 4 * PIECE_OCTETS)


def test_characters_are_their_octets() -> None:
    for text in ("", "plain", "x" * 40_000, "é你🎉" * 20_000):
        content = Characters(text)
        assert b"".join(content.blocks()) == text.encode()
        assert content.octets == len(text.encode())
        assert all(len(block) <= BLOCK_OCTETS for block in content.blocks())


@dataclass
class Changing:
    """A text that is another one after so many readings."""

    before: str
    after: str
    readings: int

    @property
    def octets(self) -> int:
        return len(self.before.encode())

    def blocks(self) -> Iterator[bytes]:
        self.readings -= 1
        yield from Octets((self.before if self.readings >= 0 else self.after).encode()).blocks()


@pytest.mark.parametrize("before", ["plain\n" * 9, "Mostly plain, café\n" * 9, "你好\n" * 9])
@pytest.mark.parametrize("more", ["x", "a whole line of it\n", "ü"])
def test_a_text_that_grew_or_shrank_is_an_error(before: str, more: str) -> None:
    for first, second in ((before, before + more), (before + more, before), (before, "")):
        readings = 2 if encode_text(first)[0] == "quoted-printable" else 1
        _, content = encode_long_text(Changing(first, second, readings))
        with pytest.raises(ContentError):
            list(content.blocks())


@pytest.mark.parametrize("evil", [".\n-----", "é---- \n", "From x\n", "a\0bcde\n", "--=_ab\n"])
def test_what_was_plain_and_is_no_more_never_leaves(evil: str) -> None:
    plain = "-" * (len(evil.encode()) - 1) + "\n"
    filler = "plain lines\n" * 5_000
    _, content = encode_long_text(Changing(plain + filler + plain, plain + filler + evil, 1))
    given_out: list[bytes] = []
    with pytest.raises(ContentError):
        given_out.extend(content.blocks())
    whole_lines = b"".join(given_out).rpartition(b"\r\n")[0]
    assert_fit_to_send(whole_lines + b"\r\n")
    assert len(whole_lines) > 30_000


def test_an_open_line_is_bounded() -> None:
    lines = PlainLines()
    assert lines.receive(b"a" * 998)
    assert not lines.receive(b"a")


@pytest.mark.parametrize(
    "unit", ["All is well.\n", "All is well, dear café.\n", "你好\n", "x", "é", "\n", "\r\n", ".\n"]
)
def test_megabytes_are_encoded_in_the_memory_of_a_few_blocks(unit: str) -> None:
    block = (unit * BLOCK_OCTETS).encode()[:BLOCK_OCTETS]

    @dataclass(frozen=True)
    class Long:
        octets: int = 40 * BLOCK_OCTETS

        def blocks(self) -> Iterator[bytes]:
            return (block for _ in range(40))

    tracemalloc.start()
    try:
        _, content = encode_long_text(Long())
        octets = sum(map(len, content.blocks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert octets == content.octets
    assert peak < 600_000
