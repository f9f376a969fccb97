"""Job files in JSON (RFC 8259) as the same trees of text with positions.  No I/O.

YAML's flow style is nearly JSON, but libyaml refuses the surrogate pairs by which JSON writes
an emoji, so JSON has its own reader.  Numbers, true, false and null stay the text they are.
"""

import re
from bisect import bisect_right
from json import JSONDecodeError, JSONDecoder
from typing import NoReturn

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import (
    MAX_LEVELS,
    MAX_NODES,
    Document,
    ListNode,
    MapNode,
    Node,
    TextNode,
    decode,
    key_trouble,
    refuse,
    shown,
)
from asyncnet.spool.errors import JobRefused

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_STRINGS = JSONDecoder()  # only ever put before a double quote
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(octets: bytes) -> Document:
    """The one object that a JSON job is.  Raises JobRefused where there is no tree."""
    reader = _Reader(decode(octets))
    root = reader.read()
    if not isinstance(root, MapNode):
        refuse("the file holds no object", 'write {"from": …, "to": …}', 1, 1, True)
    return Document(root, reader.problems)


class _Reader:
    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._starts = [0, *(match.end() for match in re.finditer("\r\n|\n|\r", text))]
        self._nodes = 0

    def read(self) -> Node:
        node, end = self._value(self._skip(0), 0)
        end = self._skip(end)
        if end < len(self._text):
            self._stop(end, "something follows the end of the object")
        return node

    def _value(self, at: int, levels: int) -> tuple[Node, int]:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(at, f"more than {MAX_NODES:,} values", unfinished=False)
        first = self._text[at : at + 1]
        if first == '"':
            return self._string(at)
        if first in ("{", "["):
            if levels >= MAX_LEVELS:
                problem = f"more than {MAX_LEVELS} levels of lists and objects"
                self._stop(at, problem, unfinished=False)
            return self._object(at, levels) if first == "{" else self._array(at, levels)
        word = _WORD.match(self._text, at)
        if word is None:
            self._stop(at, "a value is expected here: a text in double quotes, say")
        return TextNode(word[0], *self._place(at), "json"), word.end()

    def _string(self, at: int) -> tuple[TextNode, int]:
        try:
            text, end = _STRINGS.raw_decode(self._text, at)
        except JSONDecodeError as error:
            words = error.msg.removesuffix(" at").removesuffix(" starting")
            self._stop(error.pos, f"not JSON: {words[0].lower()}{words[1:]}")
        line, column = self._place(at)
        if _SURROGATE.search(text):
            half = Problem("", "half of a surrogate pair", "write both halves", line, column)
            self.problems.append(half)
            text = _SURROGATE.sub("\ufffd", text)
        return TextNode(text, line, column, "quoted"), end

    def _array(self, at: int, levels: int) -> tuple[ListNode, int]:
        node = ListNode([], *self._place(at))
        at = self._skip(at + 1)
        if self._text[at : at + 1] == "]":
            return node, at + 1
        while True:
            item, at = self._value(at, levels + 1)
            node.items.append(item)
            at, over = self._after(at, "]")
            if over:
                return node, at

    def _object(self, at: int, levels: int) -> tuple[MapNode, int]:
        node = MapNode([], *self._place(at))
        keys: dict[str, int] = {}
        at = self._skip(at + 1)
        if self._text[at : at + 1] == "}":
            return node, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                self._stop(at, "a key in double quotes is expected here")
            key, at = self._string(at)
            self._nodes += 1
            at = self._skip(at)
            if self._text[at : at + 1] != ":":
                self._stop(at, f'a colon is expected after "{shown(key.text)}"')
            value, at = self._value(self._skip(at + 1), levels + 1)
            trouble = key_trouble(key, keys)
            if trouble is None:
                keys[key.text] = key.line
                node.entries.append((key, value))
            else:
                self.problems.append(trouble)
            at, over = self._after(at, "}")
            if over:
                return node, at

    def _after(self, at: int, closing: str) -> tuple[int, bool]:
        """Step over the comma to the next member, or over the closing bracket."""
        at = self._skip(at)
        mark = self._text[at : at + 1]
        if mark == closing:
            return at + 1, True
        if mark != ",":
            self._stop(at, f"a comma or {closing} is expected here")
        following = self._skip(at + 1)
        if self._text[following : following + 1] == closing:
            self._stop(at, f"no comma may stand before {closing}")
        return following, False

    def _skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        assert match is not None
        return match.end()

    def _place(self, at: int) -> tuple[int, int]:
        line = bisect_right(self._starts, at)
        return line, at - self._starts[line - 1] + 1

    def _stop(self, at: int, problem: str, *, unfinished: bool = True) -> NoReturn:
        if at >= len(self._text):
            problem = f"the file ends too early: {problem}"
        found = Problem("", problem, None, *self._place(min(at, len(self._text))))
        raise JobRefused((*self.problems, found), unfinished=unfinished)
