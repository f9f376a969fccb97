"""A large message on its way from the database to a server, when the database hangs or is away."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.cutting_proxy import CuttingProxy
from tests.support.daemon import DaemonProcess, config_text, running
from tests.support.postgres import PostgresServer
from tests.support.smtp_server import ScriptedServer

JOB = "from: ada@example.org\nto: grace@example.com\nattachments: [large.bin]\n"
OCTETS = 20_000_000  # more than what is fetched ahead and what sockets hold
BEGUN_OCTETS = 300_000
HANG_S = 10.0  # a page that is not answered by then waits for the database


class Line:
    """A daemon, its line to the database, and the server that it sends a large message to."""

    def __init__(self, daemon: DaemonProcess, proxy: CuttingProxy, server: ScriptedServer) -> None:
        self.daemon = daemon
        self.proxy = proxy
        self.server = server

    async def begun(self) -> None:
        """Return in the middle of the content."""
        while len(self.server.heard.octets) < BEGUN_OCTETS:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.001)
        assert len(self.server.heard.octets) < OCTETS

    async def page(self) -> bytes:
        async with asyncio.timeout(HANG_S):
            reader, writer = await asyncio.open_connection(*self.daemon.http)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return answer


@pytest.fixture
async def line(postgres_server: PostgresServer, tmp_path: Path) -> AsyncIterator[Line]:
    (tmp_path / "large.bin").write_bytes(os.urandom(OCTETS))
    async with sending(await postgres_server.new_schema(), postgres_server.port, tmp_path) as it:
        yield it


@asynccontextmanager
async def sending(url: str, port: int, folder: Path) -> AsyncIterator[Line]:
    async with CuttingProxy(port).running() as proxy, ScriptedServer() as server:
        queue = f'[queue]\nurl = "{url.replace(str(port), str(proxy.port))}"\n'
        async with running(folder, config_text(folder, server.port, queue)) as daemon:
            daemon.drop("large.yaml", JOB)
            it = Line(daemon, proxy, server)
            async with asyncio.timeout(HANG_S):
                await it.begun()
            yield it


async def test_a_database_that_hangs_in_the_middle_keeps_nobody_else_waiting(line: Line) -> None:
    line.proxy.freeze()
    for _ in range(3):
        assert (await line.page()).startswith(b"HTTP/1.1 200")
    line.proxy.thaw()
    result = await line.daemon.result("large")
    assert (result["status"], result["attempts"]) == ("sent", 1)
    assert line.server.heard.connections == 1  # the server had only to wait


async def test_a_database_that_is_lost_in_the_middle_costs_an_attempt_that_does_not_count(
    line: Line,
) -> None:
    line.proxy.die()
    assert await line.daemon.said("the store cannot be used now")
    assert (await line.page()).startswith(b"HTTP/1.1 200")
    line.proxy.revive()
    result = await line.daemon.result("large", 40.0)
    assert (result["status"], result["attempts"]) == ("sent", 1)
    assert not result["recipients"][0]["possible_duplicate"]
    assert [it.taken for it in line.server.heard.deliveries] == [True]
