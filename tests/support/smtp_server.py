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
class Cut:
    """Say these octets and drop the connection; under TLS without close_notify."""

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


@dataclass(frozen=True, slots=True)
class Later:
    """Say these octets, and more of them a moment later."""

    first: bytes
    more: bytes
    pause_s: float = 0.02


@dataclass(frozen=True, slots=True)
class Forget:
    """The usual answer; whatever else came in the same write is thrown away."""


@dataclass(frozen=True, slots=True)
class Retort:
    """An answer made of the line that was heard."""

    answer: Callable[[str], bytes]


Deed = Say | HangUp | Cut | Reset | Silence | Drip | Slow | StopReading | Later | Forget | Retort
# A verb ("greeting", "EHLO", "content" for the dot, "response" for a SASL answer, "begun" for
# content that has begun to arrive), and what is done at it the first time, the second time, …;
# the last one repeats.
Script = Mapping[str, Deed | Sequence[Deed | None]]

CAPABILITIES = ("PIPELINING", "SIZE 50000000", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")


@dataclass(frozen=True, slots=True)
class Delivery:
    """Content that came to its end with somebody to take it.

    taken: we said so; else our answer was none, or nonsense, and nobody can know.
    """

    recipients: tuple[str, ...]
    content: bytes  # as on the wire
    taken: bool


@dataclass(slots=True)
class Heard:
    """All that came in, over all connections."""

    lines: list[str] = field(default_factory=list)  # commands; "(TLS)" where TLS began
    contents: list[bytes] = field(default_factory=list)  # as on the wire, without the dot
    octets: bytearray = field(default_factory=bytearray)  # of the last connection's content
    chunks: list[bytes] = field(default_factory=list)  # as read: who pipelines sends groups
    taken: list[tuple[str, bytes]] = field(default_factory=list)  # reverse-path, content accepted
    connections: int = 0
    clear: bytearray = field(default_factory=bytearray)  # all that came without TLS
    raw_lines: list[bytes] = field(default_factory=list)  # commands, without CRLF
    deliveries: list[Delivery] = field(default_factory=list)
    wasted: bytearray = field(default_factory=bytearray)  # content by DATA that nobody was to get

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
        confused: bool = False,  # a MAIL behind a failed BDAT changes nothing, as seen with Exim
        receive_octets: int | None = None,  # how little the kernel takes for a deaf server
        unknown: Sequence[str] = (),  # verbs that are no commands here, whatever EHLO says
        morsel_octets: int | None = None,  # each answer in pieces of so many octets
        hoards: bool = False,  # all answers to what came together in one write, afterwards
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
        self.confused = confused
        self._tls = tls
        self._implicit = implicit
        self._receive_octets = receive_octets
        self.unknown = frozenset(unknown)
        self.morsel_octets = morsel_octets
        self.hoards = hoards
        self._talks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> "ScriptedServer":
        # asyncio spares us Nagle's delay only where the protocol stands there.
        listener = socket.socket(proto=socket.IPPROTO_TCP)
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
    """The script ended the connection; said is what it said before."""

    def __init__(self, said: bytes = b"") -> None:
        super().__init__()
        self.said = said


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
        self._accepted: list[str] = []
        self._hoard = bytearray()
        self._sender: str | None = None  # of the open transaction

    async def run(self) -> None:
        await self._do("greeting", b"220 mx.example.test ESMTP\r\n")
        while True:
            line = await self._line()
            self._heard.lines.append(line)
            verb = line.split(" ")[0].upper()
            known = None if verb in self._server.unknown else f"_on_{verb.lower()}"
            await getattr(self, known or "_on_other", self._on_other)(line)

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
            questions = [b"User Name\0", b"Password\0"]
        else:
            questions = [b""] if len(words) < 3 else []
        for question in questions:
            usual = b"334 " + base64.b64encode(question) + b"\r\n"
            if not (await self._do("response", usual)).startswith(b"334"):
                return
            self._heard.lines.append(await self._line())
        await self._do("AUTH", b"235 2.7.0 welcome\r\n")

    async def _on_mail(self, line: str) -> None:
        if self._sender is not None and not self._server.confused:
            await self._do("MAIL", b"503 5.5.1 a transaction is open\r\n")
        elif (await self._do("MAIL", b"250 2.1.0 sender ok\r\n")).startswith(b"2"):
            self._sender = self._sender or line[line.index("<") + 1 : line.index(">")]
            self._accepted = []

    async def _on_rcpt(self, line: str) -> None:
        recipient = line[line.index("<") + 1 : line.index(">")]
        usual = self._server._refuse(recipient) or b"250 2.1.5 recipient ok\r\n"
        if self._sender is None and "MAIL" in self._server._script:
            usual = b"503 5.5.1 MAIL first\r\n"
        if (await self._do("RCPT", usual)).startswith(b"2"):
            self._accepted.append(recipient)

    async def _on_data(self, line: str) -> None:
        nobody = not self._accepted and "DATA" not in self._server._script
        usual = b"554 5.5.1 no valid recipients\r\n" if nobody else b"354 go on\r\n"
        if (await self._do("DATA", usual)).startswith(b"354"):
            await self._read_content()

    async def _read_content(self) -> None:
        content = self._heard.octets = bytearray(b"\r\n" + self._buffer)  # each talk its own
        try:
            searched = 0
            while (end := content.find(b"\r\n.\r\n", searched)) < 0:
                searched = max(0, len(content) - 4)
                content += await self._some()
                await self._do("begun", b"")
        finally:
            if not self._accepted:
                self._heard.wasted += content[2:].removesuffix(b".\r\n")
        self._buffer = content[end + 5 :]
        self._heard.contents.append(bytes(content[2 : end + 2]))
        self._heard.lines.append(".")
        await self._judge_content(b"250 2.0.0 queued as 4F2\r\n", "content")
        self._sender, self._accepted = None, []

    async def _on_bdat(self, line: str) -> None:
        octets = int(line.split(" ")[1])
        while len(self._buffer) < octets:
            self._buffer += await self._some()
        self._heard.contents.append(bytes(self._buffer[:octets]))
        del self._buffer[:octets]
        if self._sender is None or not self._accepted:
            await self._do("BDAT", b"503 5.5.1 nobody to take it\r\n")
        elif await self._judge_content(b"250 2.0.0 queued as 4F2\r\n", "BDAT"):
            self._sender, self._accepted = None, []

    async def _judge_content(self, usual: bytes, verb: str) -> bool:
        sender, content = self._sender or "", self._heard.contents[-1]
        said = b""
        try:
            said = await self._do(verb, usual)
        except _Gone as gone:
            said = gone.said
            raise
        finally:
            if said.startswith(b"2"):
                self._heard.taken.append((sender, content))
            if self._accepted and said[:1] not in (b"4", b"5"):
                recipients, taken = tuple(self._accepted), said.startswith(b"2")
                self._heard.deliveries.append(Delivery(recipients, content, taken))
        return said.startswith(b"2")

    async def _on_rset(self, line: str) -> None:
        self._sender, self._accepted = None, []
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
                await self._say(usual)
            case Say(octets):
                await self._say(octets)
                return octets
            case Retort(answer):
                said = answer(self._heard.lines[-1])
                await self._say(said)
                return said
            case Later(first, more, pause_s):
                await self._say(first)
                await asyncio.sleep(pause_s)
                await self._say(more)
                return first + more
            case Forget():
                await self._say(usual)
                self._buffer.clear()
            case Cut(octets):
                await self._say(octets)
                await self._writer.drain()
                self._writer.transport.abort()
                raise _Gone(octets)
            case HangUp(octets):
                await self._say(octets)
                self._flush()
                self._writer.close()
                await self._writer.wait_closed()
                raise _Gone(octets)
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
                await self._say(usual)
            case StopReading(octets):
                await self._say(octets)
                self._writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.Event().wait()
        return usual

    async def _say(self, octets: bytes) -> None:
        if self._server.hoards:
            self._hoard += octets
            return
        step = self._server.morsel_octets or len(octets) or 1
        for start in range(0, len(octets), step):
            if self._writer.transport.is_closing():  # uvloop minds
                raise _Gone
            self._writer.write(octets[start : start + step])
            if step < len(octets):
                await asyncio.sleep(0)

    def _flush(self) -> None:
        if self._hoard:
            self._writer.write(bytes(self._hoard))
            self._hoard.clear()

    async def _line(self) -> str:
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._buffer += await self._some()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 2]
        self._heard.raw_lines.append(line)
        return line.decode()

    async def _some(self) -> bytes:
        self._flush()
        octets = await self._reader.read(65536)
        if not octets:
            raise _Gone
        if not self._secured:
            self._heard.clear += octets
        self._heard.chunks.append(octets)
        return octets


def _linger_zero(connection: object) -> None:
    """Make the next close an RST."""
    assert hasattr(connection, "setsockopt")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
