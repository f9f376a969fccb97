"""The wire by itself: addresses, deadlines, flow, and the border to TLS."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncnet.delivery.wire import (
    MAX_UNREAD_OCTETS,
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    Deadlines,
    LookupFailed,
    TlsFailed,
    Wire,
    ascii_name,
    look_up,
    tls_context,
)
from asyncnet.mail.verdict import Phase
from tests.support.certificates import NAME, certificates

Run = Callable[[Coroutine[Any, Any, None]], None]
Notes = list[tuple[str, str]]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Peer:
    """The other end, as bare as ours."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer


class Peers:
    """A server, and those who connected to it, as bare as our own end."""

    def __init__(self) -> None:
        self.port = 0
        self._accepted: asyncio.Queue[Peer] = asyncio.Queue()
        self._open: list[Peer] = []

    async def next(self) -> Peer:
        return await self._accepted.get()

    @asynccontextmanager
    async def listen(self) -> AsyncIterator["Peers"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for peer in self._open:
                peer.writer.transport.abort()
            await server.wait_closed()
            await asyncio.sleep(0)  # what was aborted is closed in the next turn

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self._open.append(peer)
        self._accepted.put_nowait(peer)


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Wire, Peer]]:
    async with Peers().listen() as peers:
        wire = await Wire.connect("127.0.0.1", peers.port, Deadlines(), lambda *_: None)
        try:
            yield wire, await peers.next()
        finally:
            wire.abort()


def unused_port() -> int:
    """A port where nobody listens (for as long as nobody takes it)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_an_address_is_looked_up_without_asking_anybody(run: Run) -> None:
    async def scenario() -> None:
        assert await look_up("127.0.0.1", 25, 1) == [(socket.AF_INET, ("127.0.0.1", 25))]
        assert await look_up("::1", 25, 1) == [(socket.AF_INET6, ("::1", 25, 0, 0))]

    run(scenario())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 300, "\u2e2e.test"])
def test_a_name_without_address_is_told(host: str, run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(LookupFailed):
            await look_up(host, 25, 30)

    run(scenario())


def test_a_name_server_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    async def scenario() -> None:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", never)
        with pytest.raises(LookupFailed, match=r"within 0\.05 s"):
            await look_up("slow.example.test", 25, 0.05)

    asyncio.run(scenario())  # uvloop's methods cannot be replaced; ours does not care whose it is


def test_names_in_other_letters_are_asked_for_in_ascii() -> None:
    assert ascii_name("bücher.example") == "xn--bcher-kva.example"
    assert ascii_name("mx.example.test") == "mx.example.test"


def test_addresses_are_tried_in_turn(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with Peers().listen() as peers:

            async def two(host: str, port: int, seconds: float) -> list[tuple[int, Any]]:
                return [
                    (socket.AF_INET, ("127.0.0.1", unused_port())),
                    (socket.AF_INET, ("127.0.0.1", port)),
                ]

            monkeypatch.setattr("asyncnet.delivery.wire.look_up", two)
            notes: Notes = []
            wire = await Wire.connect(
                "mx.example.test", peers.port, Deadlines(), lambda *note: notes.append(note)
            )
            await peers.next()
            assert wire.alive
            assert wire.peer == ("127.0.0.1", peers.port)
            wire.abort()
        assert [text.split(" ")[0] for text, _ in notes] == ["mx.example.test", "SYN", "SYN"]
        assert "Connection refused" in notes[1][0]
        assert "SYN-ACK back, ACK sent" in notes[2][0]
        assert {rule for _, rule in notes[1:]} == {"RFC 9293 section 3.5"}

    run(scenario())


def test_nobody_there_is_told_with_each_address(run: Run) -> None:
    async def scenario() -> None:
        with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1: Connection refused"):
            await Wire.connect("127.0.0.1", unused_port(), Deadlines(), lambda *_: None)

    run(scenario())


def test_a_handshake_that_never_ends_is_cut(run: Run) -> None:
    """A full accept queue leaves the SYN without answer."""

    async def scenario() -> None:
        with ExitStack() as open_sockets:
            listener = open_sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            for _ in range(4):
                other = open_sockets.enter_context(socket.socket())
                other.setblocking(False)
                other.connect_ex(listener.getsockname())
            port = listener.getsockname()[1]
            with pytest.raises(ConnectFailed, match="no answer in time"):
                await Wire.connect("127.0.0.1", port, Deadlines(connect_s=0.05), lambda *_: None)

    run(scenario())


def test_what_came_before_the_end_is_given_out_first(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            peer.writer.write(b"last words")
            peer.writer.close()
            await peer.writer.wait_closed()
            while wire.alive:
                await wire._something()
            assert wire.pending
            assert await wire.read() == b"last words"
            with pytest.raises(ConnectionLost, match="closed"):
                await wire.read()

    run(scenario())


def test_a_deadline_is_for_the_whole_stage_and_not_for_each_octet(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            wire.expect(0.1, "whole reply")
            reads = 0

            async def read_on() -> None:
                nonlocal reads
                while True:
                    peer.writer.write(b"2")
                    await wire.read()
                    reads += 1

            with pytest.raises(DeadlinePassed, match=r"no whole reply within 0\.1 s"):
                await read_on()
            assert reads > 1
            assert not wire.alive

    run(scenario())


def test_a_deadline_that_was_met_is_forgotten(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            wire.expect(0.02, "first")
            wire.expect(30, "second")
            wire.expect(0.05, "third")
            wire.expect(None)
            await asyncio.wait({asyncio.create_task(wire.read())}, timeout=0.1)
            assert wire.alive
            wire.expect(0.01, "fourth")
            with pytest.raises(DeadlinePassed, match="fourth"):
                await wire.read()
            del peer

    run(scenario())


def test_drain_waits_until_the_peer_reads(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            written = 0
            draining: asyncio.Task[None]
            while True:
                wire.write(b"x" * 65536)
                written += 65536
                draining = asyncio.create_task(wire.drain())
                for _ in range(5):
                    await asyncio.sleep(0)
                if not draining.done():
                    break
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            read = 0
            while read < written - 65536:
                read += len(await peer.reader.read(65536))
            await asyncio.wait_for(draining, 5)

    run(scenario())


def test_a_flood_that_nobody_reads_ends_the_connection(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            for _ in range(200):
                peer.writer.write(b"x" * 65536)
            async with asyncio.timeout(5):
                while wire.alive:
                    await wire._something()
            assert len(wire.take()) <= MAX_UNREAD_OCTETS + 256 * 1024

    run(scenario())


def test_octets_before_the_handshake_are_an_attack(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            peer.writer.write(b"250 injected\r\n")
            while not wire.pending:
                await wire._something()
            with pytest.raises(TlsFailed, match="before the TLS handshake"):
                await wire.start_tls(tls_context(None, verify=True), NAME, 5)

    run(scenario())


def test_injected_octets_that_the_kernel_still_holds_spoil_the_handshake(run: Run) -> None:
    async def scenario() -> None:
        async with connected() as (wire, peer):
            peer.writer.write(b"250 injected\r\n")
            with pytest.raises(TlsFailed):
                await wire.start_tls(tls_context(None, verify=True), NAME, 5)
            assert not wire.alive

    run(scenario())


def test_tls_that_is_closed_without_saying_so_is_an_end_like_any(run: Run, tmp_path: Path) -> None:
    ca_file = certificates().write_authority(tmp_path)

    async def scenario() -> None:
        async with connected() as (wire, peer):
            shaking = asyncio.create_task(
                wire.start_tls(tls_context(ca_file, verify=True), NAME, 5)
            )
            await peer.writer.start_tls(certificates().good())
            version, cipher = await shaking
            assert (version, cipher[:4]) == ("TLSv1.3", "TLS_")
            peer.writer.write(b"250 ok\r\n")
            assert await wire.read() == b"250 ok\r\n"
            peer.writer.transport.abort()  # no close_notify
            with pytest.raises(ConnectionLost):
                await wire.read()

    run(scenario())


def test_every_stage_of_the_talk_has_its_seconds() -> None:
    deadlines = Deadlines(dot_s=7)
    for phase in set(Phase) - {Phase.DNS, Phase.CONNECT}:
        assert deadlines.of(phase) > 0
    assert deadlines.of(Phase.DOT) == 7


def test_a_changed_ca_file_is_read_anew(tmp_path: Path) -> None:
    ca_file = certificates().write_authority(tmp_path)
    first = tls_context(ca_file, verify=True)
    assert tls_context(ca_file, verify=True) is first
    os.utime(ca_file, (1, 1))
    assert tls_context(ca_file, verify=True) is not first
