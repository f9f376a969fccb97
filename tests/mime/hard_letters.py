"""The hard letters: what people, scripts and attackers put into mail, one row each.

A row is a name, a letter and the structure that it must have when it is read, as
tests.mime.reading.tree() writes it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from asyncnet.mail.address import Mailbox, parse_mailbox
from asyncnet.mail.letter import Calendar, Letter, Octets, Part, whole_text
from tests.mime.hard_values import (
    ADDRESSES,
    CONTENTS,
    DISPLAY_NAMES,
    FILE_NAMES,
    SUBJECTS,
    TEXTS,
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


@dataclass(frozen=True)
class HardLetter:
    name: str
    letter: Letter
    structure: str


def row(name: str, structure: str = "text/plain", **changes: Any) -> HardLetter:
    return HardLetter(name, PLAIN._replace(**changes), structure)


def with_file(name: str, part: Part) -> HardLetter:
    return row(name, f"mixed(text/plain {part.media_type})", attachments=(part,))


PNG = Part(Octets(b"\x89PNG\r\n\x1a\n" + bytes(500)), "image/png", "logo.png", "logo")
PDF = Part(Octets(b"%PDF" + bytes(range(256)) * 9), "application/pdf", "report.pdf")
CSV = Part(Octets("Größe;1\r\n".encode()), "text/csv", "Größe.csv")
HTML = '<p>Hello <img src="cid:logo"> &amp; Grüße</p>\n'
INVITATION = Calendar(
    "REQUEST",
    "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//example//EN\r\nMETHOD:REQUEST\r\n"
    "BEGIN:VEVENT\r\nUID:1@example.org\r\nDTSTAMP:20260102T030405Z\r\n"
    "DTSTART:20260103T030405Z\r\nSUMMARY:Besprechung im Büro über die näch\r\n"
    " sten Schritte\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n",
)
PLAIN_INVITATION = Calendar("CANCEL", "BEGIN:VCALENDAR\r\nMETHOD:CANCEL\r\nEND:VCALENDAR\r\n")

FULL = "mixed(alternative(text/plain related(text/html image/png) text/calendar) application/pdf)"
STRUCTURES = [
    row("HTML alone", "text/html", text=None, html=HTML),
    row("HTML with long lines", "text/html", text=None, html="<p>" + "x" * 5000 + "</p>"),
    row("both texts", "alternative(text/plain text/html)", html=HTML),
    row("both texts empty", "alternative(text/plain text/html)", text="", html=""),
    row("nothing at all", text=None),
    row("one file alone", "application/pdf", text=None, attachments=(PDF,)),
    row("files alone", "mixed(application/pdf text/csv)", text=None, attachments=(PDF, CSV)),
    row("an empty file alone", "image/png", text=None,
        attachments=(Part(Octets(b""), "image/png"),)),
    row(
        "the same name three times",
        "mixed(text/plain application/pdf application/pdf application/pdf)",
        attachments=(PDF, PDF, replace(PDF, content=Octets(b"other"))),
    ),
    row(
        "fifty files",
        f"mixed(text/plain{' application/pdf' * 50})",
        attachments=tuple(replace(PDF, name=f"Übung {i}.pdf") for i in range(50)),
    ),
    row("a file without a name", "mixed(text/plain application/pdf)",
        attachments=(replace(PDF, name=None),)),
    row("an image within HTML", "related(text/html image/png)",
        text=None, html=HTML, inline=(PNG,)),
    row("an image within HTML beside text",
        "alternative(text/plain related(text/html image/png))", html=HTML, inline=(PNG,)),
    row("an image in a text alone", "mixed(text/plain image/png)", inline=(PNG,)),
    row("an image with a name in Chinese",
        "related(text/html image/png)", text=None, html=HTML,
        inline=(replace(PNG, name="标志.png", cid="logo!$%@example.org"),)),
    row("an image without a name", "related(text/html image/png)", text=None, html=HTML,
        inline=(replace(PNG, name=None),)),
    row("all levels but the invitation",
        "mixed(alternative(text/plain related(text/html image/png)) application/pdf text/csv)",
        html=HTML, inline=(PNG,), attachments=(PDF, CSV)),
    row("all levels", FULL, html=HTML, inline=(PNG,), attachments=(PDF,), calendar=INVITATION),
    row("an invitation alone", "text/calendar", text=None, calendar=INVITATION),
    row("an invitation alone in ASCII", "text/calendar", text=None, calendar=PLAIN_INVITATION),
    row("an invitation beside text", "alternative(text/plain text/calendar)", calendar=INVITATION),
    row("an invitation beside HTML",
        "alternative(text/html text/calendar)", text=None, html=HTML, calendar=INVITATION),
    row("an invitation with its file",
        "mixed(alternative(text/plain text/calendar) application/ics)", calendar=INVITATION,
        attachments=(
            Part(Octets(whole_text(INVITATION.text).encode()), "application/ics", "invite.ics"),)),
    row("a ready message as a file", "mixed(text/plain application/octet-stream)",
        attachments=(Part(Octets(b"From: x\n\nBody\n"), "message/rfc822", "mail.eml"),)),
]  # fmt: skip

PEOPLE = tuple(
    Mailbox(name, f"person{i}", "bücher.example") for i, name in enumerate(DISPLAY_NAMES.values())
)
FIELDS = [
    row("a hundred recipients",
        to=tuple(parse_mailbox(f"Person {i} <person{i}@example.org>") for i in range(100))),
    row("a hundred recipients without names",
        to=tuple(parse_mailbox(f"person{i}@example.org") for i in range(100))),
    row("all the hard names in one field", to=PEOPLE),
    row("all the hard names in Cc", cc=PEOPLE),
    row("no recipient named", to=()),
    row("copies alone", to=(), cc=PLAIN.to),
    row("a sender who is not the author", sender=parse_mailbox("Zoë <zoe@example.org>")),
    row("several to reply to", reply_to=(*PEOPLE[:3], PLAIN.from_)),
    row("no subject", subject=None),
    row("a long message id", message_id=f"<{'i' * 200}@example.org>"),
    row("further fields", headers=(("X-Priority", "1"), ("X-Note", "Grüße  an alle "))),
    row("a further field twice", headers=(("Comments", "one"), ("Comments", "zwölf"))),
    row("references", headers=(
        ("In-Reply-To", "<a@example.org>"),
        ("References", " ".join(f"<{i}.{'r' * 40}@example.org>" for i in range(40))),
    )),
    row("a list to leave", headers=(
        ("List-Unsubscribe", f"<https://example.org/{'u' * 300}>, <mailto:off@example.org>"),
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
    )),
    row("a long name of a field", headers=((f"X-{'N' * 70}", "über " * 30),)),
    row("an empty further field", headers=(("X-Empty", ""),)),
]  # fmt: skip

HARD_LETTERS = [
    *(row(f"subject {name}", subject=text) for name, text in SUBJECTS.items()),
    *(
        row(f"name {name}", from_=Mailbox(text, "ann", "example.org"))
        for name, text in DISPLAY_NAMES.items()
    ),
    *(
        row(f"address {name}", to=(parse_mailbox(text), parse_mailbox(f"Zoë <{text}>")))
        for name, text in ADDRESSES.items()
    ),
    *(row(f"text {name}", text=text) for name, text in TEXTS.items()),
    *(
        row(f"HTML {name}", "alternative(text/plain text/html)", html=text)
        for name, text in TEXTS.items()
    ),
    *(with_file(f"file {name}", replace(PDF, name=text)) for name, text in FILE_NAMES.items()),
    *(
        with_file(f"content {name}", replace(PDF, content=Octets(octets)))
        for name, octets in CONTENTS.items()
    ),
    *STRUCTURES,
    *FIELDS,
]

# Only SMTPUTF8 carries these, and not every reader knows them (RFC 6532).
UTF8_LETTERS = [
    row("a Chinese local part", to=(parse_mailbox("用户 <用户@例え.test>"),)),
    row("a local part with an accent", from_=parse_mailbox("zoë@bücher.example")),
    row("a quoted local part with an accent", cc=(parse_mailbox('"zoë x"@example.org'),)),
]
