"""The session on its wire: commands out, answers in, each stage within its deadline.

Between the pure session, which knows no time, and the wire, which knows no SMTP.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from asyncnet.delivery.wire import Deadlines, Wire
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Command, Greeting, Group, Kinds, Quit, Rcpt, Rset
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import TABLE, Answer, Session


class Watcher(Protocol):
    """Is told all that happens; rule is the RFC section that rules it.

    active False: nobody looks, and it need not be told.
    """

    @property
    def active(self) -> bool: ...

    def note(self, text: str, rule: str) -> None: ...

    def said(self, commands: Iterable[Command]) -> None: ...

    def said_lines(self, group: Group) -> None: ...

    def content(self, octets: int) -> None: ...

    def heard(self, reply: Reply, rule: str) -> None: ...


class Dialogue:
    """The session on its wire: commands out, answers in, each stage within its deadline."""

    def __init__(
        self, wire: Wire, session: Session, watcher: Watcher, deadlines: Deadlines
    ) -> None:
        self.wire = wire
        self.session = session
        self.watcher = watcher
        self.deadlines = deadlines
        self._seconds: dict[Phase, float] = {}  # what deadlines.of() said
        self._stage: tuple[Phase, bool] | None = None  # whose deadline runs; True: of RSET

    @property
    def at_rest(self) -> bool:
        return self.wire.alive and not self.wire.pending and self.session.at_rest

    def compose(self, group: Group) -> bytes:
        """The octets of a group that is to be written now: its replies are due."""
        kinds, octets = group
        self.owe((kinds,))
        if self.watcher.active:
            self.watcher.said_lines(group)
        return octets

    def owe(self, groups: Iterable[Kinds]) -> None:
        """Groups of these commands are to be written now: the replies to them are due."""
        self.session.owe(*groups)
        self._stage = None

    def write(self, *pieces: bytes) -> None:
        self.wire.write(*pieces)

    def say(self, commands: Sequence[Command], *, utf8: bool = False) -> None:
        """Send a group in one write.  Raises UnsafeArgument, and then nothing was sent."""
        octets = self.session.send(commands, utf8=utf8)
        self._stage = None
        if self.watcher.active:
            self.watcher.said(commands)
        self.write(octets)

    async def ask(self, command: Command) -> Reply:
        """Say one thing and return what is answered.  Raises as say() and answer() do."""
        if not isinstance(command, Greeting):
            self.say((command,))
        return (await self.answer()).reply

    async def answer(self, recipients: int = 1) -> Answer:
        """The next reply that is due.  Raises ConnectionLost or BrokenPeer.

        A stage's deadline begins when its first reply is waited for and covers all of them;
        recipients: how many the transaction has.
        """
        while (answer := self.answer_here()) is None:
            self._expect(recipients)
            self.session.receive_data(await self.wire.read())
        return answer

    def begin_stages(self) -> None:
        """What is answered next is another message: its stages have their own time."""
        self._stage = None

    async def listen_for_answers(self) -> None:
        """Return when something more is here of what is due.  Raises as answer() does."""
        self._expect(1)
        self.session.receive_data(await self.wire.read())

    def answer_here(self) -> Answer | None:
        """The next reply, if it arrived already: those of one group mostly come together."""
        answer = self.session.next_answer()
        if answer is not None and self.watcher.active:
            self.watcher.heard(answer.reply, answer.kind.rule)
        return answer

    def _expect(self, recipients: int) -> None:
        due = self.session.due
        assert due is not None, "nothing was asked"
        stage = due.phase, due is Rset  # MAIL behind RSET has its own time
        if stage == self._stage:
            return
        self._stage = stage
        what = f"reply to {due.verb}" if due.verb else str(due.phase)
        seconds = self._seconds.get(due.phase) or self.deadlines.of(due.phase)
        self._seconds[due.phase] = seconds
        if due is Rcpt:
            seconds += (recipients - 1) * self.deadlines.rcpt_more_s
        elif due is Rset:
            seconds = self.deadlines.rset_s
        self.wire.expect(seconds, what)

    def listen(self) -> None:
        """Notice what the server says unasked, where nothing is due.  Raises BrokenPeer."""
        if self.wire.pending:
            self.session.receive_data(self.wire.take())
        if self.session.due is None and self.session.pending:
            self.session.next_answer()

    def rest(self) -> None:
        """Nothing is expected of the server from here on."""
        self._stage = None
        self.wire.expect(None)

    def part(self) -> None:
        """QUIT is politeness: nothing that is said to it matters, and QQ's answer is junk."""
        polite = self.session.due is None and self.session.state in TABLE[Quit].when
        if not (polite and self.wire.alive):
            self.wire.abort()
            return
        self.say((Quit(),))
        self.wire.close()
