"""The envelope as the header asks for it."""

import time
from email.headerregistry import AddressHeader
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.address import AddressError
from asyncnet.mail.letter import Octets
from asyncnet.mime.ready import HeaderField, read_message
from asyncnet.mime.ready_header import (
    HeaderEnvelope,
    header_envelope,
    parse_address_list,
    repeated,
    text_problem,
)


def fields(text: str) -> tuple[HeaderField, ...]:
    return read_message(Octets(text.encode("utf-8", "surrogateescape"))).fields


def envelope(text: str) -> tuple[str | None, list[str]]:
    told = header_envelope(fields(text))
    assert not told.problems_of_sender
    assert not told.problems_of_recipients
    sender = told.sender.addr_spec if told.sender else None
    return sender, [it.addr_spec for it in told.recipients]


def problems(told: HeaderEnvelope) -> list[str]:
    return list(map(str, (*told.problems_of_sender, *told.problems_of_recipients)))


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("a@b.c", ["a@b.c"]),
        ("<a@b.c>", ["a@b.c"]),
        ("A B <a@b.c>, c@d.e", ["a@b.c", "c@d.e"]),
        ('"Last, First" <a@b.c>', ["a@b.c"]),
        ('"a, b"@c.d', ['"a, b"@c.d']),
        ('"quoted \\" quote" <a@b.c>', ["a@b.c"]),
        ("(one (nested, \\) comment)) a@b.c (two, x@y.z)", ["a@b.c"]),
        ('"(no comment" <a@b.c>', ["a@b.c"]),
        ("undisclosed-recipients:;", []),
        ("Group: a@b.c, D <d@e.f>; , g@h.i", ["a@b.c", "d@e.f", "g@h.i"]),
        (",, a@b.c ,", ["a@b.c"]),
        ("<@relay.x,@other.y:a@b.c>", ["a@b.c"]),
        ("a . b @ c . d", ["a.b@c.d"]),
        ("x@[IPv6:2001:db8::1], y@[192.0.2.1]", ["x@[IPv6:2001:db8::1]", "y@[192.0.2.1]"]),
        ("=?utf-8?q?J=2C?= <a@b.c>", ["a@b.c"]),
        ("Jürgen <jürgen@bücher.example>", ["jürgen@xn--bcher-kva.example"]),
        ("", []),
        ("  (nobody)  ", []),
    ],
)
def test_an_address_list_is_read(text: str, addresses: list[str]) -> None:
    assert [mailbox.addr_spec for mailbox in parse_address_list(text)] == addresses


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Ada", "is missing the domain"),
        ('"open <a@b.c>', "opens a double quote"),
        ("(open a@b.c", "opens a comment"),
        ("a@b.c)", 'has ")" without "("'),
        ("A <a@b.c", "has < at a wrong place"),
        ("A <>", "is empty"),
        ("a@b.c <d@e.f> <g@h.i>", "has two addresses"),
        ("<a@b.c> x", "goes on after the address"),
        ("a: b: c@d.e;", "has a colon at a wrong place"),
        ("a b@c.d", "has a space before the @"),
    ],
)
def test_what_is_no_address_list_is_told(text: str, problem: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse_address_list(text)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize(
    ("header", "sender", "recipients"),
    [
        ("From: a@b.c\nTo: d@e.f\n", "a@b.c", ["d@e.f"]),
        ("From: a@b.c\nSender: s@b.c\nTo: d@e.f\n", "s@b.c", ["d@e.f"]),
        ("From: a@b.c, b@b.c\nTO: d@e.f\ncc: g@h.i\n", "a@b.c", ["d@e.f", "g@h.i"]),
        ("From: a@b.c\nBcc: d@e.f\nTo: x:;\n", "a@b.c", ["d@e.f"]),
        ("From: a@b.c\nTo: d@e.f,\n g@h.i\nTo: j@k.l\n", "a@b.c", ["d@e.f", "g@h.i", "j@k.l"]),
        (
            "Resent-From: r@x.y\nResent-To: n@x.y\nFrom: a@b.c\nTo: d@e.f\nBcc: z@e.f\n",
            "r@x.y",
            ["n@x.y"],
        ),
        (
            "Received: x\nResent-Sender: s@x.y\nResent-From: r@x.y\nResent-Cc: n@x.y\n"
            "Resent-Bcc: o@x.y\nReceived: y\nResent-From: old@x.y\nResent-To: older@x.y\n",
            "s@x.y",
            ["n@x.y", "o@x.y"],
        ),
        (
            "Resent-From: new@x.y\nResent-To: n@x.y\nResent-From: old@x.y\nResent-To: o@x.y\n",
            "new@x.y",
            ["n@x.y"],
        ),
    ],
)
def test_the_header_tells_the_envelope(header: str, sender: str, recipients: list[str]) -> None:
    assert envelope(header) == (sender, recipients)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("To: d@e.f\n", ["From: no author is given; add a From field"]),
        (
            "From: a@b.c\nResent-From: a@b.c\nTo: d@e.f\n",
            [
                "Resent-To: no recipient in Resent-To, Resent-Cc, Resent-Bcc; "
                "name them there, or in to: of NAME.envelope.yaml"
            ],
        ),
        (
            "Subject: x\nFrom: a@\nTo: ok@e.f,\n b@\n",
            [
                "line 2, column 1: From: is missing the domain after the @; write name@example.org",
                "line 3, column 1: To: is missing the domain after the @; write name@example.org",
            ],
        ),
    ],
)
def test_what_the_header_lacks_is_told(header: str, told: list[str]) -> None:
    assert problems(header_envelope(fields(header))) == told


def test_a_header_must_be_utf_8() -> None:
    assert text_problem(fields("Subject: ü\n")) is None
    assert str(text_problem(fields("A: b\nSubject: x\n \udce4\n"))) == (
        "line 3, column 1: Subject: octet 0xE4 is not UTF-8; write encoded words (RFC 2047)"
    )


def test_fields_that_may_stand_once_are_told() -> None:
    assert repeated(fields("From: a\nfrom: b\nReceived: x\nReceived: y\nTo: z\n")) == ["From"]


@pytest.mark.parametrize(
    "evil", [" ", "(", "(a)", '"', '""', "<", ",", ";", "a:", "\\", "[", "[]", "a@b.c,", "@", ". "]
)
def test_no_address_list_takes_long(evil: str) -> None:
    started = time.process_time()
    for text in (evil * (250_000 // len(evil)), "a" + evil * (250_000 // len(evil)) + "b"):
        try:
            parse_address_list(text)
        except AddressError:
            continue
    assert time.process_time() - started < 3


@given(st.text() | st.text('ab@.,;:<>()[]"\\ '))
def test_any_text_is_a_list_or_its_own_error(text: str) -> None:
    try:
        parse_address_list(text)
    except AddressError:
        return


_WORD = st.text("abc", min_size=1, max_size=3)
_ADDRESS = st.builds("{}@{}.test".format, _WORD, _WORD)
_NAMED = st.builds('"{}, (x)" <{}>'.format, _WORD, _ADDRESS)
_COMMENTED = st.builds("(a, {}) {}".format, _WORD, _ADDRESS)
_GROUP = st.builds("{}: {}, {};".format, _WORD, _ADDRESS, _NAMED)


@given(st.lists(_ADDRESS | _NAMED | _COMMENTED | _GROUP, min_size=1))
def test_the_standard_library_reads_the_same(items: list[str]) -> None:
    text = ", ".join(items)
    judged = default.header_factory("To", text)
    assert isinstance(judged, AddressHeader)
    expected = [address.addr_spec for address in judged.addresses]
    assert [mailbox.addr_spec for mailbox in parse_address_list(text)] == expected
