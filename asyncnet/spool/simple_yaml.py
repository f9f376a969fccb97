"""Simple job files in YAML, read without libyaml in a fifth of its time.  No I/O.

Most jobs are written by programs, and most of those are keys with plain words, words in double
quotes without escapes, and "|" blocks.  Of these the tree is made here; for whatever is not
surely read alike, a comment or a colon too many, there is None, and libyaml judges.
"""

import re

from asyncnet.spool.document import Document, MapNode, Node, TextNode

MAX_ENTRIES = 100

_ENTRY = re.compile(
    r"([a-z_]{1,30}): "
    r"(?:([A-Za-z0-9](?:[A-Za-z0-9 .,/_@+()<>=;-]*[A-Za-z0-9.,/_@+()<>=;-])?)\n"
    r'|"([ !#-\[\]-~]*)"\n'
    # As many blanks before each line as before the first, or an empty line.
    r"|\|\n(( +)[^ \t\n][^\n]*\n(?:\5[^\n]*\n|\n)*))"
)


def read_simple(text: str) -> Document | None:
    """The mapping that text is; None where libyaml is to say so."""
    if "\r" in text:
        return None
    entries: list[tuple[TextNode, Node]] = []
    keys: set[str] = set()
    position, line, end = 0, 1, len(text)
    while position < end:
        match = _ENTRY.match(text, position)
        if match is None or len(entries) == MAX_ENTRIES:
            return None
        key, plain, quoted, block, indent = match.groups()
        if key in keys:
            return None
        keys.add(key)
        name, column = TextNode(key, line, 1, "plain"), len(key) + 3
        if plain is not None:
            value = TextNode(plain, line, column, "plain")
        elif quoted is not None:
            value = TextNode(quoted, line, column, "quoted")
        else:
            lines = block.split("\n")
            value = TextNode(_unindented(lines, len(indent)), line, column, "quoted")
            line += len(lines) - 1
        entries.append((name, value))
        line += 1
        position = match.end()
    return Document(MapNode(entries, 1, 1), []) if entries else None


def _unindented(lines: list[str], indent: int) -> str:
    """The text of a block, with one line end behind it (YAML 1.1 section 9.2.3, clipping)."""
    unindented = [line[indent:] for line in lines]
    while not unindented[-1]:
        unindented.pop()
    unindented.append("")
    return "\n".join(unindented)
