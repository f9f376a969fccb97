"""What every test of the whole daemon starts from: a sink in the test, a folder for the rest."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config import Endpoint
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


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than tmp_path."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    folder = Path(tempfile.mkdtemp(prefix="asyncnet-test-", dir=other))
    yield folder
    shutil.rmtree(folder)
