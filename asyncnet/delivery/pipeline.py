"""Messages one behind the other over one talk, in as few round trips as its server allows.

Which commands may share a write stands in smtp/session (RFC 2920 section 3.1), which of them a
message takes in smtp/transaction; here it meets the wire: what is sent when, who waits for which
reply, and who is told what when the talk breaks.

Messages are begun in the order in which they came, and answered in that order.  The end of a
content leaves only after its mark was made.
"""

import asyncio
from collections import deque
from contextlib import aclosing
from itertools import islice

from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.errors import ConnectionLost, DeadlinePassed
from asyncnet.delivery.handover import SMALL_OCTETS, Handover, blocks_of, check_length
from asyncnet.delivery.window import Window
from asyncnet.mail.letter import ContentError
from asyncnet.mail.verdict import Phase
from asyncnet.mailqueue.store import LeaseLost, StoreError
from asyncnet.smtp.command import Dot, Group, Rset, grouped
from asyncnet.smtp.errors import BrokenPeer
from asyncnet.smtp.session import READY, SERVICE_CLOSING, TRANSACTION, State, UnaskedReply
from asyncnet.smtp.transaction import Plan, RecipientReply, Transparency

# A server closes an idle connection, and its FIN may be on the way when we write.  After such a
# pause the envelope is answered before the content leaves, or a message that nobody has got
# would be in doubt.
ASK_FIRST_S = 1.0
NEAR_SIZE = 0.9  # of the server's SIZE: may well be refused, so the envelope goes first

_DOT, _RSET = grouped(Dot()), grouped(Rset())


class Pipeline:
    """The messages of one talk; window: how many may be under way at a time (CHUNKED alone).

    rset False: RSET is never said, and the talk is over where it would be needed.
    """

    def __init__(self, dialogue: Dialogue, plan: Plan, *, window: int, rset: bool) -> None:
        self.plan = plan
        self.tripped = False  # the plan seems to be too much for this server
        self._dialogue = dialogue
        self._window = Window(window if plan is Plan.CHUNKED and rset else 1)
        self._rset = rset
        # A window under way, another whose marks are being made, and one that comes.
        self._depth = 1 if plan is Plan.SERIAL else 2 * self._window.most + 1
        # How large a message may go in one write, its content waiting for no reply.
        limit = dialogue.session.capabilities.size_limit_octets
        chunk_octets = SMALL_OCTETS if limit is None else int(NEAR_SIZE * limit)
        self._chunk_octets = chunk_octets if plan is Plan.CHUNKED else -1
        self._waiting: deque[Handover] = deque()
        self._under_way: deque[Handover] = deque()
        self._driver: asyncio.Task[None] | None = None
        self.loop = asyncio.get_running_loop()
        self._rested_at_s = self.loop.time()

    @property
    def load(self) -> int:
        """Messages that wait or are under way."""
        return len(self._waiting) + len(self._under_way)

    @property
    def places(self) -> int:
        """How many at a time keep the wire busy; none more behind a large one, which takes long."""
        load = self.load
        for handovers in (self._under_way, self._waiting) if load else ():
            for handover in handovers:
                if handover.block is None:
                    return load
        return max(load, self._depth)

    def carry(self, handover: Handover) -> None:
        """Take a message, to be handed over in its turn; then its done is resolved."""
        fits = handover.block is not None and handover.octets <= self._chunk_octets
        handover.chunkable = fits and not handover.alone
        self._waiting.append(handover)
        if self._driver is None:
            self._driver = self.loop.create_task(self._drive())

    def leave(self, handover: Handover) -> None:
        """Its caller was cancelled: left out where it is not begun; else the talk is cut."""
        if handover in self._waiting:
            self._waiting.remove(handover)
        elif handover in self._under_way:
            self._dialogue.wire.abort()

    async def _drive(self) -> None:
        ask_first = self.loop.time() - self._rested_at_s > ASK_FIRST_S
        try:
            self._dialogue.listen()  # whatever lies there answers nothing that we shall say
            if not self._dialogue.session.at_rest:
                raise ConnectionLost("the talk was over before")
            while self._waiting:
                if self._waiting[0].chunkable and not ask_first:
                    await self._send_chunks()
                    continue
                if self._dialogue.session.state is TRANSACTION:
                    await self._undo()  # it was left to the RSET of a chunk that did not come
                await self._send_contents()
                ask_first = False
        except (ConnectionLost, BrokenPeer) as error:
            self._give_up(error)
        except Exception as error:
            # A net for mistakes of ours and of progress: those who wait are told, not left.
            self._dialogue.wire.abort()
            for handover in (*self._under_way, *self._waiting):
                handover.fail(error)
            self._under_way.clear()
            self._waiting.clear()
        self._dialogue.rest()
        self._rested_at_s = self.loop.time()
        self._driver = None

    # DATA: [MAIL RCPT DATA] [content . MAIL RCPT DATA] [content .]

    async def _send_contents(self) -> None:
        """A message by DATA, and all those that may follow with their envelopes joined."""
        handover = self._begin()
        if handover.block is not None:
            handover.mark.begin()  # while the replies are on their way
        if self.plan is Plan.SERIAL:
            await self._say_one_by_one(handover)
        else:
            self._dialogue.write(self._compose(handover, handover.transaction.envelope()))
            await self._hear_group(handover)
        while True:
            following = await self._send_content(handover)
            self._end(handover)
            if following is None:
                return
            handover = following
            await self._hear_group(handover)

    async def _say_one_by_one(self, handover: Handover) -> None:
        for group in handover.transaction.one_by_one():
            if handover.transaction.hopeless:
                return
            self._dialogue.write(self._compose(handover, group))
            await self._hear_group(handover)

    async def _send_content(self, handover: Handover) -> Handover | None:
        """The content with its dot, if wanted; the next message, if its envelope went along."""
        transaction = handover.transaction
        following = None
        if transaction.content_wanted and transaction.hopeless:
            # 354 although nobody was accepted: a lone dot, and never the content (RFC 2920
            # section 3.1 warns of just this).
            await self._send_end(handover, b"", None)
        elif transaction.content_wanted:
            transparency = Transparency()
            if handover.block is None:
                await self._stream(handover, transparency)
                octets = transparency.line_end()
            else:
                octets = transparency.encode(handover.block) + transparency.line_end()
            await self._last_look(handover)
            joins = self.plan is Plan.JOINED and self._waiting and not self._waiting[0].alone
            following = self._begin() if joins and not handover.alone else None
            handover.end_left = True
            await self._send_end(handover, octets, following)
            if handover.block is not None and handover.progress is not None:
                handover.progress(handover.octets)
        if self._dialogue.session.state is TRANSACTION:
            await self._undo()
        return following

    async def _stream(self, handover: Handover, transparency: Transparency) -> None:
        """Content block by block, no more of it in memory than the wire takes."""
        wire, seconds = self._dialogue.wire, self._dialogue.deadlines.block_s
        sent_octets = 0
        try:
            async with aclosing(blocks_of(handover.content)) as blocks:
                async for block in blocks:
                    wire.expect(seconds, "room for more content")
                    wire.write(transparency.encode(block))
                    await wire.drain()
                    self._dialogue.listen()
                    wire.expect(None)  # how long the next block takes is not the server's affair
                    sent_octets += len(block)
                    if handover.progress is not None:
                        handover.progress(sent_octets)
            check_length(sent_octets, handover.octets)
        except (ContentError, StoreError, OSError) as error:
            raise self._cut(handover, error) from error

    async def _last_look(self, handover: Handover) -> None:
        """The mark, and a look at the wire, before the octets that cannot be taken back.

        The mark of a large message is begun only now and not beside the stream: a crash within
        the minutes that it may take leaves no doubt.
        """
        self._dialogue.rest()  # the time that we need is not the server's
        handover.mark.begin()
        if error := await handover.mark.outcome():
            raise self._cut(handover, error) from error
        self._dialogue.listen()
        self._dialogue.wire.check()
        self._dialogue.watcher.content(handover.octets)

    async def _send_end(
        self, handover: Handover, octets: bytes, following: Handover | None
    ) -> None:
        """The rest of the content with the lone dot, and the reply that decides."""
        octets += self._dialogue.compose(_DOT)
        if following is not None:
            following.joined = True
            octets += self._compose(following, following.transaction.envelope())
        self._dialogue.write(octets)
        if following is not None:
            following.mark.begin()
        reply = (await self._dialogue.answer()).reply
        over = self._dialogue.session.state is State.OVER
        if over and handover.end_left and reply.code != SERVICE_CLOSING:
            # "354" to the dot: who lost count may have taken the content all the same.
            raise BrokenPeer(f"the server answered the end of the content by {reply}")
        handover.transaction.settle(RecipientReply(Phase.DOT, reply))
        if over:
            raise ConnectionLost(f"the talk ended by {reply}")

    # BDAT: [MAIL RCPT BDAT content], with a window [RSET MAIL RCPT BDAT content] [RSET …

    async def _send_chunks(self) -> None:
        """Messages in one write each, as many under way at a time as the window allows."""
        session, under_way = self._dialogue.session, self._under_way
        while True:
            if batch := self._next_chunks():
                await self._say_chunks(batch)
            if not under_way:
                return
            await self._hear_group(under_way[0])
            self._end_chunk(under_way.popleft())
            while under_way:  # first all that is here: few writes
                if not self._heard_well(under_way[0]):
                    if not session.pending:
                        break
                    await self._hear_group(under_way[0])
                self._end_chunk(under_way.popleft())
            if session.state is TRANSACTION and not under_way:
                # RSET goes along with the next one: Exim hangs up on those who say it too often.
                next_says_it = self._waiting and self._waiting[0].chunkable
                if not (self._window.rset_taken and next_says_it):
                    await self._undo()

    def _next_chunks(self) -> list[Handover]:
        """Those to be begun now: one at least if any may be, and else no more than one write."""
        batch: list[Handover] = []
        waiting, under_way, octets = self._waiting, self._under_way, 0
        if under_way and not self._window.slides:
            return batch
        room = self._window.open - len(under_way)
        while room > 0 and waiting and waiting[0].chunkable:
            octets += waiting[0].octets
            if batch and octets > SMALL_OCTETS:
                break
            batch.append(waiting.popleft())
            room -= 1
        under_way.extend(batch)
        return batch

    async def _say_chunks(self, batch: list[Handover]) -> None:
        dialogue, under_way = self._dialogue, self._under_way
        if dialogue.session.due is None:
            dialogue.rest()  # the time that the marks need is not the server's
        await self._make_marks(batch)
        # Before anything of theirs is due: what lies here now answers none of them.
        dialogue.listen()
        if not dialogue.wire.alive and len(under_way) > len(batch):
            # The last answers may lie here still: first those who wait for them.
            for handover in reversed(batch):
                under_way.remove(handover)
                self._waiting.appendleft(handover)
            return
        dialogue.wire.check()
        afresh = dialogue.session.state is TRANSACTION or len(under_way) > len(batch)
        afresh = afresh or (self._window.most > 1 and not self._window.rset_taken)
        written: list[bytes] = []
        for handover in batch:
            assert handover.block is not None
            group = handover.transaction.chunked(handover.octets, afresh=afresh)
            handover.kinds, octets = group
            handover.joined, afresh = handover is not under_way[0], True
            handover.end_left = True
            written += (octets, handover.block)
            if dialogue.watcher.active:
                dialogue.watcher.said_lines(group)
                dialogue.watcher.content(handover.octets)
        if batch:
            dialogue.owe([handover.kinds for handover in batch])
            dialogue.write(*written)
        for handover in islice(self._waiting, self._window.most):
            if handover.mark.idle:
                handover.mark.begin()  # its turn is next

    async def _make_marks(self, batch: list[Handover]) -> None:
        """Return when those are made that are to be made; who has none made leaves the batch."""
        for handover in batch:
            if handover.mark.idle:
                handover.mark.begin()
        for handover in tuple(batch):
            if handover.mark.begun and (error := await handover.mark.outcome()):
                self._under_way.remove(handover)
                batch.remove(handover)
                handover.fail(error)

    def _end_chunk(self, handover: Handover) -> None:
        """All replies to a message that was sent in one write are here."""
        handover.finish()
        window = self._window
        window.slides = window.slides or handover.joined
        if handover.progress is not None:
            handover.progress(handover.octets)
        if self._dialogue.session.state is READY and not handover.transaction.refused:
            window.went_well()
        else:
            window.was_refused()

    # What all have in common.

    def _begin(self) -> Handover:
        handover = self._waiting.popleft()
        self._under_way.append(handover)
        return handover

    def _compose(self, handover: Handover, group: Group) -> bytes:
        """The octets of one group; its replies are due from now on."""
        handover.kinds, handover.answered = group[0], 0
        return self._dialogue.compose(group)

    def _heard_well(self, handover: Handover) -> bool:
        """Whether all replies to a message's commands are here, and as hoped; they are noted."""
        kinds = handover.kinds
        if self._dialogue.watcher.active:  # who is to be told of each
            return False
        reply = self._dialogue.session.last_if_hoped()
        if reply is None:
            return False
        handover.answered = len(kinds)
        handover.transaction.receive_hoped(reply)
        if kinds[0] is Rset:
            self._window.rset_taken = True
        return True

    async def _hear_group(self, handover: Handover) -> None:
        """The replies to a message's commands.  Raises ConnectionLost when the talk ends so."""
        transaction, session = handover.transaction, self._dialogue.session
        if len(handover.kinds) > 1:
            self._dialogue.begin_stages()
            if not session.pending:
                await self._dialogue.listen_for_answers()
            if self._heard_well(handover):
                return
        for kind in handover.kinds:
            answer = self._dialogue.answer_here()
            if answer is None:
                answer = await self._dialogue.answer(len(transaction.replies))
            handover.answered += 1
            over, reply = session.state is State.OVER, answer.reply
            if kind is Rset:
                self._window.rset_taken = reply.positive
            if over and handover.end_left and reply.code != SERVICE_CLOSING:
                raise BrokenPeer(f"the server answered {kind.verb} by {reply}")
            transaction.receive(answer)
            if over:
                transaction.settle(RecipientReply(kind.phase, reply))
                raise ConnectionLost(f"the talk ended by {reply}")
        if transaction.puzzled and self.plan is not Plan.SERIAL:
            self.tripped = True

    async def _undo(self) -> None:
        """End a transaction that came to no end, so that another one may begin."""
        if not self._rset:
            raise ConnectionLost("a transaction stays open, and this server is never told RSET")
        self._dialogue.rest()
        self._dialogue.write(self._dialogue.compose(_RSET))
        reply = (await self._dialogue.answer()).reply
        if self._dialogue.session.state is not READY:
            raise ConnectionLost(f"a transaction stays open: RSET was answered by {reply}")
        self._window.rset_taken = True

    def _end(self, handover: Handover) -> None:
        self._under_way.remove(handover)
        handover.finish()

    def _cut(self, handover: Handover, error: Exception) -> ConnectionLost:
        """End a message by our own fault in the middle of it, which the talk does not outlive."""
        self._dialogue.wire.abort()
        handover.fail(error)
        if isinstance(error, StoreError) and not isinstance(error, LeaseLost):
            # The others would not get on, either, and their server is not to blame.  Those whose
            # mark is made know that they did not begin, and go by another talk.
            for waiting in [it for it in self._waiting if not it.mark.begun]:
                self._waiting.remove(waiting)
                waiting.fail(error)
        return ConnectionLost("cut by us, for another message's sake")

    def _give_up(self, error: ConnectionLost | BrokenPeer) -> None:
        """The talk broke: what that means for everybody who has no reply."""
        due = self._dialogue.session.due
        if due is None and isinstance(error, ConnectionLost):
            error = self._last_words() or error
        wire = self._dialogue.wire
        self._dialogue.watcher.note(str(error), "RFC 5321 section 3.8")
        wire.abort()
        self.tripped = self.tripped or self._stumbled(error)
        early = Phase.DATA if any(h.transaction.content_wanted for h in self._under_way) else None
        phase = due.phase if due is not None else early or Phase.MAIL
        said = error.reply if isinstance(error, UnaskedReply) else None
        if said is not None and said.code >= 400 and self._under_way:
            first = self._under_way[0]
            if not first.end_left:  # it counts, although it comes too early
                first.transaction.settle(RecipientReply(phase, said))
        while self._under_way:
            handover = self._under_way.popleft()
            unsent = wire.unsent and not self._under_way  # the last one's end never left
            handover.lose(phase, str(error), unsent=unsent)
            phase = Phase.MAIL
        while self._waiting:
            self._waiting.popleft().lose(Phase.MAIL, str(error))

    def _stumbled(self, error: ConnectionLost | BrokenPeer) -> bool:
        """Whether the break looks like a server that cannot do what it offered."""
        if self.plan is Plan.SERIAL or not self._under_way:
            return False
        first = self._under_way[0]
        if isinstance(error, BrokenPeer):
            return not isinstance(error, UnaskedReply) or bool(first.answered)
        silent = isinstance(error, DeadlinePassed) and first.joined and not first.answered
        return silent or 0 < first.answered < len(first.kinds)

    def _last_words(self) -> BrokenPeer | None:
        """What the server said before it closed in the middle of our content."""
        try:
            self._dialogue.listen()
        except BrokenPeer as error:
            return error
        return None
