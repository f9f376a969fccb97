"""From a name to a socket: lookup, addresses in turns, and the race between them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, ClassVar

import pytest
import uvloop

from asyncnet.delivery import handshake
from asyncnet.delivery.errors import ConnectFailed, LookupFailed
from asyncnet.delivery.handshake import Address, ascii_name, connect, in_turns, look_up
from asyncnet.delivery.wire import Deadlines, Wire
from tests.support.ports import refusing_port

Run = Callable[[Coroutine[Any, Any, None]], None]
V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


class Notes:
    """What the trace would show, without the rules."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.rules: set[str] = set()

    def __call__(self, text: str, rule: str) -> None:
        self.texts.append(text)
        self.rules.add(rule)

    def having(self, words: str) -> list[str]:
        return [text for text in self.texts if words in text]


@asynccontextmanager
async def listening(host: str = "127.0.0.1") -> AsyncIterator[Address]:
    """An address that takes connections."""
    taken: list[asyncio.StreamWriter] = []

    server = await asyncio.start_server(lambda _, writer: taken.append(writer), host, 0)
    try:
        yield server.sockets[0].getsockname()
    finally:
        server.close()
        for writer in taken:
            writer.transport.abort()
        await server.wait_closed()
        await asyncio.sleep(0)  # what was aborted is closed in the next turn


@pytest.fixture
def refusing() -> Iterator[Callable[[str], int]]:
    """Gives ports of a host where connections are refused, for as long as the test lasts."""
    with ExitStack() as held:
        yield lambda host: held.enter_context(refusing_port(host))


def deaf(open_sockets: ExitStack) -> Address:
    """An address whose full accept queue leaves a SYN without answer."""
    listener = open_sockets.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    for _ in range(4):
        other = open_sockets.enter_context(socket.socket())
        other.setblocking(False)
        other.connect_ex(listener.getsockname())
    address: Address = listener.getsockname()
    return address


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets every name have these addresses."""

    def to(*places: tuple[int, Address]) -> None:
        async def known(host: str, port: int, seconds: float) -> list[tuple[int, Address]]:
            return list(places)

        monkeypatch.setattr(handshake, "look_up", known)

    return to


async def connected(notes: Notes, *, connect_s: float = 5.0) -> Address:
    connection, address = await connect(
        "mx.example.test", 25, notes, lookup_s=5, connect_s=connect_s
    )
    connection.close()
    return address


class Made(socket.socket):
    """A socket that is remembered, if it was made to connect."""

    all: ClassVar[list[socket.socket]] = []
    begun: ClassVar[asyncio.Event]

    def __init__(self, family: int = -1, kind: int = -1, proto: int = -1, fileno: Any = None):
        super().__init__(family, kind, proto, fileno)
        if fileno is None:
            self.all.append(self)
            self.begun.set()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The sockets made from now on."""
    monkeypatch.setattr(Made, "all", [])
    monkeypatch.setattr(Made, "begun", asyncio.Event(), raising=False)
    monkeypatch.setattr(socket, "socket", Made)
    return Made.all


def still_open(made: list[socket.socket]) -> int:
    return sum(connection.fileno() >= 0 for connection in made)


def test_an_address_is_looked_up_without_asking_anybody(run: Run) -> None:
    async def scenario() -> None:
        assert await look_up("127.0.0.1", 25, 1) == [(V4, ("127.0.0.1", 25))]
        assert await look_up("::1", 25, 1) == [(V6, ("::1", 25, 0, 0))]

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


@pytest.mark.parametrize(
    ("places", "turns"),
    [
        ("6a 6b 6c 4a 4b", "6a 4a 6b 4b 6c"),
        ("4a 4b 6a", "4a 6a 4b"),
        ("4a 4a 6a 4a", "4a 6a"),
        ("6a", "6a"),
        ("", ""),
    ],
)
def test_families_take_turns(places: str, turns: str) -> None:
    def read(text: str) -> list[tuple[int, Address]]:
        return [(int(word[0]), (word, 25)) for word in text.split()]

    assert in_turns(read(places)) == read(turns)


def test_a_refusal_leads_to_the_next_address_at_once(
    run: Run, resolves: Callable[..., None], refusing: Callable[[str], int]
) -> None:
    async def scenario() -> None:
        notes = Notes()
        async with listening() as address:
            dead = [(V4, ("127.0.0.1", refusing("127.0.0.1"))) for _ in range(6)]
            resolves(*dead, (V4, address))
            async with asyncio.timeout(handshake.HEAD_START_S * len(dead)):
                assert await connected(notes) == address
        assert notes.texts[0].startswith("mx.example.test is 127.0.0.1, 127.0.0.1")
        assert len(notes.having("Connection refused")) == 6
        assert len(notes.having("SYN-ACK back, ACK sent")) == 1
        assert notes.rules == {"RFC 1034 section 5", "RFC 9293 section 3.5"}

    run(scenario())


def test_silence_costs_a_head_start_and_not_the_deadline(
    run: Run, resolves: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    async def scenario() -> None:
        notes = Notes()
        with ExitStack() as open_sockets:
            silent = deaf(open_sockets)
            async with listening() as address:
                resolves((V4, silent), (V4, address))
                made = request.getfixturevalue("made")
                async with asyncio.timeout(10):
                    assert await connected(notes, connect_s=60) == address
                assert (len(made), still_open(made)) == (2, 0)
        assert len(notes.having("given up")) == 1

    run(scenario())


def test_both_families_are_tried(
    run: Run, resolves: Callable[..., None], refusing: Callable[[str], int]
) -> None:
    async def scenario() -> None:
        async with listening("::1") as address:
            resolves((V4, ("127.0.0.1", refusing("127.0.0.1"))), (V6, address))
            assert await connected(Notes()) == address
        async with listening("127.0.0.1") as address:
            resolves((V6, ("::1", refusing("::1"), 0, 0)), (V4, address))
            assert await connected(Notes()) == address

    run(scenario())


def test_an_ipv6_literal_is_a_host(run: Run) -> None:
    async def scenario() -> None:
        async with listening("::1") as address:
            wire = await Wire.connect("::1", address[1], Deadlines(), lambda *_: None)
            assert wire.peer[:2] == ("::1", address[1])
            assert wire.peer_is_loopback
            wire.abort()

    run(scenario())


def test_of_two_that_come_through_at_once_one_is_closed(
    run: Run,
    resolves: Callable[..., None],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(handshake, "HEAD_START_S", 0.0)
        async with listening() as first, listening() as second:
            resolves((V4, first), (V4, second))
            made = request.getfixturevalue("made")
            for _ in range(50):
                connection, address = await connect(
                    "mx.example.test", 25, Notes(), lookup_s=5, connect_s=5
                )
                assert connection.getpeername() == address
                assert [it for it in made if it.fileno() >= 0] == [connection]
                connection.close()
            assert len(made) > 50

    run(scenario())


def test_nobody_there_is_told_with_each_address(
    run: Run, resolves: Callable[..., None], refusing: Callable[[str], int]
) -> None:
    async def scenario() -> None:
        resolves((V4, ("127.0.0.1", refusing("127.0.0.1"))), (V6, ("::1", refusing("::1"), 0, 0)))
        with pytest.raises(ConnectFailed) as caught:
            await connected(Notes())
        assert str(caught.value) == (
            "no connection to mx.example.test port 25 "
            "(127.0.0.1: Connection refused; ::1: Connection refused)"
        )

    run(scenario())


def test_a_handshake_that_never_ends_is_cut(run: Run, resolves: Callable[..., None]) -> None:
    async def scenario() -> None:
        with ExitStack() as open_sockets:
            resolves((V4, deaf(open_sockets)))
            with pytest.raises(ConnectFailed, match="no answer in time"):
                await connected(Notes(), connect_s=0.05)

    run(scenario())


def test_who_is_cancelled_leaves_nothing_open(
    run: Run, resolves: Callable[..., None], request: pytest.FixtureRequest
) -> None:
    async def scenario() -> None:
        with ExitStack() as open_sockets:
            resolves(*[(V4, deaf(open_sockets)) for _ in range(3)])
            made = request.getfixturevalue("made")
            task = asyncio.create_task(connected(Notes()))
            while len(made) < 2:
                await Made.begun.wait()
                Made.begun.clear()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert still_open(made) == 0

    run(scenario())
