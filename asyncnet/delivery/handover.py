"""One message handed over: envelope, content, the dot that cannot be taken back (RFC 5321).

What is true when the connection is lost: before the dot has left, nobody got the message;
between the dot and the reply to it nobody can know (RFC 1047); after that the reply stands,
whatever the connection does.
"""

import asyncio
from collections.abc import Awaitable, Callable

from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.wire import ConnectionLost
from asyncnet.mail.letter import Content, ContentError
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Command, Data, Dot, Rcpt, Rset
from asyncnet.smtp.errors import BrokenPeer, UnsafeArgument
from asyncnet.smtp.session import State, UnaskedReply
from asyncnet.smtp.transaction import Outcome, Transaction, Transparency


class Mark:
    """before_dot as a task: begun beside the replies, over before the dot, never left behind."""

    def __init__(self, before_dot: Callable[[], Awaitable[None]]) -> None:
        self._before_dot = before_dot
        self._task: asyncio.Future[None] | None = None

    def begin(self) -> None:
        if self._task is None:
            self._task = asyncio.ensure_future(self._before_dot())

    async def end(self) -> None:
        """Return when it is done, if it was begun.  Raises what it raised."""
        if self._task is not None:
            await self._task

    async def abandon(self) -> None:
        """Cancel it where it runs; whatever comes of it interests nobody any more."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait((self._task,))
        if not self._task.cancelled():
            self._task.exception()  # looked at, or asyncio would report it as forgotten


class Handover:
    """One message on its way; see Exchange.transact.  block is the whole content if small."""

    def __init__(
        self,
        dialogue: Dialogue,
        transaction: Transaction,
        content: Content,
        block: bytes | None,
        mark: Mark,
        progress: Callable[[int], None] | None,
    ) -> None:
        self.begun = False  # MAIL was said
        self._dialogue = dialogue
        self._transaction = transaction
        self._content = content
        self._block = block
        self._mark = mark
        self._progress = progress
        self._transparency = Transparency()
        self._dot_left = False

    async def run(self, *, utf8: bool, rset: bool) -> None:
        """The outcomes are in the transaction then.

        Raises ContentError, or what before_dot raised.
        """
        transaction, session = self._transaction, self._dialogue.session
        try:
            self._dialogue.listen()  # whatever lies there answers nothing that we shall say
            if not session.at_rest:
                raise ConnectionLost("the talk was over before")
            await self._send_envelope(utf8)
            if transaction.content_wanted and transaction.hopeless:
                # 354 although nobody was accepted: a lone dot, and never the content (RFC
                # 2920 section 3.1 warns of just this).
                await self._send_end()
            elif transaction.content_wanted:
                await (self._stream() if self._block is None else self._send_block(self._block))
            if session.state is State.TRANSACTION and rset:
                await self._undo()
        except (ConnectionLost, BrokenPeer) as error:
            self._give_up(error)
        self._dialogue.rest()

    async def _send_envelope(self, utf8: bool) -> None:
        """MAIL, RCPT and DATA with their replies: in one group where the server takes it."""
        commands = self._transaction.commands()
        pipelining = "PIPELINING" in self._dialogue.session.capabilities
        for group in [commands] if pipelining else [(command,) for command in commands]:
            if self._transaction.hopeless:
                return
            try:
                self._dialogue.say(group, utf8=utf8)
            except UnsafeArgument as error:  # MAIL: each RCPT was looked at before
                self._transaction.settle(Outcome(Phase.MAIL, None, f"cannot be sent: {error}"))
                return
            self.begun = True
            if self._block is not None and isinstance(group[-1], Data):
                self._mark.begin()  # while the replies are on their way
            for command in group:
                self._transaction.receive(await self._dialogue.answer(self._seconds(command)))
                if self._dialogue.session.state is State.OVER:
                    return

    def _seconds(self, command: Command) -> float | None:
        if not isinstance(command, Rcpt):
            return None
        deadlines, count = self._dialogue.deadlines, len(self._transaction.outcomes)
        return deadlines.rcpt_s + (count - 1) * deadlines.rcpt_more_s

    async def _send_block(self, block: bytes) -> None:
        """Content and dot in one write."""
        octets = self._transparency.encode(block) + self._transparency.line_end()
        await self._end_mark(len(block))
        await self._send_end(octets)

    async def _stream(self) -> None:
        """Content block by block, no more of it in memory than the wire takes, then the dot."""
        sent_octets = 0
        for block in self._content.blocks():
            self._dialogue.wire.expect(self._dialogue.deadlines.block_s, "room for more content")
            self._dialogue.wire.write(self._transparency.encode(block))
            await self._dialogue.wire.drain()
            self._dialogue.listen()
            sent_octets += len(block)
            if self._progress is not None:
                self._progress(sent_octets)
        # The mark comes only now and not beside the stream: a crash within the minutes that
        # it may take leaves no doubt.
        await self._end_mark(sent_octets)
        await self._send_end(self._transparency.line_end())

    async def _end_mark(self, read_octets: int) -> None:
        """The last look before the octets that cannot be taken back."""
        if read_octets != self._content.octets:
            raise ContentError(f"{read_octets} octets where {self._content.octets} were promised")
        self._dialogue.watcher.content(read_octets)
        self._dialogue.rest()  # the time that we need is not the server's
        self._mark.begin()
        await self._mark.end()
        self._dialogue.listen()
        self._dialogue.wire.check()

    async def _send_end(self, octets: bytes = b"") -> None:
        """The rest of the content with the lone dot, and the reply that decides."""
        decides = not self._transaction.hopeless
        self._dialogue.say((Dot(),), before=octets)
        self._dot_left = True
        if decides and self._block is not None and self._progress is not None:
            self._progress(self._content.octets)
        answer = await self._dialogue.answer()
        self._transaction.settle(Outcome(Phase.DOT, answer.reply))

    async def _undo(self) -> None:
        """End a transaction that came to no content, so that another one may begin."""
        self._dialogue.rest()
        self._dialogue.say((Rset(),))
        await self._dialogue.answer(self._dialogue.deadlines.rset_s)

    def _give_up(self, error: ConnectionLost | BrokenPeer) -> None:
        """The talk broke: what that means for those without an outcome."""
        due = self._dialogue.session.due
        if due is None and isinstance(error, ConnectionLost):
            error = self._last_words() or error
        self._dialogue.watcher.note(str(error), "RFC 5321 section 3.8")
        self._dialogue.wire.abort()
        reply = error.reply if isinstance(error, UnaskedReply) else None
        if self._dot_left:
            doubt = not self._dialogue.wire.unsent
            self._transaction.settle(Outcome(Phase.DOT, None, str(error), in_doubt=doubt))
            return
        early = Phase.DATA if self._transaction.content_wanted else Phase.MAIL
        phase = due.phase if due is not None else early
        if reply is not None and reply.code >= 400:  # it counts, although it comes too early
            self._transaction.settle(Outcome(phase, reply))
        else:
            self._transaction.settle(Outcome(phase, None, str(error)))

    def _last_words(self) -> BrokenPeer | None:
        """What the server said before it closed in the middle of our content."""
        try:
            self._dialogue.listen()
        except BrokenPeer as error:
            return error
        return None
