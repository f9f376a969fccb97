"""The structure of a message as a person would draw it, for `asyncnet render --tree`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from asyncnet.cli.excerpt import visible
from asyncnet.mail.letter import Content
from asyncnet.mime.entity import Entity, Leaf, pieces
from asyncnet.mime.message import Message
from asyncnet.mime.structure import ReadEntity, StructureReader

_CID = re.compile(r"^Content-ID:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_METHOD = re.compile(r";\s*method=\"?([A-Za-z]+)", re.IGNORECASE)
_IDENTITY = ("7bit", "8bit", "binary")  # the encodings that a multipart may have


@dataclass(frozen=True, slots=True)
class Drawn:
    """A part as it stands in the drawing; more is its name, its Content-ID and what is odd."""

    media_type: str
    encoding: str
    octets: int
    more: str
    parts: "tuple[Drawn, ...]" = ()


def draw(content: Content) -> list[str]:
    """Lines with the parts of a message; sizes are octets as they go on the wire.

    multipart/mixed                                  1.2 MB
    ├─ text/plain            quoted-printable        310 B
    └─ application/pdf       base64                  1.2 MB  report.pdf

    Raises what content.blocks() raises.
    """
    root = _composed(content.root) if isinstance(content, Message) else _read(_structure(content))
    rows = list(_rows(root, "", ""))
    names = max(len(name) for name, _ in rows)
    encodings = max(len(drawn.encoding) for _, drawn in rows)
    sizes = [_size(drawn.octets) for _, drawn in rows]
    wide = max(map(len, sizes))
    return [
        f"{name:{names}}  {drawn.encoding:{encodings}}  {size:>{wide}}  {drawn.more}".rstrip()
        for (name, drawn), size in zip(rows, sizes, strict=True)
    ]


def _rows(drawn: Drawn, first: str, further: str) -> Iterator[tuple[str, Drawn]]:
    """Each line's branch with its type; first and further draw the branch."""
    yield f"{first}{drawn.media_type}", drawn
    for part in drawn.parts[:-1]:
        yield from _rows(part, f"{further}├─ ", f"{further}│  ")
    for part in drawn.parts[-1:]:
        yield from _rows(part, f"{further}└─ ", f"{further}   ")


def _composed(entity: Entity) -> Drawn:
    octets = sum(len(it) if isinstance(it, bytes) else it.octets for it in pieces(entity))
    if not isinstance(entity, Leaf):
        return Drawn(entity.media_type, "", octets, "", tuple(map(_composed, entity.parts)))
    method, cid = _METHOD.search(entity.fields), _CID.search(entity.fields)
    more = _more(entity.media_type, method and method[1], entity.name, cid and cid[1])
    return Drawn(entity.media_type, entity.encoding, octets, more)


def _structure(content: Content) -> ReadEntity:
    reader = StructureReader()
    for block in content.blocks():
        reader.receive_data(block)
    return reader.end()


def _read(entity: ReadEntity) -> Drawn:
    fields = entity.fields
    encoding = fields.encoding or ("" if entity.parts else "7bit")
    if fields.media_type.startswith("multipart/") and encoding in _IDENTITY:
        encoding = ""
    more = _more(fields.media_type, fields.method, fields.name, fields.cid, entity.note)
    parts = tuple(map(_read, entity.parts))
    return Drawn(visible(fields.media_type), visible(encoding), entity.octets, more, parts)


def _more(
    media_type: str, method: str | None, name: str | None, cid: str | None, note: str = ""
) -> str:
    words = [
        f"method={visible(method)}" if method and media_type == "text/calendar" else "",
        visible(name or ""),
        f"cid:{visible(cid)}" if cid else "",
        f"({note})" if note else "",
    ]
    return "  ".join(word for word in words if word)


def _size(octets: int) -> str:
    if octets < 1_000:
        return f"{octets} B"
    unit, units = ("kB", octets / 1e3) if octets < 999_500 else ("MB", octets / 1e6)
    return f"{units:.1f} {unit}" if units < 99.95 else f"{units:.0f} {unit}"
