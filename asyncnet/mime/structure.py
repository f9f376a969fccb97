"""The structure of a message that somebody else made, read from its octets (RFC 2046).  No I/O.

Nothing is refused: a multipart that is cut off, has no boundary or holds none is drawn as what
it is, with a note.  Whatever comes, memory is bounded: no body is kept, a header up to
MAX_HEADER_OCTETS, MAX_DEPTH levels, MAX_PARTS parts; what goes beyond is counted.
"""

from dataclasses import dataclass, field

from asyncnet.mime.content_fields import (
    ContentFields,
    begins_field,
    content_fields,
    is_content_field,
)
from asyncnet.mime.encoding import MAX_LINE_OCTETS

MAX_HEADER_OCTETS = 65_536  # kept of one header: its Content- fields
MAX_DEPTH = 20  # no mail program nests so deep; each level costs a look at every "--" line
MAX_PARTS = 1_000  # more than a person would read

_IDENTITY = ("", "7bit", "8bit", "binary")  # encodings under which a body is what it is
_MESSAGES = ("message/rfc822", "message/global")


@dataclass(slots=True)
class ReadEntity:
    """A part as it was read.  octets count its header; the line end before a boundary is the
    boundary's.  note tells what is odd about it.
    """

    fields: ContentFields
    octets: int = 0
    parts: "list[ReadEntity]" = field(default_factory=list)
    note: str = ""


@dataclass(slots=True)
class _Open:
    """An entity under way, in its header as long as in_header."""

    entity: ReadEntity
    start: int
    in_header: bool = True
    header: list[bytes] = field(default_factory=list)  # lines of Content- fields
    header_octets: int = 0
    keeping: bool = False  # whether the field under way is one of them
    boundary: bytes | None = None  # while it may come
    omitted: int = 0  # parts beyond MAX_PARTS

    def keep(self, line: bytes) -> None:
        if line[:1] not in (b" ", b"\t"):
            self.keeping = is_content_field(line)
        if self.keeping and self.header_octets + len(line) <= MAX_HEADER_OCTETS:
            self.header.append(line)
            self.header_octets += len(line)

    def end_header(self) -> ContentFields:
        """What the header says, at its end; a multipart waits for its boundary from here on."""
        fields = content_fields(self.header, self.entity.fields.media_type)
        self.entity.fields = fields
        self.header, self.in_header = [], False
        if fields.media_type.startswith("multipart/"):
            self.boundary = fields.boundary
            if self.boundary is None:
                self.entity.note = "has no boundary"
        return fields


class StructureReader:
    """Takes a message in blocks, cut anywhere, lines ended by CRLF; end() gives its structure."""

    def __init__(self) -> None:
        self._root = ReadEntity(ContentFields("text/plain"))
        self._open = [_Open(self._root, 0)]
        self._parts = 1
        self._at = 0  # octets before the line under way
        self._line = b""  # as much of it as is kept
        self._dropped = 0  # octets of it that are not: it is too long to mean anything

    def receive_data(self, block: bytes) -> None:
        """Read on."""
        lines = (self._line + block).split(b"\r\n")
        self._line = lines.pop()
        for line in lines:
            self._receive_line(line)
            self._at += len(line) + self._dropped + len(b"\r\n")
            self._dropped = 0
        if len(self._line) > MAX_LINE_OCTETS + 1:
            last = self._line[-1:]  # a CR whose LF may come
            self._dropped += len(self._line) - MAX_LINE_OCTETS - 1
            self._line = self._line[:MAX_LINE_OCTETS] + last

    def end(self) -> ReadEntity:
        """The structure; the reader is spent then."""
        if self._line:
            self._receive_line(self._line)
        self._close(0, self._at + len(self._line) + self._dropped)
        return self._root

    def _receive_line(self, line: bytes) -> None:
        if line.startswith(b"--") and self._receive_delimiter(line):
            return
        last = self._open[-1]
        if not last.in_header:
            return
        if not line:
            self._end_header(last, self._at + len(b"\r\n"))
        elif begins_field(line):
            last.keep(line[:MAX_LINE_OCTETS])
        else:
            # A line that is no field begins the body, as most programs take it.
            self._end_header(last, self._at)
            if self._open[-1] is not last:
                self._receive_line(line)

    def _receive_delimiter(self, line: bytes) -> bool:
        """Whether the line is one: of the inmost multipart whose boundary it bears."""
        if len(line) + self._dropped > MAX_LINE_OCTETS:
            return False
        bare = line.rstrip(b" \t")
        for level in range(len(self._open) - 1, -1, -1):
            opened = self._open[level]
            if opened.boundary is None or not bare.startswith(opened.boundary, 2):
                continue
            behind = bare[2 + len(opened.boundary) :]
            if behind in (b"", b"--"):
                self._close(level + 1, self._at - len(b"\r\n"))
                if behind:
                    opened.boundary = None  # what follows is for nobody
                else:
                    self._begin_part(opened, self._at + len(line) + len(b"\r\n"))
                return True
        return False

    def _begin_part(self, parent: _Open, start: int) -> None:
        if self._parts == MAX_PARTS:
            parent.omitted += 1
            return
        of_digest = parent.entity.fields.media_type == "multipart/digest"
        part = ReadEntity(ContentFields("message/rfc822" if of_digest else "text/plain"))
        self._begin(parent, part, start)

    def _begin(self, parent: _Open, part: ReadEntity, start: int) -> None:
        self._parts += 1
        parent.entity.parts.append(part)
        self._open.append(_Open(part, start))

    def _end_header(self, opened: _Open, body: int) -> None:
        """The header is over; body is where the rest begins."""
        fields = opened.end_header()
        holds_message = fields.media_type in _MESSAGES and fields.encoding in _IDENTITY
        if len(self._open) == MAX_DEPTH and (holds_message or opened.boundary is not None):
            opened.boundary = None
            opened.entity.note = f"nests deeper than {MAX_DEPTH} levels"
        elif holds_message and self._parts < MAX_PARTS:
            self._begin(opened, ReadEntity(ContentFields("text/plain")), body)

    def _close(self, level: int, end: int) -> None:
        """End all entities from level on, inmost first."""
        while len(self._open) > level:
            closed = self._open.pop()
            if closed.in_header:
                closed.end_header()
            entity = closed.entity
            entity.octets = max(end - closed.start, 0)
            if closed.boundary is not None:
                entity.note = "is not closed" if entity.parts else "its boundary never comes"
            if closed.omitted:
                entity.note = f"and {closed.omitted:,} more parts"
