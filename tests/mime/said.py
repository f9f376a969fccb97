"""What a letter says, in the form in which tests.mime.readers tell what they read."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from asyncnet.mail.address import Mailbox
from asyncnet.mail.letter import Body, Letter, Part, whole_text
from asyncnet.mime.message import compose
from tests.mime.readers import ReadMessage, ReadPart


def as_lines(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text if not text or text.endswith("\n") else text + "\n"


def body_part(media_type: str, body: Body) -> ReadPart:
    lines = as_lines(whole_text(body))
    octets = lines.replace("\n", "\r\n").encode()
    return ReadPart(media_type, None, None, None, lines, hashlib.sha256(octets).hexdigest())


def file_part(part: Part, disposition: str) -> ReadPart:
    octets = b"".join(part.content.blocks())
    media_type = part.media_type
    if media_type.startswith("message/"):
        media_type = "application/octet-stream"
    return ReadPart(
        media_type,
        disposition,
        part.name or None,
        f"<{part.cid}>" if part.cid else None,
        None,
        hashlib.sha256(octets).hexdigest(),
    )


def parts_said(letter: Letter) -> Iterator[ReadPart]:
    """The leaves in their order, as the letter says them."""
    inline = [file_part(part, "inline") for part in letter.inline]
    if letter.text is not None:
        yield body_part("text/plain", letter.text)
    if letter.html is not None:
        yield body_part("text/html", letter.html)
        yield from inline
    if letter.calendar is not None:
        yield body_part("text/calendar", letter.calendar.text)
    if letter.html is None:
        yield from inline
    yield from (file_part(part, "attachment") for part in letter.attachments)


def mailboxes_said(letter: Letter) -> dict[str, list[tuple[str, str]]]:
    def pairs(mailboxes: tuple[Mailbox, ...]) -> list[tuple[str, str]]:
        return [(one.name, one.addr_spec) for one in mailboxes]

    fields = {
        "From": (letter.from_,),
        "Sender": (letter.sender,) if letter.sender not in (None, letter.from_) else (),
        "Reply-To": letter.reply_to,
        "To": letter.to,
        "Cc": letter.cc,
    }
    return {name: pairs(mailboxes) for name, mailboxes in fields.items() if mailboxes}


def texts_said(letter: Letter) -> dict[str, list[str]]:
    texts = {"Message-ID": [letter.message_id], "MIME-Version": ["1.0"]}
    if letter.subject is not None:
        texts["Subject"] = [letter.subject]
    for name, text in letter.headers:
        texts.setdefault(name, []).append(text)
    return texts


def composed(letter: Letter) -> bytes:
    return b"".join(compose(letter).blocks())


def differences(found: ReadMessage, letter: Letter, structure: str) -> set[str]:
    """What a reader found otherwise than the letter said it."""
    said = texts_said(letter)
    parts = list(parts_said(letter)) or [body_part("text/plain", "")]
    without_text = [replace(part, text=None) for part in parts]
    checks = {
        "structure": found.structure == structure,
        "parts": [replace(part, text=None) for part in found.parts] == without_text,
        "text": [part.text for part in found.parts] == [part.text for part in parts],
        "mailboxes": found.mailboxes == mailboxes_said(letter),
        "texts": {name: found.texts.get(name) for name in said} == said,
    }
    return {name for name, same in checks.items() if not same}


def structure_said(letter: Letter) -> str:
    """The structure that the letter must have, worked out from the inside out."""

    def together(subtype: str, parts: list[str]) -> list[str]:
        return [f"{subtype}({' '.join(parts)})"] if len(parts) > 1 else parts

    inline = [part.media_type for part in letter.inline]
    bodies = ["text/plain"] if letter.text is not None else []
    if letter.html is not None:
        bodies += together("related", ["text/html", *inline])
        inline = []
    if letter.calendar is not None:
        bodies.append("text/calendar")
    files = [file_part(part, "attachment").media_type for part in letter.attachments]
    parts = [*together("alternative", bodies), *inline, *files]
    return together("mixed", parts or ["text/plain"])[0]
