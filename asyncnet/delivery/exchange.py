"""One talk with one server: connect, introduce, log in, hand over messages (RFC 5321)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import Content
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.reply import Reply


@dataclass(frozen=True, slots=True)
class Login:
    """A user name and password; the password never shows in repr."""

    user: str
    password: str
    mechanisms: tuple[str, ...] | None = None  # None: the best the server offers
    plaintext: bool = False  # allow AUTH without TLS to a host that is not loopback

    def __repr__(self) -> str:
        return f"Login({self.user!r}, password=…)"


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect and how to prove who is who.

    host is a name or an IP address.  server_name is what the certificate must say (default:
    host).  ehlo is our name in EHLO (None: this host's FQDN, else its address literal).
    charset decodes reply texts that are not UTF-8 ("gb18030" for QQ).
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
    """An open, introduced and (where asked) logged-in talk; made by connect()."""

    server: str  # "host:port" as configured
    tls: Mapping[str, Any] | None  # {"version": "TLSv1.3", "verified": True}
    usable: bool  # whether another transaction may be tried
    transactions: int  # messages handed over so far

    @classmethod
    async def connect(cls, target: Target, trace: Trace | None = None) -> "Exchange":
        """Resolve, connect address by address, TLS, EHLO (else HELO), AUTH.

        Raises ExchangeFailed; nothing stays open then.  Cancelling closes the socket.
        """
        raise NotImplementedError

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
        raise NotImplementedError

    async def close(self) -> None:
        """Say QUIT where that is still possible, wait for nobody, close."""
        raise NotImplementedError
