"""The test sink: a mail server on aiosmtpd that keeps what it receives in a Maildir.

It stands in for the provider, so that the whole way of a mail can be watched on a machine
without any account.  It believes every sender, delivers to nobody, and misbehaves when the
recipient's address asks for it (asyncnet/lab/misdeed.py has the grammar).

It is also a judge: aiosmtpd wants CRLF, refuses lines over 998 octets with 500 and content
over the announced SIZE with 552.  It advertises what it can take: SIZE, 8BITMIME, SMTPUTF8,
PIPELINING, and STARTTLS and AUTH where configured.

Everything runs on the loop that calls start(), be it asyncio's or uvloop.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import structlog

from asyncnet.config.values import Endpoint
from asyncnet.lab.hooks import Hooks, SinkSession
from asyncnet.lab.maildir import BY, Receipt, StoredMail, prepare, read, store

MAX_MESSAGE_OCTETS = 200_000_000  # the daemon's own limit, so that the sink is never the tighter
SMALL_OCTETS = 65_536  # written at once; a thread would cost more than the write
IDENT = "asyncnet test sink"

log = structlog.get_logger()


class Sink:
    """A server on the given addresses.  start(), then stop(); both on the current loop."""

    def __init__(
        self,
        listen: Sequence[Endpoint],
        maildir: Path,
        *,
        tls: ssl.SSLContext | None = None,
        implicit_tls: bool = False,
        login: tuple[str, str] | None = None,
        max_message_octets: int = MAX_MESSAGE_OCTETS,
        refuse: re.Pattern[str] | None = None,
        withhold: Collection[str] = (),
        on_mail: Callable[[StoredMail], None] | None = None,
    ) -> None:
        """Nothing is opened yet.

        tls is for STARTTLS, or for the connection's first octet with implicit_tls.  login is
        a made-up user and password that AUTH PLAIN or LOGIN must give before MAIL, after
        STARTTLS where there is one.  Recipients that refuse matches in full get 550.
        withhold names EHLO keywords not to be advertised; "EHLO" itself leaves HELO alone.
        on_mail is called with each mail once its file is in place, before the reply.
        """
        self.maildir = maildir
        self.stored = 0  # mails kept since start
        self.endpoints: tuple[Endpoint, ...] = ()  # with the real ports, after start()
        self._listen = listen
        self._tls = tls
        self._implicit_tls = implicit_tls
        self._hooks = Hooks(self._store, login, refuse, frozenset(withhold))
        self._max_message_octets = max_message_octets
        self._on_mail = on_mail
        self._arrival = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._sessions: set[SinkSession] = set()

    async def start(self) -> None:
        """Make the Maildir and listen.  Raises OSError; nothing stays open then."""
        # It logs every line, what a login answers to a challenge included; we tell our own.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL)
        prepare(self.maildir)
        loop = asyncio.get_running_loop()
        context = self._tls if self._implicit_tls else None
        try:
            for endpoint in self._listen:
                self._servers.append(
                    await loop.create_server(
                        self._make_session, endpoint.host, endpoint.port, ssl=context
                    )
                )
        except OSError:
            await self.stop()
            raise
        self.endpoints = tuple(
            Endpoint(*listener.getsockname()[:2])
            for server in self._servers
            for listener in server.sockets
        )

    async def stop(self) -> None:
        """Close the listeners and every connection; what was answered with 250 is kept."""
        for server in self._servers:
            server.close()
        talks = [session.abort() for session in list(self._sessions)]
        await asyncio.gather(*talks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    async def wait_for(self, count: int) -> None:
        """Return when at least count mails have been kept since the start."""
        while self.stored < count:
            await self._arrival.wait()

    async def _store(self, receipt: Receipt, content: bytes) -> Path:
        """Store one mail and tell whoever waits for it.  Raises OSError."""
        now = datetime.now(UTC)
        if len(content) <= SMALL_OCTETS:
            path = store(self.maildir, receipt, content, now)
        else:
            path = await asyncio.to_thread(store, self.maildir, receipt, content, now)
        self.stored += 1
        self._arrival.set()
        self._arrival.clear()
        log.info("sink kept a mail", to=receipt.recipients, octets=len(content), file=path.name)
        if self._on_mail is not None:
            self._on_mail(read(path))
        return path

    def _make_session(self) -> SinkSession:
        # aiosmtpd's own auth_required is left off: it warns when TLS is not of its making.
        return SinkSession(
            self._sessions,
            self._hooks,
            data_size_limit=self._max_message_octets,
            enable_SMTPUTF8=True,
            hostname=BY,
            ident=IDENT,
            tls_context=None if self._implicit_tls else self._tls,
            auth_require_tls=self._tls is not None and not self._implicit_tls,
            authenticator=self._hooks.authenticate,
            loop=asyncio.get_running_loop(),
        )
