"""One message on its way over a talk: what is to be sent, how far it got, what was answered.

What is true when the connection is lost: before the end of the content has left, nobody got the
message; between that and the reply to it nobody can know (RFC 1047); after that the reply
stands, whatever the connection does.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Content, ContentError, DistantContent
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.command import Kinds
from asyncnet.smtp.transaction import RecipientReply, Transaction

# A message up to that is held in memory while it is on its way, and goes out in one piece: it
# costs one round trip.  A larger one waits for the answer to its envelope, and is streamed.
SMALL_OCTETS = 256 * 1024

BeforeDot = Callable[[], Awaitable[None]]
Progress = Callable[[int], None]  # octets of the content handed over so far


class Mark:
    """before_dot as a task: begun beside the replies, over before the end, never left behind."""

    __slots__ = ("_before_dot", "_task", "begun", "idle")

    def __init__(self, before_dot: BeforeDot | None) -> None:
        self._before_dot = before_dot
        self._task: asyncio.Future[None] | None = None
        self.idle = before_dot is not None  # begin() has something to do
        self.begun = False

    def begin(self) -> None:
        if self._before_dot is not None and self.idle:
            self.idle, self.begun = False, True
            self._task = asyncio.ensure_future(self._before_dot())

    async def outcome(self) -> Exception | None:
        """None when it is done, or was never begun; else what it raised."""
        if self._task is None:
            return None
        if not self._task.done():
            await asyncio.wait((self._task,))
        if self._task.cancelled():  # whoever cancelled it cuts the talk, too
            return asyncio.InvalidStateError("the mark was abandoned")
        error = self._task.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        return error

    async def abandon(self) -> None:
        """Cancel it where it runs; whatever comes of it interests nobody any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()  # looked at, or asyncio would report it as forgotten


_NO_MARK = Mark(None)  # never begun, so that all may share it


class Handover:
    """One message to hand over.  done is resolved when all its replies are there.

    alone: it shares no write and no window with others, since it failed before.  block is the
    whole content where it is small; a larger one is streamed.
    """

    __slots__ = (
        "alone",
        "answered",
        "block",
        "chunkable",
        "content",
        "done",
        "end_left",
        "joined",
        "kinds",
        "mark",
        "octets",
        "progress",
        "transaction",
    )

    def __init__(
        self,
        envelope: Envelope,
        content: Content,
        octets: int,
        block: bytes | None,
        capabilities: Capabilities,
        before_dot: BeforeDot | None,
        progress: Progress | None,
        done: "asyncio.Future[None]",
        alone: bool,
    ) -> None:
        self.content = content
        self.octets = octets
        self.block = block
        self.mark = Mark(before_dot) if before_dot is not None else _NO_MARK
        self.progress = progress
        self.alone = alone
        self.chunkable = False  # goes in one write, its content waiting for no reply
        self.kinds: Kinds = ()  # the commands of the write under way
        self.answered = 0  # of them
        self.joined = False  # they went behind another message that is not answered
        self.end_left = False  # the end of the content may be on its way
        self.done = done
        self.transaction = Transaction(envelope, octets, capabilities)

    def replies(self) -> tuple[RecipientReply, ...]:
        """One for each recipient, in their order; only once it is done."""
        return tuple(filter(None, self.transaction.replies))

    def finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def fail(self, error: Exception) -> None:
        """End it by what went wrong on our side."""
        if not self.done.done():
            self.done.set_exception(error)

    def lose(self, phase: Phase, why: str, *, unsent: bool = False) -> None:
        """End it because the talk broke; unsent: its end certainly never left this machine."""
        if self.end_left:
            lost = RecipientReply(Phase.DOT, None, why, in_doubt=not unsent)
        else:
            lost = RecipientReply(phase, None, why)
        self.transaction.settle(lost)
        self.finish()


async def whole(content: Content, octets: int) -> bytes:
    """All of a small content, of so many octets.

    Raises ContentError where it has not the length it promised, and what hinders the reading.
    """
    if isinstance(content, DistantContent):
        block = b"".join([part async for part in content.arriving()])
    else:
        block = b"".join(content.blocks())
    check_length(len(block), octets)
    return block


async def blocks_of(content: Content) -> AsyncGenerator[bytes, None]:
    """Its blocks.  What comes over a network does not keep the loop waiting; files do, briefly."""
    if isinstance(content, DistantContent):
        async for block in content.arriving():
            yield block
    else:
        for block in content.blocks():
            yield block


def check_length(octets: int, promised: int) -> None:
    """Raise ContentError where octets are not what SIZE said, or BDAT will say."""
    if octets != promised:
        raise ContentError(f"{octets} octets where {promised} were promised")
