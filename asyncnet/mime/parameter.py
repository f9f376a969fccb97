"""Parameters of Content-Type and Content-Disposition: file names above all (RFC 2231).  No I/O.

A name that is plain ASCII is a quoted string in both fields, and every program reads it.  Any
other name goes twice: as RFC 2231 demands in Content-Disposition, and as an encoded word in
quotes in the name parameter of Content-Type.  No RFC allows the second, yet that pair is what
Thunderbird writes and what the most programs read: new ones take the disposition, old Outlook
and the Chinese webmailers the name.  A plain filename beside filename* in the same field
would not do: some parsers take the first of the two, some the last.
"""

from asyncnet.mime.encoded_word import LONGEST_CHARACTER, cut_escaped, encoded_words, escapes
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.header import FOLD_ENCODED_OCTETS, unsafe_character

_MAX_PLAIN_CHARACTERS = 60  # longer ones would not fit a line of 78
# A part of RFC 2231's attribute-char: all programs agree on these.
_LITERAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
_PERCENT = escapes("%", _LITERAL)


def filename_words(name: str) -> list[str]:
    """The filename parameter of Content-Disposition, as words for field().

    Raises UnsafeText on a character that no header can carry.
    """
    _refuse_unsafe(name)
    if _is_plain(name):
        return [f'filename="{name}"']
    escaped = "".join(map(_PERCENT.__getitem__, name.encode()))
    whole = f"filename*=utf-8''{escaped}"
    if len(whole) + 2 <= FOLD_ENCODED_OCTETS:  # a blank before, perhaps a semicolon after
        return [whole]
    return _segments(escaped)


def _segments(escaped: str) -> list[str]:
    """filename*0*=…; filename*1*=…; cut at whole characters (RFC 2231 section 3).

    The RFC would allow a cut within a character; programs that decode each segment by itself
    do not.
    """
    words: list[str] = []
    start = 0
    while start < len(escaped):
        head = f"filename*{len(words)}*=" + ("" if words else "utf-8''")
        room = max(FOLD_ENCODED_OCTETS - 2 - len(head), LONGEST_CHARACTER)
        end = cut_escaped(escaped, "%", start, room)
        words.append(f"{head}{escaped[start:end]};")
        start = end
    words[-1] = words[-1][:-1]
    return words


def name_words(name: str) -> list[str]:
    """The name parameter of Content-Type, for programs that know no RFC 2231.

    Raises UnsafeText on a character that no header can carry.
    """
    _refuse_unsafe(name)
    if _is_plain(name):
        return [f'name="{name}"']
    # A blank before, and the quotes about the first and the last word.
    words = encoded_words(
        name, FOLD_ENCODED_OCTETS - len(' name=""'), FOLD_ENCODED_OCTETS - len(' "')
    )
    words[0] = f'name="{words[0]}'
    words[-1] = f'{words[-1]}"'
    return words


def _is_plain(name: str) -> bool:
    # Quoted pairs are right and read wrongly too often; "=?" would be decoded in quotes; blanks
    # at an end or doubled are lost by some readers, and some cut at a semicolon even in quotes.
    return (
        name.isascii()
        and len(name) <= _MAX_PLAIN_CHARACTERS
        and not any(mark in name for mark in ('"', "\\", ";", "=?", "\t", "  "))
        and name.strip(" ") == name
    )


def _refuse_unsafe(name: str) -> None:
    if (found := unsafe_character(name)) is not None:
        raise UnsafeText("file name", f"contains U+{ord(found):04X}")
