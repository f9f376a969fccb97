"""What the test sink answers: aiosmtpd's session and its hooks, with misdeeds built in.

aiosmtpd speaks SMTP and calls a hook at each command; a hook gives the reply, or MISSING for
the usual one.  Two things need a hand: PIPELINING is honoured but not advertised (commands
are read from a stream, in order, and what came before a TLS handshake is forgotten), and no
hook stands between the DATA command and its 354.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Never, cast

import structlog
from aiosmtpd.smtp import (
    MISSING,
    SMTP,
    AuthResult,
    Envelope,
    LoginPassword,
    Session,
    TLSSetupException,
    syntax,
)

from asyncnet.lab.maildir import Receipt
from asyncnet.lab.misdeed import Deed, NoSuchMisdeed, Place, misdeed_of

_GOODBYE = 421  # the one reply after which the server closes (RFC 5321 section 3.8)

log = structlog.get_logger()


class SinkSession(SMTP):
    """One connection: aiosmtpd's, but known to its sink, and able to fail at DATA."""

    event_handler: "Hooks"

    def __init__(self, open_sessions: "set[SinkSession]", *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._open_sessions = open_sessions

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._open_sessions.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._open_sessions.discard(self)
        super().connection_lost(error)

    def abort(self) -> asyncio.Future[None]:
        """Cut the connection; the talk that ends by it is returned."""
        assert self._handler_coroutine is not None
        cast("asyncio.WriteTransport", self.transport).abort()
        return self._handler_coroutine

    @syntax("DATA")
    async def smtp_DATA(self, arg: str) -> None:
        assert self.envelope is not None
        reply = await self.event_handler.misbehave(self, Place.DATA, self.envelope.rcpt_tos)
        if reply is not None:
            await self.push(reply)
        else:
            await super().smtp_DATA(arg)


class Hooks:
    """aiosmtpd's hooks: what is answered, by returning it, or MISSING for the usual."""

    def __init__(
        self,
        keep: Callable[[Receipt, bytes], Awaitable[Path]],
        login: tuple[str, str] | None,
        refuse: re.Pattern[str] | None,
        withhold: frozenset[str],
    ) -> None:
        self._keep = keep
        self._login = login
        self._refuse = refuse
        self._withhold = withhold if login is not None else withhold | {"AUTH"}
        self._done: Counter[str] = Counter()  # misdeeds by address

    async def handle_EHLO(
        self, _: SMTP, session: Session, __: Envelope, hello: str, lines: list[str]
    ) -> list[str]:
        if "EHLO" in self._withhold:
            return ["502 5.5.1 EHLO is not implemented"]
        session.host_name = hello
        name, *keywords = (line[4:] for line in lines)
        answer = [name]
        for keyword in ("PIPELINING", *keywords):
            if keyword.partition(" ")[0] not in self._withhold:
                answer.append(keyword)
        return [*(f"250-{line}" for line in answer[:-1]), f"250 {answer[-1]}"]

    def authenticate(
        self, _: SMTP, __: Session, ___: Envelope, ____: str, given: LoginPassword
    ) -> AuthResult:
        expected = tuple(word.encode() for word in self._login or ())
        return AuthResult(success=given == expected, handled=False, auth_data=given)

    async def handle_MAIL(
        self, _: SMTP, session: Session, __: Envelope, ___: str, ____: list[str]
    ) -> Any:
        if self._login is not None and not session.authenticated:
            return "530 5.7.0 Authentication required"
        return MISSING

    async def handle_RCPT(
        self, server: SinkSession, _: Session, __: Envelope, address: str, ___: list[str]
    ) -> Any:
        if self._refuse is not None and self._refuse.fullmatch(address):
            return "550 5.1.1 No such mailbox here"
        try:
            reply = await self.misbehave(server, Place.RCPT, [address])
        except NoSuchMisdeed:
            return "501 5.1.3 No such misdeed; the grammar is in asyncnet/lab/misdeed.py"
        return MISSING if reply is None else reply

    async def handle_DATA(self, server: SinkSession, session: Session, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        reply = await self.misbehave(server, Place.DOT, envelope.rcpt_tos)
        if reply is not None:
            return reply
        try:
            path = await self._keep(_receipt(server, session, envelope), envelope.content)
        except OSError as error:
            log.error("sink cannot keep a mail", error=str(error))
            return f"452 4.3.1 The mail cannot be stored: {error.strerror}"
        reply = await self.misbehave(server, Place.AFTER_DOT, envelope.rcpt_tos)
        return f"250 2.0.0 OK: kept as {path.name}" if reply is None else reply

    async def handle_exception(self, error: Exception) -> str:
        if isinstance(error, TLSSetupException):
            log.info("sink met a failed TLS handshake", error=repr(error.__cause__))
        else:
            log.error("sink failed", error=repr(error))
        return "451 4.3.0 The sink failed; its log tells why"

    async def misbehave(
        self, server: SinkSession, place: Place, recipients: Sequence[str]
    ) -> str | None:
        """Do what the recipients ask for at this place; the refusal to answer with, or None."""
        for address in recipients:
            misdeed = misdeed_of(address)
            if misdeed is None or misdeed.place is not place:
                continue
            if misdeed.times is not None and self._done[address.lower()] >= misdeed.times:
                continue
            self._done[address.lower()] += 1
            match misdeed.deed:
                case Deed.DELAY:
                    await asyncio.sleep(misdeed.delay_s)
                case Deed.DROP:
                    server.abort()
                    await _until_connection_lost()
                case Deed.HANG:
                    await _until_connection_lost()
                case Deed.REFUSE:
                    return await _refusal(server, misdeed.code)
        return None


async def _refusal(server: SinkSession, code: int) -> str:
    reply = f"{code} {code // 100}.0.0 As the recipient's address asks"
    if code != _GOODBYE:
        return reply
    await server.push(reply)
    assert server.transport is not None
    server.transport.close()
    await _until_connection_lost()


async def _until_connection_lost() -> Never:
    # aiosmtpd cancels the talk, and this with it, when the connection ends.
    await asyncio.Event().wait()
    raise AssertionError("nobody sets this event")


def _receipt(server: SMTP, session: Session, envelope: Envelope) -> Receipt:
    assert server.transport is not None
    over_tls = server.transport.get_extra_info("ssl_object") is not None
    word = "UTF8SMTP" if envelope.smtp_utf8 else "ESMTP" if session.extended_smtp else "SMTP"
    login: bytes | None = None
    if session.authenticated:
        assert isinstance(session.auth_data, LoginPassword)
        login = session.auth_data.login
    return Receipt(
        # aiosmtpd gives the null reverse-path with its brackets, all others without.
        reverse_path=(envelope.mail_from or "").removeprefix("<>"),
        recipients=tuple(envelope.rcpt_tos),
        protocol=word + "S" * over_tls + "A" * (login is not None),
        login=None if login is None else login.decode("utf-8", "surrogateescape"),
        hello=session.host_name or "unknown",
        peer=str(session.peer[0]) if session.peer else "unknown",
    )
