"""Reading one value of a job: a node in, what it says out, mistakes noted.  No I/O.

Every reader has one shape: it is given the node, the path of its field ("to[1]") and the list
of mistakes; it returns the value, or None when it noted a mistake instead.
"""

import difflib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from asyncnet.mail.problem import Problem
from asyncnet.mime.header import is_field_name, is_reserved, is_single
from asyncnet.spool.document import ListNode, MapNode, Node, TextNode, shown

MAX_SUGGESTIONS = 50  # a file of 5,000 unknown keys is no job; searching near ones takes seconds

# Whatever reaches a header: CR and LF would begin a new field (RFC 5322 section 2.2), and
# readers of the header take NEL, LS and PS for line ends too.
CONTROL = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")

_DATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]+)?"
    r"([Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_LOCAL_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ][0-9:.]+)?")
_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_MESSAGE_ID = re.compile(r"<?([!#-'*+\-./-9=?A-Z^-~]+@[!#-'*+\-./-9:=?A-Z\[\]^-~]+)>?")

# What to write instead of a reserved field.
_KEYS_OF_FIELDS = {
    "from": "use the key from",
    "sender": "use the key sender",
    "reply-to": "use the key reply_to",
    "to": "use the key to",
    "cc": "use the key cc",
    "bcc": "use the key bcc",
    "subject": "use the key subject",
    "date": "use the key date",
    "message-id": "use the key message_id",
    "return-path": "use the key envelope_from",
}

# What people write within addresses and attachments who know other tools.
SYNONYMS_WITHIN = {
    "address": "addr",
    "content": "text",
    "contenttype": "type",
    "data": "base64",
    "email": "addr",
    "file": "path",
    "filename": "name",
    "mail": "addr",
    "mime": "type",
    "mimetype": "type",
}
_MARKS_OF_WORDS = dict.fromkeys(map(ord, "-_ "))

T = TypeVar("T")
Mistakes = list[Problem]
Read = Callable[[Node, str, Mistakes], T | None]


def note(found: Mistakes, field: str, node: Node, problem: str, advice: str | None = None) -> None:
    if isinstance(node, TextNode) and node.style == "alias":
        return  # noted already, and what it stood for is not known
    if not problem.isprintable():  # it quotes the file
        problem = shown(problem, 500)
    found.append(Problem(field, problem, advice, node.line, node.column))


def body(node: Node, field: str, found: Mistakes) -> str | None:
    """Text of any length, lines and all."""
    if not isinstance(node, TextNode):
        note(found, field, node, f"is {kind(node)}; a text is expected")
        return None
    if "\0" in node.text:
        note(found, field, node, "holds the character U+0000", "leave it out")
        return None
    return node.text


def line(node: Node, field: str, found: Mistakes) -> str | None:
    """Text that may reach a header: one line without control characters."""
    if not isinstance(node, TextNode):
        note(found, field, node, f"is {kind(node)}; a text is expected")
        return None
    text = node.text
    if text.isprintable():  # nearly all is, and then holds no control character
        return text
    control = CONTROL.search(text)
    if control is None:
        return text
    note(found, field, node, *_control_trouble(text, control[0]))
    return None


def _control_trouble(text: str, control: str) -> tuple[str, str]:
    code = f"U+{ord(control):04X}"
    if control == "\t":
        return "holds a tab", "write a blank"
    if control not in "\n\r\x85\u2028\u2029":
        return f"holds the control character {code}", "leave it out"
    if text.endswith("\n") and not CONTROL.search(text[:-1]):
        return "ends with a line end", 'write ">-" or "|-", which drop it'
    return f"holds the line end {code}", "one line is allowed here"


def word(node: Node, field: str, found: Mistakes) -> str | None:
    """One line that is not empty."""
    text = line(node, field, found)
    if text is not None and (not text.strip() or (isinstance(node, TextNode) and node.is_empty)):
        note(found, field, node, "nothing is written here", "fill it in or leave it out")
        return None
    return text


def matching(pattern: re.Pattern[str], what: str, example: str) -> Read[str]:
    """A reader of words that look like pattern throughout."""

    def read(node: Node, field: str, found: Mistakes) -> str | None:
        text = word(node, field, found)
        if text is not None and pattern.fullmatch(text) is None:
            note(found, field, node, f"{shown(text)!r} is no {what}", example)
            return None
        return text

    return read


job_id = matching(_ID, "id", "up to 128 of the characters A-Z a-z 0-9 . _ : -")


def message_id(node: Node, field: str, found: Mistakes) -> str | None:
    """An identifier with its angle brackets, whether written or not (RFC 5322 section 3.6.4)."""
    text = word(node, field, found)
    if text is None:
        return None
    match = _MESSAGE_ID.fullmatch(text)
    if match is None or text.startswith("<") != text.endswith(">") or len(text) > 250:
        note(
            found, field, node, f"{shown(text)!r} is no message id", 'write "<unique@example.org>"'
        )
        return None
    return f"<{match[1]}>"


def choice(*options: str) -> Read[str]:
    """A reader of one of the words given."""
    advice = f"write {', '.join(options[:-1])} or {options[-1]}"

    def read(node: Node, field: str, found: Mistakes) -> str | None:
        text = word(node, field, found)
        if text is not None and text not in options:
            note(found, field, node, f"{shown(text)!r} is not known", advice)
            return None
        return text

    return read


_true_or_false = choice("true", "false")


def boolean(node: Node, field: str, found: Mistakes) -> bool | None:
    """true or false; in YAML also True and TRUE, which editors take for the same."""
    if isinstance(node, TextNode) and node.text in ("True", "TRUE", "False", "FALSE"):
        node = replace(node, text=node.text.lower())
    text = _true_or_false(node, field, found)
    return None if text is None else text == "true"


def date(node: Node, field: str, found: Mistakes) -> datetime | None:
    """A moment as RFC 3339 writes it; the offset is kept."""
    text = word(node, field, found)
    if text is None:
        return None
    match = _DATE.fullmatch(text)
    if match is None:
        advice = "write it like 2026-11-22T10:30:00+08:00"
        if _LOCAL_DATE.fullmatch(text):
            advice = "add time and offset: 2026-11-22T10:30:00+08:00, or Z for UTC"
        note(found, field, node, f"{shown(text)!r} is no date with time and offset", advice)
        return None
    day, time, fraction, offset = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{time}{(fraction or '')[:7]}{offset.upper()}")
    except ValueError:
        note(found, field, node, f"{shown(text)!r} names no day or time that there is")
        return None
    if not 1970 <= moment.year <= 9998:
        note(found, field, node, f"the year {moment.year} is outside 1970 to 9998")
        return None
    return moment


def several(node: Node, field: str, found: Mistakes, read: Read[T]) -> tuple[T, ...] | None:
    """One value, or a list of such values."""
    if not isinstance(node, ListNode):
        one = read(node, field, found)
        return None if one is None else (one,)
    values = [read(item, f"{field}[{place}]", found) for place, item in enumerate(node.items)]
    good = tuple(value for value in values if value is not None)
    return good if good or not values else None


def note_unknown(
    found: Mistakes,
    field: str,
    key: TextNode,
    known: Collection[str],
    synonyms: Mapping[str, str],
    hints: Mapping[str, str],
) -> None:
    """Note an unknown key with what was probably meant; field is where it stands."""
    field = f"{field}.{shown(key.text)}" if field else shown(key.text)
    plain = _plainly(key.text) if len(key.text) <= 30 else ""
    advice = hints.get(plain)
    if advice is None:
        meant = next((name for name in known if _plainly(name) == plain), synonyms.get(plain))
        if meant not in known and len(found) < MAX_SUGGESTIONS:
            meant = next(iter(difflib.get_close_matches(plain, known, n=1)), None)
        if meant in known:
            advice = f"did you mean {meant!r}?"
        elif len(known) <= 5:
            advice = f"known here: {', '.join(known)}"
    note(found, field, key, "unknown key", advice)


def _plainly(key: str) -> str:
    """Reply-To, replyTo and reply_to are the same mistake."""
    return key.lower().translate(_MARKS_OF_WORDS)


def members(
    node: Node,
    field: str,
    found: Mistakes,
    keys: Mapping[str, Read[Any]],
    *,
    required: str = "",
    expected: str = "a mapping",
) -> dict[str, Any] | None:
    """The values of a mapping that may hold keys and must hold required."""
    if not isinstance(node, MapNode):
        note(found, field, node, f"is {kind(node)}; {expected} is expected")
        return None
    values: dict[str, Any] = {}
    before = len(found)
    for key, value in node.entries:
        inner = f"{field}.{shown(key.text)}"
        read = keys.get(key.text)
        if read is None:
            note_unknown(found, field, key, keys, SYNONYMS_WITHIN, {})
        elif not (isinstance(value, TextNode) and value.is_empty):
            values[key.text] = read(value, inner, found)
    if required and required not in values and len(found) == before:
        note(found, field, node, f"{required} is missing", f"known here: {', '.join(keys)}")
    return values if len(found) == before else None


def headers(node: Node, field: str, found: Mistakes) -> tuple[tuple[str, str], ...] | None:
    """Further header fields in the order of the file."""
    if not isinstance(node, MapNode):
        note(
            found,
            field,
            node,
            f"is {kind(node)}; a mapping is expected",
            "such as headers: {X-Ticket: A-17}",
        )
        return None
    fields: list[tuple[str, str]] = []
    seen: set[str] = set()
    for key, value in node.entries:
        inner, name = f"{field}.{shown(key.text)}", key.text.lower()
        if not is_field_name(key.text):
            note(found, inner, key, "is no field name", "letters, digits and -, at most 76")
            continue
        if is_reserved(name):
            advice = _KEYS_OF_FIELDS.get(name, "asyncnet or the servers write it")
            note(found, inner, key, "this field is reserved", advice)
            continue
        texts = several(value, inner, found, word) or ()
        if is_single(name) and (name in seen or len(texts) > 1):
            note(found, inner, value, "this field may stand once only", "join the values")
        seen.add(name)
        fields += [(key.text, text) for text in texts]
    return tuple(fields)


def meta(node: Node, field: str, found: Mistakes) -> dict[str, Any] | None:
    """Anything, to be echoed; YAML's scalars stay text, JSON's keep their type."""
    if not isinstance(node, MapNode):
        note(
            found,
            field,
            node,
            f"is {kind(node)}; a mapping is expected",
            "such as meta: {ticket: A-17}",
        )
        return None
    return {key.text: _plain(value) for key, value in node.entries}


def _plain(node: Node) -> Any:
    if isinstance(node, MapNode):
        return {key.text: _plain(value) for key, value in node.entries}
    if isinstance(node, ListNode):
        return [_plain(item) for item in node.items]
    if node.style != "json" or len(node.text) > 100:  # longer numbers are no one's numbers
        return node.text
    value = json.loads(node.text)
    return node.text if isinstance(value, float) and not math.isfinite(value) else value


def kind(node: Node) -> str:
    if isinstance(node, TextNode):
        return "a text"
    return "a list" if isinstance(node, ListNode) else "a mapping"
