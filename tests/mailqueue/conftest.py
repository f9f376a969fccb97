"""Every engine for the tests of the contract, and SQLite alone for those of its own ways."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.mailqueue.engines import ENGINES, Engine, SqliteEngine


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """Each engine in turn: every test of the contract runs on every engine."""
    async with AsyncExitStack() as cleanup:
        yield ENGINES[request.param](tmp_path, cleanup)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    async with AsyncExitStack() as cleanup:
        yield SqliteEngine(tmp_path, cleanup)
