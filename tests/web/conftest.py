"""Listeners run twice, on uvloop and on asyncio's own loop; the operators' site over a store."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from asyncnet.mailqueue.sqlite import SqliteStore
from tests.web.operating import Operated, operated_store
from tests.web.serving import LOOPS, Serve, Served, run_listener


@pytest.fixture(scope="module", params=list(LOOPS))
def loop_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def served(loop_name: str) -> Iterator[Served]:
    """One listener for all tests of a module, with the settings of an untouched file."""
    with run_listener(loop_name) as running:
        yield running


@pytest.fixture
def serve(loop_name: str) -> Serve:
    """Starts a listener with other settings: `with serve(head_timeout="200ms") as served`."""

    def start(**keywords: Any) -> contextlib.AbstractContextManager[Served]:
        return run_listener(loop_name, **keywords)

    return start


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    async with operated_store(tmp_path) as store:
        yield store


@pytest.fixture
def operated(store: SqliteStore, tmp_path: Path) -> Operated:
    return Operated(store, tmp_path)
