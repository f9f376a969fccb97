"""What every test of the whole daemon starts from: a sink in the test, a folder for the rest."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink

FREE_PORT = Endpoint("127.0.0.1", 0)
MakeSink = Callable[..., Any]


@pytest.fixture
async def make_sink(tmp_path: Path) -> AsyncIterator[MakeSink]:
    """Start sinks on free ports; they end with the test."""
    async with AsyncExitStack() as stack:

        async def make(listen: Endpoint = FREE_PORT, **options: Any) -> Sink:
            sink = Sink((listen,), tmp_path / "maildir", **options)
            await sink.start()
            stack.push_async_callback(sink.stop)
            return sink

        yield make
