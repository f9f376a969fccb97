"""Files that are text: judged while they are read, small ones kept, long ones read again.

A long body is never held: it is judged once, block by block, and what goes into the letter is
the file itself, with what is to stand otherwise in it.
"""

import codecs
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asyncnet.mail.letter import BLOCK_OCTETS, Body, Content
from asyncnet.spool.errors import FileRefused

PIECE_OCTETS = 16_384  # decoded at once: characters may take four times as much
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True, slots=True)
class Edited:
    """A content with some of its octets replaced, itself a Content.

    edits are start, end and replacement, in their order; they do not overlap.
    """

    content: Content
    edits: tuple[tuple[int, int, bytes], ...]

    @property
    def octets(self) -> int:
        return self.content.octets + sum(len(new) - (end - start) for start, end, new in self.edits)

    def blocks(self) -> Iterator[bytes]:
        """Yield the edited octets.  Raises what content.blocks() raises."""
        edits = iter(self.edits)
        edit = next(edits, None)
        offset = skip = 0  # of the block under way; octets of it that are replaced
        for block in self.content.blocks():
            parts: list[bytes] = []
            at = min(skip, len(block))
            skip -= at
            while edit is not None and edit[0] < offset + len(block):
                start, end, new = edit
                parts += (block[at : start - offset], new)
                at = min(end - offset, len(block))
                skip = end - offset - at
                edit = next(edits, None)
            parts.append(block[at:])
            offset += len(block)
            yield from _blocks(parts) if len(parts) > 1 else parts
        while edit is not None:  # insertions at the very end
            yield edit[2]
            edit = next(edits, None)


def _blocks(parts: list[bytes]) -> Iterator[bytes]:
    """The parts in blocks: many edits may make much of little."""
    block = b"".join(parts)
    for start in range(0, len(block), BLOCK_OCTETS):
        yield block[start : start + BLOCK_OCTETS]


def read_text(content: Content) -> str:
    """The whole file as text; it must be UTF-8, a byte order mark is dropped.

    Raises FileRefused, ContentError or, for a local fault, OSError.
    """
    parts: list[str] = []
    judge_text(content, parts.append)
    return "".join(parts)


def read_body(content: Content, take: Callable[[str], object] | None = None) -> Body:
    """The file as a body: its text where it is short, else its octets, judged.

    take is given a long one's text, part by part.  Raises as read_text() does.
    """
    if content.octets <= BLOCK_OCTETS:
        return read_text(content)
    mark_octets = judge_text(content, take or (lambda text: None))
    return Edited(content, ((0, mark_octets, b""),)) if mark_octets else content


def judge_text(content: Content, take: Callable[[str], object]) -> int:
    """Give the text to take, part by part, and return the octets of the mark before it.

    Raises as read_text() does; what was taken before is void then.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, mark_octets, has_nul = 1, 0, False
    for number, piece in enumerate(_pieces(content)):
        if number == 0 and piece.startswith(_UTF_16):
            raise FileRefused("the file is UTF-16", "save it as UTF-8")
        if number == 0 and piece.startswith(codecs.BOM_UTF8):
            mark_octets = len(codecs.BOM_UTF8)
        octets = piece[mark_octets:] if number == 0 else piece
        try:
            text = decoder.decode(octets, final=not piece)
        except UnicodeDecodeError as error:
            wrong = error.object[error.start]
            line += error.object.count(b"\n", 0, error.start)
            raise FileRefused(
                f"octet 0x{wrong:02X} on line {line} of the file is not UTF-8", "save it as UTF-8"
            ) from None
        line += piece.count(b"\n")
        has_nul = has_nul or "\0" in text
        take(text)
    if has_nul:
        raise FileRefused("the file holds the character U+0000", "it is no text; attach it")
    return mark_octets


def _pieces(content: Content) -> Iterator[bytes]:
    """The octets in pieces, none of them empty, and an empty one at the end."""
    for block in content.blocks():
        for start in range(0, len(block), PIECE_OCTETS):
            yield block[start : start + PIECE_OCTETS]
    yield b""
