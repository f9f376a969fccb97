"""What a message costs in round trips, writes and octets held: counted, so that no noise enters.

The server is the C sink of the bench, a process of its own: whatever the kernel counts of this
process is the client's.  A row for each wire plan.
"""

import asyncio
import os
import signal
import socket
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from asyncnet.delivery.exchange import Exchange, Target
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import BLOCK_OCTETS, Content, Octets
from tests.bench.sink import NoCompiler, Sink, binary, running_sink

DELAY_MS = 20.0  # what is written within it was sent ahead, waiting for no reply
SMALL = Octets(b"Subject: hello\r\n\r\n" + b"A line of an ordinary mail.\r\n" * 36)
LARGE_OCTETS = 40_000_000
PAUSE_S = 0.2  # of a sink that stops reading
PIPELINING = ("PIPELINING", "SIZE", "8BITMIME")
CHUNKING = (*PIPELINING, "CHUNKING")


@dataclass(frozen=True)
class Row:
    """What messages of one wire plan may take at most, the opening of the talk left out.

    round_trips and writes are those of all the messages.
    """

    plan: str
    extensions: tuple[str, ...]
    messages: int
    round_trips: int
    writes: int
    window: int = 1
    recipients: int = 1


TABLE = [
    # MAIL, RCPT, DATA, content
    Row("serial", ("SIZE",), 5, 20, 20),
    Row("serial, 3 recipients", ("SIZE",), 5, 30, 30, recipients=3),
    # The first envelope alone, then each content with the next envelope
    Row("joined", PIPELINING, 10, 11, 11),
    Row("joined, 50 recipients", PIPELINING, 10, 11, 11, recipients=50),
    Row("chunked", CHUNKING, 10, 10, 10),
    Row("chunked, 50 recipients", CHUNKING, 10, 10, 10, recipients=50),
    # 1, 2, 4, and then 8 at a time
    Row("chunked, window 8", CHUNKING, 31, 6, 6, window=8),
]


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    """The sink; skips, or fails where CI promised a compiler."""
    try:
        binary()
    except NoCompiler as error:
        reason = f"the counters of the client were LEFT OUT: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """On uvloop, as the daemon: asyncio's own loop would write by send(), which nobody counts."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner


def writes() -> int:
    """The write system calls of this process so far."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("syscw:"))


@asynccontextmanager
async def talk(sink: Sink, window: int = 1) -> AsyncIterator[Exchange]:
    exchange = await Exchange.connect(Target("127.0.0.1", sink.port, "none", window=window))
    try:
        yield exchange
    finally:
        await exchange.close()


async def nothing() -> None:
    pass


async def send(exchange: Exchange, row: Row) -> None:
    """Send the row's messages, as many at a time as the talk has room for."""
    names = tuple(f"b{number}@example.org" for number in range(row.recipients))
    numbers = iter(range(row.messages))

    async def one_after_another() -> None:
        for _ in numbers:
            replies = await exchange.transact(Envelope("a@example.org", names), SMALL, nothing)
            assert {it.reply.code if it.reply else None for it in replies} == {250}

    await asyncio.gather(*(one_after_another() for _ in range(exchange.places)))


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.plan)
def test_a_message_takes_no_more_than_its_plan_allows(row: Row, runner: asyncio.Runner) -> None:
    async def scenario(sink: Sink) -> int:
        async with talk(sink, row.window) as exchange:
            before = writes()
            await send(exchange, row)
            return writes() - before

    with running_sink(row.extensions, DELAY_MS) as sink:
        written = runner.run(scenario(sink))
        counts = sink.counts()
    assert counts["messages"] == row.messages
    assert counts["recipients"] == row.messages * row.recipients
    assert counts["illegal_groups"] == 0
    assert counts["unknown_commands"] == counts["out_of_order"] == 0
    assert counts["opening_round_trips"] == 2  # the greeting, EHLO
    assert counts["round_trips"] <= row.round_trips
    assert written <= row.writes


class Stopping:
    """Large content; while its first octets are on their way, the sink reads nothing for a bit."""

    octets = LARGE_OCTETS

    def __init__(self, sink: Sink) -> None:
        self._pid = sink.pid

    def blocks(self) -> Iterator[bytes]:
        os.kill(self._pid, signal.SIGSTOP)
        asyncio.get_running_loop().call_later(PAUSE_S, os.kill, self._pid, signal.SIGCONT)
        for start in range(0, self.octets, BLOCK_OCTETS):
            yield b"\n" * min(BLOCK_OCTETS, self.octets - start)


@pytest.mark.parametrize("extensions", [("SIZE",), PIPELINING, CHUNKING], ids=len)
def test_of_a_large_message_a_few_blocks_are_held(
    extensions: tuple[str, ...], runner: asyncio.Runner
) -> None:
    async def scenario(sink: Sink) -> int:
        content: Content = Stopping(sink)
        async with talk(sink) as exchange:
            tracemalloc.start()
            try:
                replies = await exchange.transact(
                    Envelope("a@example.org", ("b@example.org",)), content, nothing
                )
                peak_octets = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            assert replies[0].reply is not None
            assert replies[0].reply.code == 250
            return peak_octets

    with running_sink(extensions) as sink:
        peak_octets = runner.run(scenario(sink))
        assert sink.counts()["octets"] >= LARGE_OCTETS
    assert peak_octets < 5 * BLOCK_OCTETS


@pytest.mark.parametrize(
    ("extensions", "said"),
    [
        (PIPELINING, b"EHLO a\r\nMAIL FROM:<>\r\n"),
        (PIPELINING, b"EHLO a\r\n|MAIL FROM:<>\r\nRCPT TO:<b@c>\r\nDATA\r\nS: x\r\n\r\n.\r\n"),
        (PIPELINING, b"EHLO a\r\n|NOOP\r\nMAIL FROM:<>\r\n"),
        (("SIZE",), b"EHLO a\r\n|MAIL FROM:<>\r\nRCPT TO:<b@c>\r\n"),
    ],
)
def test_the_sink_would_notice_an_illegal_group(extensions: tuple[str, ...], said: bytes) -> None:
    with (
        running_sink(extensions) as sink,
        socket.create_connection(("127.0.0.1", sink.port)) as client,
    ):
        for group in said.split(b"|"):
            client.recv(4096)
            client.sendall(group)
        client.recv(4096)
        assert sink.counts()["illegal_groups"] == 1
