"""The session on its wire: commands out, answers in, each stage within its deadline.

Between the pure session, which knows no time, and the wire, which knows no SMTP.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from asyncnet.delivery.wire import Deadlines, Wire
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Command, Greeting, Quit
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import TABLE, Answer, Session


class Watcher(Protocol):
    """Is told all that happens; rule is the RFC section that rules it."""

    def note(self, text: str, rule: str) -> None: ...

    def said(self, commands: Iterable[Command]) -> None: ...

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
        self._stage: Phase | None = None  # whose deadline runs

    @property
    def at_rest(self) -> bool:
        return self.wire.alive and not self.wire.pending and self.session.at_rest

    def say(self, commands: Sequence[Command], *, before: bytes = b"", utf8: bool = False) -> None:
        """Send a group in one write, behind the content that may begin it.

        Raises UnsafeArgument, and then nothing was sent.
        """
        octets = self.session.send(commands, utf8=utf8)
        self.watcher.said(commands)
        self.wire.write(before + octets if before else octets)

    async def ask(self, command: Command) -> Reply:
        """Say one thing and return what is answered.  Raises as say() and answer() do."""
        if not isinstance(command, Greeting):
            self.say((command,))
        return (await self.answer()).reply

    async def answer(self, seconds: float | None = None) -> Answer:
        """The next reply that is due.  Raises ConnectionLost or BrokenPeer.

        A stage's deadline begins with its first reply and covers all of them; seconds: where
        it is not the usual one.
        """
        due = self.session.due
        assert due is not None, "nothing was asked"
        if due.phase is not self._stage:
            self._stage = due.phase
            what = f"reply to {due.verb}" if due.verb else str(due.phase)
            self.wire.expect(seconds or self.deadlines.of(due.phase), what)
        while (answer := self.session.next_answer()) is None:
            self.session.receive_data(await self.wire.read())
        self.watcher.heard(answer.reply, answer.command.rule)
        return answer

    def listen(self) -> None:
        """Notice what the server says unasked.  Raises BrokenPeer."""
        if self.wire.pending:
            self.session.receive_data(self.wire.take())
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
