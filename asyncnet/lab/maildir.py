"""Received mail as files of a Maildir, with the envelope written on top of each.

A file is the content, octet by octet as it came, under a few fields of ours:

    Return-Path: <ada@example.org>
    X-Envelope-To: grace@example.com            one for each recipient, bcc included
    X-Envelope-Login: ada@example.org           where the sender logged in
    X-Envelope-Octets: 48210                    the content is the last 48,210 octets of the file
    Received: from laptop ([127.0.0.1]) by sink.asyncnet.test with ESMTPS; Mon, 1 Jan 2026 …

so that any mail reader shows who really got the mail, and a test gets back exactly what was
sent.  A message is written in tmp/ and renamed into new/: a reader never sees half a file.
Nothing is flushed to the disk; this is a place to look at mail, not to keep it.
"""

import email
import email.policy
import itertools
import os
import re
import socket
import time
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path

BY = "sink.asyncnet.test"

_serial = itertools.count()
_FIELD = re.compile(rb"([A-Za-z-]+): ?(.*?)\r\n", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was said before the content: the envelope, and how it came.

    reverse_path "" is the null reverse-path.  protocol is the word after "with" in Received
    (RFC 3848): ESMTP, ESMTPS over TLS, ESMTPSA after a login, UTF8SMTP… with SMTPUTF8.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    protocol: str = "ESMTP"
    login: str | None = None
    hello: str = "unknown"  # what the client called itself
    peer: str = "unknown"  # its address


@dataclass(frozen=True, slots=True)
class StoredMail:
    """One file, read back."""

    path: Path
    reverse_path: str
    recipients: tuple[str, ...]
    protocol: str
    login: str | None
    content: bytes

    @property
    def message(self) -> EmailMessage:
        """The content as the standard library understands it."""
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message


def prepare(maildir: Path) -> None:
    """Make the three folders where they are missing.  Raises OSError."""
    for name in ("tmp", "new", "cur"):
        (maildir / name).mkdir(parents=True, exist_ok=True)


def store(maildir: Path, receipt: Receipt, content: bytes, now: datetime) -> Path:
    """Put one message into new/ and return its path.  Raises OSError; tmp/ is clean then."""
    name = _unique_name()
    written, final = maildir / "tmp" / name, maildir / "new" / name
    try:
        with written.open("xb") as file:
            file.write(_fields(receipt, len(content), now))
            file.write(content)
        written.rename(final)
    except OSError:
        written.unlink(missing_ok=True)
        raise
    return final


def read(path: Path) -> StoredMail:
    """Read one file of ours.  Raises ValueError where another program wrote it."""
    octets = path.read_bytes()
    fields: dict[bytes, list[str]] = {}
    position = 0
    while b"Received" not in fields and (match := _FIELD.match(octets, position)):
        value = match[2].decode("utf-8", "surrogateescape")
        fields.setdefault(match[1], []).append(value)
        position = match.end()
    if b"Received" not in fields or b"X-Envelope-Octets" not in fields:
        raise ValueError(f"{path}: the sink did not write this file")
    content = octets[position:]
    if len(content) != int(fields[b"X-Envelope-Octets"][0]):
        raise ValueError(f"{path}: the file was changed")
    return StoredMail(
        path=path,
        reverse_path=fields[b"Return-Path"][0][1:-1],
        recipients=tuple(fields.get(b"X-Envelope-To", ())),
        protocol=fields[b"Received"][0].rpartition(" with ")[2].partition(";")[0],
        login=fields.get(b"X-Envelope-Login", [None])[0],
        content=content,
    )


def read_all(maildir: Path) -> list[StoredMail]:
    """Every message, read or unread by a person, in the order of arrival."""
    paths = [path for name in ("new", "cur") for path in (maildir / name).glob("*")]
    return [read(path) for path in sorted(paths, key=lambda path: path.name)]


def _unique_name() -> str:
    """Seconds, microseconds, process, serial, host: sorted by name is sorted by arrival."""
    seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
    host = socket.gethostname().replace("/", "\\057").replace(":", "\\072")
    return f"{seconds}.M{micros:06d}P{os.getpid()}Q{next(_serial):06d}.{host}"


def _fields(receipt: Receipt, octets: int, now: datetime) -> bytes:
    lines = [f"Return-Path: <{receipt.reverse_path}>"]
    lines += [f"X-Envelope-To: {recipient}" for recipient in receipt.recipients]
    if receipt.login is not None:
        lines.append(f"X-Envelope-Login: {receipt.login}")
    lines += [
        f"X-Envelope-Octets: {octets}",
        f"Received: from {receipt.hello} ([{receipt.peer}]) by {BY}"
        f" with {receipt.protocol}; {format_datetime(now)}",
    ]
    # What the client said may be any octets; aiosmtpd hands the odd ones over as surrogates.
    # A line end in the middle (a login can hold one) would forge a field.
    return b"".join(
        re.sub(r"[\r\n\0]", "?", line).encode("utf-8", "surrogateescape") + b"\r\n"
        for line in lines
    )
