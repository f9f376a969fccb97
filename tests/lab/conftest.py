"""A throw-away certificate authority, and sinks that stop when their test ends."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink

StartSink = Callable[..., Awaitable[Sink]]


@dataclass(frozen=True)
class Tls:
    """Both sides of a TLS connection to localhost, and the authority in a file."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    ca_file: str


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    ca_file = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return Tls(server, ssl.create_default_context(cafile=str(ca_file)), str(ca_file))


@pytest.fixture
async def start_sink(tmp_path: Path) -> AsyncIterator[StartSink]:
    """Call it with the options of Sink; it listens on a free port of 127.0.0.1."""
    sinks: list[Sink] = []

    async def start(**options: Any) -> Sink:
        sink = Sink([Endpoint("127.0.0.1", 0)], tmp_path / "sink", **options)
        sinks.append(sink)
        await sink.start()
        return sink

    yield start
    for sink in sinks:
        await sink.stop()
