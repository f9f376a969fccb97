"""The reply reader against answers as servers really send them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.smtp.errors import MalformedReply
from asyncnet.smtp.reply import (
    KEPT_CHARACTERS,
    MAX_LINE_OCTETS,
    MAX_LINES,
    Reply,
    ReplyReader,
)

EHLO = b"250-mx.example greets you\r\n250-SIZE 35882577\r\n250 STARTTLS\r\n"
WHOLE = Reply(250, ("mx.example greets you", "SIZE 35882577", "STARTTLS"))


def read_all(octets: bytes, charset: str = "latin-1") -> list[Reply]:
    reader = ReplyReader(charset)
    reader.receive_data(octets)
    replies = []
    while (reply := reader.next_reply()) is not None:
        replies.append(reply)
    return replies


@pytest.mark.parametrize("cut", range(len(EHLO) + 1))
def test_a_reply_survives_any_cut(cut: int) -> None:
    reader = ReplyReader()
    answers = []
    for part in (EHLO[:cut], EHLO[cut:]):
        reader.receive_data(part)
        answers.append(reader.next_reply())
    assert [reply for reply in answers if reply is not None] == [WHOLE]
    assert not reader.pending


def test_a_reply_survives_octet_by_octet() -> None:
    reader = ReplyReader()
    answers = []
    for octet in EHLO:
        reader.receive_data(bytes([octet]))
        answers.append(reader.next_reply())
    assert answers[:-1] == [None] * (len(EHLO) - 1)
    assert answers[-1] == WHOLE


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        pytest.param(b"250 ok\r\n", ("ok",), id="usual"),
        pytest.param(b"250 ok\n", ("ok",), id="bare LF"),
        pytest.param(b"250\r\n", ("",), id="no text"),
        pytest.param(b"250 \r\n", ("",), id="a space alone"),
        pytest.param(b"250-\r\n250\r\n", ("", ""), id="empty lines"),
        pytest.param("250 Grüße\r\n".encode(), ("Grüße",), id="UTF-8"),
        pytest.param("250 Grüße\r\n".encode("latin-1"), ("Grüße",), id="latin-1"),
        pytest.param(b"250 a\x00b\x1b[31mc\r\n", ("a�b�[31mc",), id="controls do not get through"),
        pytest.param(b"250 a\tb\r\n", ("a\tb",), id="a tab does"),
    ],
)
def test_what_servers_say_is_read(octets: bytes, lines: tuple[str, ...]) -> None:
    assert read_all(octets) == [Reply(250, lines)]


def test_a_charset_reads_what_is_not_utf_8() -> None:
    refusal = "550 邮箱不存在\r\n".encode("gb18030")
    assert read_all(refusal, "gb18030") == [Reply(550, ("邮箱不存在",))]
    assert read_all(refusal)[0].raw == refusal


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n", id="a web server on port 25"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(b"25\r\n", id="two digits only"),
        pytest.param(b"2500 ok\r\n", id="four digits"),
        pytest.param(b"150 ok\r\n", id="1yz is not in SMTP"),
        pytest.param(b"600 ok\r\n", id="6yz neither"),
        pytest.param("٢٥٠ ok\r\n".encode(), id="digits that are not ASCII"),
        pytest.param(b" 250 ok\r\n", id="a space before"),
        pytest.param(b"250_ok\r\n", id="another mark"),
        pytest.param(b"250-one\r\n550 two\r\n", id="the code changes half-way"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\n", id="TLS where nobody asked for it"),
        pytest.param(b"250 " + b"x" * MAX_LINE_OCTETS, id="no line end in sight"),
        pytest.param(b"250 " + b"x" * MAX_LINE_OCTETS + b"\r\n", id="a line too long"),
        pytest.param(b"250-x\r\n" * (MAX_LINES + 1), id="lines without end"),
        pytest.param((b"250-" + b"x" * 4000 + b"\r\n") * 20, id="too many octets in few lines"),
    ],
)
def test_garbage_is_refused_and_named(garbage: bytes) -> None:
    with pytest.raises(MalformedReply) as caught:
        read_all(garbage)
    assert 0 < len(caught.value.line) <= 512


@pytest.mark.parametrize(
    ("reply", "enhanced", "text"),
    [
        (Reply(250, ("2.0.0 OK: queued",)), "2.0.0", "OK: queued"),
        (Reply(250, ("ok",)), None, "ok"),
        (Reply(550, ("5.1.1 no", "5.1.1 such user")), "5.1.1", "no such user"),
        (Reply(452, ("4.5.3",)), "4.5.3", ""),
        (Reply(450, ("5.1.1 says it better",)), "5.1.1", "says it better"),
        (Reply(250, ("5.1.1 contradicts",)), None, "5.1.1 contradicts"),
        (Reply(550, ("words first", "", "5.7.1 code later")), "5.7.1", "words first code later"),
        (Reply(550, ("2.1.0 contradicts its code",)), None, "2.1.0 contradicts its code"),
        (Reply(550, ("5.1.1.4 is a version",)), None, "5.1.1.4 is a version"),
        (Reply(550, ("5.1234.1 is too long",)), None, "5.1234.1 is too long"),
        (Reply(550, ("5.٧.1 is not ASCII",)), None, "5.٧.1 is not ASCII"),
    ],
)
def test_enhanced_codes_are_read_where_they_are_codes(
    reply: Reply, enhanced: str | None, text: str
) -> None:
    assert (reply.enhanced, reply.text) == (enhanced, text)


def said(code: int, *lines: str) -> Reply:
    marks = "-" * (len(lines) - 1) + " "
    octets = [f"{code}{mark}{line}\r\n" for mark, line in zip(marks, lines, strict=True)]
    return read_all("".join(octets).encode())[0]


def test_a_short_reply_is_kept_as_it_is() -> None:
    reply = said(550, *["5.7.1 spam"] * 60)
    assert reply.shortened() is reply


@pytest.mark.parametrize(
    "lines",
    [
        ["5.7.1 " + "word " * 15] * 200,
        ["word " * 15] * 199 + ["5.7.1 at last"],
        ["word " * 15] * 20 + ["5.7.1 " + "word " * 15] * 30,
        ["x" * 4000] * 15,
        ["", "5.1.1 " + "long " * 600, "x" * 4000, "5.7.1"],
    ],
)
def test_of_a_long_reply_whole_lines_and_the_code_are_kept(lines: list[str]) -> None:
    reply = said(550, *lines)
    short = reply.shortened()
    assert (short.code, short.enhanced, short.raw) == (550, reply.enhanced, b"")
    assert short.text[:1000] == reply.text[:1000]
    assert len(short.text) > 1000  # so that who shows less says that there was more
    assert sum(map(len, short.lines)) <= KEPT_CHARACTERS + MAX_LINE_OCTETS
    kept = short.lines if short.lines[-1] in lines else short.lines[:-1]
    assert kept == reply.lines[: len(kept)]
    assert short.shortened().text == short.text


def test_many_empty_lines_are_shortened_by_their_octets() -> None:
    assert said(550, *[""] * 250, "5.7.1 no").shortened().raw == b""


REPLIES = st.lists(
    st.builds(
        Reply,
        st.integers(200, 599),
        st.lists(
            st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=40),
            min_size=1,
            max_size=5,
        ).map(tuple),
    ),
    max_size=5,
)


@given(REPLIES, st.data())
def test_every_stream_of_replies_comes_back_whatever_the_cuts(
    replies: list[Reply], choose: st.DataObject
) -> None:
    octets = b"".join(
        f"{reply.code}{'- '[line == len(reply.lines) - 1]}{text}\r\n".encode()
        for reply in replies
        for line, text in enumerate(reply.lines)
    )
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(octets)), max_size=10)))
    reader = ReplyReader()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
        reader.receive_data(octets[start:end])
        while (reply := reader.next_reply()) is not None:
            found.append(reply)
    assert found == replies
    assert b"".join(reply.raw for reply in found) == octets


@given(st.binary(max_size=3000))
def test_any_octets_are_replies_or_malformed_and_nothing_else(octets: bytes) -> None:
    try:
        replies = read_all(octets)
    except MalformedReply:
        return
    assert all(200 <= reply.code <= 599 and reply.lines for reply in replies)
