"""The client's half of a talk: what may be said, which replies are due (RFC 5321, RFC 2920).

No I/O: commands and the server's octets in, octets to send and answers out.  Commands may be
sent ahead of their replies where the server offers PIPELINING; every reply is matched with the
command it answers.  After an exception of the server's making (BrokenPeer) the state is OVER.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, auto
from functools import lru_cache
from typing import NamedTuple

from asyncnet.smtp.capability import Capabilities, parse_capabilities
from asyncnet.smtp.command import (
    Auth,
    AuthResponse,
    Bdat,
    Command,
    Data,
    Dot,
    Ehlo,
    Greeting,
    Helo,
    Kinds,
    Mail,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    encode,
)
from asyncnet.smtp.errors import BrokenPeer, IllegalCommand, InjectedOctets, MalformedReply
from asyncnet.smtp.reply import Reply, ReplyReader, SingleLines

START_MAIL_INPUT = 354
SERVICE_CLOSING = 421  # the one code that may come at any time (RFC 5321 section 3.8)


class State(IntEnum):
    """Where a talk stands.  Integers, since those are hashed without a call into Python."""

    CONNECTED = auto()  # the server has the first word
    GREETED = auto()  # nobody is introduced: before EHLO, and again after STARTTLS
    READY = auto()  # introduced; no transaction is open
    SECURING = auto()  # 220 to STARTTLS: the next octets, both ways, are TLS
    CHALLENGED = auto()  # 334: the server waits for a SASL response
    TRANSACTION = auto()  # MAIL was taken; only the content's end or RSET leave this state
    CONTENT = auto()  # 354: whatever we send is content, up to the lone dot
    OVER = auto()  # nothing may be said any more


# For who asks at every message: in Python 3.11 State.READY takes as long as making an object.
READY, TRANSACTION = State.READY, State.TRANSACTION


@dataclass(frozen=True, slots=True)
class Rule:
    """When a command may be said, and where the talk stands after its reply.

    on maps reply codes (or their first digits) to states.  A refusal leads to otherwise, None
    being the state from before; any other 2yz or 3yz is no answer to this command and ends the
    talk.  Nothing may be sent behind one that ends_group before its reply is here (RFC 2920
    section 3.1).
    """

    when: frozenset[State]
    on: Mapping[int, State]
    otherwise: State | None = None
    ends_group: bool = True


def _rule(
    *when: State,
    on: Mapping[int, State],
    otherwise: State | None = None,
    ends_group: bool = True,
) -> Rule:
    return Rule(frozenset(when), on, otherwise, ends_group)


_S = State
TABLE: Mapping[type[Command], Rule] = {
    Greeting: _rule(_S.CONNECTED, on={220: _S.GREETED}),
    Ehlo: _rule(_S.GREETED, _S.READY, on={250: _S.READY}),
    Helo: _rule(_S.GREETED, _S.READY, on={250: _S.READY}),
    StartTls: _rule(_S.READY, on={220: _S.SECURING}),
    Auth: _rule(_S.READY, on={2: _S.READY, 334: _S.CHALLENGED}),
    AuthResponse: _rule(_S.CHALLENGED, on={2: _S.READY, 334: _S.CHALLENGED}, otherwise=_S.READY),
    Mail: _rule(_S.READY, on={2: _S.TRANSACTION}, ends_group=False),
    Rcpt: _rule(_S.TRANSACTION, on={2: _S.TRANSACTION}, ends_group=False),
    Data: _rule(_S.TRANSACTION, on={START_MAIL_INPUT: _S.CONTENT}),
    # Whatever the reply, the transaction is over; and the next group may follow the content.
    Dot: _rule(_S.CONTENT, on={2: _S.READY}, otherwise=_S.READY, ends_group=False),
    # Where one failed, what follows is not defined until RSET (RFC 3030 section 2): the
    # transaction counts as open.
    Bdat: _rule(_S.TRANSACTION, on={2: _S.READY}, otherwise=_S.TRANSACTION, ends_group=False),
    Rset: _rule(_S.READY, _S.TRANSACTION, on={2: _S.READY}, ends_group=False),
    Quit: _rule(
        _S.CONNECTED, _S.GREETED, _S.READY, _S.TRANSACTION, on={2: _S.OVER}, otherwise=_S.OVER
    ),
}
# Where a command leads if all goes well: what the commands sent ahead of its reply build on.
_HOPED_FOR = {kind: next(iter(rule.on.values())) for kind, rule in TABLE.items()}


class _Due(NamedTuple):
    """A group of commands that was sent: its kinds, and what comes of it if all goes well."""

    kinds: Kinds
    last: Kinds  # of them
    ahead: State
    replies: SingleLines


@lru_cache(maxsize=256)
def _hoped_replies(kinds: Kinds) -> SingleLines:
    """The replies where all goes as it nearly always does: 250, say, and no other 2yz."""
    codes = [next(iter(TABLE[kind].on)) for kind in kinds]
    return SingleLines([250 if code == 2 else code for code in codes])


@lru_cache(maxsize=256)
def _sent(state: State, before: Kinds, kinds: Kinds, pipelining: bool) -> _Due:
    """A group of these commands, sent in this state.

    before: what was said last and is not answered yet, if anything.  Raises IllegalCommand.
    Remembered, because all messages are alike to it.
    """
    last = before[-1] if before else None
    for kind in kinds:
        rule = TABLE[kind]
        if state not in rule.when:
            raise IllegalCommand(f"{kind.verb} in state {state.name}")
        if last is not None:
            if TABLE[last].ends_group:
                raise IllegalCommand(f"{kind.verb} in one group behind {last.verb or 'greeting'}")
            if not pipelining:
                raise IllegalCommand(f"{kind.verb} before the reply to {last.verb}")
        state, last = _HOPED_FOR[kind], kind
    return _Due(kinds, kinds[-1:], state, _hoped_replies(kinds))


class Answer(NamedTuple):
    """A reply and the kind of command that it answers."""

    kind: type[Command]
    reply: Reply


class UnaskedReply(BrokenPeer):
    """The server spoke although no reply was due; reply is what it said."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"the server spoke unasked: {reply}")
        self.reply = reply


class Session:
    """One connection's talk.  charset is for reply texts that are not UTF-8."""

    def __init__(self, charset: str = "latin-1") -> None:
        self.state = State.CONNECTED
        self.capabilities = Capabilities()
        self.secured = False  # by TLS
        self._reader = ReplyReader(charset)
        self._due = deque([_sent(State.CONNECTED, (), (Greeting,), False)])
        self._answered = 0  # commands of the first group that is due
        self._secrets: tuple[str, ...] = ()  # of the login command whose reply is due
        self._ahead = State.CONNECTED  # the state once all that is due was answered well

    @property
    def due(self) -> type[Command] | None:
        """The command whose reply comes next; None while nothing is owed to us."""
        return self._due[0].kinds[self._answered] if self._due else None

    @property
    def pending(self) -> bool:
        """Whether octets are here that no answer was made of yet."""
        return self._reader.pending

    @property
    def at_rest(self) -> bool:
        """Whether a transaction can begin: nothing is due, and nobody spoke unasked."""
        return self.state is State.READY and not self._due and not self._reader.pending

    def send(self, commands: Sequence[Command], *, utf8: bool = False) -> bytes:
        """The octets of one group; the replies to it are due from now on.

        Raises UnsafeArgument or IllegalCommand, and then nothing is due.
        """
        octets = b"".join([encode(command, utf8=utf8) for command in commands])
        if commands:
            self.owe(tuple(map(type, commands)))
        for command in commands:  # one alone, where it has secrets
            self._secrets = command.secrets()
        return octets

    def owe(self, *groups: Kinds) -> None:
        """Groups of these commands are sent: the replies to them are due from now on.

        Not for those with secrets.  Raises IllegalCommand; the groups before it are due then.
        """
        due, ahead = self._due, self._ahead
        before = due[-1].last if due else ()
        pipelining = "PIPELINING" in self.capabilities.keywords
        for kinds in groups:
            sent = _sent(ahead, before, kinds, pipelining)
            self._ahead = ahead = sent.ahead
            before = sent.last
            due.append(sent)

    def secure(self) -> None:
        """TLS stands.  All that was learned before it is forgotten (RFC 3207 section 4.2).

        Raises InjectedOctets when something was said before it that no TLS protected.
        """
        if self._reader.pending:
            self.state = State.OVER
            raise InjectedOctets("octets arrived in the clear, before the TLS handshake")
        if self.state not in (State.SECURING, State.CONNECTED):
            raise IllegalCommand(f"TLS in state {self.state.name}")
        self.secured = True
        self.capabilities = Capabilities()
        if self.state is State.SECURING:  # with implicit TLS the greeting is yet to come
            self.state = self._ahead = State.GREETED

    def receive_data(self, octets: bytes) -> None:
        """Store what the wire gave.  Nothing is parsed before next_answer()."""
        self._reader.receive_data(octets)

    def last_if_hoped(self) -> Reply | None:
        """The reply to the last command of the group that is due next, if all of it went well.

        Takes all its replies; None takes nothing: next_answer() then tells them one by one.
        Not for EHLO, AUTH and TLS.
        """
        due = self._due
        if self._answered or not due:
            return None
        reply = self._reader.last_if_all(due[0].replies)
        if reply is not None:
            self.state = due.popleft().ahead
            if not due:
                self._ahead = self.state
        return reply

    def next_answer(self) -> Answer | None:
        """Return the next reply with its command, or None while more octets are needed.

        Raises MalformedReply; UnaskedReply when no reply is due (421 included); and
        InjectedOctets when something stands behind the 220 to STARTTLS.
        """
        try:
            reply = self._next_reply()
            if reply is None:
                return None
            if not self._due:
                raise UnaskedReply(reply)
            kind = self._next_due()
            self._move(kind, reply)
            if self.state is State.SECURING and self._reader.pending:
                raise InjectedOctets("octets stand behind the 220 to STARTTLS, before TLS")
        except BrokenPeer:
            self.state = State.OVER
            raise
        return Answer(kind, reply)

    def _next_due(self) -> type[Command]:
        """The command that the next reply answers, which is no longer due then."""
        kinds = self._due[0].kinds
        kind = kinds[self._answered]
        self._answered += 1
        if self._answered == len(kinds):
            self._due.popleft()
            self._answered = 0
        return kind

    def _next_reply(self) -> Reply | None:
        if self.due not in (Auth, AuthResponse):
            return self._reader.next_reply()
        try:
            reply = self._reader.next_reply()
        except MalformedReply:
            if self._secrets:  # it may repeat what we sent
                raise MalformedReply("not a reply to our login, not shown", b"") from None
            raise
        return reply.masked(self._secrets) if reply is not None and self._secrets else reply

    def _move(self, kind: type[Command], reply: Reply) -> None:
        rule, code = TABLE[kind], reply.code
        state = rule.on.get(code) or rule.on.get(code // 100)
        if state is None:
            over = code < 400 or code == SERVICE_CLOSING
            state = State.OVER if over else rule.otherwise or self.state
        self.state = state
        if not self._due:
            self._ahead = state
        if kind is Ehlo or kind is Helo:  # which offers nothing
            known = kind is Ehlo and reply.positive
            self.capabilities = parse_capabilities(reply) if known else Capabilities()
