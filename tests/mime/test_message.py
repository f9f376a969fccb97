"""Letters as messages, read back by the standard library's parser."""

import hashlib
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.address import Mailbox, parse_mailbox
from asyncnet.mail.letter import (
    BLOCK_OCTETS,
    Calendar,
    ContentError,
    Letter,
    Octets,
    Part,
    whole_text,
)
from asyncnet.mime.errors import MimeError, UnsafeText
from asyncnet.mime.message import compose, message_id
from tests.mime.letters import LETTERS
from tests.mime.reading import (
    assert_fit_to_send,
    decoded,
    fields_of,
    mailboxes_in,
    octets_of,
    read,
    text_of,
    tree,
)

PLAIN = Letter(
    from_=parse_mailbox("Ann <ann@example.org>"),
    date=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    message_id="<1@example.org>",
    boundary_seed="01JDX0V6S3N2K7",
    to=(parse_mailbox("bob@example.com"),),
    subject="Hello",
    text="Hello Bob\n",
)
PNG = Part(Octets(b"\x89PNG\r\n\x1a\n" + bytes(500)), "image/png", "logo.png", "logo")
PDF = Part(Octets(bytes(range(256)) * 9), "application/pdf", "report.pdf")
HTML = '<p>Hello <img src="cid:logo"></p>\n'


def composed(letter: Letter) -> bytes:
    """The message's octets; what every message promises of its Content side holds."""
    message = compose(letter)
    blocks = list(message.blocks())
    octets = b"".join(blocks)
    assert message.octets == len(octets)
    assert list(message.blocks()) == blocks
    assert all(blocks)
    assert all(len(block) <= 128 * 1024 for block in blocks)
    return octets


def test_the_small_message_is_exactly_this() -> None:
    assert composed(PLAIN).decode().split("\r\n") == [
        "Date: Fri, 2 Jan 2026 03:04:05 +0000",
        "From: Ann <ann@example.org>",
        "To: bob@example.com",
        "Subject: Hello",
        "Message-ID: <1@example.org>",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "Hello Bob",
        "",
    ]


FULL = """\
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="A"

--A
Content-Type: multipart/alternative;
 boundary="B"

--B
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 7bit

Hello Bob

--B
Content-Type: multipart/related; type="text/html";
 boundary="C"

--C
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 7bit

<p>Hello <img src="cid:logo"></p>

--C
Content-Type: image/png; name="logo.png"
Content-Transfer-Encoding: base64
Content-ID: <logo>
Content-Disposition: inline; filename="logo.png"

iVBORw0KGgo=

--C--

--B--

--A
Content-Type: application/pdf; name="=?utf-8?q?=C3=9Cbung=2Epdf?="
Content-Transfer-Encoding: base64
Content-Disposition: attachment; filename*=utf-8''%C3%9Cbung.pdf

JVBERg==

--A--
"""


def test_the_full_message_is_exactly_this() -> None:
    logo = replace(PNG, content=Octets(b"\x89PNG\r\n\x1a\n"))
    exercise = Part(Octets(b"%PDF"), "application/pdf", "Übung.pdf")
    letter = PLAIN._replace(html=HTML, inline=(logo,), attachments=(exercise,))
    octets = composed(letter).decode()
    for boundary, letter_for_it in zip(re.findall('"(=_.{32})"', octets), "ABC", strict=True):
        octets = octets.replace(boundary, letter_for_it)
    assert octets[octets.index("MIME-Version") :] == FULL.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("change", "structure"),
    [
        ({}, "text/plain"),
        ({"text": None, "html": HTML}, "text/html"),
        ({"text": None}, "text/plain"),
        ({"text": ""}, "text/plain"),
        ({"html": HTML}, "alternative(text/plain text/html)"),
        (
            {"html": HTML, "inline": (PNG,)},
            "alternative(text/plain related(text/html image/png))",
        ),
        (
            {"text": None, "html": HTML, "inline": (PNG, PNG)},
            "related(text/html image/png image/png)",
        ),
        ({"attachments": (PDF,)}, "mixed(text/plain application/pdf)"),
        ({"text": None, "attachments": (PDF,)}, "application/pdf"),
        ({"text": None, "attachments": (PDF, PNG)}, "mixed(application/pdf image/png)"),
        ({"text": None, "html": HTML, "attachments": (PDF,)}, "mixed(text/html application/pdf)"),
        (
            {"html": HTML, "attachments": (PDF, PDF)},
            "mixed(alternative(text/plain text/html) application/pdf application/pdf)",
        ),
        (
            {"text": None, "html": HTML, "inline": (PNG,), "attachments": (PDF,)},
            "mixed(related(text/html image/png) application/pdf)",
        ),
        (
            {"html": HTML, "inline": (PNG,), "attachments": (PDF,)},
            "mixed(alternative(text/plain related(text/html image/png)) application/pdf)",
        ),
        ({"inline": (PNG,), "attachments": (PDF,)}, "mixed(text/plain image/png application/pdf)"),
    ],
)
def test_a_level_stands_only_where_it_is_needed(change: dict[str, object], structure: str) -> None:
    message = read(composed(PLAIN._replace(**change)))  # type: ignore[arg-type]
    assert tree(message) == structure


def test_an_invitation_tells_its_method_in_the_type() -> None:
    invitation = Calendar("request", "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n")
    octets = composed(PLAIN._replace(text=None, calendar=invitation))
    assert octets.decode().split("\r\n")[-7:] == [
        "Content-Type: text/calendar; method=REQUEST; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "BEGIN:VCALENDAR",
        "METHOD:REQUEST",
        "END:VCALENDAR",
        "",
    ]


@pytest.mark.parametrize("method", ["", "RE QUEST", "A;x=y", "A\r\nBcc: x@y.test", "É", "A" * 41])
def test_a_method_that_is_none_is_refused(method: str) -> None:
    with pytest.raises(UnsafeText, match="method"):
        compose(PLAIN._replace(calendar=Calendar(method, "")))


def test_the_parts_arrive_with_their_names_and_places() -> None:
    letter = PLAIN._replace(html=HTML, inline=(PNG,), attachments=(PDF, replace(PNG, cid=None)))
    message = read(composed(letter))
    text, html, image, pdf, picture = [one for one in message.walk() if not one.is_multipart()]
    assert text_of(text) == "Hello Bob\n"
    assert text_of(html) == HTML
    assert text.get_content_charset() == html.get_content_charset() == "utf-8"
    assert text.get_content_disposition() is None
    assert image["content-id"] == "<logo>"
    assert [one.get_content_disposition() for one in (image, pdf, picture)] == [
        "inline",
        "attachment",
        "attachment",
    ]
    assert [one.get_filename() for one in (image, pdf, picture)] == [
        "logo.png",
        "report.pdf",
        "logo.png",
    ]
    assert octets_of(pdf) == b"".join(PDF.content.blocks())
    assert octets_of(image) == octets_of(picture) == b"".join(PNG.content.blocks())
    related = [one for one in message.walk() if one.get_content_subtype() == "related"]
    assert related[0].get_param("type") == "text/html"


@pytest.mark.parametrize("media_type", ["message/rfc822", "Message/Partial", "multipart/mixed"])
def test_types_that_may_not_be_base64_go_as_octets_under_their_name(media_type: str) -> None:
    mail = Part(Octets(b"Subject: a ready message\n\n.\n"), media_type, "mail.eml")
    message = read(composed(PLAIN._replace(attachments=(mail,))))
    assert tree(message) == "mixed(text/plain application/octet-stream)"
    part = list(message.walk())[-1]
    assert part.get_filename() == "mail.eml"
    assert octets_of(part) == b"Subject: a ready message\n\n.\n"


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"to": ()}, {"To": "undisclosed-recipients:;"}),
        ({"to": (), "cc": PLAIN.to}, {"Cc": "bob@example.com"}),
        ({"subject": None}, {}),
        ({"sender": PLAIN.from_}, {}),
        ({"sender": PLAIN.to[0]}, {"Sender": "bob@example.com"}),
        ({"reply_to": PLAIN.to * 2}, {"Reply-To": "bob@example.com, bob@example.com"}),
        ({"headers": (("X-A", "1"), ("X-A", "2"))}, {"X-A": "2"}),
        ({"headers": (("In-Reply-To", "<a@b.test>"),)}, {"In-Reply-To": "<a@b.test>"}),
    ],
)
def test_the_fields_of_the_header(change: dict[str, object], fields: dict[str, str]) -> None:
    letter = PLAIN._replace(**change)  # type: ignore[arg-type]
    written = dict(fields_of(composed(letter)))
    own = {"Date", "From", "Message-ID", "MIME-Version", "Content-Type"}
    own |= {"Content-Transfer-Encoding"}
    own |= {"To"} if letter.to else set()
    own |= {"Subject"} if letter.subject else set()
    assert set(written) == own | set(fields)
    assert fields.items() <= written.items()


@pytest.mark.parametrize(
    "headers",
    [
        (("Bcc", "x@example.org"),),
        (("bcc", "x@example.org"),),
        (("Resent-Bcc", "x@example.org"),),
        (("Date", "today"),),
        (("message-ID", "<x@example.org>"),),
        (("Content-Type", "text/html"),),
        (("References", "<a@b.test>"), ("references", "<c@d.test>")),
        (("List-Unsubscribe", "<https://a.test>"), ("List-unsubscribe", "<https://b.test>")),
        (("X-A\r\nBcc", "x@example.org"),),
        (("X-A", "x\r\nBcc: x@example.org"),),
        ((".X", "dot"),),
        (("From x", "dot"),),
    ],
)
def test_a_field_that_may_not_be_is_refused(headers: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(UnsafeText):
        compose(PLAIN._replace(headers=headers))


@pytest.mark.parametrize("cid", ["", "a b", "a><b", "图", "a\x7f", "a" * 201])
def test_a_cid_that_may_not_be_is_refused(cid: str) -> None:
    with pytest.raises(UnsafeText, match="Content-ID"):
        compose(PLAIN._replace(html=HTML, inline=(replace(PNG, cid=cid),)))


@pytest.mark.parametrize(
    "text", ["", "<>", "a@example.org", "<a b@example.org>", "<a@b>, <c@d>", "<a>@b>", "<é@b>"]
)
def test_a_message_id_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UnsafeText, match="Message-ID"):
        compose(PLAIN._replace(message_id=text))


def test_a_local_part_that_is_not_ascii_is_told() -> None:
    message = compose(PLAIN._replace(to=(parse_mailbox("用户 <用户@例え.test>"),)))
    octets = b"".join(message.blocks())
    assert message.needs_smtputf8
    assert message.octets == len(octets)
    assert "To: =?utf-8?b?55So5oi3?= <用户@xn--r8jz45g.test>\r\n".encode() in octets
    assert_fit_to_send(octets, ascii_only=False)
    assert not compose(PLAIN).needs_smtputf8


def test_the_same_letter_is_the_same_octets_and_another_seed_other_boundaries() -> None:
    letter = PLAIN._replace(html=HTML, attachments=(PDF,))
    assert composed(letter) == composed(letter._replace())
    assert composed(letter) != composed(letter._replace(boundary_seed="another"))
    boundaries = re.findall(rb'boundary="([^"]+)"', composed(letter))
    assert len(set(boundaries)) == 2


def test_a_text_that_holds_the_boundary_ends_nothing() -> None:
    boundary = re.findall(rb'boundary="([^"]+)"', composed(PLAIN._replace(attachments=(PDF,))))[0]
    text = f"--{boundary.decode()}--\nstill the text\n"
    message = read(composed(PLAIN._replace(text=text, attachments=(PDF,))))
    assert tree(message) == "mixed(text/plain application/pdf)"
    assert text_of(next(iter(message.iter_parts()))) == text  # type: ignore[arg-type]


def test_a_message_id_is_made_of_the_queue_id() -> None:
    assert message_id("01JDX0V6S3N2K7", "example.org") == "<01JDX0V6S3N2K7@example.org>"


@given(LETTERS)
def test_every_letter_keeps_the_promises_of_the_wire(letter: Letter) -> None:
    octets = composed(letter)
    assert_fit_to_send(octets)
    names = [name.lower() for name, _ in fields_of(octets)]
    for once in ("date", "from", "message-id", "mime-version", "content-type"):
        assert names.count(once) == 1
    assert names.count("to") + names.count("cc") in (1, 2)
    assert "bcc" not in names


@given(LETTERS)
def test_every_letter_is_read_back(letter: Letter) -> None:
    octets = composed(letter)
    message = read(octets)
    fields = dict(fields_of(octets))
    assert parsedate_to_datetime(fields["Date"]) == letter.date.replace(microsecond=0)
    assert decoded(fields.get("Subject", "")) == (letter.subject or "")
    for name, mailboxes in [("From", (letter.from_,)), ("To", letter.to), ("Cc", letter.cc)]:
        if mailboxes:
            assert names_and_addresses(fields[name]) == [as_read(one) for one in mailboxes]
    further = [(name, decoded(body)) for name, body in fields_of(octets) if (name, body)]
    assert [one for one in further if one[0] in ("X-One", "Comments", "Keywords")] == list(
        letter.headers
    )
    leaves = [part for part in message.walk() if not part.is_multipart()]
    bodies = [("plain", letter.text), ("html", letter.html)]
    bodies.append(("calendar", letter.calendar.text if letter.calendar else None))
    for subtype, text in bodies:
        if text is not None:
            leaf = next(one for one in leaves if one.get_content_type() == f"text/{subtype}")
            leaves.remove(leaf)
            assert text_of(leaf) == as_lines(whole_text(text))
    files = [*letter.inline, *letter.attachments]
    if not files and all(text is None for _, text in bodies):
        leaves.pop(0)
    assert [hashlib.sha256(octets_of(leaf)).digest() for leaf in leaves] == [
        hashlib.sha256(b"".join(part.content.blocks())).digest() for part in files
    ]
    assert [file_name(leaf) for leaf in leaves] == [part.name or None for part in files]


def file_name(part: EmailMessage) -> str | None:
    """The whole name; get_filename() strips blanks and takes off angle brackets."""
    name: str | None = part["content-disposition"].params.get("filename")
    return name


def names_and_addresses(body: str) -> list[tuple[str, str]]:
    return [(name, address.replace(" ", "")) for name, address in mailboxes_in(body)]


def as_read(mailbox: Mailbox) -> tuple[str, str]:
    return mailbox.name, mailbox.addr_spec.replace(" ", "")


def as_lines(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else text + "\n"


INJECTIONS = ["\r\nBcc: x@y.test", "\n", "\r", "\0", "\x0b", "\x85", "\u2028", "\u2029", "\ud800"]
FIELDS: dict[str, Callable[[str], Letter]] = {
    "subject": lambda text: PLAIN._replace(subject=text),
    "header text": lambda text: PLAIN._replace(headers=(("X-A", text),)),
    "header name": lambda text: PLAIN._replace(headers=((text, "x"),)),
    "message_id": lambda text: PLAIN._replace(message_id=f"<{text}@example.org>"),
    "file name": lambda text: PLAIN._replace(attachments=(replace(PDF, name=text),)),
    "media type": lambda text: PLAIN._replace(attachments=(replace(PDF, media_type=text),)),
    "calendar method": lambda text: PLAIN._replace(text=None, calendar=Calendar(text, "")),
    "cid": lambda text: PLAIN._replace(html=HTML, inline=(replace(PNG, cid=text),)),
    "display name": lambda text: PLAIN._replace(from_=Mailbox(text, "a", "example.org")),
    "local part": lambda text: PLAIN._replace(to=(Mailbox("", text, "example.org"),)),
    "domain": lambda text: PLAIN._replace(to=(Mailbox("", "a", text),)),
}


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize("place", FIELDS)
def test_no_text_can_begin_a_field_a_part_or_a_command(place: str, injection: str) -> None:
    for text in (injection, f"a{injection}", f"a{injection}b", f"é{injection}"):
        with pytest.raises((MimeError, ValueError)):
            compose(FIELDS[place](text))


@pytest.mark.parametrize("place", FIELDS)
@given(text=st.text(st.characters()))
def test_a_text_is_written_safely_or_refused(place: str, text: str) -> None:
    try:
        octets = composed(FIELDS[place](text))
    except ValueError:  # UnsafeText and AddressError both are
        return
    assert_fit_to_send(octets, ascii_only=place != "local part")
    names = [name for name, _ in fields_of(octets)]
    harmless = "a/b" if place == "media type" else "x"
    own = [name for name, _ in fields_of(composed(FIELDS[place](harmless)))]
    if place == "header name":
        names.remove(text)
        own.remove(harmless)
    assert names == own
    assert len(list(read(octets).walk())) in (1, 3, 5)


@pytest.mark.parametrize("place", ["text", "html"])
def test_a_body_with_half_a_character_is_refused(place: str) -> None:
    with pytest.raises(UnsafeText):
        compose(PLAIN._replace(**{place: "a\ud83d"}))  # type: ignore[arg-type]


@pytest.mark.parametrize("octets", [0, 1, 57, BLOCK_OCTETS - 1, BLOCK_OCTETS, 3 * BLOCK_OCTETS + 1])
def test_the_size_is_known_without_reading(octets: int) -> None:
    letter = PLAIN._replace(attachments=(Part(Octets(bytes(octets)), "image/png"),) * 2)
    message = read(composed(letter))
    assert [len(octets_of(one)) for one in message.iter_attachments()] == [octets] * 2


@dataclass(slots=True)
class Large:
    """25 MB that nobody holds; counts how often they were read."""

    octets: int = 400 * BLOCK_OCTETS
    readings: int = 0

    def blocks(self) -> Iterator[bytes]:
        self.readings += 1
        block = bytes(BLOCK_OCTETS)
        for _ in range(400):
            yield block


def test_a_message_of_35_megabytes_takes_the_memory_of_a_few_blocks() -> None:
    content = Large()
    tracemalloc.start()
    try:
        part = Part(content, "application/zip", "large.zip")
        message = compose(PLAIN._replace(attachments=(part,)))
        assert content.readings == 0
        octets = sum(map(len, message.blocks()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert octets == message.octets > 35_000_000
    assert content.readings == 1
    assert peak < 700_000


def test_the_frequent_letter_takes_few_steps() -> None:
    """Speed that no busy machine can blur: calls of functions, Python's and built-in ones."""
    calls = []
    sys.setprofile(lambda frame, event, arg: calls.append(event) if "call" in event else None)
    try:
        octets = b"".join(compose(PLAIN).blocks())
    finally:
        sys.setprofile(None)
    assert len(octets) > 200
    assert len(calls) <= 80


def test_an_attachment_that_changed_breaks_the_message_off() -> None:
    message = compose(PLAIN._replace(attachments=(Part(Large(octets=10**6), "image/png"),)))
    with pytest.raises(ContentError):
        list(message.blocks())


def test_a_long_text_comes_in_blocks_and_arrives() -> None:
    text = "A line of text that is long enough.\n" * 20_000
    octets = composed(PLAIN._replace(text=text, attachments=(PDF,)))
    assert_fit_to_send(octets)
    assert text_of(next(iter(read(octets).iter_parts()))) == text  # type: ignore[arg-type]
