"""The line of a file that a mistake is on, with a mark under the column, for a terminal."""

from asyncnet.spool.document_text import LINE_END

WIDTH_CELLS = 100  # of the excerpt; longer lines are cut around the column
_BEFORE_CELLS = 60  # of it, at most, before the mark
_TAB = "→   "  # seen, since a tab may be the mistake


def lines_of(octets: bytes) -> list[str]:
    """The lines of a job file, as its positions count them."""
    return LINE_END.split(octets.decode("utf-8", "replace").removeprefix("\ufeff"))


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
