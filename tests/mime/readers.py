"""Readers of other lineages, brought to one form: the judges of what we compose.

email is Python's own, fast-mail-parser is Rust's mailparse, Email::MIME is Perl's.  None of
them shares code with another.  Each is asked by its own means; nothing it returns is mended
here, but for the line ends of texts.
"""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import fast_mail_parser

from tests.mime.reading import decoded, fields_of, mailboxes_in, octets_of, read, tree

ADDRESS_FIELDS = ("From", "Sender", "Reply-To", "To", "Cc")
EMAIL_MIME = Path(__file__).parent.parent / "support" / "email_mime.pl"


@dataclass(frozen=True)
class ReadPart:
    """A leaf.  text is None where it is a file; sha256 is that of its octets."""

    media_type: str
    disposition: str | None
    name: str | None
    cid: str | None
    text: str | None
    sha256: str


@dataclass(frozen=True)
class ReadMessage:
    """What a reader made of a message.

    mailboxes has the fields that name any; a field of the same name twice is a list of two in
    texts, which has all unstructured fields.
    """

    structure: str
    parts: tuple[ReadPart, ...]
    mailboxes: dict[str, list[tuple[str, str]]]
    texts: dict[str, list[str]]


def by_email(octets: bytes) -> ReadMessage:
    """As Python's own parser reads it; a defect anywhere fails."""
    message = read(octets)
    fields = fields_of(octets)
    texts: dict[str, list[str]] = {}
    for name, body in fields:
        texts.setdefault(name, []).append(decoded(body))
    return ReadMessage(
        tree(message),
        tuple(_part_by_email(part) for part in message.walk() if not part.is_multipart()),
        {
            name: mailboxes_in(body)
            for name, body in fields
            if name in ADDRESS_FIELDS and body != "undisclosed-recipients:;"
        },
        texts,
    )


def _part_by_email(part: EmailMessage) -> ReadPart:
    octets = octets_of(part)
    disposition = part["content-disposition"]
    cid = part["content-id"]
    return ReadPart(
        part.get_content_type(),
        part.get_content_disposition(),
        # get_filename() would strip blanks and take off angle brackets.
        disposition.params.get("filename") if disposition else None,
        str(cid) if cid else None,
        None if disposition else _lines(octets.decode()),
        hashlib.sha256(octets).hexdigest(),
    )


def by_mailparse(octets: bytes) -> ReadMessage:
    """As Rust's mailparse reads it; a warning of its own fails.

    It tells no Sender as an address.
    """
    mail = fast_mail_parser.parse_email(octets)
    # Addresses that it cannot read are missed below, where a row may say that it is known.
    assert [one for one in mail.warnings if one.kind != "address-unparseable"] == []
    root = fast_mail_parser.parse_email_tree(octets)
    addresses = {
        "From": [mail.from_] if mail.from_ else [],
        "Reply-To": mail.reply_to,
        "To": mail.to,
        "Cc": mail.cc,
    }
    return ReadMessage(
        _structure(root.content_type, root.children),
        tuple(_parts_by_mailparse(root)),
        {
            name: [(one.display_name or "", one.address) for one in found]
            for name, found in addresses.items()
            if found
        },
        mail.headers,
    )


def _parts_by_mailparse(part: fast_mail_parser.PyMimePart) -> Iterator[ReadPart]:
    if part.content is None:
        for child in part.children:
            yield from _parts_by_mailparse(child)
        return
    yield ReadPart(
        part.content_type,
        part.disposition,
        part.filename or None,
        f"<{part.content_id}>" if part.content_id else None,
        None if part.disposition else _lines(part.content.decode()),
        hashlib.sha256(part.content).hexdigest(),
    )


def _structure(media_type: str, children: list[fast_mail_parser.PyMimePart]) -> str:
    if not children:
        return media_type
    inner = " ".join(_structure(part.content_type, part.children) for part in children)
    return f"{media_type.removeprefix('multipart/')}({inner})"


class EmailMime:
    """Perl's Email::MIME in a process of its own, a message at a time."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def __call__(self, octets: bytes) -> ReadMessage:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(b"%d\n%b" % (len(octets), octets))
        self._process.stdin.flush()
        told = self._process.stdout.readline()
        assert told, "Email::MIME gave up; its words are in the captured output"
        found = json.loads(told)
        return ReadMessage(
            _structure_told(found["root"]),
            tuple(_parts_told(found["root"])),
            {
                name: [(one[0], one[1]) for one in mailboxes]
                for name, mailboxes in found["mailboxes"].items()
                if mailboxes
            },
            dict(found["fields"]),
        )


def _perl_has_email_mime() -> bool:
    perl = shutil.which("perl")
    if perl is None:
        return False
    tried = subprocess.run([perl, "-MEmail::MIME", "-e1"], capture_output=True, check=False)
    return tried.returncode == 0


# Debian's libemail-mime-perl: CI must have it; elsewhere `make test` installs it where it may.
HAS_EMAIL_MIME = _perl_has_email_mime()
READERS: tuple[str, ...] = ("email", "mailparse")
if HAS_EMAIL_MIME or os.environ.get("CI") == "true":
    READERS += ("Email::MIME",)


@contextmanager
def email_mime() -> Iterator[EmailMime]:
    """A running Email::MIME."""
    assert HAS_EMAIL_MIME, "Perl lacks a reader: apt-get install libemail-mime-perl"
    with subprocess.Popen(
        ["perl", str(EMAIL_MIME)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            yield EmailMime(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(10)


Reader = Callable[[bytes], ReadMessage]


@contextmanager
def running_readers() -> Iterator[dict[str, Reader]]:
    """All READERS by name."""
    running: dict[str, Reader] = {"email": by_email, "mailparse": by_mailparse}
    if "Email::MIME" not in READERS:
        yield running
        return
    with email_mime() as by_email_mime:
        yield {**running, "Email::MIME": by_email_mime}


def _structure_told(part: dict[str, Any]) -> str:
    if not part["parts"]:
        return str(part["media_type"])
    inner = " ".join(map(_structure_told, part["parts"]))
    return f"{part['media_type'].removeprefix('multipart/')}({inner})"


def _parts_told(part: dict[str, Any]) -> Iterator[ReadPart]:
    for child in part["parts"]:
        yield from _parts_told(child)
    if not part["parts"]:
        yield ReadPart(
            part["media_type"],
            part["disposition"],
            part["name"],
            part["cid"],
            None if part["text"] is None else _lines(part["text"]),
            part["sha256"],
        )


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n")
