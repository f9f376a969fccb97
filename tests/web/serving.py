"""A listener in a thread of its own, so that plain blocking sockets can talk to it.

The tests that need one run twice: on uvloop and on asyncio's own loop.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import uvloop

from asyncnet.config.sections import HttpSettings
from asyncnet.config.values import Endpoint
from asyncnet.http1.request import Request
from asyncnet.web.access import AccessEntry
from asyncnet.web.listener import Answer, HttpListener

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}
CLIENT_TIMEOUT_S = 15  # of one socket operation: a server that hangs fails, it does not block
ANY_PORT = Endpoint("127.0.0.1", 0)


@dataclass
class Served:
    """A running listener and what became of it."""

    listener: HttpListener
    loop: asyncio.AbstractEventLoop
    complaints: list[dict[str, Any]] = field(default_factory=list)  # of the loop's handler
    entries: list[AccessEntry] = field(default_factory=list)

    @property
    def address(self) -> tuple[str, int]:
        endpoint = self.listener.endpoints[0]
        return endpoint.host, endpoint.port

    @property
    def total(self) -> int:
        return self.listener.counter.total

    def connect(self) -> socket.socket:
        client = socket.create_connection(self.address, CLIENT_TIMEOUT_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def ask(self, data: bytes) -> bytes:
        """Send data and return all that comes back until the server closes."""
        with self.connect() as client:
            client.sendall(data)
            return read_to_end(client)

    def begin_stop(self, grace_s: float) -> "Future[None]":
        """Have the listener stop; the future is done when it has."""
        return asyncio.run_coroutine_threadsafe(self.listener.stop(grace_s), self.loop)

    def wait_until_idle(self) -> None:
        """Return when every connection open now has ended, at the latest after 15 s."""
        waiting = self.listener.wait_until_idle(CLIENT_TIMEOUT_S)
        asyncio.run_coroutine_threadsafe(waiting, self.loop).result(2 * CLIENT_TIMEOUT_S)


Serve: TypeAlias = Callable[..., contextlib.AbstractContextManager[Served]]


def read_to_end(client: socket.socket) -> bytes:
    """Everything until the end; raises ConnectionResetError where a reset cuts it short."""
    parts = []
    while part := client.recv(65536):
        parts.append(part)
    return b"".join(parts)


def reset(client: socket.socket) -> None:
    """Close with a reset, as a crashed client or a port scanner does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


@contextlib.contextmanager
def run_listener(
    loop_name: str,
    answer: Callable[[Request], Any] | None = None,
    stop_grace_s: float = 0.0,
    **settings: Any,
) -> Iterator[Served]:
    """Serve on a port of the system's choice until the block ends."""
    ready: list[Served] = []
    started, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        chosen: Answer | None = answer
        entries: list[AccessEntry] = []
        listen = {"listen": (ANY_PORT,), **settings}
        listener = HttpListener(HttpSettings.model_validate(listen), chosen, entries.append)
        served = Served(listener, loop, entries=entries)
        loop.set_exception_handler(lambda _, context: served.complaints.append(context))
        await listener.start()
        ready.append(served)
        started.set()
        await loop.run_in_executor(None, ended.wait)
        await listener.stop(stop_grace_s)

    def run() -> None:
        with asyncio.Runner(loop_factory=LOOPS[loop_name]) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run, name=f"listener on {loop_name}")
    thread.start()
    try:
        assert started.wait(CLIENT_TIMEOUT_S)
        yield ready[0]
    finally:
        ended.set()
        thread.join(CLIENT_TIMEOUT_S)
    assert ready[0].complaints == []
