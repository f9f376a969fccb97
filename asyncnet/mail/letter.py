"""A message before it is octets: what its writer said, checked and complete.  No I/O.

Dates, ids and boundaries come in from outside, so that the same letter always gives the
same octets.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from asyncnet.mail.address import Mailbox

BLOCK_OCTETS = 57 * 64 * 18  # 65,664: whole base64 rows, and under the allocator's mmap threshold


class ContentError(Exception):
    """The content cannot be read as promised: it changed, shrank, grew or vanished."""


class Content(Protocol):
    """Octets of known number that can be read again and again, block by block."""

    @property
    def octets(self) -> int: ...

    def blocks(self) -> Iterator[bytes]:
        """Yield octets in all, in blocks of about BLOCK_OCTETS, none above twice that.

        Raises ContentError when what is read differs from what octets promised, and OSError
        for a fault of this machine (no descriptors, say), which tells nothing of the content.
        """
        ...


@dataclass(frozen=True, slots=True)
class Octets:
    """Content that lies in memory."""

    data: bytes

    @property
    def octets(self) -> int:
        return len(self.data)

    def blocks(self) -> Iterator[bytes]:
        return in_blocks(self.data)


def in_blocks(octets: bytes) -> Iterator[bytes]:
    """Octets in memory, cut only where they are more than one block may be."""
    if len(octets) <= 2 * BLOCK_OCTETS:
        if octets:
            yield octets
        return
    for start in range(0, len(octets), BLOCK_OCTETS):
        yield octets[start : start + BLOCK_OCTETS]


class DistantContent(ABC):
    """Content that lies beyond a network: who has a loop to keep going takes arriving()."""

    __slots__ = ()
    octets: int

    @abstractmethod
    def blocks(self) -> Iterator[bytes]: ...

    @abstractmethod
    def arriving(self) -> AsyncIterator[bytes]:
        """As blocks(), and others have their turn while one is on its way.

        Raises what hinders the network besides: that tells nothing of the content.
        """


class PlainText(str):
    """A text that is known to hold nothing but printable ASCII, tabs and LF: who encodes it need
    not look through it.
    """

    __slots__ = ()


Body = str | Content
"""A text for reading; a long one as UTF-8 without byte order mark, line ends of any kind."""


def whole_text(body: Body) -> str:
    """The body in memory, for readers that cannot take it in blocks.

    Raises what content.blocks() raises.
    """
    return body if isinstance(body, str) else b"".join(body.blocks()).decode()


@dataclass(frozen=True, slots=True)
class Part:
    """A file that goes along: an attachment, or an inline image when cid is given.

    name is the file name shown to the reader, any characters but path separators and
    controls; media_type is "type/subtype" without parameters; cid bears no angle brackets.
    """

    content: Content
    media_type: str
    name: str | None = None
    cid: str | None = None


@dataclass(frozen=True, slots=True)
class Calendar:
    """An invitation: iCalendar text and its method, "REQUEST" for instance (RFC 6047)."""

    method: str
    text: Body


class Letter(NamedTuple):
    """Everything that compose needs.  bcc is absent: it lives in the envelope alone.

    date carries an offset.  message_id bears its angle brackets.  boundary_seed makes the
    boundaries unique: the same seed gives the same octets.  headers are further fields in
    their order, unstructured text, reserved names excluded by the reader.  A tuple, since with
    so many fields a dataclass takes as long to make as a small message to compose.
    """

    from_: Mailbox
    date: datetime
    message_id: str
    boundary_seed: str
    sender: Mailbox | None = None
    reply_to: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    subject: str | None = None
    text: Body | None = None
    html: Body | None = None
    calendar: Calendar | None = None
    inline: tuple[Part, ...] = ()
    attachments: tuple[Part, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
