"""What is said before the first message: greeting, EHLO, STARTTLS, EHLO, AUTH.  No I/O.

A generator that yields commands and is sent the replies, so that the policy (what is asked
for, what is never given up) reads from top to bottom.  TLS is yielded as UPGRADE.
RFC 5321 section 3.1 and 3.2, RFC 3207, RFC 4954, RFC 8314.
"""

import binascii
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final, Literal

from asyncnet.mail.envelope import TlsMode
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import (
    MAX_COMMAND_OCTETS,
    Auth,
    AuthResponse,
    Command,
    Ehlo,
    Greeting,
    Helo,
    StartTls,
)
from asyncnet.smtp.errors import SaslError, SmtpError
from asyncnet.smtp.mechanism import Mechanism
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.sasl import MAX_CHALLENGES
from asyncnet.smtp.session import Session, State

UPGRADE: Final = "upgrade"  # make TLS on the wire, then tell the session, then send None

_MECHANISM_UNKNOWN = 504  # RFC 4954 section 4
_CREDENTIALS_INVALID = 535  # RFC 4954 section 6

Steps = Generator[Command | Literal["upgrade"], Reply | None, None]


class OpeningFailed(SmtpError):
    """The talk ended before a first message: refused, no TLS to be had, no login.

    reply is the server's where one decided it; cause tells the kind of trouble where that
    does not.  str() holds no secret.
    """

    def __init__(
        self,
        phase: Phase,
        detail: str,
        *,
        reply: Reply | None = None,
        cause: Literal["tls", "auth", "protocol"] | None = None,
    ) -> None:
        super().__init__(detail)
        self.phase = phase
        self.reply = reply
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Opening:
    """What must be reached: tls never falls back, and a login that is asked for is made.

    client_name goes with EHLO.  ways are the mechanisms to log in by, best first; None: no
    login.  clear_login allows AUTH without TLS.
    """

    client_name: str
    tls: TlsMode
    ways: tuple[Mechanism, ...] | None = None
    clear_login: bool = False

    def steps(self, session: Session) -> Steps:
        """The talk up to READY.  Raises OpeningFailed."""
        if self.tls == "implicit":
            yield UPGRADE
        greeting = yield Greeting()
        if session.state is not State.GREETED:
            raise _refused(Phase.GREETING, "the server does not want to talk", greeting)
        yield from self._introduce(session)
        if self.tls == "starttls":
            yield from self._secure(session)
            yield from self._introduce(session)
        if self.ways is not None:
            yield from self._log_in(session, self.ways)

    def _introduce(self, session: Session) -> Steps:
        reply = yield Ehlo(self.client_name)
        assert reply is not None
        # 5yz: not known (500, 502), or not wanted by a server of 1995: HELO is the way out
        # (section 3.2).  4yz is a passing trouble and would hit HELO, too.
        if 500 <= reply.code <= 599:
            reply = yield Helo(self.client_name)
        if session.state is not State.READY:
            raise _refused(Phase.EHLO, "the server does not take our introduction", reply)

    def _secure(self, session: Session) -> Steps:
        if "STARTTLS" not in session.capabilities:
            raise OpeningFailed(
                Phase.TLS, "the server does not offer STARTTLS, and TLS is asked for", cause="tls"
            )
        reply = yield StartTls()
        if session.state is not State.SECURING:
            raise _refused(Phase.TLS, "the server refuses STARTTLS", reply, cause="tls")
        yield UPGRADE

    def _log_in(self, session: Session, ways: tuple[Mechanism, ...]) -> Steps:
        if not (session.secured or self.clear_login):
            raise OpeningFailed(
                Phase.AUTH,
                "a password is not sent without TLS, but to this very machine or where"
                " plaintext_auth allows it",
                cause="auth",
            )
        offered = session.capabilities.mechanisms
        refusal: Reply | None = None
        for way in ways:
            if way.name not in offered:
                continue
            refusal = yield from _try(session, way)
            if refusal is None:
                return
            if not _untested(way, refusal):
                # No other mechanism: the same password would be wrong once more, and
                # providers count.
                break
        if refusal is not None:
            reason = f" ({way.reason})" if way.reason else ""
            raise _refused(Phase.AUTH, f"the server refuses the login{reason}", refusal)
        raise OpeningFailed(
            Phase.AUTH,
            f"no way to log in: the server offers {', '.join(offered) or 'no AUTH'},"
            f" we would use {', '.join(way.name for way in ways) or 'none that we know'}",
            cause="auth",
        )


def _untested(way: Mechanism, refusal: Reply) -> bool:
    """Whether the mechanism was refused and not the password: another one may be tried.

    504 says so.  535 means it where the server had not asked for anything made of the password
    yet: a mechanism that is offered and not there (Postfix without its plug-in), or a user
    whom the server has no SCRAM keys of.
    """
    if refusal.code == _MECHANISM_UNKNOWN:
        return True
    return refusal.code == _CREDENTIALS_INVALID and not way.revealed


def _try(session: Session, way: Mechanism) -> Generator[Command, Reply | None, Reply | None]:
    """One login; None when we are in, else the refusal.

    On a challenge that makes no sense it is cancelled.
    """
    try:
        reply = yield from _converse(session, way)
        if reply.positive and not way.proven:
            raise SaslError("the server says yes and did not prove that it knows the password")
    except SaslError as error:
        if session.state is State.CHALLENGED:
            yield AuthResponse(None)
        raise OpeningFailed(Phase.AUTH, f"{way.name}: {error}", cause="auth") from error
    return None if reply.positive else reply


def _converse(session: Session, way: Mechanism) -> Generator[Command, Reply | None, Reply]:
    """AUTH, challenges and responses, to the last reply.  Raises SaslError."""
    initial = way.initial_response()
    command = Auth(way.name, initial, way.shown())
    if len(command.line()) + 2 > MAX_COMMAND_OCTETS:  # RFC 4954 section 4: send it when asked
        command = Auth(way.name)
    reply = yield command
    assert reply is not None
    for _ in range(MAX_CHALLENGES):
        if session.state is not State.CHALLENGED:
            return reply
        reply = yield AuthResponse(way.respond(_challenge(reply)), way.shown())
        assert reply is not None
    if session.state is State.CHALLENGED:
        raise SaslError("questions without end")
    return reply


def _challenge(reply: Reply) -> bytes:
    text = reply.lines[0].strip()
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True) if text else b""
    except ValueError:
        # LOGIN and PLAIN do not read their challenges, and some servers ask in clear words.
        return b""


def _refused(
    phase: Phase,
    what: str,
    reply: Reply | None,
    cause: Literal["tls", "auth", "protocol"] | None = None,
) -> OpeningFailed:
    assert reply is not None
    if reply.code < 400:  # "250" for a greeting: no answer
        cause = "protocol"
    return OpeningFailed(phase, f"{what}: {reply}", reply=reply, cause=cause)
