"""Where the peers deliver to: a small LMTP server of our own (RFC 2033).

It keeps each delivery whole, with its reverse-path and recipients, so that a test can say not
only that a message came, but under whose name and for whom.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.support.peers.loopback import LoopbackServer

PATIENCE_S = 30.0  # a busy machine, 25 MB through a queue on disk

_CAPABILITIES = b"250-inbox.example.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
_END = b"\r\n.\r\n"


@dataclass(frozen=True, slots=True)
class Arrival:
    """One LMTP transaction: the peer may bring one message in several of them."""

    reverse_path: str
    recipients: tuple[str, ...]
    content: bytes  # with the fields that the peer put before it, dots unstuffed
    parameters: str  # what followed the reverse-path in MAIL


class Inbox(LoopbackServer):
    """`async with Inbox() as inbox`: listens on 127.0.0.1, inbox.port."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals: list[Arrival] = []
        self._came = asyncio.Event()

    @property
    def deliveries(self) -> Counter[tuple[str, str]]:
        """How often something came under this reverse-path for this recipient."""
        return Counter(
            (arrival.reverse_path, recipient)
            for arrival in self.arrivals
            for recipient in arrival.recipients
        )

    async def wait_for(self, deliveries: int, timeout_s: float = PATIENCE_S) -> list[Arrival]:
        """All arrivals, once they are for so many recipients in all.

        Raises AssertionError after timeout_s, with what has come until then.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self.deliveries.total() < deliveries:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            came = f"{self.deliveries.total()} of {deliveries} deliveries came"
            raise AssertionError(f"{came} within {timeout_s} s") from None
        return self.arrivals

    def keep(self, arrival: Arrival) -> None:
        self.arrivals.append(arrival)
        self._came.set()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Talk(self.keep, reader, writer).run()


class _Talk:
    """One connection of a peer."""

    def __init__(
        self,
        keep: Callable[[Arrival], None],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._keep = keep
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._reverse_path = self._parameters = ""
        self._recipients: list[str] = []

    async def run(self) -> None:
        self._writer.write(b"220 inbox.example.test LMTP\r\n")
        while (verb := await self._command()) != "QUIT":
            if verb == "LHLO":
                self._writer.write(_CAPABILITIES)
            elif verb == "DATA" and self._recipients:
                await self._receive()
            else:
                self._writer.write(b"250 2.0.0 ok\r\n")
        self._writer.write(b"221 2.0.0 bye\r\n")

    async def _command(self) -> str:
        line = (await self._until(b"\r\n")).decode("utf-8", "surrogateescape")
        verb, _, rest = line.partition(" ")
        if verb in ("MAIL", "RSET"):
            self._recipients = []
        if verb in ("MAIL", "RCPT"):
            path, _, parameters = rest.partition(":<")[2].partition(">")
            if verb == "RCPT":
                self._recipients.append(path)
            else:
                self._reverse_path, self._parameters = path, parameters.strip()
        return verb

    async def _receive(self) -> None:
        self._writer.write(b"354 go on\r\n")
        self._buffer[:0] = b"\r\n"  # so that an empty content has an end to be found, too
        content = await self._until(_END)
        content = content[2:].replace(b"\r\n..", b"\r\n.") + b"\r\n"
        if content.startswith(b".."):
            content = content[1:]
        self._keep(Arrival(self._reverse_path, tuple(self._recipients), content, self._parameters))
        self._writer.write(b"250 2.0.0 kept\r\n" * len(self._recipients))
        self._recipients = []

    async def _until(self, end: bytes) -> bytes:
        """The octets before end; what comes after it stays.  Raises IncompleteReadError."""
        looked = 0
        while (at := self._buffer.find(end, looked)) < 0:
            looked = max(0, len(self._buffer) - len(end))
            octets = await self._reader.read(1 << 18)
            if not octets:
                raise asyncio.IncompleteReadError(b"", None)
            self._buffer += octets
        found = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return found
