"""SMTP commands: small values, and the one function that writes them (RFC 5321 section 4.1).

No I/O.  str() of a command is what may be shown: secrets are masked there, and only there.
"""

import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import lru_cache
from typing import ClassVar, TypeAlias

from asyncnet.mail.verdict import Phase
from asyncnet.smtp.errors import UnsafeArgument

MAX_COMMAND_OCTETS = 512  # with CRLF (RFC 5321 section 4.5.3.1.4)
# Every extension adds to that: SIZE 26, BODY 17, SMTPUTF8 10, REQUIRETLS 11, the DSN
# parameters 107 and more; and UTF-8 local parts are let grow past 64 octets by many servers.
MAX_PATH_COMMAND_OCTETS = 1024
MAX_AUTH_OCTETS = 12288  # RFC 4954 section 4

# All controls, not only the CR, LF and NUL that end a line for somebody: none of the others
# has any business in a command either.
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
# A mailbox that cannot leave its angle brackets.  Its grammar was checked at intake; here it
# matters that "a@b> SIZE=0" adds no parameter.  No domain: postmaster (section 4.1.1.3).
_PATH = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^\s"<>@]+)(?:@[^\s"<>@]+)?')
# What nearly all of them are: neither controls nor anything else to look for.
_PLAIN_PATH = re.compile(r"[A-Za-z0-9._+=/~-]{1,64}@[A-Za-z0-9.-]{1,255}")


@dataclass(frozen=True, slots=True)
class Command:
    """Something to say; phase is the stage its reply falls in, rule the RFC section."""

    verb: ClassVar[str] = ""
    phase: ClassVar[Phase]
    rule: ClassVar[str] = "RFC 5321 section 4.1.1"
    limit_octets: ClassVar[int] = MAX_COMMAND_OCTETS

    def line(self) -> str:
        """The line as sent, without CRLF: it may hold a secret."""
        return self.verb

    def secrets(self) -> tuple[str, ...]:
        """What must not be shown, should the server repeat our words in its reply."""
        return ()

    def __str__(self) -> str:
        return self.line()


@dataclass(frozen=True, slots=True)
class Greeting(Command):
    """Nothing said: the server speaks first."""

    phase: ClassVar[Phase] = Phase.GREETING
    rule: ClassVar[str] = "RFC 5321 section 3.1"


@dataclass(frozen=True, slots=True)
class Ehlo(Command):
    name: str
    verb: ClassVar[str] = "EHLO"
    phase: ClassVar[Phase] = Phase.EHLO
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.1"

    def line(self) -> str:
        return f"{self.verb} {self.name}"


@dataclass(frozen=True, slots=True)
class Helo(Ehlo):
    verb: ClassVar[str] = "HELO"


@dataclass(frozen=True, slots=True)
class StartTls(Command):
    verb: ClassVar[str] = "STARTTLS"
    phase: ClassVar[Phase] = Phase.TLS
    rule: ClassVar[str] = "RFC 3207 section 4"


@dataclass(frozen=True, slots=True)
class Auth(Command):
    """initial None sends none; b"" is an empty one and goes as "=" (RFC 4954 section 4).

    hidden are the forms of the secret that crosses the line in this login.
    """

    mechanism: str
    initial: bytes | None = field(default=None, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    verb: ClassVar[str] = "AUTH"
    phase: ClassVar[Phase] = Phase.AUTH
    rule: ClassVar[str] = "RFC 4954 section 4"
    limit_octets: ClassVar[int] = MAX_AUTH_OCTETS

    def line(self) -> str:
        if self.initial is None:
            return f"AUTH {self.mechanism}"
        return f"AUTH {self.mechanism} {b64encode(self.initial).decode() or '='}"

    def secrets(self) -> tuple[str, ...]:
        return _secrets(self.initial, self.hidden)

    def __str__(self) -> str:
        return f"AUTH {self.mechanism}{'' if self.initial is None else ' ********'}"


@dataclass(frozen=True, slots=True)
class AuthResponse(Command):
    """An answer to a 334 challenge; None cancels the login.  hidden as in Auth."""

    response: bytes | None = field(repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    phase: ClassVar[Phase] = Phase.AUTH
    rule: ClassVar[str] = "RFC 4954 section 4"
    limit_octets: ClassVar[int] = MAX_AUTH_OCTETS

    def line(self) -> str:
        return "*" if self.response is None else b64encode(self.response).decode()

    def secrets(self) -> tuple[str, ...]:
        return _secrets(self.response, self.hidden)

    def __str__(self) -> str:
        return "*" if self.response is None else "********"


@dataclass(frozen=True, slots=True)
class Mail(Command):
    """Begin a transaction; parameters are ready words such as "SIZE=1000"."""

    reverse_path: str
    parameters: tuple[str, ...] = ()
    verb: ClassVar[str] = "MAIL"
    phase: ClassVar[Phase] = Phase.MAIL
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.2"
    limit_octets: ClassVar[int] = MAX_PATH_COMMAND_OCTETS

    def line(self) -> str:
        path = _checked_path(self.verb, self.reverse_path) if self.reverse_path else ""
        return " ".join((f"MAIL FROM:<{path}>", *self.parameters))


@dataclass(frozen=True, slots=True)
class Rcpt(Command):
    forward_path: str
    verb: ClassVar[str] = "RCPT"
    phase: ClassVar[Phase] = Phase.RCPT
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.3"
    limit_octets: ClassVar[int] = MAX_PATH_COMMAND_OCTETS

    def line(self) -> str:
        return f"RCPT TO:<{_checked_path(self.verb, self.forward_path)}>"


@dataclass(frozen=True, slots=True)
class Data(Command):
    verb: ClassVar[str] = "DATA"
    phase: ClassVar[Phase] = Phase.DATA
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.4"


@dataclass(frozen=True, slots=True)
class Dot(Command):
    """The lone dot that ends the content."""

    verb: ClassVar[str] = "."
    phase: ClassVar[Phase] = Phase.DOT
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.4"


@dataclass(frozen=True, slots=True)
class Bdat(Command):
    """The whole content, of so many octets, follows at once; no dot, no transparency."""

    octets: int
    verb: ClassVar[str] = "BDAT"
    phase: ClassVar[Phase] = Phase.DOT
    rule: ClassVar[str] = "RFC 3030 section 2"

    def line(self) -> str:
        return f"BDAT {self.octets} LAST"


@dataclass(frozen=True, slots=True)
class Rset(Command):
    verb: ClassVar[str] = "RSET"
    phase: ClassVar[Phase] = Phase.MAIL
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.5"


@dataclass(frozen=True, slots=True)
class Quit(Command):
    verb: ClassVar[str] = "QUIT"
    phase: ClassVar[Phase] = Phase.MAIL
    rule: ClassVar[str] = "RFC 5321 section 4.1.1.10"


def encode(command: Command, *, utf8: bool = False) -> bytes:
    """Return the command's line with its CRLF: the only way from a command to the wire.

    utf8 allows UTF-8 in it (RFC 6531).  Raises UnsafeArgument, whatever was checked before.
    """
    text = command.line()
    try:
        line = text.encode("utf-8" if utf8 else "ascii")
    except UnicodeEncodeError:
        # from None: the cause would print the line, and the line may hold a secret
        raise UnsafeArgument(f"{command.verb or 'AUTH'}: a character that is not ASCII") from None
    # Printable ASCII has no control character, which is quickly seen.
    if not (text.isascii() and text.isprintable()) and _CONTROLS.search(line):
        raise UnsafeArgument(f"{command.verb or 'AUTH'}: a control character in the command")
    if len(line) + 2 > command.limit_octets:
        raise _too_long(command.verb, len(line) + 2, command.limit_octets)
    return line + b"\r\n"


# Commands for one write: their kinds, and their octets (RFC 2920 section 3.1).  A bare tuple,
# since one is made for every message.
Kinds: TypeAlias = tuple[type[Command], ...]
Group: TypeAlias = tuple[Kinds, bytes]


def grouped(*commands: Command) -> Group:
    """These commands in one write.  Raises UnsafeArgument."""
    return tuple(map(type, commands)), b"".join(map(encode, commands))


# The commands that every message takes, without a value for each: they are most of what a
# message costs.


def mail_line(reverse_path: str, parameters: str, *, utf8: bool = False) -> bytes:
    """As encode(Mail()) with these parameters, for an account has few senders."""
    if not (parameters.isascii() and parameters.isprintable()):
        return encode(Mail(reverse_path, (parameters,)), utf8=utf8)
    head = _mail_head(reverse_path, utf8)
    line = f"{head} {parameters}\r\n".encode() if parameters else f"{head}\r\n".encode()
    if len(line) > MAX_PATH_COMMAND_OCTETS:
        raise _too_long(Mail.verb, len(line), MAX_PATH_COMMAND_OCTETS)
    return line


@lru_cache(maxsize=256)
def _mail_head(reverse_path: str, utf8: bool) -> str:
    return encode(Mail(reverse_path), utf8=utf8)[:-2].decode()


def rcpt_line(forward_path: str, *, utf8: bool = False) -> bytes:
    """As encode(Rcpt()), sooner for a plain address."""
    if _PLAIN_PATH.fullmatch(forward_path):
        return b"RCPT TO:<%b>\r\n" % forward_path.encode()
    return encode(Rcpt(forward_path), utf8=utf8)


def bdat_line(octets: int) -> bytes:
    """As encode(Bdat())."""
    return b"BDAT %d LAST\r\n" % octets


def _too_long(verb: str, octets: int, allowed: int) -> UnsafeArgument:
    return UnsafeArgument(f"{verb or 'AUTH'}: the line has {octets} octets, {allowed} are allowed")


def _checked_path(verb: str, path: str) -> str:
    if not _PATH.fullmatch(path):
        raise UnsafeArgument(f"{verb}: the path is no mailbox")
    return path


def _secrets(response: bytes | None, hidden: tuple[str, ...]) -> tuple[str, ...]:
    """What is hidden, and the whole response as it stands on the line: longest first.

    A shorter one that is part of a longer one would leave the rest of that readable.
    """
    whole = (b64encode(response).decode(),) if response else ()
    return tuple(sorted({secret for secret in (*whole, *hidden) if secret}, key=len, reverse=True))
