"""One message on its way over a talk: what is to be sent, how far it got, what was answered.

What is true when the connection is lost: before the end of the content has left, nobody got the
message; between that and the reply to it nobody can know (RFC 1047); after that the reply
stands, whatever the connection does.
"""

import asyncio
from collections.abc import Awaitable, Callable

from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Content, ContentError
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.command import Command
from asyncnet.smtp.transaction import RecipientReply, Transaction, mail_command

# A message up to that is held in memory while it is on its way, and goes out in one piece: it
# costs one round trip.  A larger one waits for the answer to its envelope, and is streamed.
SMALL_OCTETS = 256 * 1024

BeforeDot = Callable[[], Awaitable[None]]
Progress = Callable[[int], None]  # octets of the content handed over so far


class Mark:
    """before_dot as a task: begun beside the replies, over before the end, never left behind."""

    def __init__(self, before_dot: BeforeDot | None) -> None:
        self._before_dot = before_dot
        self._task: asyncio.Future[None] | None = None

    @property
    def begun(self) -> bool:
        return self._task is not None

    def begin(self) -> None:
        if self._task is None and self._before_dot is not None:
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


class Handover:
    """One message to hand over.  done is resolved when all its replies are there.

    alone: it shares no write and no window with others, since it failed before.  block is the
    whole content where it is small.  Raises ContentError where that cannot be read.
    """

    def __init__(
        self,
        envelope: Envelope,
        content: Content,
        capabilities: Capabilities,
        before_dot: BeforeDot | None,
        progress: Progress | None,
        *,
        alone: bool = False,
    ) -> None:
        self.content = content
        self.block = whole(content) if content.octets <= SMALL_OCTETS else None
        self.mark = Mark(before_dot)
        self.progress = progress
        self.alone = alone
        self.group: tuple[Command, ...] = ()  # the commands of the write that is answered now
        self.answered = 0  # of them
        self.joined = False  # they went behind another message that is not answered
        self.end_left = False  # the end of the content may be on its way
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transaction = Transaction(
            mail_command(envelope, content.octets, capabilities),
            envelope.recipients,
            utf8=envelope.smtputf8,
            limit=capabilities.recipient_limit,
        )

    def replies(self) -> tuple[RecipientReply, ...]:
        """One for each recipient, in their order; only once it is done."""
        return tuple(reply for reply in self.transaction.replies if reply is not None)

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


def whole(content: Content) -> bytes:
    """All of a small content.  Raises ContentError where it has not the length it promised."""
    block = b"".join(content.blocks())
    check_length(len(block), content)
    return block


def check_length(octets: int, content: Content) -> None:
    """Raise ContentError where octets are not what SIZE said, or BDAT will say."""
    if octets != content.octets:
        raise ContentError(f"{octets} octets where {content.octets} were promised")
