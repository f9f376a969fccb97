"""A small SMTP server on loopback that can be told to do one thing wrong.

It is a script: what is said to each verb, and misdeeds in place of words.  Everything that was
received is kept, so that a test can say what the client may have sent and what never.
"""

import asyncio
import base64
import socket
import ssl
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(frozen=True, slots=True)
class Say:
    """These octets in place of the answer; then the server goes on as if all were well."""

    octets: bytes


@dataclass(frozen=True, slots=True)
class HangUp:
    """Say these octets, perhaps none, and close the connection."""

    octets: bytes = b""


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection off with RST."""


@dataclass(frozen=True, slots=True)
class Silence:
    """Never answer this one; stay connected."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Say one octet after the other, for ever: never a whole reply, never a long pause."""

    octet: bytes = b"2"
    pause_s: float = 0.01


@dataclass(frozen=True, slots=True)
class Slow:
    """The usual answer, but only after a while."""

    pause_s: float = 0.02


@dataclass(frozen=True, slots=True)
class StopReading:
    """Say these octets and then read nothing any more."""

    octets: bytes = b""


Deed = Say | HangUp | Reset | Silence | Drip | Slow | StopReading
# A verb ("greeting", "EHLO", "content" for the dot, "response" for a SASL answer, "begun" for
# content that has begun to arrive), and what is done at it the first time, the second time, …;
# the last one repeats.
Script = Mapping[str, Deed | Sequence[Deed | None]]

CAPABILITIES = ("PIPELINING", "SIZE 50000000", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")


@dataclass(slots=True)
class Heard:
    """All that came in, over all connections."""

    lines: list[str] = field(default_factory=list)  # commands; "(TLS)" where TLS began
    contents: list[bytes] = field(default_factory=list)  # as on the wire, without the dot
    octets: bytearray = field(default_factory=bytearray)  # of the last connection's content
    chunks: list[bytes] = field(default_factory=list)  # as read: who pipelines sends groups
    connections: int = 0

    def verbs(self) -> list[str]:
        return [line.split(" ")[0].split(":")[0] for line in self.lines]


class ScriptedServer:
    """`async with ScriptedServer(...) as server`: listens on 127.0.0.1, server.port."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        capabilities: Sequence[str] = CAPABILITIES,
        refuse: Callable[[str], bytes | None] = lambda recipient: None,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        capabilities_in_tls: Sequence[str] | None = None,
        receive_octets: int | None = None,  # how little the kernel takes for a deaf server
    ) -> None:
        self.heard = Heard()
        self.ended = asyncio.Event()  # no connection is open
        self.ended.set()
        self.port = 0
        self._script = dict(script or {})
        self._turns: dict[str, int] = {}
        self._capabilities = capabilities
        self._capabilities_in_tls = capabilities_in_tls
        self._refuse = refuse
        self._tls = tls
        self._implicit = implicit
        self._receive_octets = receive_octets
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "ScriptedServer":
        listener = socket.socket()
        if self._receive_octets is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_octets)
        listener.bind(("127.0.0.1", 0))
        self._server = await asyncio.start_server(
            self._accept, sock=listener, ssl=self._tls if self._implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        if self._talks:
            await asyncio.wait(self._talks)
        await self._server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard.connections += 1
        self.ended.clear()
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._talks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._talks.discard(task)
        if not self._talks:
            self.ended.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _Talk(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client left: its right
        finally:
            writer.transport.abort()

    def deed(self, verb: str) -> Deed | None:
        """What is to be done at this verb, this time."""
        planned = self._script.get(verb)
        if planned is None or isinstance(planned, Deed):
            return planned
        turn = self._turns.get(verb, 0)
        self._turns[verb] = turn + 1
        return planned[min(turn, len(planned) - 1)]


class _Gone(ConnectionError):
    """The script ended the connection."""


class _Talk:
    """One connection's way through the script."""

    def __init__(
        self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._heard = server.heard
        self._reader = reader
        self._writer = writer
        self._buffer = bytearray()
        self._secured = server._implicit
        self._accepted = 0

    async def run(self) -> None:
        await self._do("greeting", b"220 mx.example.test ESMTP\r\n")
        while True:
            line = await self._line()
            self._heard.lines.append(line)
            verb = line.split(" ")[0].upper()
            await getattr(self, f"_on_{verb.lower()}", self._on_other)(line)

    async def _on_ehlo(self, line: str) -> None:
        keywords = list(self._server._capabilities)
        if self._secured and self._server._capabilities_in_tls is not None:
            keywords = list(self._server._capabilities_in_tls)
        if self._server._tls is not None and not self._secured:
            keywords.append("STARTTLS")
        lines = ["mx.example.test", *keywords]
        reply = "".join(f"250-{text}\r\n" for text in lines[:-1]) + f"250 {lines[-1]}\r\n"
        await self._do("EHLO", reply.encode())

    async def _on_helo(self, line: str) -> None:
        await self._do("HELO", b"250 mx.example.test\r\n")

    async def _on_starttls(self, line: str) -> None:
        await self._do("STARTTLS", b"220 2.0.0 go ahead\r\n")
        assert self._server._tls is not None
        await self._writer.start_tls(self._server._tls)
        self._secured = True
        self._heard.lines.append("(TLS)")

    async def _on_auth(self, line: str) -> None:
        words = line.split(" ")
        if words[1] == "LOGIN":
            await self._ask(b"User Name\0")
            await self._ask(b"Password\0")
        elif len(words) < 3:
            await self._ask(b"")
        await self._do("AUTH", b"235 2.7.0 welcome\r\n")

    async def _ask(self, challenge: bytes) -> None:
        await self._do("response", b"334 " + base64.b64encode(challenge) + b"\r\n")
        self._heard.lines.append(await self._line())

    async def _on_mail(self, line: str) -> None:
        self._accepted = 0
        await self._do("MAIL", b"250 2.1.0 sender ok\r\n")

    async def _on_rcpt(self, line: str) -> None:
        refusal = self._server._refuse(line[line.index("<") + 1 : line.index(">")])
        self._accepted += refusal is None
        await self._do("RCPT", refusal or b"250 2.1.5 recipient ok\r\n")

    async def _on_data(self, line: str) -> None:
        nobody = not self._accepted and "DATA" not in self._server._script
        usual = b"554 5.5.1 no valid recipients\r\n" if nobody else b"354 go on\r\n"
        if (await self._do("DATA", usual)).startswith(b"354"):
            await self._read_content()

    async def _read_content(self) -> None:
        content = self._heard.octets
        content.clear()
        content += b"\r\n" + self._buffer
        while (end := content.find(b"\r\n.\r\n")) < 0:
            content += await self._some()
            await self._do("begun", b"")
        self._buffer = content[end + 5 :]
        self._heard.contents.append(bytes(content[2 : end + 2]))
        self._heard.lines.append(".")
        await self._do("content", b"250 2.0.0 queued as 4F2\r\n")

    async def _on_rset(self, line: str) -> None:
        await self._do("RSET", b"250 2.0.0 flushed\r\n")

    async def _on_quit(self, line: str) -> None:
        await self._do("QUIT", b"221 2.0.0 bye\r\n")
        raise _Gone

    async def _on_other(self, line: str) -> None:
        await self._do("other", b"500 5.5.2 unknown\r\n")

    async def _do(self, verb: str, usual: bytes) -> bytes:
        """Say the usual thing or do the deed; returns what was said, if the talk goes on."""
        match self._server.deed(verb):
            case None:
                self._writer.write(usual)
            case Say(octets):
                self._writer.write(octets)
                return octets
            case HangUp(octets):
                self._writer.write(octets)
                self._writer.close()
                await self._writer.wait_closed()
                raise _Gone
            case Reset():
                connection = self._writer.get_extra_info("socket")
                _linger_zero(connection)
                self._writer.transport.abort()
                raise _Gone
            case Silence():
                while True:
                    await self._some()
            case Drip(octet, pause_s):
                while True:
                    self._writer.write(octet)
                    await self._writer.drain()  # raises when the client has left
                    await asyncio.sleep(pause_s)
            case Slow(pause_s):
                await asyncio.sleep(pause_s)
                self._writer.write(usual)
            case StopReading(octets):
                self._writer.write(octets)
                self._writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
        return usual

    async def _line(self) -> str:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._buffer += await self._some()
        line = self._buffer[:end].decode()
        del self._buffer[: end + 2]
        return line

    async def _some(self) -> bytes:
        octets = await self._reader.read(65536)
        if not octets:
            raise _Gone
        self._heard.chunks.append(octets)
        return octets


def _linger_zero(connection: object) -> None:
    """Make the next close an RST."""
    assert hasattr(connection, "setsockopt")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
