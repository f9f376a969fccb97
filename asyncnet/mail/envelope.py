"""Who a message goes to, and by which way (RFC 5321 section 2.3.1).  No I/O."""

from dataclasses import dataclass
from typing import Literal

TlsMode = Literal["implicit", "starttls", "none"]

IMPLICIT_TLS_PORT = 465  # RFC 8314 section 3.3
SUBMISSION_PORT = 587  # RFC 6409 section 3.1
PLAIN_PORT = 25  # RFC 5321 section 4.5.4.2


@dataclass(slots=True)  # not frozen, which takes three times as long to make: each message has one
class Envelope:
    """Reverse-path and forward-paths as they go on the wire, without angle brackets.

    reverse_path "" is the null reverse-path.  Domains are A-labels unless smtputf8 is needed,
    which it is when any local part is not ASCII (RFC 6531).  envid names the message in the
    bounces of servers that know DSN (RFC 3461 section 4.4): xtext, that is plain letters and
    digits.
    """

    reverse_path: str
    recipients: tuple[str, ...]
    smtputf8: bool = False
    require_tls: bool = False  # RFC 8689
    body_8bit: bool = False  # octets above 127 in the body: needs 8BITMIME (RFC 6152)
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A submission server that a job names itself; it is used without login."""

    host: str
    port: int
    tls: TlsMode

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Route:
    """Either the name of a configured account or a server of the job's own."""

    account: str | None = None
    server: Server | None = None

    @property
    def key(self) -> str:
        """What connections, limits and account states are kept under."""
        if self.account is not None:
            return self.account
        return f"server {self.server}/{self.server.tls}" if self.server else "nowhere"


def tls_by_port(port: int) -> TlsMode:
    """The mode where none is written: 465 speaks TLS at once, every other port STARTTLS."""
    return "implicit" if port == IMPLICIT_TLS_PORT else "starttls"


def port_by_tls(tls: TlsMode | None) -> int:
    """The port where none is written; None: submission with STARTTLS."""
    usual = {"implicit": IMPLICIT_TLS_PORT, "none": PLAIN_PORT}
    return usual.get(tls or "starttls", SUBMISSION_PORT)


def complete_server(host: str, port: int | None, tls: TlsMode | None) -> Server:
    """Port by mode and mode by port, whichever was left out."""
    if port is None:
        port = port_by_tls(tls)
    return Server(host, port, tls or tls_by_port(port))
