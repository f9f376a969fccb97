"""Content transfer encodings (RFC 2045 section 6): octets in, 7-bit lines out.  No I/O.

Everything made here keeps four promises that the rest of the way is built on: 7-bit without
NUL, CRLF only, lines of at most 76 octets (998 for 7bit), and no line that begins with "."
(so SMTP needs no transparency pass) or with "From " (which mbox files turn into ">From ").
The boundaries of entity.py begin with "=_", which none of the encodings can yield.
"""

import binascii
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from typing import Literal

import pybase64

from asyncnet.mail.letter import BLOCK_OCTETS, Content, ContentError, PlainText
from asyncnet.mime.errors import UnsafeText

TransferEncoding = Literal["7bit", "quoted-printable", "base64"]

MAX_LINE_OCTETS = 998  # without CRLF; RFC 5322 section 2.1.1
ENCODED_LINE_OCTETS = 76  # without CRLF; RFC 2045 sections 6.7 and 6.8
ROW_OCTETS = 57  # what a base64 line of 76 holds

# An object per row of 76 is what this costs; cutting 64 rows at a time by struct and joining
# them measured fastest, 1.5 times base64 with "\n" followed by replace.
_ROWS = struct.Struct("76s" * 64)

# What 7bit may be here.  Controls are legal in it and not safe in the world: form feeds and
# escapes get dropped or change a line.  "--=_" could be taken for a boundary.
_PLAIN = bytes({*b"\t\n", *range(0x20, 0x7F)})
_BAD_PLAIN_LINE = re.compile(rb"\n(?:\.|From |--=_)")
_BAD_STARTS = (b".", b"From ")
_BAD_PLAIN_STARTS = (*_BAD_STARTS, b"--=_")
_SAMPLE_OCTETS, _SHORT_LINES = 4_096, 20  # more lines than that in so many: they are short
_LINE_TO_MEND = re.compile(
    rb"^(?:\.|From )[^\n]*+|^[^\n]{%d,}+" % (ENCODED_LINE_OCTETS + 1), re.MULTILINE
)


def encode_text(text: str) -> tuple[TransferEncoding, bytes]:
    """A text as UTF-8 lines, in the encoding that its content asks for.

    Line ends of any kind become CRLF, and the last line gets one too.  7bit where the text
    already keeps all promises, else quoted-printable or base64, whichever is smaller.
    Raises UnsafeText on a lone surrogate.
    """
    plain = isinstance(text, PlainText)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text and text[-1] != "\n":
        text += "\n"
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise UnsafeText("text", f"half of a character, U+{code:04X}") from error
    odd = 0 if plain else odd_octets(octets)
    if not odd and are_plain(octets):
        return "7bit", octets.replace(b"\n", b"\r\n")
    lines = octets.count(b"\n")
    base64_size = base64_octets(len(octets) + lines)
    if len(octets) + lines + 2 * (odd + octets.count(b"=")) <= base64_size:
        quoted = quoted_printable(octets)
        if len(quoted) <= base64_size:
            return "quoted-printable", quoted
    return "base64", base64_rows(octets.replace(b"\n", b"\r\n"))


def odd_octets(octets: bytes) -> int:
    """How many octets never go as 7bit; quoted-printable writes them, and "=", as =XX."""
    return len(octets.translate(None, _PLAIN))


def are_plain(lines: bytes) -> bool:
    """Whether whole LF lines without odd octets may go as 7bit."""
    # Few long lines are cheap to look at one by one, many short ones are not.
    if lines.count(b"\n", 0, _SAMPLE_OCTETS) > _SHORT_LINES:
        return _short_lines_are_plain(lines)
    each = BytesIO(lines).readlines()  # it finds line ends in a quarter of split()'s time
    begin_well = not any(map(bytes.startswith, each, repeat(_BAD_PLAIN_STARTS)))
    return begin_well and max(map(len, each), default=0) <= MAX_LINE_OCTETS + 1


def _short_lines_are_plain(lines: bytes) -> bool:
    """In steps of the longest line that is allowed: an expression takes three times as long."""
    if lines.startswith(_BAD_PLAIN_STARTS) or _BAD_PLAIN_LINE.search(lines):
        return False
    start, end, rfind = 0, len(lines), lines.rfind
    while end - start > MAX_LINE_OCTETS + 1:
        start = rfind(b"\n", start, start + MAX_LINE_OCTETS + 1) + 1
        if not start:
            return False
    return True


def quoted_printable(octets: bytes) -> bytes:
    """LF lines as quoted-printable lines with CRLF (RFC 2045 section 6.7).

    octets holds no CR.
    """
    return mended(binascii.b2a_qp(octets, istext=True)).replace(b"\n", b"\r\n")


def mended(quoted: bytes) -> bytes:
    """What b2a_qp gave for whole lines, with all promises kept."""
    # b2a_qp guards a lone dot only, and makes lines of up to 78 where a blank ends them.
    if (
        quoted.startswith(_BAD_STARTS)
        or any(b"\n" + start in quoted for start in _BAD_STARTS)
        or b"=20\n" in quoted
        or b"=09\n" in quoted
    ):
        return _LINE_TO_MEND.sub(_mend, quoted)
    return quoted


def _mend(found: re.Match[bytes]) -> bytes:
    """One line written again: bad starts as =XX, and soft breaks until every line fits."""
    line, lines = found[0], []
    while True:
        if line.startswith(_BAD_STARTS):
            line = b"=%02X" % line[0] + line[1:]
        if len(line) <= ENCODED_LINE_OCTETS:
            lines.append(line)
            return b"\n".join(lines)
        end = ENCODED_LINE_OCTETS - 1  # room for the "=" of the soft break
        if line[end - 1] == 0x3D:  # "=": never cut =XX
            end -= 1
        elif line[end - 2] == 0x3D:
            end -= 2
        lines.append(line[:end] + b"=")
        line = line[end:]


def base64_octets(octets: int) -> int:
    """How many octets base64_rows makes of so many."""
    rows = -(-octets // ROW_OCTETS)
    return -(-octets // 3) * 4 + 2 * rows


def base64_rows(octets: bytes) -> bytes:
    """Base64 in rows of 76, each ended by CRLF; b"" for nothing (RFC 2045 section 6.8)."""
    encoded = pybase64.b64encode(octets)
    whole = len(encoded) - len(encoded) % _ROWS.size
    rows = [b"\r\n".join(cut) for cut in _ROWS.iter_unpack(memoryview(encoded)[:whole])]
    rows += [
        encoded[start : start + ENCODED_LINE_OCTETS]
        for start in range(whole, len(encoded), ENCODED_LINE_OCTETS)
    ]
    rows.append(b"")
    return b"\r\n".join(rows)


@dataclass(frozen=True, slots=True)
class Base64:
    """Content as base64 rows, itself a Content: encoded while it is read, and never held."""

    content: Content

    @property
    def octets(self) -> int:
        return base64_octets(self.content.octets)

    def blocks(self) -> Iterator[bytes]:
        """Yield the rows, a block of content at a time.

        Raises ContentError when the content has other than the promised octets; what was
        yielded before is then worthless.
        """
        promised = self.content.octets
        seen = 0
        carry = b""  # an unfinished row; empty all the way while blocks are whole rows
        for block in self.content.blocks():
            seen += len(block)
            if seen > promised:
                break
            block = carry + block if carry else block
            spare = len(block) % ROW_OCTETS if seen < promised else 0
            whole = len(block) - spare
            carry = block[whole:] if spare else b""
            if whole:
                yield from _rows_of(block[:whole] if spare else block)
        if seen != promised:
            raise ContentError(f"the content has not the {promised} octets it was promised with")


def _rows_of(block: bytes) -> Iterator[bytes]:
    if len(block) <= BLOCK_OCTETS:
        yield base64_rows(block)
        return
    for start in range(0, len(block), BLOCK_OCTETS):
        yield base64_rows(block[start : start + BLOCK_OCTETS])
