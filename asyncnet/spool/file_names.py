"""File names that are safe to show and to save under, on every system.  No I/O."""

import re
import unicodedata

MAX_NAME_CHARACTERS = 150  # of a file name shown to the reader; longer ones break mail programs
MAX_NAME_OCTETS = 240  # in UTF-8: file systems take 255, and "name (2).pdf" must fit, too
MAX_ENDING_CHARACTERS = 10  # kept where a name is cut: the ending says what opens it

# They make a name read otherwise than it is: "cod\u202efdp.exe" shows as "codexe.pdf".
_BIDI = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
# Invisible, and yet letters of Persian and of family emoji fall apart without them.
_JOINERS = "\u200c\u200d"
# Controls, other invisible characters, halves of characters, line and paragraph ends.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Windows opens a device under such a name, whatever its ending.
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|(?:COM|LPT)[0-9¹²³]|CONIN\$|CONOUT\$) *(?:\.|$)", re.I)


def safe_name(name: str) -> str:
    """The name without folders and without anything that acts; never empty."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].translate(_BIDI)
    if not (last.isascii() and last.isprintable()):
        last = "".join("_" if _acts(character) else character for character in last)
    # Windows drops blanks and dots at the end: "x.exe." is saved as "x.exe".
    clean = _cut(last.strip().rstrip(". "))
    if not clean.strip("."):
        return "attachment"
    return f"_{clean}" if _DEVICE.match(clean) else clean


def _acts(character: str) -> bool:
    return unicodedata.category(character) in _UNSAFE and character not in _JOINERS


def _cut(name: str) -> str:
    """The name within both limits, its ending kept."""
    if len(name) < MAX_NAME_CHARACTERS and len(name.encode()) < MAX_NAME_OCTETS:
        return name  # with room for the "_" before a device
    stem, dot, ending = name.rpartition(".")
    if not stem or len(ending) > MAX_ENDING_CHARACTERS:
        stem, dot, ending = name, "", ""
    tail = dot + ending
    stem = stem[: MAX_NAME_CHARACTERS - 1 - len(tail)]
    room = MAX_NAME_OCTETS - 1 - len(tail.encode())
    return (stem.encode()[:room].decode("utf-8", "ignore").rstrip(". ") + tail) or name[:1]
