"""Job files in YAML as trees of text with positions.  No I/O.

The tree is made from libyaml's events, or without it where the file is simple, and never by a
loader: a loader builds objects and follows aliases that blow up.  What has no place in a job
(tags, anchors, aliases, merge keys, a second document) is refused by name.
"""

import codecs
import re
from typing import NoReturn

import yaml
from yaml._yaml import CParser

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import (
    MAX_DOCUMENT_OCTETS,
    MAX_LEVELS,
    MAX_NODES,
    BrokenDocument,
    Document,
    ListNode,
    MapNode,
    Node,
    Style,
    TextNode,
    key_trouble,
    shown,
)
from asyncnet.spool.document_text import decode, place, refuse, refuse_empty
from asyncnet.spool.errors import JobRefused
from asyncnet.spool.simple_yaml import read_simple
from asyncnet.spool.yaml_mistakes import syntax_problem

# What libyaml would refuse, C1 controls, and the three line ends that editors do not count:
# libyaml takes NEL, LS and PS for line ends, so the positions told would not be the editor's.
_FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")

# The rest of ASCII, which most jobs are: octets are deleted in a fifth of the time of a search.
_ALLOWED_ASCII = bytes({*b"\t\n\r", *range(32, 127)})

# libyaml compares every %TAG with all before it: 100,000 of them take it seven seconds.
_MAX_TAG_DIRECTIVES = 16

_WITHOUT = "leave it out, or put the whole value in quotes"
_A_JOB = "a job is keys with values"
_LIKE = 'write "to: name@example.org"'
_GLUED_KEY = re.compile(r"\s*([A-Za-z_-]{1,20}):\S")


def read_yaml(octets: bytes) -> Document:
    """The mapping that a YAML job is.  Raises JobRefused where there is none."""
    simple = read_simple_yaml(octets)
    if simple is not None:
        return simple
    text = _text(octets)
    if text.count("\n%TAG") + text.count("\r%TAG") > _MAX_TAG_DIRECTIVES:
        refuse("%TAG: tags are not used in jobs", "leave these lines out")
    return read_with_libyaml(text)


def read_simple_yaml(octets: bytes) -> Document | None:
    """The same where it is simple, without libyaml; None where only read_yaml() can tell."""
    if not _is_plain(octets):
        _text(octets)
        octets = octets.removeprefix(codecs.BOM_UTF8)
    return read_simple(octets) if len(octets) <= MAX_DOCUMENT_OCTETS else None


def _text(octets: bytes) -> str:
    text = decode(octets)
    forbidden = None if _is_plain(octets) else _FORBIDDEN.search(text)
    if forbidden:
        code = ord(forbidden[0])
        refuse(
            f"the character U+{code:04X} cannot stand in a YAML file",
            f'leave it out, or write it as "\\u{code:04x}" in double quotes',
            *place(text, forbidden.start()),
            unfinished=True,
        )
    return text


def _is_plain(octets: bytes) -> bool:
    """Whether it is ASCII without anything forbidden."""
    return not octets.translate(None, _ALLOWED_ASCII)


def read_with_libyaml(text: str) -> Document:
    """As read_yaml(), for whatever stands in the text."""
    return _Builder(text).document()


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

    def __init__(self, text: str) -> None:
        self._text = text
        self._problems: list[Problem] = []
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0

    def document(self) -> Document:
        broken = unfinished = False
        try:
            self._read()
        except yaml.MarkedYAMLError as error:
            self._problems.append(syntax_problem(error, self._text))
            broken = unfinished = True
            self._drop_last()
        except BrokenDocument as error:
            self._problems.append(error.problem)
            broken, unfinished = True, error.unfinished
            if len(self._stack) > 1:
                self._drop_last()
        root = self._root
        if not broken and (root is None or (isinstance(root, TextNode) and root.is_empty)):
            refuse_empty()
        if not isinstance(root, MapNode):
            self._refuse_root(root, unfinished)
        return Document(root, self._problems, broken, unfinished)

    def _read(self) -> None:
        next_event = CParser(self._text).get_event
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is yaml.ScalarEvent:
                assert isinstance(event, yaml.ScalarEvent)
                style: Style = "quoted" if event.style else "plain"
                if event.tag is not None or event.anchor is not None:
                    self._note_extras(event)
                self._add(TextNode(event.value, *_start(event), style))
            elif kind is yaml.MappingStartEvent:
                self._open(event, MapNode([], *_start(event)))
            elif kind is yaml.SequenceStartEvent:
                self._open(event, ListNode([], *_start(event)))
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._stack.pop()
            elif kind is yaml.AliasEvent:
                assert isinstance(event, yaml.AliasEvent)
                alias = f"*{shown(str(event.anchor))}: aliases are not used in jobs"
                self._note(event, alias, "write the value out")
                self._add(TextNode("", *_start(event), "alias"))
            elif kind is yaml.DocumentStartEvent:
                self._start_document(event)

    def _start_document(self, event: yaml.Event) -> None:
        if self._root is not None:
            problem = Problem("", "a second document begins here", "one job a file", *_start(event))
            raise BrokenDocument(problem, unfinished=False)
        if getattr(event, "tags", None):
            self._note(event, "%TAG: tags are not used in jobs", "leave this line out")

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
        self._problems.append(trouble)
        return TextNode("", node.line, node.column, "plain")

    def _drop_last(self) -> None:
        """The value that was being read: it may be wrong only in that it ends too early."""
        if isinstance(self._root, MapNode) and self._root.entries:
            self._root.entries.pop()

    def _refuse_root(self, root: Node | None, unfinished: bool) -> NoReturn:
        if self._problems:  # they say more than that there is no mapping
            raise JobRefused(tuple(self._problems), unfinished=unfinished)
        if isinstance(root, ListNode):
            refuse(f"the file holds a list; {_A_JOB}", _LIKE, 1, 1, unfinished=True)
        text = root.text if isinstance(root, TextNode) else ""
        if glued := _GLUED_KEY.match(text):
            refuse("a blank must follow the colon", f'"{glued[1]}: …"', 1, 1, unfinished=True)
        refuse(f"the file holds only text; {_A_JOB}", _LIKE, 1, 1, unfinished=True)

    def _note_extras(self, event: yaml.Event) -> None:
        tag, anchor = getattr(event, "tag", None), getattr(event, "anchor", None)
        if tag is not None:
            written = shown(tag.replace("tag:yaml.org,2002:", "!!", 1))
            self._note(event, f"{written}: tags are not used in jobs", _WITHOUT)
        if anchor is not None:
            self._note(event, f"&{shown(anchor)}: anchors are not used in jobs", _WITHOUT)

    def _note(self, event: yaml.Event, problem: str, advice: str) -> None:
        self._problems.append(Problem("", problem, advice, *_start(event)))

    def _stop(self, node: Node, problem: str) -> NoReturn:
        raise BrokenDocument(Problem("", problem, None, node.line, node.column), unfinished=False)


def _start(event: yaml.Event) -> tuple[int, int]:
    mark = event.start_mark
    assert mark is not None  # libyaml marks every event
    return mark.line + 1, mark.column + 1
