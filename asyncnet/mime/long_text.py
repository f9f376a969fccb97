"""Bodies of any length as lines for the wire (RFC 2045 section 6).  No I/O.

A long text is never held: it is read once to choose its encoding and to count what that will
give, perhaps a second time to count quoted-printable, and once more on its way out.  The octets
are those that encode_text() gives for the whole, wherever the text is cut into blocks.

A text that is not the same in all readings raises ContentError when its number of octets
differs, and keeps the promises of encoding.py in any case: what goes out as 7bit is judged again.
"""

import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from asyncnet.mail.letter import BLOCK_OCTETS, Body, Content, ContentError
from asyncnet.mime.encoding import (
    ENCODED_LINE_OCTETS,
    MAX_LINE_OCTETS,
    Base64,
    TransferEncoding,
    are_plain,
    base64_octets,
    encode_text,
    mended,
    odd_octets,
    quoted_printable,
)
from asyncnet.mime.errors import UnsafeText

# Some tens of copies of a piece are alive at the worst moment, one of them three times as long.
PIECE_OCTETS = 16_384
LONG_TEXT_CHARACTERS = 2 * BLOCK_OCTETS  # from here on a text in memory is encoded in pieces, too


def encode_body(body: Body) -> tuple[TransferEncoding, bytes | Content]:
    """The body in the encoding that its content asks for; a long one is encoded when read.

    Raises UnsafeText on a lone surrogate, or what body.blocks() raises.
    """
    if not isinstance(body, str):
        return encode_long_text(body)
    if len(body) <= LONG_TEXT_CHARACTERS:
        return encode_text(body)
    return encode_long_text(Characters(body))


def encode_long_text(content: Content) -> tuple[TransferEncoding, Content]:
    """The same choice as encode_text makes.  content is UTF-8.  Raises what its blocks raise."""
    octets = lines = escaped = 0
    plain: PlainLines | None = PlainLines()
    for piece in _pieces(content):
        octets += len(piece)
        lines += piece.count(b"\n")
        odd = odd_octets(piece)
        escaped += odd + piece.count(b"=")
        if plain is not None and (odd or not plain.receive(piece)):
            plain = None
    if plain is not None:
        # What lies in memory cannot change until it is sent, and need not be judged again.
        fixed = isinstance(content, Characters)
        return "7bit", Lines(content, octets + lines, judged=not fixed)
    base64_size = base64_octets(octets + lines)
    if octets + lines + 2 * escaped <= base64_size:
        size = _quoted_octets(content, base64_size)
        if size is not None:
            return "quoted-printable", QuotedPrintable(content, size)
    return "base64", Base64(Lines(content, octets + lines, judged=False))


def _quoted_octets(content: Content, most: int) -> int | None:
    """The octets as quoted-printable; None where they are more than most."""
    octets = 0
    for quoted in _quoted(content):
        octets += len(quoted)
        if octets > most:
            return None
    return octets


@dataclass(frozen=True, slots=True)
class Characters:
    """A text in memory as Content: UTF-8 slice by slice, so that no second copy is made."""

    text: str

    @property
    def octets(self) -> int:
        return len(self.text) if self.text.isascii() else sum(map(len, self.blocks()))

    def blocks(self) -> Iterator[bytes]:
        for start in range(0, len(self.text), PIECE_OCTETS):
            piece = self.text[start : start + PIECE_OCTETS]
            try:
                yield piece.encode()
            except UnicodeEncodeError as error:
                code = ord(piece[error.start])
                raise UnsafeText("text", f"half of a character, U+{code:04X}") from error


@dataclass(frozen=True, slots=True)
class Lines:
    """A text with CRLF at the end of every line, itself a Content.

    judged: it goes as 7bit and may change meanwhile, so it is looked at once more when read.
    """

    content: Content
    octets: int
    judged: bool

    def blocks(self) -> Iterator[bytes]:
        plain = PlainLines() if self.judged else None
        left = self.octets
        for piece in _pieces(self.content):
            # A line is judged before its end is given, so nothing that acts ever leaves.
            lines = piece.replace(b"\n", b"\r\n")
            left -= len(lines)
            if left < 0 or (plain and (odd_octets(piece) or not plain.receive(piece))):
                raise _changed()
            yield lines
        if left:
            raise _changed()


@dataclass(frozen=True, slots=True)
class QuotedPrintable:
    """A text as quoted-printable, itself a Content."""

    content: Content
    octets: int

    def blocks(self) -> Iterator[bytes]:
        left = self.octets
        for quoted in _quoted(self.content):
            left -= len(quoted)
            if left < 0:
                raise _changed()
            yield quoted
        if left:
            raise _changed()


def _changed() -> ContentError:
    return ContentError("the text changed while it was read")


class PlainLines:
    """Judges whether LF lines without odd octets, however they are cut, may go as 7bit."""

    def __init__(self) -> None:
        self._open = b""  # a line whose end has not come

    def receive(self, piece: bytes) -> bool:
        lines = self._open + piece
        end = lines.rfind(b"\n") + 1
        self._open = lines[end:]
        return len(self._open) <= MAX_LINE_OCTETS and are_plain(lines[:end])


def _pieces(content: Content) -> Iterator[bytes]:
    """The text in pieces of at most PIECE_OCTETS + 1, line ends as LF, the last line ended."""
    held = b""  # a CR whose LF may come
    ended = True
    for block in content.blocks():
        for start in range(0, len(block), PIECE_OCTETS):
            piece = held + block[start : start + PIECE_OCTETS]
            held = b""
            if b"\r" in piece:
                if piece.endswith(b"\r"):
                    piece, held = piece[:-1], b"\r"
                piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            if piece:
                ended = piece.endswith(b"\n")
                yield piece
    if held or not ended:
        yield b"\n"


def _quoted(content: Content) -> Iterator[bytes]:
    """The text as quoted-printable lines with CRLF, a piece at a time.

    Lines are encoded one by one, so a piece may end with any line.  Within a longer one it ends
    at a soft break: what follows begins at column 0 as after a line end.  That is not the last one,
    which may stand there for a blank only because the text held so far ends with it.
    """
    held = b""
    for piece in _pieces(content):
        text = held + piece
        end = text.rfind(b"\n") + 1
        if end:
            yield quoted_printable(text[:end])
        held = text[end:]
        if len(held) > 2 * ENCODED_LINE_OCTETS:  # two soft breaks at least
            quoted = binascii.b2a_qp(held, istext=True)
            end = quoted.rfind(b"=\n", 0, quoted.rfind(b"=\n")) + len(b"=\n")
            yield mended(quoted[:end]).replace(b"\n", b"\r\n")
            held = binascii.a2b_qp(quoted[end:])
