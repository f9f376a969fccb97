"""Entities: a part with its fields and its body, alone or in multiparts (RFC 2046).  No I/O."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from asyncnet.mail.letter import Body, Calendar, Content, Part
from asyncnet.mime.encoding import Base64, TransferEncoding
from asyncnet.mime.errors import UnsafeText
from asyncnet.mime.header import field, is_cid
from asyncnet.mime.long_text import encode_body
from asyncnet.mime.parameter import filename_words, name_words

MultipartSubtype = Literal["mixed", "alternative", "related"]
TextSubtype = Literal["plain", "html"]

_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}+/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}+"
)
_CALENDAR_METHOD = re.compile(r"[A-Za-z0-9-]{1,40}+")  # an iana-token (RFC 5545 section 3.1)
UNKNOWN_MEDIA_TYPE = "application/octet-stream"


@dataclass(slots=True)  # not frozen: every message has one
class Leaf:
    """An entity without parts.  fields are its Content- lines, each with CRLF.

    body is encoded, or a content that encodes while it is read.
    """

    media_type: str
    encoding: TransferEncoding
    fields: str
    body: bytes | Content
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Multipart:
    """An entity of parts between boundaries; no boundary may begin with another's text."""

    media_type: str
    boundary: str
    fields: str
    parts: "tuple[Entity, ...]"


Entity = Leaf | Multipart


def _text_fields(subtype: TextSubtype, encoding: TransferEncoding) -> str:
    # utf-8 also where it is ASCII: programs answer in the charset they were written to in.
    return field("Content-Type", (f"text/{subtype};", "charset=utf-8")) + field(
        "Content-Transfer-Encoding", (encoding,)
    )


_TEXT_FIELDS: dict[tuple[TextSubtype, TransferEncoding], str] = {
    (subtype, encoding): _text_fields(subtype, encoding)
    for subtype in ("plain", "html")
    for encoding in ("7bit", "quoted-printable", "base64")
}


def text_entity(subtype: TextSubtype, text: Body) -> Leaf:
    """A body for reading.  Raises UnsafeText on a lone surrogate, or what its blocks raise."""
    encoding, body = encode_body(text)
    return Leaf(f"text/{subtype}", encoding, _TEXT_FIELDS[subtype, encoding], body)


def calendar_entity(calendar: Calendar) -> Leaf:
    """An invitation to be answered from the mail program (RFC 6047 section 2.4).

    Its method stands in the type too: programs that find none there show the text alone.
    Raises UnsafeText on a method that is none, or on a lone surrogate, or what its text's
    blocks raise.
    """
    if not _CALENDAR_METHOD.fullmatch(calendar.method):
        raise UnsafeText("calendar", "has a method that is none: write REQUEST, for instance")
    encoding, body = encode_body(calendar.text)
    words = ("text/calendar;", f"method={calendar.method.upper()};", "charset=utf-8")
    fields = field("Content-Type", words) + field("Content-Transfer-Encoding", (encoding,))
    return Leaf("text/calendar", encoding, fields, body)


def file_entity(part: Part, disposition: Literal["attachment", "inline"]) -> Leaf:
    """A file, byte for byte: always base64, so that its content is read only when sent.

    Raises UnsafeText on a media type, name or cid that cannot be written.
    """
    media_type = _deliverable(part.media_type)
    type_words: list[str] = [media_type]
    disposition_words: list[str] = [disposition]
    if part.name:
        type_words = [f"{media_type};", *name_words(part.name)]
        disposition_words = [f"{disposition};", *filename_words(part.name)]
    fields = field("Content-Type", type_words)
    fields += field("Content-Transfer-Encoding", ("base64",))
    if part.cid is not None:
        if not is_cid(part.cid):
            raise UnsafeText("Content-ID", "has a character that may not stand in it")
        fields += field("Content-ID", (f"<{part.cid}>",))
    fields += field("Content-Disposition", disposition_words)
    return Leaf(media_type, "base64", fields, Base64(part.content), part.name)


def _deliverable(media_type: str) -> str:
    """The media type to declare for base64 content.

    RFC 2046 sections 5.1 and 5.2.1 forbid base64 for multipart/* and message/*, and parsers
    that obey read such a body as headers.  Sent as 7bit it might change on the way (its line
    ends, its dots) and would need a pass over it to know; so it goes as plain octets, exact,
    and programs open it by its name (.eml).
    """
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise UnsafeText("Content-Type", "is no media type: write type/subtype")
    if media_type.lower().startswith(("message/", "multipart/")):
        return UNKNOWN_MEDIA_TYPE
    return media_type


def multipart_entity(
    subtype: MultipartSubtype, boundary: str, parts: "tuple[Entity, ...]"
) -> Multipart:
    """parts together; for related, the first is the root (RFC 2387)."""
    words = [f"multipart/{subtype};"]
    if subtype == "related":
        words.append(f'type="{parts[0].media_type}";')
    words.append(f'boundary="{boundary}"')
    return Multipart(f"multipart/{subtype}", boundary, field("Content-Type", words), parts)


def pieces(entity: Entity) -> Iterator[bytes | Content]:
    """The octets of the entity, fields included, as literal octets and content to be encoded.

    The last line ends with CRLF.  Every part is followed by CRLF and its delimiter; that CRLF
    belongs to the delimiter (RFC 2046 section 5.1.1), and the part keeps its own.
    """
    if isinstance(entity, Leaf):
        yield f"{entity.fields}\r\n".encode("ascii")
        yield entity.body
        return
    yield f"{entity.fields}\r\n--{entity.boundary}\r\n".encode("ascii")
    for position, part in enumerate(entity.parts, 1):
        yield from pieces(part)
        end = "--" if position == len(entity.parts) else ""
        yield f"\r\n--{entity.boundary}{end}\r\n".encode("ascii")
