"""Sockets passed by systemd, and what it is told, with the real daemon as its child."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from asyncnet.cli.activation import UnusableSocket, notify, take_sockets
from asyncnet.config.sections import HttpSettings
from asyncnet.config.values import Endpoint
from asyncnet.web.listener import HttpListener
from tests.support.daemon import START_S, DaemonProcess, config_text, start
from tests.web.serving import LOOPS

# What systemd does between fork and exec: the descriptors in a row from 3 on, and the variables.
PASSING = """
import fcntl, os, sys
names, descriptors = sys.argv[1], [int(it) for it in sys.argv[2].split(",")]
aside = [fcntl.fcntl(it, fcntl.F_DUPFD, 100) for it in descriptors]
for place, it in enumerate(aside, 3):
    os.dup2(it, place)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(aside)), LISTEN_FDNAMES=names)
os.execv(sys.executable, [sys.executable, "-m", "asyncnet", *sys.argv[3:]])
"""


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listening(cleanup: ExitStack) -> socket.socket:
    return cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))


async def start_with(
    folder: Path, sockets: dict[str, socket.socket], *, only: str = ""
) -> DaemonProcess:
    descriptors = [it.fileno() for it in sockets.values()]
    words = ["serve", *(["--only", only] if only else [])]
    text = config_text(folder, 1)
    argv = ("-c", PASSING, ":".join(sockets), ",".join(map(str, descriptors)), *words)
    return await start(folder, text, argv=argv, pass_fds=descriptors)


async def ask(client: socket.socket) -> bytes:
    """What comes back on a connection whose request was sent, until its end."""
    reader, writer = await asyncio.open_connection(sock=client)
    try:
        async with asyncio.timeout(START_S):
            return await reader.read()
    finally:
        writer.close()


def request(path: str, place: socket.socket) -> socket.socket:
    client = socket.create_connection(place.getsockname())
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return client


async def test_who_asks_before_the_daemon_is_up_is_answered_after(
    tmp_path: Path, cleanup: ExitStack
) -> None:
    pages, ops = listening(cleanup), listening(cleanup)
    early = [request("/", pages), request("/healthz/live", ops)]
    daemon = await start_with(tmp_path, {"http": pages, "ops": ops})
    assert await daemon.wait_ready(), daemon.errors
    home, live = [await ask(client) for client in early]
    assert home.startswith(b"HTTP/1.1 200 OK")
    assert b'"live": true' in live
    port = pages.getsockname()[1]
    assert daemon.ready["pages"] == [f"http://127.0.0.1:{port}"]  # and none of [http] listen
    metrics = await ask(request("/metrics", ops))
    assert b'asyncnet_http_requests_total{status="200"} 1.0' in metrics
    assert await daemon.terminate() == 0
    # systemd has the sockets still: the next start answers who comes meanwhile.
    waiting = request("/page2", pages)
    again = await start_with(tmp_path, {"http": pages})
    assert await again.wait_ready(), again.errors
    assert (await ask(waiting)).startswith(b"HTTP/1.1 200 OK")
    assert await again.terminate() == 0


async def test_no_child_takes_them_for_its_own(tmp_path: Path, cleanup: ExitStack) -> None:
    pages = listening(cleanup)
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0", "LISTEN_FDNAMES": ""}
    assert take_sockets(environment) == {}
    assert environment == {}
    daemon = await start_with(tmp_path, {"http": pages})
    assert await daemon.wait_ready(), daemon.errors
    told = Path(f"/proc/{daemon.process.pid}/fdinfo/3").read_text()
    (flags,) = [line.split()[1] for line in told.splitlines() if line.startswith("flags")]
    assert int(flags, 8) & os.O_CLOEXEC
    assert await daemon.terminate() == 0


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("listening", "web", "'web', is for nothing here; the socket unit needs FileDescr"),
        ("file", "http", "'http', is no socket: "),
        ("connected", "http", "'http', is no listening TCP socket"),
        ("datagram", "ops", "'ops', is no listening TCP socket"),
        ("local", "http", "'http', is no listening TCP socket; write ListenStream="),
    ],
)
async def test_what_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, cleanup: ExitStack, kind: str, name: str, told: str
) -> None:
    kinds: dict[str, Callable[[], Any]] = {
        "listening": lambda: listening(cleanup),
        "file": lambda: cleanup.enter_context((tmp_path / "file").open("w")),
        "connected": lambda: cleanup.enter_context(
            socket.create_connection(listening(cleanup).getsockname())
        ),
        "datagram": lambda: cleanup.enter_context(socket.socket(type=socket.SOCK_DGRAM)),
        "local": lambda: cleanup.enter_context(socket.socket(socket.AF_UNIX)),
    }
    daemon = await start_with(tmp_path, {name: kinds[kind]()})
    assert await daemon.wait() == 78
    (line,) = daemon.errors
    assert line.startswith("asyncnet: descriptor 3, passed as ")
    assert told in line


async def test_a_socket_for_pages_is_refused_by_a_part_without_pages(
    tmp_path: Path, cleanup: ExitStack
) -> None:
    daemon = await start_with(tmp_path, {"http": listening(cleanup)}, only="intake")
    assert await daemon.wait() == 78
    assert daemon.errors == [
        "asyncnet: a socket for the pages was passed, and this part has no pages"
    ]


def test_sockets_for_another_process_are_none_of_ours() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "HOME": "/"}
    assert take_sockets(environment) == {}
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize("number", ["", "-1", "x", "9999", "٣"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    with pytest.raises(UnusableSocket, match="LISTEN_FDS is no number"):
        take_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": number})


@pytest.mark.parametrize("abstract", [False, True])
async def test_systemd_is_told_when_it_is_ready_and_when_it_stops(
    tmp_path: Path, cleanup: ExitStack, abstract: bool
) -> None:
    notifier = cleanup.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    notifier.setblocking(False)
    name = f"@asyncnet-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    notifier.bind(name.replace("@", "\0"))
    loop = asyncio.get_running_loop()
    daemon = await start(tmp_path, config_text(tmp_path, 1), environment={"NOTIFY_SOCKET": name})
    async with asyncio.timeout(2 * START_S):
        assert await daemon.wait_ready(), daemon.errors
        assert await loop.sock_recv(notifier, 100) == b"READY=1"
        daemon.process.send_signal(signal.SIGTERM)
        assert await loop.sock_recv(notifier, 100) == b"STOPPING=1"
    assert await daemon.wait() == 0


@pytest.mark.parametrize("loop_name", LOOPS)
def test_a_passed_socket_is_served_and_closed_on_every_loop(
    cleanup: ExitStack, loop_name: str
) -> None:
    passed = listening(cleanup)
    ours = passed.dup()

    async def serve() -> bytes:
        settings = HttpSettings(listen=(Endpoint("192.0.2.1", 1),))  # not looked at
        listener = HttpListener(settings, sockets=[ours])
        await listener.start()
        (endpoint,) = listener.endpoints
        assert (endpoint.host, endpoint.port) == passed.getsockname()
        answer = await ask(request("/page2", passed))
        await listener.stop(0.0)
        return answer

    with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
        assert runner.run(serve()).startswith(b"HTTP/1.1 200 OK")
    assert ours.fileno() == -1


@pytest.mark.parametrize("address", ["", "relative", "/nobody/listens", "vsock:2:1"])
def test_nobody_to_tell_is_no_trouble(address: str) -> None:
    notify("READY=1", {"NOTIFY_SOCKET": address})
    notify("READY=1", {})
