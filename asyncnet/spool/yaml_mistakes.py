"""libyaml's complaints as a person would put them.  No I/O.

libyaml tells what it expected; a person wants to know what is wrong and what to write.  Where
it stumbled is seldom enough for that, so the line around that place is looked at too.
"""

import re
from typing import NamedTuple

import yaml

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import shown
from asyncnet.spool.document_text import LINE_END

_QUOTE = 'put the whole value in quotes: "…"'
_A_KEY = 'write "key: value"'
_VALUE_BEFORE = re.compile(r":\s+\S")  # the line has a key and a value already
_GLUED_KEY = re.compile(r"\s*([A-Za-z_-]{1,20}):\S")


class _Place(NamedTuple):
    """Where libyaml stumbled, and where what it was reading began."""

    line: int
    column: int
    since_line: int
    since_column: int
    text: str  # of the line, whole

    @property
    def before(self) -> str:
        return self.text[: self.column - 1]

    @property
    def character(self) -> str:
        return self.text[self.column - 1 : self.column]


def syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    """What to tell of the place where the text stops being YAML."""
    words, context = error.problem or "", error.context or ""
    place = _place(error, text)
    if "unexpected end of stream" in words:
        return _at_start(place, f"the quote opened on line {place.since_line} is never closed")
    if "expected ',' or" in words:
        return _open_bracket(place, words[-2])
    if "could not find expected ':'" in words:
        return _no_colon(place, text)
    advice: str | None
    if "mapping values are not allowed" in words:
        problem, advice = _second_colon(place)
    elif "expected key" in words or "expected '-' indicator" in words:
        problem, advice = _unexpected(place)
    elif "cannot start any token" in words or "node content" in words or "alphabetic" in words:
        problem, advice = _bad_start(place)
    else:
        problem, advice = _by_words(f"{context}: {words}" if context else words)
    return Problem("", problem, advice, place.line, place.column)


# What libyaml says, in part, and what a person can do with.
_WORDS = (
    ("tab character", "a tab cannot indent in YAML", "use spaces"),
    (
        "block scalar: did not find expected comment",
        "a text after | or > begins on the next line",
        "write it below, indented",
    ),
    (
        "unknown escape",
        "no escape begins so in double quotes",
        r'write "\\" for a backslash, or use single quotes',
    ),
    ("hexdecimal", "the escape lacks hexadecimal digits", r'such as "\u00e4"'),
    (
        "invalid Unicode character escape",
        "half of a surrogate pair, which YAML does not know",
        r'write the character itself or "\U0001f600", or name the file .json',
    ),
    (
        "block sequence entries",
        "a list item cannot stand behind its key",
        "write it on the next line, or the list as [one, two]",
    ),
    ("tag handle", "tags are not used in jobs", _QUOTE),
    ("a tag", "tags are not used in jobs", _QUOTE),
    ("incompatible YAML", "this version of YAML is not known", "leave the line out"),
    ("directive", "a line that begins with % has a meaning of its own", "leave it out"),
    ("<document start>", "something follows the end of the document", "one job a file"),
)


def _by_words(words: str) -> tuple[str, str | None]:
    for part, problem, advice in _WORDS:
        if part in words:
            return problem, advice
    return f"not YAML: {words}", None


def _place(error: yaml.MarkedYAMLError, text: str) -> _Place:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    since = error.context_mark or mark
    lines = LINE_END.split(text, line + 1)
    if line >= len(lines):  # libyaml counts a line end that the last line does not have
        line = len(lines) - 1
        column = len(lines[line])
    return _Place(
        line + 1,
        column + 1,
        since.line + 1 if since else 1,
        since.column + 1 if since else 1,
        lines[line],
    )


def _at_start(place: _Place, problem: str, advice: str | None = None) -> Problem:
    return Problem("", problem, advice, place.since_line, place.since_column)


def _open_bracket(place: _Place, closing: str) -> Problem:
    problem = f"the bracket opened on line {place.since_line} lacks its {closing}"
    if not place.character:  # the file is over: show where it began
        return _at_start(place, problem)
    advice = "close it, or put a comma before this place"
    return Problem("", problem, advice, place.line, place.column)


def _no_colon(place: _Place, text: str) -> Problem:
    line = LINE_END.split(text, place.since_line)[place.since_line - 1]
    if glued := _GLUED_KEY.match(line[place.since_column - 1 :]):
        return _at_start(place, "a blank must follow the colon", f'"{glued[1]}: …"')
    advice = f"{_A_KEY}, or indent the line if it belongs to the text above"
    return _at_start(place, f"the key on line {place.since_line} has no colon", advice)


def _second_colon(place: _Place) -> tuple[str, str]:
    if _VALUE_BEFORE.search(place.before):
        return 'a second ": " on this line', _QUOTE
    if place.text[:1].isspace():
        return (
            "the line is indented, but the line above has its value already",
            "let all keys begin at the same column",
        )
    return "the line above is no key with a value", _A_KEY


def _unexpected(place: _Place) -> tuple[str, str | None]:
    before = place.before.rstrip()
    if before.endswith(("'", '"')):
        return (
            "something follows the closing quote",
            f"write {before[-1]} within it as "
            + ("''" if before.endswith("'") else r"\"")
            + ", or leave the quotes out",
        )
    if before.endswith(("]", "}")):
        return "something follows the closing bracket", _QUOTE
    if place.character == ":":
        return "a key is missing before the colon", _A_KEY
    if place.character == "-":
        return (
            "a list item stands where a key is expected",
            "indent all items of a list alike, under their key",
        )
    return "the indentation fits nothing above", "align it with its neighbours"


def _bad_start(place: _Place) -> tuple[str, str | None]:
    # libyaml stands behind the & or * that has no name.
    character = place.before[-1:] if place.before.endswith(("&", "*")) else place.character
    if character == "\t":
        return "a tab cannot indent in YAML", "use spaces"
    if not character:
        return "the file ends where a value is expected", None
    return f"a value cannot begin with {shown(character)}", _QUOTE
