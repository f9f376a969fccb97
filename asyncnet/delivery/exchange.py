"""One talk with one server: connect, introduce, log in, hand over messages (RFC 5321).

What is said and what it means is decided in the smtp room; here it meets the wire: who waits
for what, how long, and what is true when the connection is lost.  The one moment that nobody
can clear up is between the last octet of the content and the reply to it (RFC 1047).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from secrets import token_urlsafe
from typing import Any, Literal

from asyncnet.delivery.dialogue import Dialogue
from asyncnet.delivery.errors import ConnectFailed, ConnectionLost, LookupFailed, TlsFailed
from asyncnet.delivery.handover import (
    SMALL_OCTETS,
    BeforeDot,
    Handover,
    Progress,
    check_length,
    whole,
)
from asyncnet.delivery.pipeline import Pipeline
from asyncnet.delivery.tls import TlsFacts, check_pins, tls_context
from asyncnet.delivery.trace import Mask, Narrator, Trace
from asyncnet.delivery.turns import map_in_turns
from asyncnet.delivery.wire import Deadlines, Wire
from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import Content, Octets
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Command
from asyncnet.smtp.errors import BrokenPeer, InjectedOctets, UnsafeArgument
from asyncnet.smtp.mechanism import Mechanism
from asyncnet.smtp.opening import Opening, OpeningFailed
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.sasl import password_mechanisms, token_mechanisms
from asyncnet.smtp.session import Session
from asyncnet.smtp.transaction import Plan, RecipientReply, best_plan, obstacle

NONCE_OCTETS = 18  # of a SCRAM login: as much as a random UUID and a little more


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and password; the password never shows in repr.

    bearer: the password is an access token.  renew, where there is one, is told the token that
    the server refused, and gives another one (None: there is none other).
    """

    user: str
    password: str = field(repr=False)
    mechanisms: tuple[str, ...] | None = None  # None: the best the server offers
    plaintext: bool = False  # allow AUTH without TLS to a host that is not loopback
    bearer: bool = False
    renew: Callable[[str], Awaitable[str | None]] | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Login({self.user!r}, password=…)"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how to prove who is who.

    host is a name or an IP address; address, where given, is connected to in its place.
    server_name is what the certificate must say (default: host); pins are public keys, one of
    which must be the server's besides (RFC 7469; none: any).  ehlo is our name in EHLO (None:
    this host's FQDN, else its address literal).
    charset decodes reply texts that are not UTF-8 ("gb18030" for QQ).  rset False: RSET is
    never said (QQ answers it with junk); the talk ends where a transaction must be undone.
    plan is the boldest way of sending that is tried, window how many messages may then be under
    way at a time (CHUNKED alone).  usual_octets is the largest message that a server takes which
    does not say so (None: not known).
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
    plan: Plan = Plan.CHUNKED
    window: int = 1
    address: str | None = None
    pins: tuple[str, ...] = ()
    usual_octets: int | None = None


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

    Several messages may be handed over at a time: each goes behind the one before it.
    """

    server: str  # "host:port" as configured
    tls: Mapping[str, Any] | None  # {"version": "TLSv1.3", "verified": True}
    tls_facts: TlsFacts | None  # more of it: cipher, certificate, chain

    def __init__(self, target: Target, dialogue: Dialogue) -> None:
        host = f"[{target.host}]" if ":" in target.host else target.host
        self.server = f"{host}:{target.port}"
        self.tls = None
        self.tls_facts = None
        self._target = target
        self._mask = Mask([target.login.password]) if target.login is not None else None
        self._dialogue = dialogue
        self._pipeline: Pipeline | None = None  # once the talk is open

    @property
    def usable(self) -> bool:
        """Whether another message may be tried.

        Turns False by itself when the server closes the connection or speaks unasked.
        """
        return self._dialogue.wire.alive if self.load else self._dialogue.at_rest

    @property
    def load(self) -> int:
        """Messages in transact()."""
        return self._pipeline.load if self._pipeline is not None else 0

    @property
    def places(self) -> int:
        """How many messages at a time use the wire well; more would only wait."""
        return self._pipeline.places if self._pipeline is not None else 0

    @property
    def message_limit(self) -> int | None:
        """How many messages its server takes over one connection, where it says so."""
        return self._dialogue.session.capabilities.message_limit

    @property
    def tripped(self) -> Plan | None:
        """The plan that this server seems unable to follow, though it offered all it takes."""
        pipeline = self._pipeline
        return pipeline.plan if pipeline is not None and pipeline.tripped else None

    @classmethod
    async def connect(
        cls, target: Target, trace: Trace | None = None, deadlines: Deadlines | None = None
    ) -> "Exchange":
        """Resolve, connect address by address, TLS, EHLO (else HELO), AUTH.

        A token that the server refuses is renewed once, and tried on a new connection.  Raises
        ExchangeFailed, and what Login.renew() raises; nothing stays open then.  Cancelling
        closes the socket.
        """
        deadlines, watcher = deadlines or Deadlines(), Narrator(trace)
        try:
            return await cls._connect(target, watcher, deadlines)
        except ExchangeFailed as failed:
            login = target.login
            if login is None or login.renew is None or not _credential_refused(failed):
                raise
            token = await login.renew(login.password)
            if token is None:
                raise
        watcher.note("the token was refused; here is a new one", "RFC 7628 section 3.2.3")
        fresh = replace(target, login=replace(login, password=token))
        return await cls._connect(fresh, watcher, deadlines)

    @classmethod
    async def _connect(cls, target: Target, watcher: Narrator, deadlines: Deadlines) -> "Exchange":
        try:
            place = target.address or target.host
            wire = await Wire.connect(place, target.port, deadlines, watcher.note)
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
        before_dot: BeforeDot | None = None,
        progress: Progress | None = None,
        *,
        alone: bool = False,
    ) -> tuple[RecipientReply, ...]:
        """Hand over one message; one RecipientReply per recipient, in their order.

        before_dot is awaited before the octets that end the content may leave; when it raises,
        they are not sent and the exception goes on to the caller.  Never raises for what a server
        says or for a lost connection: that is in the replies.  Raises ContentError when the
        content cannot be read, and what hinders its reading (StoreError, OSError); nothing was
        accepted then.  Any of them may end the talk.  alone: the message shares no round trip
        with others.  Cancelled when all is answered, it returns the answers.
        """
        pipeline, session, octets = self._pipeline, self._dialogue.session, content.octets
        assert pipeline is not None, "the talk is not open"
        capabilities = session.capabilities
        trouble = obstacle(
            envelope,
            octets,
            capabilities,
            secured=session.secured,
            usual_octets=self._target.usual_octets,
        )
        if trouble is not None:
            return (trouble,) * len(envelope.recipients)
        block = None
        if isinstance(content, Octets) and octets <= SMALL_OCTETS:
            block = content.data  # at hand: nobody need wait
            check_length(len(block), octets)
        elif octets <= SMALL_OCTETS:
            block = await whole(content, octets)
        done = pipeline.loop.create_future()
        handover = Handover(
            envelope, content, octets, block, capabilities, before_dot, progress, done, alone
        )
        if not handover.transaction.hopeless:
            pipeline.carry(handover)
            try:
                await done
                if handover.mark.begun and (error := await handover.mark.outcome()):
                    raise error
            except BaseException:
                pipeline.leave(handover)
                await handover.mark.abandon()
                raise
        replies = handover.replies()
        if self._mask is None:
            return replies
        if len(replies) == 1:
            return (self._struck(replies[0]),)
        return tuple(await map_in_turns(self._struck, replies))

    def _struck(self, it: RecipientReply) -> RecipientReply:
        """The same without our password: replies end up in results, and some servers repeat it."""
        assert self._mask is not None
        if it.reply is None:
            return replace(it, detail=self._mask.strike(it.detail))
        reply = it.reply.shortened()
        lines = tuple(map(self._mask.strike, reply.lines))
        return it if lines == it.reply.lines else replace(it, reply=Reply(reply.code, lines))

    async def close(self) -> None:
        """Say QUIT where that is still possible, wait for nobody, close."""
        self._dialogue.part()

    async def _open(self) -> None:
        """Everything up to READY.  Raises OpeningFailed, or ExchangeFailed for the wire."""
        phase = Phase.GREETING
        reply: Reply | None = None
        steps = opening_of(self._target, self._dialogue.wire).steps(self._dialogue.session)
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
            capabilities, target = self._dialogue.session.capabilities, self._target
            plan = min(best_plan(capabilities), target.plan)
            self._pipeline = Pipeline(self._dialogue, plan, window=target.window, rset=target.rset)
        except (TlsFailed, InjectedOctets) as error:
            raise ExchangeFailed(Phase.TLS, str(error), cause="tls") from error
        except ConnectionLost as error:
            raise ExchangeFailed(phase, str(error), cause="network") from error
        except BrokenPeer as error:
            raise ExchangeFailed(phase, str(error), cause="protocol") from error
        except UnsafeArgument as error:
            cause: Literal["auth", "protocol"] = "auth" if phase is Phase.AUTH else "protocol"
            raise ExchangeFailed(phase, str(error), cause=cause) from error

    async def _secure(self) -> None:
        """TLS on the wire, in the session and in the trace."""
        self._dialogue.rest()
        target, wire = self._target, self._dialogue.wire
        name = target.server_name or target.host
        context = tls_context(target.ca_file, verify=target.verify)
        version, cipher = await wire.start_tls(context, name, self._dialogue.deadlines.tls_s)
        proven = "proves" if target.verify else "was NOT ASKED to prove"
        self._note_tls(f"{version}, {cipher}; the certificate {proven} {name}")
        self.tls_facts = wire.facts
        if wire.facts is not None:
            self._note_tls(str(wire.facts))
            check_pins(wire.facts, target.pins)
        self._dialogue.session.secure()
        self.tls = {"version": version, "verified": target.verify}

    def _note_tls(self, text: str) -> None:
        rule = "RFC 8314 section 3.3" if self._target.tls == "implicit" else "RFC 3207 section 4"
        self._dialogue.watcher.note(text, rule)


def _credential_refused(failed: ExchangeFailed) -> bool:
    """A 5yz to the login, whichever (providers answer 535, 530, 501 and 550 to a stale token)."""
    return failed.phase is Phase.AUTH and failed.reply is not None and failed.reply.code >= 500


def opening_of(target: Target, wire: Wire) -> Opening:
    """What is to be reached before the first message."""
    login = target.login
    return Opening(
        client_name=target.ehlo or wire.local_name,
        tls=target.tls,
        ways=_ways(target),
        clear_login=login is not None and (login.plaintext or wire.peer_is_loopback),
    )


def _ways(target: Target) -> tuple[Mechanism, ...] | None:
    login = target.login
    if login is None:
        return None
    if login.bearer:
        return token_mechanisms(
            login.user, login.password, login.mechanisms, host=target.host, port=target.port
        )
    nonce = token_urlsafe(NONCE_OCTETS)
    return password_mechanisms(login.user, login.password, login.mechanisms, nonce=nonce)
