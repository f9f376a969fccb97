"""A message that somebody else made (NAME.eml), made fit to leave (RFC 5322, RFC 5321).  No I/O.

What is changed, and nothing else:

  line ends          every bare CR and bare LF becomes CRLF, so that no server can read an end
                     of the content, or a command, where another reads a line ("SMTP
                     smuggling"); a last line without an end gets one
  Bcc, Resent-Bcc    taken out, wherever they stand
  Date, Message-ID   added behind the last field where there is none

Refused: NUL, lines over 998 octets (RFC 5321 section 4.5.3.1.6), a header that is none.

The message is read twice, block by block: once to judge and count it, once on its way out.
Its header is kept in memory, its body never is.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from asyncnet.mail.letter import Content, ContentError, Octets
from asyncnet.mail.problem import Problem
from asyncnet.mime.encoding import MAX_LINE_OCTETS
from asyncnet.mime.errors import MimeError

# Ten times what the largest real headers have, and above what any provider takes.
MAX_HEADER_OCTETS = 262_144

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")  # blanks before the colon: RFC 5322 section 4.5
NEVER_SENT = frozenset({"bcc", "resent-bcc"})


class BadMessage(MimeError):
    """The octets cannot be sent as a message; problem tells why, and on which line."""

    def __init__(
        self, problem: str, suggestion: str | None = None, *, line: int | None = None
    ) -> None:
        self.problem = Problem("", problem, suggestion, line, None if line is None else 1)
        super().__init__(str(self.problem))


@dataclass(frozen=True, slots=True)
class HeaderField:
    """One field: its name in small letters, all its lines with their CRLFs, its first line."""

    name: str
    octets: bytes
    line: int

    @property
    def value(self) -> bytes:
        """What stands behind the colon, unfolded (RFC 5322 section 2.2.3)."""
        return self.octets.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")


@dataclass(frozen=True, slots=True)
class Reading:
    """What the first pass told.  Octets are counted with line ends put right.

    body_octets counts the empty line that ends the header; 0: there is neither.
    """

    fields: tuple[HeaderField, ...]
    header_octets: int
    body_octets: int
    body_8bit: bool


@dataclass(frozen=True, slots=True)
class ReadyMessage:
    """The message as it leaves, a Content: CRLF only, lines of at most 998 octets."""

    source: Content
    head: bytes  # all fields that go out
    reading: Reading

    @property
    def octets(self) -> int:
        return len(self.head) + self.reading.body_octets

    def blocks(self) -> Iterator[bytes]:
        """Yield the message.  Raises ContentError when the source is not what it was."""
        yield from Octets(self.head).blocks()
        skip, octets = self.reading.header_octets, 0
        for block in _put_right(self.source):
            body = block[skip:] if skip else block
            skip = max(skip - len(block), 0)
            octets += len(body)
            # A block of bare line ends alone has become twice as long.
            yield from Octets(body).blocks()
        if octets != self.reading.body_octets:
            raise ContentError("the message changed while it was read")


class LineEnds:
    """Makes every line end CRLF, however the octets are cut into blocks, and judges the lines.

    line counts from 1 and is the one under way; eight_bit tells of octets above 127 so far.
    """

    def __init__(self) -> None:
        self.line = 1
        self.eight_bit = False
        self._open_octets = 0  # of the line under way
        self._held = b""  # a CR whose LF may begin the next block

    def encode(self, block: bytes) -> bytes:
        """The block with its line ends put right.  Raises BadMessage."""
        block = self._held + block
        self._held = b"\r" if block.endswith(b"\r") else b""
        block = block[: len(block) - len(self._held)]
        whole = block.count(b"\r\n")
        if not block.count(b"\r") == whole == block.count(b"\n"):
            block = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        self._judge(block)
        return block

    def end(self) -> bytes:
        """The line end that is still due, after the last block."""
        due = b"\r\n" if self._held or self._open_octets else b""
        self._held, self._open_octets = b"", 0
        return due

    def _judge(self, block: bytes) -> None:
        if not block.isascii():
            self.eight_bit = True
        if b"\0" in block:
            line = self.line + block.count(b"\n", 0, block.index(b"\0"))
            raise BadMessage("holds the octet NUL, which no mail may have", line=line)
        lines = block.split(b"\r\n")
        lengths = list(map(len, lines))
        lengths[0] += self._open_octets
        if max(lengths) > MAX_LINE_OCTETS:
            place = next(i for i, octets in enumerate(lengths) if octets > MAX_LINE_OCTETS)
            raise BadMessage(
                f"has more than {MAX_LINE_OCTETS} octets (RFC 5322 section 2.1.1)",
                "encode the part as quoted-printable or base64",
                line=self.line + place,
            )
        self._open_octets = lengths[-1]
        self.line += len(lines) - 1


def read_message(content: Content) -> Reading:
    """The first pass over a message.

    Raises BadMessage, or what content.blocks() raises.
    """
    lines = LineEnds()
    header = bytearray()
    header_octets: int | None = None
    octets = 0
    for block in _put_right(content, lines):
        octets += len(block)
        if header_octets is not None:
            continue
        header += block
        header_octets = _header_end(header, max(len(header) - len(block) - 3, 0))
        if (octets if header_octets is None else header_octets) > MAX_HEADER_OCTETS:
            raise BadMessage(
                f"the header has more than {MAX_HEADER_OCTETS:,} octets",
                "an empty line ends the header; is this a message?",
            )
        if header_octets is not None:
            lines.eight_bit = not header[header_octets:].isascii()  # from here on: the body's
            del header[header_octets:]
    if not octets:
        raise BadMessage("the file is empty", "a message begins with header fields")
    if header_octets is None:
        header_octets = len(header)
        lines.eight_bit = False
    fields = tuple(_fields(bytes(header)))
    return Reading(fields, header_octets, octets - header_octets, lines.eight_bit)


def ready_message(content: Content, reading: Reading, added: Sequence[str]) -> ReadyMessage:
    """The message as it leaves.  added are whole fields, as mime.header.field() writes them."""
    kept = b"".join(field.octets for field in reading.fields if field.name not in NEVER_SENT)
    return ReadyMessage(content, kept + "".join(added).encode("ascii"), reading)


def _put_right(content: Content, lines: LineEnds | None = None) -> Iterator[bytes]:
    lines = lines or LineEnds()
    for block in content.blocks():
        yield lines.encode(block)
    yield lines.end()


def _header_end(octets: bytearray, start: int) -> int | None:
    """Where the empty line begins that ends the header; None where it has not come."""
    if octets.startswith(b"\r\n"):
        return 0
    place = octets.find(b"\r\n\r\n", start)
    return None if place < 0 else place + 2


def _fields(header: bytes) -> Iterator[HeaderField]:
    """The fields of a header whose line ends are put right.  Raises BadMessage."""
    lines = header.split(b"\r\n")
    lines.pop()  # behind the last CRLF there is nothing
    start = 0
    for number, line in enumerate(lines):
        if number and line[:1] in (b" ", b"\t"):
            continue
        if number:
            yield _field(lines[start:number], start + 1)
        start = number
    if not lines:
        raise BadMessage("has no header", "a message begins with header fields", line=1)
    yield _field(lines[start:], start + 1)


def _field(lines: list[bytes], number: int) -> HeaderField:
    name = _FIELD.match(lines[0])
    if name is not None:
        octets = b"\r\n".join(lines) + b"\r\n"
        return HeaderField(name[1].decode("ascii").lower(), octets, number)
    if number == 1 and lines[0].startswith(b"From "):
        raise BadMessage(
            'begins with "From ", the line that divides a mailbox file', "remove it", line=1
        )
    if number == 1 and lines[0].startswith(b"\xef\xbb\xbf"):
        raise BadMessage("begins with a byte order mark", "save it without", line=1)
    raise BadMessage(
        "is no header field",
        'write "Name: text", and an empty line before the body',
        line=number,
    )
