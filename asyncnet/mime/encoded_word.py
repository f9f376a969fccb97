"""Encoded words: any text as ASCII words for a header field (RFC 2047).  No I/O."""

import pybase64

from asyncnet.mime.errors import UnsafeText

MAX_WORD_OCTETS = 75  # RFC 2047 section 2

_FRAME_OCTETS = len("=?utf-8?q??=")
LONGEST_CHARACTER = len("=F0=9F=90=8D")  # and two groups of base64 are shorter
_MIN_WORD_OCTETS = _FRAME_OCTETS + LONGEST_CHARACTER
# What may stand in a phrase (section 5, rule 3); the same everywhere, so that a word is right
# wherever a program moves it.
_Q_LITERAL = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"


def escapes(mark: str, literal: bytes) -> tuple[str, ...]:
    """For each octet what stands for it: itself if literal, else mark and two hex digits."""
    return tuple(chr(octet) if octet in literal else f"{mark}{octet:02X}" for octet in range(256))


def cut_escaped(escaped: str, mark: str, start: int, room: int) -> int:
    """Where a piece from start, of at most room letters, ends without splitting a character.

    escaped is UTF-8 by escapes(mark, …); start begins a character; room is at least
    LONGEST_CHARACTER.
    """
    end = start + room
    if end >= len(escaped):
        return len(escaped)
    while (
        escaped[end - 1] == mark
        or escaped[end - 2] == mark
        or (escaped[end] == mark and escaped[end + 1] in "89AB")  # goes on a character
    ):
        end -= 1
    return end


_Q = tuple(
    "_" if escape == "=20" else escape for escape in escapes("=", _Q_LITERAL)
)  # section 4.2: "_" is always a blank


def encoded_words(
    text: str, first_room: int = MAX_WORD_OCTETS, room: int = MAX_WORD_OCTETS
) -> list[str]:
    """text as encoded words in UTF-8, to be written with a blank or a fold between them.

    Q or B, whichever is shorter; no word of more than room octets (75 at most), no character
    split over two.  first_room is the room that the first one has on its line; where that is
    too little, the word is made for a line of its own.  Raises UnsafeText on a lone surrogate.
    """
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise UnsafeText("encoded word", f"half of a character, U+{code:04X}") from error
    if first_room < _MIN_WORD_OCTETS:
        first_room = room
    rooms = (min(first_room, room) - _FRAME_OCTETS, room - _FRAME_OCTETS)
    to_escape = len(octets.translate(None, _Q_LITERAL + b" "))
    if len(octets) + 2 * to_escape <= -(-len(octets) // 3) * 4:
        return _q_words(octets, *rooms)
    return _b_words(octets, *rooms)


def _q_words(octets: bytes, first_room: int, room: int) -> list[str]:
    escaped = "".join(map(_Q.__getitem__, octets))
    words: list[str] = []
    start = 0
    while start < len(escaped):
        end = cut_escaped(escaped, "=", start, room if words else first_room)
        words.append(f"=?utf-8?q?{escaped[start:end]}?=")
        start = end
    return words


def _b_words(octets: bytes, first_room: int, room: int) -> list[str]:
    words: list[str] = []
    start = 0
    while start < len(octets):
        end = min(start + (room if words else first_room) // 4 * 3, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:  # goes on a character
            end -= 1
        words.append(f"=?utf-8?b?{pybase64.b64encode_as_string(octets[start:end])}?=")
        start = end
    return words
