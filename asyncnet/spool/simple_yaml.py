"""Simple job files in YAML, read without libyaml in a fifth of its time.  No I/O.

Most jobs are written by programs, and most of those are keys with plain words, words in double
quotes without escapes, "|" blocks, and lists of plain words.  Of these the tree is made here; for
whatever is not surely read alike, a comment or a colon too many, there is None, and libyaml judges.
"""

import re
from io import BytesIO
from itertools import repeat

from asyncnet.mail.letter import PlainText
from asyncnet.spool.document import Document, ListNode, MapNode, Node, TextNode

MAX_ENTRIES = 100
MAX_BLOCKS = 4  # each is looked for to the end of the file
MAX_LINES = 20_000  # from a block to the end of the file: more take long, and the loop waits for us
MAX_ITEMS = 1000  # of a list: how many values a file may have, libyaml's reader counts

_WORDS = "[A-Za-z0-9](?:[A-Za-z0-9 {0}./_@+()<>=;-]*[A-Za-z0-9{0}./_@+()<>=;-])?"
_PLAIN, _IN_BRACKETS = _WORDS.format(","), _WORDS.format("")
_ENTRY = re.compile(
    (
        rf"([a-z_]{{1,30}}):(?: (?:({_PLAIN})\n"
        r'|"([ !#-\[\]-~]*)"\n'
        # A block: its lines are for _block().
        r"|\|\n(?=( +)[^ \t\n])"
        rf"|\[({_IN_BRACKETS}(?:, {_IN_BRACKETS})*)\]\n)"
        rf"|\n(( *)- {_PLAIN}\n(?:\7- {_PLAIN}\n)*))"
    ).encode()
)


def read_simple(octets: bytes) -> Document | None:
    """The mapping that a file is; None where libyaml is to say so.

    octets are UTF-8 without byte order mark, and no character is in them that has no place in YAML:
    whoever calls has looked.
    """
    if b"\r" in octets:
        return None
    entries: list[tuple[TextNode, Node]] = []
    keys: set[str] = set()
    position, line, end, blocks = 0, 1, len(octets), 0
    while position < end:
        match = _ENTRY.match(octets, position)
        if match is None or len(entries) == MAX_ENTRIES:
            return None
        name, plain, quoted, indent, in_brackets, dashed, margin = match.groups()
        key = name.decode()
        if key in keys:
            return None
        keys.add(key)
        position = match.end()
        named, column = TextNode(key, line, 1, "plain"), len(key) + 3
        value: Node
        if plain is not None:
            value = TextNode(plain.decode(), line, column, "plain")
        elif quoted is not None:
            value = TextNode(quoted.decode(), line, column, "quoted")
        elif indent is not None:
            blocks += 1
            bare, lines, position = _block(octets, position, indent)
            if position < 0 or blocks > MAX_BLOCKS:
                return None
            value = TextNode(_text(bare), line, column, "quoted")
            line += lines
        elif in_brackets is not None:
            value = _in_brackets(in_brackets.decode(), line, column)
        else:
            value = _dashed(dashed.decode(), line + 1, len(margin) + 1)
            line += len(value.items)
        if isinstance(value, ListNode) and len(value.items) > MAX_ITEMS:
            return None
        entries.append((named, value))
        line += 1
    return Document(MapNode(entries, 1, 1), []) if entries else None


def _in_brackets(listed: str, line: int, column: int) -> ListNode:
    """The list within brackets, the first of which stands at a place."""
    items: list[Node] = []
    at = column + 1
    for item in listed.split(", "):
        items.append(TextNode(item, line, at, "plain"))
        at += len(item) + 2
    return ListNode(items, line, column)


def _dashed(listed: str, line: int, column: int) -> ListNode:
    """The list of lines with dashes, the first of which stands at a place."""
    items: list[Node] = [
        TextNode(item[column + 1 :], line + number, column + 2, "plain")
        for number, item in enumerate(listed.split("\n")[:-1])
    ]
    return ListNode(items, line, column)


def _block(octets: bytes, start: int, indent: bytes) -> tuple[bytes, int, int]:
    """A block's text, how many lines it has, and where it ends: each line begins with the blanks of
    the first, or is empty.  The end is -1 where its last line has no line end, or too many follow.
    """
    file = BytesIO(octets)  # no copy; it finds line ends in a quarter of split()'s time
    file.seek(start)
    lines = file.readlines()
    if len(lines) > MAX_LINES:
        return b"", 0, -1
    end = len(octets)
    bare = _unindented(lines, end - start, indent)
    if bare is None:  # other lines follow
        outside = (line for line in lines if line != b"\n" and not line.startswith(indent))
        del lines[lines.index(next(outside)) :]
        end = start + sum(map(len, lines))
        bare = _unindented(lines, end - start, indent)
    assert bare is not None
    if not bare.endswith(b"\n"):
        end = -1
    # One line end stands behind it (YAML 1.1 section 9.2.3, clipping).
    return bare.rstrip(b"\n") + b"\n" if bare[-2:-1] == b"\n" else bare, len(lines), end


def _unindented(lines: list[bytes], octets: int, indent: bytes) -> bytes | None:
    """Lines of so many octets without it; None where one does not begin with it, and is not empty.

    A call for each line is most of what reading a long block costs: two were twice that.
    """
    bare = b"".join(map(bytes.removeprefix, lines, repeat(indent)))
    still_there = len(bare) - octets + len(indent) * len(lines)
    if still_there and still_there != len(indent) * lines.count(b"\n"):
        return None
    return bare


def _text(octets: bytes) -> str:
    # Of ASCII nothing is left now that could not be printed, but tabs and line ends.
    return PlainText(octets, "ascii") if octets.isascii() else octets.decode()
