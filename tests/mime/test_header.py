"""Header fields: what is written, what is refused, and what a reader makes of it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.mail.address import AddressError, Mailbox, parse_mailbox
from asyncnet.mail.letter import Letter
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.header import (
    field,
    format_date,
    is_cid,
    is_field_name,
    is_reserved,
    mailboxes_field,
    plain_header,
    text_field,
    unsafe_character,
)
from asyncnet.mime.message import compose
from tests.mime.hard_letters import PLAIN
from tests.mime.hard_values import SUBJECTS
from tests.mime.reading import assert_fit_to_send, decoded, fields_of, mailboxes_in, read

UNSAFE = "\r\n\0\x01\x0b\x0c\x1b\x1c\x7f\x80\x85\x9f\u2028\u2029\ud800\udfff"
SAFE_CHARACTERS = st.characters(
    exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029"
) | st.sampled_from(' \t=?_",\\<>@é你🎉')
SAFE_TEXT = st.text(SAFE_CHARACTERS) | st.lists(
    st.sampled_from(["word", "", "=?utf-8?q?x?=", "é", "你好" * 20, "w" * 80, "w" * 1000])
).map(" ".join)


def body_of(written: str) -> str:
    ((_, body),) = fields_of(f"{written}\r\n".encode())
    return body


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Hello", "Subject: Hello\r\n"),
        ("", "Subject: \r\n"),
        ("Re: Grüße an alle", "Subject: Re: =?utf-8?b?R3LDvMOfZQ==?= an alle\r\n"),
        ("a  b", "Subject: =?utf-8?q?a__b?=\r\n"),
        (" a", "Subject: =?utf-8?q?_a?=\r\n"),
        ("a ", "Subject: =?utf-8?q?a_?=\r\n"),
        (" ", "Subject: =?utf-8?q?_?=\r\n"),
        ("a\tb", "Subject: =?utf-8?b?YQli?=\r\n"),
        ("is =?x?= safe", "Subject: is =?utf-8?b?PT94Pz0=?= safe\r\n"),
        ("w " * 34 + "w", "Subject: " + "w " * 34 + "w\r\n"),
        ("w " * 34 + "ww", "Subject: " + "w " * 33 + "w\r\n ww\r\n"),
        ("u" * 72, "Subject: " + "u" * 72 + "\r\n"),
        ("u" * 72 + " v", "Subject: " + "u" * 72 + "\r\n v\r\n"),
        ("u" * 900, "Subject: " + "u" * 900 + "\r\n"),
    ],
)
def test_a_subject_is_written_as_plainly_as_it_can_be(text: str, written: str) -> None:
    assert text_field("Subject", text) == written


@example("你" * 5000)
@example("x" * 5000)
@example("  ")
@example("\t")
@given(SAFE_TEXT)
def test_an_unstructured_text_is_read_back_to_the_last_blank(text: str) -> None:
    written = text_field("Subject", text)
    assert_fit_to_send(written.encode())
    assert decoded(body_of(written)) == text
    for line in written.removesuffix("\r\n").split("\r\n"):
        assert line.strip() or not text
        assert len(line) <= 76 or "=?" not in line
        assert len(line) <= 78 or len(line.split()) <= 2


@pytest.mark.parametrize("character", UNSAFE)
@pytest.mark.parametrize("frame", ["{}", "a{}b", "é{}", "{}Bcc: x@y.test", "a" * 900 + "{}"])
def test_no_text_can_bring_a_control_into_a_field(character: str, frame: str) -> None:
    text = frame.format(character)
    assert unsafe_character(text) == character
    with pytest.raises(UnsafeText):
        text_field("Subject", text)
    with pytest.raises(UnsafeText):
        field("Subject", [text])
    with pytest.raises(UnsafeText):
        field("Subject", [text], utf8=True)
    with pytest.raises(AddressError):
        mailboxes_field("To", [Mailbox(text[-900:], "a", "example.org")])


@pytest.mark.parametrize(
    "name", ["", "A B", "A:", "A\r\nB", "A\n", "Ä", ".A", " A", "A\0", "A\x7f", "-A", "A" * 77]
)
def test_a_name_that_is_none_is_refused(name: str) -> None:
    assert not is_field_name(name)
    with pytest.raises(UnsafeText):
        field(name, ["x"])


def test_a_word_too_long_for_any_line_is_refused() -> None:
    with pytest.raises(UnsafeText, match="too long"):
        field("Message-ID", [f"<{'x' * 1000}@example.org>"])


@pytest.mark.parametrize(
    "name",
    [
        *("bcc", "Bcc", "BCC", "To", "content-type", "Content-Foo", "Resent-Bcc", "MIME-Version"),
        *("Date", "message-id", "Received", "Return-Path", "Sender", "Subject", "Reply-To", "cc"),
    ],
)
def test_fields_that_compose_writes_or_that_may_not_be_are_reserved(name: str) -> None:
    assert is_reserved(name)


@pytest.mark.parametrize("name", ["X-Priority", "List-Unsubscribe", "References", "Keywords"])
def test_other_fields_are_free(name: str) -> None:
    assert not is_reserved(name)
    assert is_field_name(name)


ADDRESSES = [
    ("a@example.org", "a@example.org"),
    ("Ann <a@example.org>", "Ann <a@example.org>"),
    ("Ann Clark <a@example.org>", "Ann Clark <a@example.org>"),
    ("Ann B. Clark <a@example.org>", '"Ann B. Clark" <a@example.org>'),
    ('"Last, First" <a@example.org>', '"Last, First" <a@example.org>'),
    (r'"a \"b\" \\" <a@example.org>', r'"a \"b\" \\" <a@example.org>'),
    ('"Jo (Sales)" <a@example.org>', '"Jo (Sales)" <a@example.org>'),
    ("张三 <a@example.org>", "=?utf-8?b?5byg5LiJ?= <a@example.org>"),
    ('"Müller, Jörg" <a@example.org>', "=?utf-8?b?TcO8bGxlciwgSsO2cmc=?= <a@example.org>"),
    ('"=?utf-8?q?x?=" <a@example.org>', "=?utf-8?b?PT91dGYtOD9xP3g/PQ==?= <a@example.org>"),
    ("a@bücher.example", "a@xn--bcher-kva.example"),
    ('"a@b"@example.org', '<"a@b"@example.org>'),
    ("a@[IPv6:::1]", "<a@[IPv6:::1]>"),
    ("a@[192.0.2.1]", "a@[192.0.2.1]"),
    ("用户@example.org", "用户@example.org"),
]


@pytest.mark.parametrize(("text", "written"), ADDRESSES)
def test_a_mailbox_is_written_as_plainly_as_it_can_be(text: str, written: str) -> None:
    line = mailboxes_field("To", [parse_mailbox(text)])
    assert line.replace("\r\n ", " ") == f"To: {written}\r\n"


DATE = "Fri, 2 Jan 2026 03:04:05 +0000"
ANN, BOB = Mailbox("Ann Clark", "ann", "example.org"), Mailbox("", "bob", "example.com")


def test_the_most_frequent_header_is_written_in_one_go() -> None:
    assert plain_header(DATE, ANN, BOB, "The report", "<1@example.org>") == (
        f"Date: {DATE}\r\nFrom: Ann Clark <ann@example.org>\r\nTo: bob@example.com\r\n"
        "Subject: The report\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    )


@pytest.mark.parametrize("character", UNSAFE)
@pytest.mark.parametrize("frame", ["{}", "a{}", "{}a", "a{}b", "a\r\n{}b", "a{}Bcc: x@y.test"])
def test_no_control_comes_into_the_most_frequent_header(character: str, frame: str) -> None:
    text = frame.format(character)
    assert plain_header(text, ANN, BOB, "a", "<1@example.org>") is None
    assert plain_header(DATE, ANN, BOB, text, "<1@example.org>") is None
    assert plain_header(DATE, ANN, BOB, "a", text) is None
    assert plain_header(DATE, ANN, BOB, "a", f"<{text}>") is None


@pytest.mark.parametrize(
    "subject",
    [
        *("a\r\nMessage-ID: <2@example.org>", "a\r\nMIME-Version: 1.0\r\n", "a\n", "a\r\n b"),
        "a\r\nMessage-ID: <2@example.org>\r\nMIME-Version: 1.0\r\n\r\nBody\r\n\r\nSubject: b",
    ],
)
def test_a_subject_that_looks_like_fields_is_not_taken_for_them(subject: str) -> None:
    assert plain_header(DATE, ANN, BOB, subject, "<1@example.org>") is None


def outcome(letter: Letter) -> bytes | str:
    try:
        return b"".join(compose(letter).blocks())
    except UnsafeText as error:
        return str(error)


PLACES: dict[str, Callable[[str], Letter]] = {
    "subject": lambda text: PLAIN._replace(subject=text),
    "sender": lambda text: PLAIN._replace(from_=Mailbox(text, "ann", "example.org")),
    "recipient": lambda text: PLAIN._replace(to=(Mailbox(text, "bob", "example.org"),)),
    "local part": lambda text: PLAIN._replace(to=(Mailbox("", text, "example.org"),)),
    "quoted local part": lambda text: PLAIN._replace(from_=Mailbox("A", f'"{text}"', "b.test")),
    "domain": lambda text: PLAIN._replace(to=(Mailbox("", "bob", text),)),
    "Message-ID": lambda text: PLAIN._replace(message_id=text),
}
NEARLY_PLAIN = [
    *("a", "a b", "a.b", "a=b", "a=?b", "a b=?c", "=?a?=", "=?utf-8?q?b?="),
    *("a  b", " a", "a ", " ", ""),
    *('"', '"a"', '"a b"', '"a:b"', '"a<b>"', "a:b", "a;b", "a,b", "a\\b", "<a>", "<a b>", "<>"),
    *("<a=?b>", "a <b@c.test>", "[192.0.2.1]", "[IPv6:::1]", "é", "<é>", "a\tb", "a\r\n b", "a\0"),
    *("w" * length for length in range(50, 80)),
    *("v " + "w" * length for length in range(40, 80)),
    *(f"<{'w' * length}>" for length in (60, 80, 900, 901)),
]


def assert_both_ways_are_one(place: str, text: str) -> None:
    try:
        plain = PLACES[place](text)
    except AddressError:
        return
    long_way = outcome(plain._replace(headers=(("X-A", "1"),)))  # which bars the short way
    if isinstance(long_way, bytes):
        long_way = long_way.replace(b"\r\nX-A: 1\r\n", b"\r\n")
    assert outcome(plain) == long_way


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", [*NEARLY_PLAIN, *SUBJECTS.values()])
def test_the_short_way_to_a_header_writes_what_the_long_way_writes(place: str, text: str) -> None:
    assert_both_ways_are_one(place, text)


@given(
    st.sampled_from(list(PLACES)),
    st.text(st.sampled_from("ab .,:;<>@\"\\?=_()-'é"), max_size=12) | SAFE_TEXT,
)
def test_the_short_way_writes_any_text_as_the_long_way(place: str, text: str) -> None:
    assert_both_ways_are_one(place, text)


def test_a_list_is_folded_between_its_mailboxes() -> None:
    mailboxes = [parse_mailbox(f"Person {i} <person{i}@example.org>") for i in range(50)]
    written = mailboxes_field("To", mailboxes)
    assert all(len(line) <= 78 for line in written.split("\r\n"))
    assert written.count("\r\n") < 50
    assert mailboxes_in(body_of(written)) == [(one.name, one.addr_spec) for one in mailboxes]


NAMES = st.one_of(
    st.text(SAFE_CHARACTERS.filter(lambda character: character != "\t"), min_size=1),
    st.sampled_from(["n" * 1000, "n " * 400 + "n", "é" * 1000, '"' * 60, "\\" * 30, " ", "a  b"]),
)


@example(["\\", '"'])
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_every_name_is_read_back(names: list[str]) -> None:
    mailboxes = [Mailbox(name[:1000], "a", "example.org") for name in names]
    written = mailboxes_field("Reply-To", mailboxes)
    assert_fit_to_send(written.encode())
    assert mailboxes_in(body_of(written)) == [(name[:1000], "a@example.org") for name in names]
    assert not read(f"{written}\r\n".encode())["reply-to"].defects
    for line in written.split("\r\n"):
        assert len(line) <= 76 or "=?" not in line


@pytest.mark.parametrize("name", ["Subject", "To", "Reply-To", "X-" + "N" * 30])
def test_encoded_words_begin_on_the_line_of_the_name(name: str) -> None:
    mailbox = Mailbox("你好" * 100, "a", "example.org")
    for written in (text_field(name, "你好" * 100), mailboxes_field(name, [mailbox])):
        assert written.startswith(f"{name}: =?utf-8?b?")


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "Fri, 2 Jan 2026 03:04:05 +0000"),
        (
            datetime(2026, 12, 31, 23, 59, 59, 999, timezone(timedelta(hours=8))),
            "Thu, 31 Dec 2026 23:59:59 +0800",
        ),
        (
            datetime(2026, 6, 1, tzinfo=timezone(-timedelta(hours=3, minutes=30))),
            "Mon, 1 Jun 2026 00:00:00 -0330",
        ),
        (
            datetime(2026, 6, 1, tzinfo=timezone(-timedelta(minutes=30))),
            "Mon, 1 Jun 2026 00:00:00 -0030",
        ),
        (
            datetime(1890, 6, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28))),
            "Sat, 31 May 1890 23:06:32 +0000",
        ),
    ],
)
def test_a_date_is_written_in_its_own_offset(moment: datetime, written: str) -> None:
    assert format_date(moment) == written


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 2),
        timezones=st.integers(-1439, 1439).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_every_date_is_read_back(moment: datetime) -> None:
    assert parsedate_to_datetime(format_date(moment)) == moment.replace(microsecond=0)


def test_a_date_without_an_offset_is_refused() -> None:
    with pytest.raises(UnsafeText, match="no offset"):
        format_date(datetime(2026, 1, 1))


def test_a_cid_is_what_stands_between_angle_brackets() -> None:
    assert all(map(is_cid, ["logo", "logo.png", "a@b.test", "1"]))
    assert not any(map(is_cid, ["", "a b", "<a>", "a>", "图", "a\r\n", "a" * 201]))
