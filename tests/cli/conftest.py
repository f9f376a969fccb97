"""Sinks for the commands to send to."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink


@pytest.fixture
async def sinks(tmp_path: Path) -> AsyncIterator[Any]:
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> Sink:
            sink = Sink((Endpoint("127.0.0.1", 0),), tmp_path / "maildir", **options)
            await sink.start()
            stack.push_async_callback(sink.stop)
            return sink

        yield make
