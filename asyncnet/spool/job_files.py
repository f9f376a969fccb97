"""Reading what a job says of files: bodies by path, attachments, inline images.  No I/O."""

import binascii
import re
from dataclasses import dataclass

from asyncnet.mail.problem import Problem
from asyncnet.spool.document import MapNode, Node, TextNode, shown
from asyncnet.spool.job_values import (
    Mistakes,
    body,
    kind,
    line,
    matching,
    members,
    note,
    several,
    word,
)

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_CID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=@-]{0,127}")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_PATH_OR_MAPPING = "a path or a mapping"
_METHOD = re.compile("[A-Za-z]{1,40}")  # iTIP's are words such as REQUEST (RFC 5546 section 1.4)


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file that the job names, and where it does so, for errors about the file itself."""

    path: str
    field: str
    line: int
    column: int

    def problem(self, problem: str, suggestion: str | None = None) -> Problem:
        return Problem(self.field, problem, suggestion, self.line, self.column)


@dataclass(frozen=True, slots=True)
class Attachment:
    """An entry of attachments or inline: a file, or octets written into the job."""

    source: FileSource | bytes
    name: str | None = None
    media_type: str | None = None
    cid: str | None = None


@dataclass(frozen=True, slots=True)
class CalendarSource:
    """A file of iCalendar text, and its method in capitals (RFC 6047)."""

    method: str
    source: FileSource


method = matching(_METHOD, "calendar method", "a word of letters, such as REQUEST or CANCEL")
media_type_text = matching(_TYPE, "media type", 'write it like "image/png", without parameters')


def media_type(node: Node, field: str, found: Mistakes) -> str | None:
    """type/subtype of a file.  Composite types are refused: they may not be base64 (RFC 2045)."""
    text = media_type_text(node, field, found)
    if text is not None and text.lower().startswith(("multipart/", "message/")):
        note(found, field, node, f"a file cannot go as {text}", "use application/octet-stream")
        return None
    return text


def path(node: Node, field: str, found: Mistakes) -> FileSource | None:
    """The name of a file; whether it may be read is decided on the open file."""
    text = word(node, field, found)
    if text is None:
        return None
    if _URL.match(text):
        note(found, field, node, f"{shown(text)!r} is a URL; none is ever fetched", "name a file")
        return None
    return FileSource(text, field, node.line, node.column)


def attachment(node: Node, field: str, found: Mistakes) -> Attachment | None:
    """path, {path, name, type}, {text, name, type} or {base64, name, type}."""
    if isinstance(node, TextNode):
        source = path(node, field, found)
        return None if source is None else Attachment(source)
    keys = {"path": path, "text": body, "base64": base64, "name": line, "type": media_type}
    parts = members(node, field, found, keys, expected=_PATH_OR_MAPPING)
    if parts is None:
        return None
    sources = [key for key in ("path", "text", "base64") if key in parts]
    if len(sources) != 1:
        problem = " and ".join(sources) + " exclude each other" if sources else "path is missing"
        note(found, field, node, problem, "give exactly one of path, text, base64")
        return None
    if sources != ["path"] and not parts.get("name"):
        note(found, field, node, "name is missing", "give it a file name, such as notes.txt")
        return None
    source = parts[sources[0]]
    octets = source.encode() if isinstance(source, str) else source
    return Attachment(octets, parts.get("name"), parts.get("type"))


def attachments(node: Node, field: str, found: Mistakes) -> tuple[Attachment, ...] | None:
    return several(node, field, found, attachment)


def inline(node: Node, field: str, found: Mistakes) -> tuple[Attachment, ...] | None:
    """A mapping of content ids to files."""
    if not isinstance(node, MapNode):
        note(
            found,
            field,
            node,
            f"is {kind(node)}; a mapping is expected",
            "such as inline: {logo: logo.png}",
        )
        return None
    values = []
    for key, value in node.entries:
        inner = f"{field}.{shown(key.text)}"
        if _CID.fullmatch(key.text) is None:
            note(found, inner, key, "is no content id", "letters, digits and . _ + = @ -")
            continue
        entry = _inline_entry(value, inner, found)
        if entry is not None:
            values.append(Attachment(entry.source, entry.name, entry.media_type, key.text))
    return tuple(values)


def _inline_entry(node: Node, field: str, found: Mistakes) -> Attachment | None:
    if isinstance(node, TextNode):
        return attachment(node, field, found)
    keys = {"path": path, "name": line, "type": media_type}
    parts = members(node, field, found, keys, required="path", expected=_PATH_OR_MAPPING)
    if parts is None:
        return None
    return Attachment(parts["path"], parts.get("name"), parts.get("type"))


def calendar(node: Node, field: str, found: Mistakes) -> CalendarSource | None:
    """path or {method, path}."""
    if isinstance(node, TextNode):
        source = path(node, field, found)
        return None if source is None else CalendarSource("REQUEST", source)
    keys = {"method": method, "path": path}
    parts = members(node, field, found, keys, required="path", expected=_PATH_OR_MAPPING)
    if parts is None:
        return None
    return CalendarSource(parts.get("method", "REQUEST").upper(), parts["path"])


def base64(node: Node, field: str, found: Mistakes) -> bytes | None:
    """Octets written as base64, white space allowed (RFC 4648 section 4)."""
    text = body(node, field, found)
    if text is None:
        return None
    try:
        return binascii.a2b_base64("".join(text.split()), strict_mode=True)
    except (binascii.Error, ValueError) as error:
        note(found, field, node, f"is not base64: {error}")
        return None
