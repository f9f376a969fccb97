"""A letter as an Internet message: octets on demand, of known number (RFC 5322).  No I/O.

    mixed                     when there are files to go along
      alternative             when there are text and HTML, or either and an invitation
        text/plain
        related               when the HTML has images of its own
          text/html
          image/png …
        text/calendar
      application/pdf …

Each level stands only where it has at least two parts.  The octets are fixed by the letter:
composed again, or read again, they are the same.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from asyncnet.mail.letter import BLOCK_OCTETS, Content, Letter, in_blocks
from asyncnet.mime.entity import (
    Entity,
    Leaf,
    MultipartSubtype,
    calendar_entity,
    file_entity,
    multipart_entity,
    pieces,
    text_entity,
)
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.header import (
    field,
    format_date,
    is_message_id,
    is_reserved,
    is_single,
    mailboxes_field,
    plain_header,
    text_field,
)

# Every distribution list, and RFC 5322 section A.1.3 itself, writes it so.
_NO_RECIPIENTS = field("To", ("undisclosed-recipients:;",))
_MIME_VERSION = field("MIME-Version", ("1.0",))


@dataclass(slots=True)  # not frozen, which takes three times as long to make
class Message:
    """A composed message, itself a Content: 7-bit, CRLF only, no line that begins with ".".

    7-bit but for needs_smtputf8: then a mailbox in its header has a non-ASCII local part,
    which only SMTPUTF8 can carry.  octets needs no pass over the content of attachments.
    root is the body's structure.
    """

    octets: int
    root: Entity
    needs_smtputf8: bool
    pieces: tuple[bytes | Content, ...]

    def blocks(self) -> Iterator[bytes]:
        """Yield the message in few blocks; lines may go on in the next.

        Small pieces are put together, so that a small message is one block.  Raises
        ContentError when an attachment or a long body is not what it was; the message is void
        then.
        """
        if self.octets <= 2 * BLOCK_OCTETS:
            only = self.pieces[0]
            if len(self.pieces) == 1 and isinstance(only, bytes):
                yield only
            else:
                yield b"".join(self._raw_blocks())
            return
        held: list[bytes] = []
        held_octets = 0
        for block in self._raw_blocks():
            if held and held_octets + len(block) > BLOCK_OCTETS:
                yield b"".join(held)
                held, held_octets = [], 0
            if not held and len(block) >= BLOCK_OCTETS:
                yield block
                continue
            held.append(block)
            held_octets += len(block)
        if held:
            yield b"".join(held)

    def _raw_blocks(self) -> Iterator[bytes]:
        for piece in self.pieces:
            yield from in_blocks(piece) if isinstance(piece, bytes) else piece.blocks()


def message_id(queue_id: str, domain: str) -> str:
    """A Message-ID, angle brackets included: unique as the queue id is (RFC 5322 3.6.4)."""
    return f"<{queue_id}@{domain}>"


def compose(letter: Letter) -> Message:
    """The letter's message.  Reads no attachment; blocks() does.  Of a long body nothing is kept.

    Raises UnsafeText where a text cannot be written into its field or body, and what a body's
    blocks() raise.
    """
    header = _header(letter).encode()
    root = _body(letter)
    if isinstance(root, Leaf) and isinstance(root.body, bytes) and len(root.body) < BLOCK_OCTETS:
        small = b"".join((header, root.fields.encode("ascii"), b"\r\n", root.body))
        return Message(len(small), root, not header.isascii(), (small,))
    parts: list[bytes | Content] = []
    literal, octets = [header], len(header)
    for piece in pieces(root):
        if not isinstance(piece, bytes):
            octets += piece.octets
        else:
            octets += len(piece)
            if len(piece) < BLOCK_OCTETS:  # a longer text is not copied once more
                literal.append(piece)
                continue
        parts += (b"".join(literal), piece)
        literal = []
    if literal:
        parts.append(b"".join(literal))
    return Message(octets, root, not header.isascii(), tuple(parts))


def _header(letter: Letter) -> str:
    date = format_date(letter.date)
    subject, others = letter.subject, letter.sender or letter.reply_to or letter.cc
    if len(letter.to) == 1 and subject and subject.isascii() and not (others or letter.headers):
        header = plain_header(date, letter.from_, letter.to[0], subject, letter.message_id)
        if header is not None:
            return header
    return _any_header(letter, date)


def _any_header(letter: Letter, date: str) -> str:
    if not is_message_id(letter.message_id):
        raise UnsafeText("Message-ID", "is none: write <unique@example.org>")
    lines = [
        field("Date", (date,)),
        mailboxes_field("From", (letter.from_,)),
    ]
    # RFC 5322 section 3.6.2: no Sender where it is the author.
    if letter.sender is not None and letter.sender != letter.from_:
        lines.append(mailboxes_field("Sender", (letter.sender,)))
    if letter.reply_to:
        lines.append(mailboxes_field("Reply-To", letter.reply_to))
    if letter.to:
        lines.append(mailboxes_field("To", letter.to))
    if letter.cc:
        lines.append(mailboxes_field("Cc", letter.cc))
    if not letter.to and not letter.cc:
        lines.append(_NO_RECIPIENTS)
    if letter.subject is not None:
        lines.append(text_field("Subject", letter.subject))
    lines.append(field("Message-ID", (letter.message_id,)))
    if letter.headers:
        lines += _further_fields(letter.headers)
    return "".join(lines) + _MIME_VERSION


def _further_fields(headers: tuple[tuple[str, str], ...]) -> Iterator[str]:
    seen: set[str] = set()
    for name, text in headers:
        if is_reserved(name):
            raise UnsafeText(name, "is written by the composer alone")
        if is_single(name) and name.lower() in seen:
            raise UnsafeText(name, "may stand in a message only once")
        seen.add(name.lower())
        yield text_field(name, text)


def _body(letter: Letter) -> Entity:
    if letter.text is not None and letter.html is None and letter.calendar is None:
        if not letter.inline and not letter.attachments:
            return text_entity("plain", letter.text)
    bodies: list[Entity] = []
    files = [file_entity(part, "attachment") for part in letter.attachments]
    if letter.text is not None:
        bodies.append(text_entity("plain", letter.text))
    inline = [file_entity(part, "inline") for part in letter.inline]
    if letter.html is not None:
        html = text_entity("html", letter.html)
        bodies.append(_together(letter, "related", [html, *inline]))
    else:
        files = [*inline, *files]  # nothing refers to them: files that are shown in place
    if letter.calendar is not None:
        # The last alternative that a program knows is what it shows (RFC 2046 section 5.1.4).
        bodies.append(calendar_entity(letter.calendar))
    if not bodies and not files:
        bodies.append(text_entity("plain", ""))
    together = [_together(letter, "alternative", bodies)] if bodies else []
    return _together(letter, "mixed", [*together, *files])


def _together(letter: Letter, subtype: MultipartSubtype, parts: list[Entity]) -> Entity:
    """The one part itself, or all in a multipart."""
    if len(parts) == 1:
        return parts[0]
    return multipart_entity(subtype, _boundary(letter.boundary_seed, subtype), tuple(parts))


def _boundary(seed: str, subtype: MultipartSubtype) -> str:
    """A boundary that no content can hold: encoded text never yields "=_" (encoding.py).

    The hash is for programs that nest messages without encoding; the same length for all
    levels, so that none begins with another.
    """
    digest = hashlib.sha256(f"{subtype} {seed}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"=_{digest[:32]}"
