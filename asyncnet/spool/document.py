"""Job files as trees of text with positions, however they are written.  No I/O.

Every scalar is the text that stands in the file: no loader turns "no" into False or 2026-01-01
into a date.  yaml_document and json_document make such trees.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from asyncnet.mail.problem import Problem

MAX_DOCUMENT_OCTETS = 1_048_576
MAX_LEVELS = 20
MAX_NODES = 10_000
MAX_KEY_CHARACTERS = 1_000

# How a scalar was written: a bare YAML word, in quotes or as a block, or JSON's bare words; an
# alias stands where one was, which is a mistake that has been noted.
Style = Literal["plain", "quoted", "json", "alias"]


@dataclass(slots=True)  # the cheapest to make, and a job has ten
class TextNode:
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
    """The mapping that a job file is, and the mistakes that its tree survives.

    broken tells that reading ended before the file did, at the last of the problems: root
    holds what stands whole before that place.  unfinished tells that the file may look so
    because its writer has not come to its end yet.
    """

    root: MapNode
    problems: list[Problem]
    broken: bool = False
    unfinished: bool = False


class BrokenDocument(Exception):
    """Reading cannot go on behind this problem; caught within the two readers."""

    def __init__(self, problem: Problem, *, unfinished: bool) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.unfinished = unfinished


def key_trouble(node: Node, keys: Mapping[str, int]) -> Problem | None:
    """Why node cannot be a key beside keys (name to line); None when it can."""
    field, advice = "", None
    if not isinstance(node, TextNode):
        problem = "a key is a word, not a list or mapping"
    elif not node.text:
        problem = "a key is missing before the colon"
    elif len(node.text) > MAX_KEY_CHARACTERS:
        field, problem = shown(node.text), "a key is no text of this length"
    elif node.text == "<<" and node.style == "plain":
        field, problem = "<<", "merge keys are not used in jobs"
        advice = "write the keys out"
    elif node.text in keys:
        field, problem = shown(node.text), f"this key stands on line {keys[node.text]} already"
        advice = "keep one of them"
    else:
        return None
    return Problem(field, problem, advice, node.line, node.column)


def shown(text: str, limit: int = 60) -> str:
    """A text of the job as errors quote it: short, and without characters that act."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in cut)
