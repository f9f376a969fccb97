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
    BrokenDocument,
    Document,
    ListNode,
    MapNode,
    Node,
    TextNode,
    key_trouble,
    shown,
)
from asyncnet.spool.document_text import LINE_END, decode, refuse
from asyncnet.spool.errors import JobRefused

_SPACE = re.compile(r"[ \t\r\n]*")
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null")
_STRINGS = JSONDecoder()  # only ever put before a double quote
_SURROGATE = re.compile("[\ud800-\udfff]")

# What the standard library says of strings, and what a person can do with.
_STRING_FAULTS: dict[str, tuple[str, str | None]] = {
    "Unterminated string": ("the quote opened here is never closed", None),
    "Invalid control character": (
        "a line end or another control character within quotes",
        r'write a line end as "\n", a tab as "\t"',
    ),
    "Invalid \\escape": ("no escape begins so", r'write "\\" for a backslash'),
    "Invalid \\uXXXX escape": ("the escape lacks hexadecimal digits", r'such as "\u00e4"'),
}


def read_json(octets: bytes) -> Document:
    """The object that a JSON job is.  Raises JobRefused where there is none."""
    return _Reader(decode(octets)).document()


class _Reader:
    """Reads by descent; the depth is bounded, so Python's stack is too."""

    def __init__(self, text: str) -> None:
        self._problems: list[Problem] = []
        self._text = text
        self._starts = [0, *(match.end() for match in LINE_END.finditer(text))]
        self._nodes = 0
        self._root: Node | None = None

    def document(self) -> Document:
        try:
            at = self._skip(0)
            if self._text[at] not in "{[":
                self._refuse_root()
            self._root, at = self._value(at, 0)
            at = self._skip(at)
            if at < len(self._text):
                self._stop(at, "something follows the end of the object", "one job a file")
        except BrokenDocument as error:
            self._problems.append(error.problem)
            if not isinstance(self._root, MapNode):
                problems = tuple(self._problems)
                raise JobRefused(problems, unfinished=error.unfinished) from None
            return Document(self._root, self._problems, True, error.unfinished)
        if not isinstance(self._root, MapNode):
            self._refuse_root()
        return Document(self._root, self._problems)

    def _refuse_root(self) -> NoReturn:
        advice = 'write {"from": …, "to": …}; a job in YAML is named .yaml'
        refuse("the file holds no JSON object", advice, 1, 1, unfinished=True)

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
            self._stop(at, "a value is expected here", "a text stands in double quotes")
        return TextNode(word[0], *self._place(at), "json"), word.end()

    def _string(self, at: int) -> tuple[TextNode, int]:
        try:
            text, end = _STRINGS.raw_decode(self._text, at)
        except JSONDecodeError as error:
            words = error.msg.removesuffix(" at").removesuffix(" starting")
            self._stop(error.pos, *_STRING_FAULTS.get(words, (f"not JSON: {words}", None)))
        line, column = self._place(at)
        if _SURROGATE.search(text):
            half = Problem("", "half of a surrogate pair", "write both halves", line, column)
            self._problems.append(half)
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
        if self._root is None:
            self._root = node
        keys: dict[str, int] = {}
        at = self._skip(at + 1)
        if self._text[at : at + 1] == "}":
            return node, at + 1
        while True:
            if self._text[at : at + 1] != '"':
                self._stop(at, "a key is expected here", "keys stand in double quotes")
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
                self._problems.append(trouble)
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

    def _stop(
        self, at: int, problem: str, advice: str | None = None, *, unfinished: bool = True
    ) -> NoReturn:
        if at >= len(self._text):
            problem = f"the file ends too early: {problem}"
        found = Problem("", problem, advice, *self._place(min(at, len(self._text))))
        raise BrokenDocument(found, unfinished=unfinished)
