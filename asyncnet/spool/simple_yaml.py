"""Simple job files in YAML, read without libyaml in a fifth of its time.  No I/O.

Most jobs are written by programs, and most of those are keys with plain words, words in double
quotes without escapes, "|" blocks, and lists of plain words.  Of these the tree is made here; for
whatever is not surely read alike, a comment or a colon too many, there is None, and libyaml judges.
"""

import re
from itertools import repeat

from asyncnet.spool.document import Document, ListNode, MapNode, Node, TextNode

MAX_ENTRIES = 100
MAX_BLOCKS = 4  # each is looked for to the end of the file
MAX_ITEMS = 1000  # of a list: how many values a file may have, libyaml's reader counts

_WORDS = "[A-Za-z0-9](?:[A-Za-z0-9 {0}./_@+()<>=;-]*[A-Za-z0-9{0}./_@+()<>=;-])?"
_PLAIN, _IN_BRACKETS = _WORDS.format(","), _WORDS.format("")
_ENTRY = re.compile(
    rf"([a-z_]{{1,30}}):(?: (?:({_PLAIN})\n"
    r'|"([ !#-\[\]-~]*)"\n'
    # A block: its lines are for _block().
    r"|\|\n(?=( +)[^ \t\n])"
    rf"|\[({_IN_BRACKETS}(?:, {_IN_BRACKETS})*)\]\n)"
    rf"|\n(( *)- {_PLAIN}\n(?:\7- {_PLAIN}\n)*))"
)


def read_simple(text: str) -> Document | None:
    """The mapping that text is; None where libyaml is to say so."""
    if "\r" in text:
        return None
    entries: list[tuple[TextNode, Node]] = []
    keys: set[str] = set()
    position, line, end, blocks = 0, 1, len(text), 0
    while position < end:
        match = _ENTRY.match(text, position)
        if match is None or len(entries) == MAX_ENTRIES:
            return None
        key, plain, quoted, indent, in_brackets, dashed, margin = match.groups()
        if key in keys:
            return None
        keys.add(key)
        position = match.end()
        name, column = TextNode(key, line, 1, "plain"), len(key) + 3
        value: Node
        if plain is not None:
            value = TextNode(plain, line, column, "plain")
        elif quoted is not None:
            value = TextNode(quoted, line, column, "quoted")
        elif indent is not None:
            blocks += 1
            bare, lines, position = _block(text, position, indent)
            if position < 0 or blocks > MAX_BLOCKS:
                return None
            value = TextNode(bare, line, column, "quoted")
            line += lines
        elif in_brackets is not None:
            value = _in_brackets(in_brackets, line, column)
        else:
            value = _dashed(dashed, line + 1, len(margin) + 1)
            line += len(value.items)
        if isinstance(value, ListNode) and len(value.items) > MAX_ITEMS:
            return None
        entries.append((name, value))
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


def _block(text: str, start: int, indent: str) -> tuple[str, int, int]:
    """A block's text, how many lines it has, and where it ends: each line begins with the blanks of
    the first, or is empty.  The end is -1 where its last line has no line end.
    """
    lines = text[start:].split("\n")
    bare = _unindented(lines, indent)
    if bare is None:  # other lines follow
        outside = (line for line in lines if line and not line.startswith(indent))
        del lines[lines.index(next(outside)) :]
        end = start + sum(map(len, lines)) + len(lines)
        lines.append("")
        bare = _unindented(lines, indent)
    else:
        end = -1 if lines[-1] else len(text)
    assert bare is not None
    # One line end stands behind it (YAML 1.1 section 9.2.3, clipping).
    return bare if bare[-2:-1] != "\n" else bare.rstrip("\n") + "\n", len(lines) - 1, end


def _unindented(lines: list[str], indent: str) -> str | None:
    """The lines without it; None where one does not begin with it, and is not empty.

    A call for each line is most of what reading a long block costs: two were twice that.
    """
    bare = "\n".join(map(str.removeprefix, lines, repeat(indent)))
    taken = sum(map(len, lines)) + len(lines) - 1 - len(bare)
    return bare if taken == len(indent) * (len(lines) - lines.count("")) else None
