"""One connection's octets, in the clear or under TLS: an asyncio.Protocol on our own socket.

A bare Protocol measured faster than streams, and its buffer can be looked at: a StreamReader
would carry octets injected before STARTTLS over into TLS.

Every stage has one deadline for the whole of it: a server that drips octets gains nothing.
"""

import asyncio
import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass
from typing import cast

from asyncnet.delivery.errors import (
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    TlsFailed,
    reason,
)
from asyncnet.delivery.handshake import Address, Note, ascii_name, connect
from asyncnet.delivery.tls import TlsFacts, tls_facts, tls_reason
from asyncnet.mail.verdict import Phase

# What may lie here unread.  The exchange reads at once; but the answers to thousands of recipients,
# named in one write, may all be here in the same moment.  Else only a server that floods us while
# nobody asked it anything gets this far.
MAX_UNREAD_OCTETS = 1024 * 1024
# One block under way while the next is read (mail.letter.BLOCK_OCTETS is about as much).
WRITE_AHEAD_OCTETS = 64 * 1024
# Of so much one piece is made for the system; more is dearer to copy than to hand over in pieces.
JOINED_OCTETS = 64 * 1024
# A server gets this long to take our QUIT and close_notify.  Nobody waits for it.
LINGER_S = 2.0

_FQDN = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]*")


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds for each whole stage; RFC 5321 section 4.5.3.2 where it has a word on it.

    lookup and connect are ours: connect is for one address.  rcpt_more is added for each
    recipient after the first.  block is for one block of content to be taken by the kernel.
    """

    lookup_s: float = 20.0
    connect_s: float = 30.0
    tls_s: float = 60.0
    greeting_s: float = 300.0
    ehlo_s: float = 300.0
    auth_s: float = 120.0
    mail_s: float = 300.0
    rcpt_s: float = 300.0
    rcpt_more_s: float = 10.0
    data_s: float = 120.0
    block_s: float = 180.0
    dot_s: float = 600.0
    rset_s: float = 20.0

    def of(self, phase: Phase) -> float:
        """The seconds for a stage of the talk."""
        return float(getattr(self, f"{phase}_s"))


class Wire(asyncio.Protocol):
    """A connected stream of octets; made by connect()."""

    def __init__(self) -> None:
        self.peer: Address = ()
        self.facts: TlsFacts | None = None  # of TLS, once it stands
        self.unsent = False  # cut by a deadline with octets that never left this machine
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._arrived: list[bytes] = []
        self._arrived_octets = 0
        self._lost: ConnectionLost | None = None
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None  # woken by whatever happens
        self._deadline: tuple[float, str, float] | None = None  # loop time, what for, seconds
        self._timer: asyncio.TimerHandle | None = None

    @classmethod
    async def connect(cls, host: str, port: int, deadlines: Deadlines, note: Note) -> "Wire":
        """Resolve the name and connect to the address that answers first.

        note is told of every step.  Raises LookupFailed or ConnectFailed.
        """
        connection, address = await connect(
            host, port, note, lookup_s=deadlines.lookup_s, connect_s=deadlines.connect_s
        )
        return await cls._on(connection, address)

    @classmethod
    async def _on(cls, connection: socket.socket, address: Address) -> "Wire":
        try:
            _, wire = await asyncio.get_running_loop().create_connection(cls, sock=connection)
        except BaseException as error:
            connection.close()
            if isinstance(error, OSError):  # this machine has no room for it
                raise ConnectFailed(f"no connection to {address[0]}: {reason(error)}") from error
            raise
        wire.peer = address
        return wire

    @property
    def peer_is_loopback(self) -> bool:
        return bool(self.peer) and ipaddress.ip_address(self.peer[0].split("%")[0]).is_loopback

    @property
    def local_name(self) -> str:
        """Our name for EHLO: this host's FQDN, else our end's address literal.

        socket.getfqdn() is not asked: it waits for name servers, and on most machines it then
        says "localhost".  RFC 5321 section 4.1.3 and 4.1.4.
        """
        name = socket.gethostname()
        if _FQDN.fullmatch(name) and not name.lower().startswith("localhost."):
            return name
        address = self._open_transport().get_extra_info("sockname")[0].split("%")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    @property
    def alive(self) -> bool:
        return self._lost is None and self._transport is not None

    @property
    def pending(self) -> bool:
        """Whether octets arrived that nobody took yet."""
        return bool(self._arrived)

    def expect(self, seconds: float | None, what: str = "") -> None:
        """From now on, what must be over within seconds, or the connection is cut.

        None: nothing is expected.  A stage is set once, not at each read.  Cheap: the timer
        stays where it is and, when it fires too early, is set again.
        """
        if seconds is None:
            self._deadline = None
            return
        when = self._loop.time() + seconds
        self._deadline = (when, what, seconds)
        if self._timer is not None and self._timer.when() > when:
            self._timer.cancel()
            self._timer = None
        if self._timer is None and self._lost is None:
            self._timer = self._loop.call_at(when, self._look_at_deadline)

    def _look_at_deadline(self) -> None:
        self._timer = None
        if self._deadline is None or self._lost is not None:
            return
        when, what, seconds = self._deadline
        if when > self._loop.time():
            self._timer = self._loop.call_at(when, self._look_at_deadline)
            return
        transport = self._open_transport()
        self.unsent = transport.get_write_buffer_size() > 0
        self._end(DeadlinePassed(f"no {what} within {seconds:g} s"))
        transport.abort()

    async def read(self) -> bytes:
        """Whatever arrives next, at least one octet.

        What came before the end is given out before ConnectionLost is raised.
        """
        while not self._arrived:
            if self._lost is not None:
                raise self._lost
            await self._something()
        return self.take()

    def take(self) -> bytes:
        """Whatever has arrived, without waiting; b"" where nothing has."""
        octets = b"".join(self._arrived)
        self._arrived.clear()
        self._arrived_octets = 0
        return octets

    def write(self, *pieces: bytes) -> None:
        """Hand octets over to be sent; nothing when the connection is gone (read tells)."""
        if self._lost is not None:
            return
        if len(pieces) == 1:
            self._open_transport().write(pieces[0])
        elif sum(map(len, pieces)) <= JOINED_OCTETS:
            self._open_transport().write(b"".join(pieces))
        else:
            self._open_transport().writelines(pieces)

    def check(self) -> None:
        """Raise ConnectionLost if the connection is known to be gone."""
        if self._lost is not None:
            raise self._lost

    async def drain(self) -> None:
        """Let the server and everybody else have their turn.

        Returns when there is room for the next block, or as soon as the server says something
        (it may refuse in the middle).  Raises ConnectionLost.
        """
        await asyncio.sleep(0)  # a fast peer never fills the buffer: others want to run, too
        while self._paused and not self._arrived and self._lost is None:
            await self._something()
        self.check()

    async def start_tls(
        self, context: ssl.SSLContext, server_name: str, seconds: float
    ) -> tuple[str, str]:
        """Make TLS with the one who can prove to be server_name; returns version and cipher.

        More is in facts then.  A trailing dot or a zone ("fe80::1%eth0") is in no certificate.
        Raises TlsFailed, also when octets arrived in the clear that nobody took: there is no
        await between that look and the handing over of the socket.
        """
        if self._lost is not None:
            raise TlsFailed(f"before the TLS handshake {self._lost}")
        if self._arrived:
            raise TlsFailed("octets arrived in the clear, before the TLS handshake")
        transport = self._open_transport()
        try:
            async with asyncio.timeout(seconds):
                secured = await self._loop.start_tls(
                    transport,
                    self,
                    context,
                    server_hostname=ascii_name(server_name.partition("%")[0].rstrip(".")),
                    ssl_handshake_timeout=seconds + LINGER_S,  # ours is the one that tells
                    ssl_shutdown_timeout=LINGER_S,
                )
        except BaseException as error:
            self._end(ConnectionLost("the TLS handshake failed"))
            transport.abort()
            if isinstance(error, OSError | ConnectionLost):
                raise TlsFailed(tls_reason(error, server_name, seconds)) from error
            raise
        if secured is None or self._lost is not None:
            raise TlsFailed("the connection ended in the TLS handshake")
        self._transport = secured
        secured.set_write_buffer_limits(high=WRITE_AHEAD_OCTETS)
        self.facts = tls_facts(secured.get_extra_info("ssl_object"))
        return self.facts.version, self.facts.cipher

    def close(self) -> None:
        """Close behind what was written, waiting for nobody; a deaf server is cut off."""
        if self._transport is None or self._lost is not None:
            return
        self._end(ConnectionLost("closed by us"))
        transport = self._transport
        transport.close()
        self._loop.call_later(LINGER_S, transport.abort)

    def abort(self) -> None:
        """Cut the connection at once.  May be called twice."""
        self._end(ConnectionLost("cut by us"))
        if self._transport is not None:
            self._transport.abort()

    def _end(self, why: ConnectionLost) -> None:
        if self._lost is None:
            self._lost = why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake()

    def _open_transport(self) -> asyncio.Transport:
        assert self._transport is not None, "the wire was never connected"
        return self._transport

    def _something(self) -> asyncio.Future[None]:
        """Done when octets arrive, the buffer has room again, or the connection ends."""
        self._waiter = self._loop.create_future()
        return self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the event loop calls:

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=WRITE_AHEAD_OCTETS)

    def data_received(self, octets: bytes) -> None:
        self._arrived.append(octets)
        self._arrived_octets += len(octets)
        if self._arrived_octets > MAX_UNREAD_OCTETS:
            self.abort()
        self._wake()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def eof_received(self) -> None:
        # Half a connection is of no use to us: there will be no reply.  The loop closes it.
        self._end(ConnectionLost("the server closed the connection"))

    def connection_lost(self, error: Exception | None) -> None:
        why = (
            f"the connection broke: {reason(error)}"
            if error
            else "the server closed the connection"
        )
        self._end(ConnectionLost(why))
