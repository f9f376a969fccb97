"""The structure of a message as a person would draw it, for `asyncnet render --tree`."""

import re
from collections.abc import Iterator

from asyncnet.cli.excerpt import visible
from asyncnet.mime.entity import Entity, Leaf, pieces
from asyncnet.mime.message import Message

_CID = re.compile(r"^Content-ID:\s*<([^>]*)>", re.IGNORECASE | re.MULTILINE)
_METHOD = re.compile(r";\s*method=\"?([A-Za-z]+)", re.IGNORECASE)


def draw(message: Message) -> list[str]:
    """Lines with the parts of message; sizes are octets as they go on the wire.

    multipart/mixed                                  1.2 MB
    ├─ text/plain            quoted-printable        310 B
    └─ application/pdf       base64                  1.2 MB  report.pdf
    """
    rows = list(_rows(message.root, "", ""))
    names = max(len(name) for name, *_ in rows)
    encodings = max(len(encoding) for _, encoding, *_ in rows)
    sizes = [_size(octets) for _, _, octets, _ in rows]
    wide = max(map(len, sizes))
    return [
        f"{name:{names}}  {encoding:{encodings}}  {size:>{wide}}  {more}".rstrip()
        for (name, encoding, _, more), size in zip(rows, sizes, strict=True)
    ]


def _rows(entity: Entity, first: str, further: str) -> Iterator[tuple[str, str, int, str]]:
    """Name, encoding, octets and the rest of each line; first and further draw the branch."""
    if isinstance(entity, Leaf):
        yield f"{first}{entity.media_type}", entity.encoding, _octets(entity), _more(entity)
        return
    yield f"{first}{entity.media_type}", "", _octets(entity), ""
    for part in entity.parts[:-1]:
        yield from _rows(part, f"{further}├─ ", f"{further}│  ")
    yield from _rows(entity.parts[-1], f"{further}└─ ", f"{further}   ")


def _octets(entity: Entity) -> int:
    return sum(len(it) if isinstance(it, bytes) else it.octets for it in pieces(entity))


def _more(leaf: Leaf) -> str:
    method, cid = _METHOD.search(leaf.fields), _CID.search(leaf.fields)
    words = [
        f"method={method[1]}" if method and leaf.media_type == "text/calendar" else "",
        visible(leaf.name or ""),
        f"cid:{cid[1]}" if cid else "",
    ]
    return "  ".join(word for word in words if word)


def _size(octets: int) -> str:
    if octets < 1_000:
        return f"{octets} B"
    unit, units = ("kB", octets / 1e3) if octets < 999_500 else ("MB", octets / 1e6)
    return f"{units:.1f} {unit}" if units < 99.95 else f"{units:.0f} {unit}"
