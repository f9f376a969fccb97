"""The wire by itself: addresses, deadlines, flow, and the border to TLS."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncnet.delivery.errors import ConnectionLost, DeadlinePassed, TlsFailed
from asyncnet.delivery.tls import tls_context
from asyncnet.delivery.wire import MAX_UNREAD_OCTETS, Deadlines, Wire
from asyncnet.mail.verdict import Phase
from tests.support.certificates import NAME, certificates

Run = Callable[[Coroutine[Any, Any, None]], None]


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
