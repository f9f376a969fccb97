"""One talk with one server: connect, introduce, log in, hand over messages (RFC 5321).

What is said and what it means is decided in the smtp room; here it meets the wire: who waits
for what, how long, and what is true when the connection is lost.  The one moment that nobody
can clear up is between the last octet of the content and the reply to it (RFC 1047).
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Literal

from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.handover import Handover, Mark
from asyncnet.delivery.wire import (
    ConnectFailed,
    ConnectionLost,
    Deadlines,
    LookupFailed,
    TlsFailed,
    Wire,
    tls_context,
)
from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import BLOCK_OCTETS, Content
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Command
from asyncnet.smtp.errors import BrokenPeer, InjectedOctets, UnsafeArgument
from asyncnet.smtp.opening import Opening, OpeningFailed
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.sasl import mechanisms
from asyncnet.smtp.session import Session
from asyncnet.smtp.transaction import Outcome, Transaction, mail_command, obstacle


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and password; the password never shows in repr."""

    user: str
    password: str = field(repr=False)
    mechanisms: tuple[str, ...] | None = None  # None: the best the server offers
    plaintext: bool = False  # allow AUTH without TLS to a host that is not loopback

    def __repr__(self) -> str:
        return f"Login({self.user!r}, password=…)"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how to prove who is who.

    host is a name or an IP address.  server_name is what the certificate must say (default:
    host).  ehlo is our name in EHLO (None: this host's FQDN, else its address literal).
    charset decodes reply texts that are not UTF-8 ("gb18030" for QQ).  rset False: RSET is
    never said (QQ answers it with junk); the talk ends where a transaction must be undone.
    """

    host: str
    port: int
    tls: TlsMode
    login: Login | None = None
    server_name: str | None = None
    ca_file: str | None = None
    verify: bool = True
    ehlo: str | None = None
    charset: str = "latin-1"
    rset: bool = True


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """Something that can be watched.  text never holds a secret.

    direction is ">" (we sent), "<" (they sent) or "*" (we note: lookup, handshake, TLS).
    at_s counts from the start of the talk.  rule is the RFC section that rules it.
    """

    direction: Literal[">", "<", "*"]
    at_s: float
    text: str
    rule: str = ""


Trace = Callable[[TraceEvent], None]
Progress = Callable[[int], None]  # octets of the content handed over so far


@dataclass(frozen=True, slots=True)
class RecipientReply:
    """What one transaction said of one recipient.

    reply is None where none came: detail says what happened instead.  The recipient was
    accepted exactly when phase is DOT and the code is 2yz.  in_doubt: the end of the content
    was sent and its reply never came (RFC 1047).
    """

    phase: Phase
    reply: Reply | None
    detail: str = ""
    in_doubt: bool = False


class ExchangeFailed(Exception):
    """The talk never came to a transaction: no connection, no TLS, no login.

    cause tells what kind of trouble it is where no reply does ("dns", "network", "tls",
    "protocol", "auth"); str() is for the reader and holds no secret.
    """

    def __init__(
        self,
        phase: Phase,
        detail: str,
        *,
        reply: Reply | None = None,
        cause: Literal["dns", "network", "tls", "protocol", "auth"] | None = None,
    ) -> None:
        super().__init__(detail)
        self.phase = phase
        self.reply = reply
        self.cause = cause


class Exchange:
    """An open, introduced and (where asked) logged-in talk; made by connect().

    One transaction at a time.
    """

    server: str  # "host:port" as configured
    tls: Mapping[str, Any] | None  # {"version": "TLSv1.3", "verified": True}
    transactions: int  # messages begun so far: those for which MAIL was said

    def __init__(self, target: Target, dialogue: Dialogue) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        self.server = f"{host}:{target.port}"
        self.tls = None
        self.transactions = 0
        self._target = target
        self._dialogue = dialogue

    @property
    def usable(self) -> bool:
        """Whether another transaction may be tried.

        Turns False by itself when the server closes the connection or speaks unasked.
        """
        return self._dialogue.at_rest

    @classmethod
    async def connect(
        cls, target: Target, trace: Trace | None = None, deadlines: Deadlines | None = None
    ) -> "Exchange":
        """Resolve, connect address by address, TLS, EHLO (else HELO), AUTH.

        Raises ExchangeFailed; nothing stays open then.  Cancelling closes the socket.
        """
        deadlines, watcher = deadlines or Deadlines(), _Watcher(trace)
        try:
            wire = await Wire.connect(target.host, target.port, deadlines, watcher.note)
        except LookupFailed as error:
            raise ExchangeFailed(Phase.DNS, str(error), cause="dns") from error
        except ConnectFailed as error:
            raise ExchangeFailed(Phase.CONNECT, str(error), cause="network") from error
        exchange = cls(target, Dialogue(wire, Session(target.charset), watcher, deadlines))
        try:
            await exchange._open()
        except OpeningFailed as error:
            exchange._dialogue.part()
            raise ExchangeFailed(
                error.phase, str(error), reply=error.reply, cause=error.cause
            ) from error
        except BaseException:
            wire.abort()
            raise
        return exchange

    async def transact(
        self,
        envelope: Envelope,
        content: Content,
        before_dot: Callable[[], Awaitable[None]],
        progress: Progress | None = None,
    ) -> tuple[RecipientReply, ...]:
        """Hand over one message; one RecipientReply per recipient, in their order.

        before_dot is awaited before the octets that end the content may leave; when it raises,
        they are not sent, the talk is over and the exception goes on to the caller.  Never
        raises for what a server says or for a lost connection: that is in the replies.
        Raises ContentError when the content cannot be read (the talk is over then, nothing
        was accepted).  Many recipients: one transaction, the server's limit permitting.
        """
        mark = Mark(before_dot)
        try:
            outcomes = await self._hand_over(envelope, content, mark, progress)
            await mark.end()
        except BaseException:
            self._dialogue.wire.abort()
            await mark.abandon()
            raise
        return tuple(
            RecipientReply(outcome.phase, outcome.reply, outcome.detail, outcome.in_doubt)
            for outcome in outcomes
        )

    async def close(self) -> None:
        """Say QUIT where that is still possible, wait for nobody, close."""
        self._dialogue.part()

    async def _hand_over(
        self, envelope: Envelope, content: Content, mark: Mark, progress: Progress | None
    ) -> list[Outcome]:
        session = self._dialogue.session
        capabilities = session.capabilities
        why = obstacle(envelope, content.octets, capabilities, secured=session.secured)
        if why is not None:
            return [Outcome(Phase.MAIL, None, why)] * len(envelope.recipients)
        # Small content is read before a word is said: it goes out in one piece.
        block = b"".join(content.blocks()) if content.octets <= BLOCK_OCTETS else None
        transaction = Transaction(
            mail_command(envelope, content.octets, capabilities),
            envelope.recipients,
            utf8=envelope.smtputf8,
            limit=capabilities.recipient_limit,
        )
        handover = Handover(self._dialogue, transaction, content, block, mark, progress)
        await handover.run(utf8=envelope.smtputf8, rset=self._target.rset)
        self.transactions += handover.begun
        return [outcome for outcome in transaction.outcomes if outcome is not None]

    async def _open(self) -> None:
        """Everything up to READY.  Raises OpeningFailed, or ExchangeFailed for the wire."""
        phase = Phase.GREETING
        reply: Reply | None = None
        steps = self._opening().steps(self._dialogue.session)
        try:
            while True:
                step = steps.send(reply)
                if isinstance(step, Command):
                    phase = step.phase
                    reply = await self._dialogue.ask(step)
                else:
                    phase, reply = Phase.TLS, None
                    await self._secure()
        except StopIteration:
            self._dialogue.rest()
        except (TlsFailed, InjectedOctets) as error:
            raise ExchangeFailed(Phase.TLS, str(error), cause="tls") from error
        except ConnectionLost as error:
            raise ExchangeFailed(phase, str(error), cause="network") from error
        except BrokenPeer as error:
            raise ExchangeFailed(phase, str(error), cause="protocol") from error
        except UnsafeArgument as error:
            cause: Literal["auth", "protocol"] = "auth" if phase is Phase.AUTH else "protocol"
            raise ExchangeFailed(phase, str(error), cause=cause) from error

    def _opening(self) -> Opening:
        target, login, wire = self._target, self._target.login, self._dialogue.wire
        return Opening(
            client_name=target.ehlo or wire.local_name,
            tls=target.tls,
            ways=mechanisms(login.user, login.password, login.mechanisms) if login else None,
            clear_login=login is not None and (login.plaintext or wire.peer_is_loopback),
        )

    async def _secure(self) -> None:
        """TLS on the wire, in the session and in the trace."""
        self._dialogue.rest()
        target, wire = self._target, self._dialogue.wire
        name = target.server_name or target.host
        context = tls_context(target.ca_file, verify=target.verify)
        version, cipher = await wire.start_tls(context, name, self._dialogue.deadlines.tls_s)
        self._dialogue.session.secure()
        self.tls = {"version": version, "verified": target.verify}
        proven = "proves" if target.verify else "was NOT ASKED to prove"
        self._dialogue.watcher.note(
            f"{version}, {cipher}; the certificate {proven} {name}",
            "RFC 8314 section 3.3" if target.tls == "implicit" else "RFC 3207 section 4",
        )


class _Watcher:
    """Tells the trace what happens, where there is a trace."""

    def __init__(self, trace: Trace | None) -> None:
        self._trace = trace
        self._begun_s = perf_counter()

    def note(self, text: str, rule: str) -> None:
        self._tell("*", text, rule)

    def said(self, commands: Iterable[Command]) -> None:
        if self._trace is not None:
            for command in commands:
                self._tell(">", str(command), command.rule)

    def content(self, octets: int) -> None:
        self._tell(">", f"[{octets} octets of content]", "RFC 5321 section 4.1.1.4")

    def heard(self, reply: Reply, rule: str) -> None:
        if self._trace is not None:
            *others, last = reply.lines
            for line in others:
                self._tell("<", f"{reply.code}-{line}", rule)
            self._tell("<", f"{reply.code} {last}".rstrip(), rule)

    def _tell(self, direction: Literal[">", "<", "*"], text: str, rule: str) -> None:
        if self._trace is not None:
            self._trace(TraceEvent(direction, perf_counter() - self._begun_s, text, rule))
