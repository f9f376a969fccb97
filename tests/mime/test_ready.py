"""Ready messages leave with every line end whole, and otherwise as they came."""

import time
import tracemalloc
from collections.abc import Iterator
from email import message_from_bytes, policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.letter import BLOCK_OCTETS, ContentError, Octets
from asyncnet.mime.ready import (
    MAX_HEADER_OCTETS,
    BadMessage,
    LineEnds,
    Reading,
    read_message,
    ready_message,
)


class Blocks:
    """Content in given blocks."""

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks

    @property
    def octets(self) -> int:
        return sum(map(len, self._blocks))

    def blocks(self) -> Iterator[bytes]:
        yield from self._blocks


def sent(*blocks: bytes, added: tuple[str, ...] = ()) -> bytes:
    content = Blocks(*blocks)
    message = ready_message(content, read_message(content), added)
    octets = b"".join(message.blocks())
    assert len(octets) == message.octets
    return octets


MESSAGE = (
    b"Subject: a\r\n folded\nBcc: secret@example.org,\r\n\tother@example.org\rFrom: a@b.c\r\n"
    b"resent-bcc : x@y.z\nX: y\r\n\n.dot\r..two\n\r\r\nno end"
)
SENT = b"Subject: a\r\n folded\r\nFrom: a@b.c\r\nX: y\r\n\r\n.dot\r\n..two\r\n\r\n\r\nno end\r\n"


@pytest.mark.parametrize("cut", range(len(MESSAGE) + 1))
def test_line_ends_become_crlf_and_bcc_goes_whatever_the_cut(cut: int) -> None:
    assert sent(MESSAGE[:cut], MESSAGE[cut:]) == SENT


def test_octet_by_octet_it_is_the_same() -> None:
    assert sent(*(MESSAGE[i : i + 1] for i in range(len(MESSAGE)))) == SENT


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (b"A: b\r\n\r\nx\r\n", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\n\nx", b"A: b\r\n\r\nx\r\n"),
        (b"A: b\r\rx\r", b"A: b\r\n\r\nx\r\n"),
        (b"A: b", b"A: b\r\n"),
        (b"A: b\r\n", b"A: b\r\n"),
        (b"A: b\r\n\r\n", b"A: b\r\n\r\n"),
        (b"A:\r\n\r\n", b"A:\r\n\r\n"),
        (b"A \t: b\n \n c\n\n", b"A \t: b\r\n \r\n c\r\n\r\n"),
        (b"A: b\n\n\n\r\n.\r\n\n.\n", b"A: b\r\n\r\n\r\n\r\n.\r\n\r\n.\r\n"),
        (b"A: b\n\n\xff\xfe\n", b"A: b\r\n\r\n\xff\xfe\r\n"),
        (b"A: b\n\n" + b"x" * 998, b"A: b\r\n\r\n" + b"x" * 998 + b"\r\n"),
        (b"A: b\n\nBcc: stays@example.org\n", b"A: b\r\n\r\nBcc: stays@example.org\r\n"),
        (b"Bcc: x@y.z\nA: b\nBCC: z\n\n", b"A: b\r\n\r\n"),
        (b"Bccc: x\nXBcc: y\n\n", b"Bccc: x\r\nXBcc: y\r\n\r\n"),
    ],
)
def test_all_else_stays(given: bytes, becomes: bytes) -> None:
    assert sent(given) == becomes
    assert sent(becomes) == becomes


def test_fields_are_added_behind_the_others() -> None:
    assert sent(b"A: b\n\nx\n", added=("Date: d\r\n", "Message-ID: <m>\r\n")) == (
        b"A: b\r\nDate: d\r\nMessage-ID: <m>\r\n\r\nx\r\n"
    )


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"", "the file is empty; a message begins with header fields"),
        (b"\r\nx", "line 1, column 1: has no header; a message begins with header fields"),
        (b"A: b\n\na\0b\n", "line 3, column 1: holds the octet NUL, which no mail may have"),
        (b"A: b\n\nx\n" + b"y" * 999 + b"\n", "line 4, column 1: has more than 998 octets"),
        (b"A: " + b"y" * 996 + b"\n\n", "line 1, column 1: has more than 998 octets"),
        (b"A: b\nno colon\n\n", "line 2, column 1: is no header field; write"),
        (b"A: b\n: no name\n\n", "line 2, column 1: is no header field; write"),
        (b"A: b\nna me: x\n\n", "line 2, column 1: is no header field; write"),
        (b"A: b\nn\xc3\xa4me: x\n\n", "line 2, column 1: is no header field; write"),
        (b" A: b\n\n", "line 1, column 1: is no header field; write"),
        (b"From a@b.c Mon\nA: b\n\n", 'line 1, column 1: begins with "From ", the line that'),
        (b"\xef\xbb\xbfA: b\n\n", "line 1, column 1: begins with a byte order mark"),
        (b"%PDF-1.7\n", "line 1, column 1: is no header field"),
        (b"A: b\n" * (MAX_HEADER_OCTETS // 5), "the header has more than 262,144 octets"),
    ],
)
def test_what_is_no_message_is_refused_with_its_line(octets: bytes, problem: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read_message(Octets(octets))
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("cut", range(1, 1010, 7))
def test_a_long_line_is_found_across_blocks(cut: int) -> None:
    octets = b"A: b\n\n" + b"x" * 999 + b"\n"
    with pytest.raises(BadMessage, match="line 3"):
        read_message(Blocks(octets[:cut], octets[cut:]))


@pytest.mark.parametrize(
    ("octets", "eight_bit"),
    [
        (b"A: b\n\nascii\n", False),
        (b"A: b\n\n\x80\n", True),
        ("A: ü\n\nascii\n".encode(), False),
        ("A: ü\n".encode(), False),
        ("A: ü\n\nü\n".encode(), True),
    ],
)
def test_an_8_bit_body_is_told_from_an_8_bit_header(octets: bytes, eight_bit: bool) -> None:
    for cut in range(len(octets) + 1):
        assert read_message(Blocks(octets[:cut], octets[cut:])).body_8bit is eight_bit


def test_a_message_that_changed_between_the_passes_is_no_content() -> None:
    reading = read_message(Octets(b"A: b\n\nx\n"))
    with pytest.raises(ContentError):
        list(ready_message(Octets(b"A: b\n\nxy\n"), reading, ()).blocks())


_LINES = st.lists(
    st.sampled_from(
        [b"Bcc: x", b"A: b", b"\r", b"\n", b"\r\n", b" ", b".", b"x" * 500, b"\xff", b"\0", b":"]
    )
).map(b"".join)


@given(st.lists(st.binary() | _LINES | _LINES.map(lambda it: b"A: b\r\n" + it), max_size=5))
def test_any_octets_are_a_message_or_its_own_error(blocks: list[bytes]) -> None:
    try:
        out = sent(*blocks)
    except BadMessage:
        return
    assert out.replace(b"\r\n", b"").count(b"\r") == 0
    assert out.replace(b"\r\n", b"").count(b"\n") == 0
    assert out.endswith(b"\r\n") or not out  # all its fields may have been Bcc
    assert max(map(len, out.split(b"\r\n"))) <= 998
    if out[:1] not in (b"\r", b""):
        assert sent(out) == out
    parsed = message_from_bytes(out, policy=policy.SMTP)
    assert "bcc" not in parsed
    assert "resent-bcc" not in parsed


@given(st.lists(st.binary(), max_size=6))
def test_line_ends_do_not_depend_on_the_cuts(blocks: list[bytes]) -> None:
    def put_right(given: list[bytes]) -> bytes | str:
        lines = LineEnds()
        try:
            return b"".join(map(lines.encode, given)) + lines.end()
        except BadMessage as error:
            return str(error)

    assert put_right(blocks) == put_right([b"".join(blocks)])


class Endless:
    """25 MB of short lines, bare line ends and all, made as they are read."""

    octets = 400 * BLOCK_OCTETS

    def blocks(self) -> Iterator[bytes]:
        yield b"A: b\n\n" + b"\n" * (BLOCK_OCTETS - 6)
        for _ in range(399):
            yield b"line\n" * (BLOCK_OCTETS // 5) + b"x" * (BLOCK_OCTETS % 5)


def test_a_large_message_takes_little_memory_and_time() -> None:
    content = Endless()
    started = time.process_time()
    tracemalloc.start()
    try:
        message = ready_message(content, read_message(content), ())
        blocks = list(map(len, message.blocks()))
        _, peak_octets = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(blocks) == message.octets > content.octets
    assert max(blocks) <= 2 * BLOCK_OCTETS
    assert peak_octets < 4_000_000
    assert time.process_time() - started < 20


def test_the_reading_keeps_fields_with_their_lines() -> None:
    reading = read_message(Octets(b"A: b\n c\nB:\td \n\nx"))
    assert [(it.name, it.value, it.line) for it in reading.fields] == [
        ("a", b"b c", 1),
        ("b", b"d", 3),
    ]
    assert reading == Reading(reading.fields, 17, 5, body_8bit=False)
