"""The line of a file that a mistake is on, with a mark under the column, for a terminal."""

import re
from collections.abc import Collection

from asyncnet.mail.letter import Content
from asyncnet.spool.document import MAX_DOCUMENT_OCTETS

WIDTH_CELLS = 100  # of the excerpt; longer lines are cut around the column
_BEFORE_CELLS = 60  # of it, at most, before the mark
_TAB = "→   "  # seen, since a tab may be the mistake


# As positions count them: what editors take for a line end, and nothing else.
_LINE_END = re.compile(rb"\r\n|\n|\r")
_BYTE_ORDER_MARK = "\ufeff"


def lines_at(content: Content, numbers: Collection[int]) -> dict[int, str]:
    """Those lines of a file, counted from 1, without their ends, cut at MAX_DOCUMENT_OCTETS.

    Reads no further than the last of them.  Raises what content.blocks() raises.
    """
    found: dict[int, str] = {}
    last = max(numbers, default=0)
    number, line, held = 1, bytearray(), b""
    for block in content.blocks():
        if number > last:
            return found
        block = held + block
        held = b"\r" if block.endswith(b"\r") else b""  # its LF may begin the next block
        first, *others = _LINE_END.split(block[: len(block) - len(held)])
        line += first[: MAX_DOCUMENT_OCTETS - len(line)]
        for octets in others:
            _note(found, numbers, number, line)
            number, line = number + 1, bytearray(octets)
    _note(found, numbers, number, line)
    return found


def _note(found: dict[int, str], numbers: Collection[int], number: int, octets: bytearray) -> None:
    if number in numbers:
        text = octets.decode("utf-8", "replace")
        found[number] = text.removeprefix(_BYTE_ORDER_MARK) if number == 1 else text


def excerpt(line: str, column: int) -> tuple[str, str]:
    """What to print of the line, and the blanks before the mark in the line below.

    column counts characters from 1.  Nothing in it acts on the terminal: what cannot be seen
    is shown by its number.
    """
    at = min(column - 1, len(line))
    before, cut = _last_cells(line[max(0, at - WIDTH_CELLS) : at], _BEFORE_CELLS)
    before = ("…" if cut or at > WIDTH_CELLS else "") + before
    left = WIDTH_CELLS - _cells(before)
    rest = [_seen(character) for character in line[at : at + WIDTH_CELLS]]
    after = ""
    while rest and _cells(after) + _cells(rest[0]) <= left:
        after += rest.pop(0)
    if rest or len(line) > at + WIDTH_CELLS:
        after += "…"
    return before + after, " " * _cells(before)


def _last_cells(text: str, limit: int) -> tuple[str, bool]:
    """The end of the text as it is shown within the limit, and whether that is not all."""
    shown = ""
    for character in reversed(text):
        seen = _seen(character)
        if _cells(seen) + _cells(shown) > limit:
            return shown, True
        shown = seen + shown
    return shown, False


def visible(text: str) -> str:
    """The text without characters that act on a terminal."""
    return text if text.isprintable() else "".join(map(_seen, text))


def _seen(character: str) -> str:
    if character == "\t":
        return _TAB
    if character.isprintable():
        return character
    return f"\\x{ord(character):02x}" if character < "\x80" else f"\\u{ord(character):04x}"


def _cells(text: str) -> int:
    """How many columns of a terminal it takes: East Asian characters two, combining ones none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
