"""Job files as trees of text with positions: YAML in, nodes out.  No I/O.

The tree is made from libyaml's events and never by a loader: a loader builds objects, turns
"no" into False and 2026-01-01 into a date, and follows aliases that blow up.  Here every
scalar is the text that stands in the file, and what has no place in a job (tags, anchors,
aliases, merge keys, a second document) is refused by name.

Two kinds of mistake: one that leaves no tree raises JobRefused; one that the rest of the file
survives is noted in Document.problems, so that it is told together with all the others.
"""

import re
from typing import Literal, NamedTuple, NoReturn

import yaml
from yaml._yaml import CParser

from asyncnet.mail.problem import Problem
from asyncnet.spool.errors import JobRefused

MAX_DOCUMENT_OCTETS = 1_048_576
MAX_LEVELS = 20
MAX_NODES = 10_000
MAX_KEY_CHARACTERS = 1_000

# How a scalar was written: a bare YAML word, in quotes or as a block, or JSON's bare words.
Style = Literal["plain", "quoted", "json"]


class TextNode(NamedTuple):
    text: str
    line: int  # from 1, as is column; where the value begins
    column: int
    style: Style

    @property
    def is_empty(self) -> bool:
        """Nothing is written here: "key:" in YAML, null in JSON."""
        return (self.style == "plain" and not self.text) or (
            self.style == "json" and self.text == "null"
        )


class ListNode(NamedTuple):
    items: list["Node"]
    line: int
    column: int


class MapNode(NamedTuple):
    entries: list[tuple[TextNode, "Node"]]  # each key once, in the order of the file
    line: int
    column: int


Node = TextNode | ListNode | MapNode


class Document(NamedTuple):
    root: MapNode
    problems: list[Problem]


# What libyaml would refuse, C1 controls, and the three line ends that editors do not count:
# libyaml takes NEL, LS and PS for line ends, so the positions told would not be the editor's.
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_LINE_END = re.compile(r"\r\n|\n|\r")


def decode(octets: bytes) -> str:
    """The file as text, without its byte order mark.  Raises JobRefused."""
    if len(octets) > MAX_DOCUMENT_OCTETS:
        refuse(
            f"the file has {len(octets):,} octets; a job has at most {MAX_DOCUMENT_OCTETS:,}",
            "put large texts and files beside the job: text_file, html_file, attachments",
        )
    if octets.startswith((b"\xff\xfe", b"\xfe\xff")):
        refuse("the file is UTF-16", "save it as UTF-8", 1, 1)
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = place(octets[: error.start].decode("utf-8"), error.start)
        wrong = octets[error.start]
        refuse(f"octet 0x{wrong:02X} is not UTF-8", "save it as UTF-8", line, column, True)
    text = text.removeprefix("\ufeff")
    if not text.strip():
        refuse("the file is empty", "write at least from, to and text", 1, 1, True)
    return text


def place(text: str, index: int) -> tuple[int, int]:
    """Line and column, from 1, of the character at index."""
    line, start = 1, 0
    for match in _LINE_END.finditer(text, 0, index):
        line, start = line + 1, match.end()
    return line, min(index, len(text)) - start + 1


def refuse(
    problem: str,
    suggestion: str | None = None,
    line: int | None = None,
    column: int | None = None,
    unfinished: bool = False,
) -> NoReturn:
    """Raise JobRefused for a mistake that concerns the whole file."""
    raise JobRefused((Problem("", problem, suggestion, line, column),), unfinished=unfinished)


def read_yaml(octets: bytes) -> Document:
    """The one mapping that a YAML job is.  Raises JobRefused where there is no tree."""
    text = decode(octets)
    forbidden = _FORBIDDEN.search(text)
    if forbidden:
        code = f"U+{ord(forbidden[0]):04X}"
        refuse(
            f"the character {code} cannot stand in a YAML file",
            f'leave it out, or write it as "\\u{ord(forbidden[0]):04x}" in double quotes',
            *place(text, forbidden.start()),
            True,
        )
    builder = _Builder(CParser(text))
    try:
        root = builder.build()
    except yaml.MarkedYAMLError as error:
        problem = _syntax_problem(error, text)
        raise JobRefused((*builder.problems, problem), unfinished=True) from None
    if not isinstance(root, MapNode):
        what = "a list" if isinstance(root, ListNode) else "only text"
        refuse(f"the file holds {what}; a job is keys with values", 'write "to: …"', 1, 1, True)
    return Document(root, builder.problems)


class _Open:
    """A list or mapping whose end has not come."""

    __slots__ = ("key", "keys", "node")

    def __init__(self, node: ListNode | MapNode) -> None:
        self.node = node
        self.key: TextNode | None = None
        self.keys: dict[str, int] = {}  # the lines of those seen


class _Builder:
    """Puts the events of one document together.

    A value under a key that cannot stand is still read, under a placeholder of its own, so
    that the rest of the file gets its errors too.
    """

    def __init__(self, parser: CParser) -> None:
        self.problems: list[Problem] = []
        self._parser = parser
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0

    def build(self) -> Node | None:
        next_event = self._parser.get_event
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                assert isinstance(event, yaml.ScalarEvent)
                style: Style = "quoted" if event.style else "plain"
                node = TextNode(event.value, *_start(event), style)
                if event.tag is not None or event.anchor is not None:
                    self._note_extras(event)
                self._add(node)
            elif kind is yaml.MappingStartEvent:
                self._open(event, MapNode([], *_start(event)))
            elif kind is yaml.SequenceStartEvent:
                self._open(event, ListNode([], *_start(event)))
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._stack.pop()
            elif kind is yaml.AliasEvent:
                assert isinstance(event, yaml.AliasEvent)
                self._note(event, f"*{event.anchor}: aliases are not used in jobs")
                self._add(TextNode("", *_start(event), "quoted"))
            elif kind is yaml.DocumentStartEvent:
                self._start_document(event)
        return self._root

    def _start_document(self, event: yaml.Event) -> None:
        if self._root is not None:
            line, column = _start(event)
            problem = Problem("", "a second document begins here", "one job a file", line, column)
            raise JobRefused((*self.problems, problem))
        if getattr(event, "tags", None):
            self._note(event, "%TAG: tags are not used in jobs")

    def _open(self, event: yaml.Event, node: ListNode | MapNode) -> None:
        self._note_extras(event)
        if len(self._stack) >= MAX_LEVELS:
            self._stop(node, f"more than {MAX_LEVELS} levels of lists and mappings")
        self._add(node)
        self._stack.append(_Open(node))

    def _add(self, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(node, f"more than {MAX_NODES:,} values")
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if isinstance(frame.node, ListNode):
            frame.node.items.append(node)
        elif frame.key is None:
            frame.key = self._key(frame, node)
        else:
            if frame.key.text:
                frame.node.entries.append((frame.key, node))
            frame.key = None

    def _key(self, frame: _Open, node: Node) -> TextNode:
        """The key if it can stand, else one without text, whose value is dropped."""
        trouble = key_trouble(node, frame.keys)
        if trouble is None:
            assert isinstance(node, TextNode)
            frame.keys[node.text] = node.line
            return node
        self.problems.append(trouble)
        return TextNode("", node.line, node.column, "plain")

    def _note_extras(self, event: yaml.Event) -> None:
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag is not None:
            self._note(event, f"{shown(tag)}: tags are not used in jobs; every value is text")
        if anchor is not None:
            self._note(event, f"&{shown(anchor)}: anchors are not used in jobs")

    def _note(self, event: yaml.Event, problem: str) -> None:
        self.problems.append(Problem("", problem, "write the value out", *_start(event)))

    def _stop(self, node: Node, problem: str) -> NoReturn:
        raise JobRefused((*self.problems, Problem("", problem, None, node.line, node.column)))


def key_trouble(node: Node, keys: dict[str, int]) -> Problem | None:
    """Why node cannot be a key beside keys (name to line); None when it can."""
    if not isinstance(node, TextNode):
        return Problem("", "a key is a word, not a list or mapping", None, node.line, node.column)
    if not node.text:
        return Problem("", "a key is missing before the colon", None, node.line, node.column)
    if len(node.text) > MAX_KEY_CHARACTERS:
        return Problem(
            shown(node.text), "a key is no text of this length", None, node.line, node.column
        )
    if node.text == "<<" and node.style == "plain":
        return Problem("<<", "merge keys are not used in jobs", None, node.line, node.column)
    if node.text in keys:
        return Problem(
            shown(node.text),
            f"this key stands on line {keys[node.text]} already",
            "keep one of them",
            node.line,
            node.column,
        )
    return None


def shown(text: str, limit: int = 60) -> str:
    """A text of the job as errors quote it: short, and without characters that act."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)


def _start(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None  # libyaml marks every event
    return mark.line + 1, mark.column + 1


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    """libyaml's words as a person would put them."""
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    since = error.context_mark.line + 1 if error.context_mark else line
    words = error.problem or "not YAML"
    quote = 'put the whole value in quotes: "…"'
    if "unexpected end of stream" in words:
        return Problem("", f"the quote opened on line {since} is never closed", None, line, column)
    if "expected ',' or" in words:
        bracket = words[-2]
        return Problem(
            "", f"the bracket opened on line {since} lacks its {bracket}", None, line, column
        )
    if "mapping values are not allowed" in words:
        return Problem("", 'a second ": " on this line', quote, line, column)
    if "cannot start any token" in words:
        return _bad_start(text, line, column, quote)
    if "could not find expected ':'" in words:
        return Problem("", f"the key on line {since} has no colon", '"key: value"', since, 1)
    if "did not find expected key" in words or "expected '-' indicator" in words:
        return Problem(
            "", "the indentation fits nothing above", "align it with its neighbours", line, column
        )
    context = f"{error.context}: " if error.context else ""
    return Problem("", f"not YAML: {context}{words}", None, line, column)


def _bad_start(text: str, line: int, column: int, quote: str) -> Problem:
    lines = _LINE_END.split(text, line)
    character = lines[line - 1][column - 1 : column] if len(lines) >= line else ""
    if character == "\t":
        return Problem("", "a tab cannot indent in YAML", "use spaces", line, column)
    return Problem("", f"a value cannot begin with {character}", quote, line, column)
