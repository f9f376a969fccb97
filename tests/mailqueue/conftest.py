"""Every engine for the tests of the contract, and each alone for those of its own ways."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import apsw
import pytest

from tests.mailqueue.engines import ENGINES, Engine, PostgresEngine, SqliteEngine
from tests.support.postgres import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=ENGINES)
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Engine]:
    """Each engine in turn: every test of the contract runs on every engine."""
    async with AsyncExitStack() as cleanup:
        if request.param == "sqlite":
            yield SqliteEngine(tmp_path, cleanup)
        else:
            yield PostgresEngine(request.getfixturevalue("postgres_server"), cleanup)


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    async with AsyncExitStack() as cleanup:
        yield SqliteEngine(tmp_path, cleanup)


@pytest.fixture
async def postgres(postgres_server: PostgresServer) -> AsyncIterator[PostgresEngine]:
    async with AsyncExitStack() as cleanup:
        yield PostgresEngine(postgres_server, cleanup)


@pytest.fixture
def connections() -> Iterator[list[apsw.Connection]]:
    """Every connection that is opened during the test, the writer's first."""
    opened: list[apsw.Connection] = []
    apsw.connection_hooks.append(opened.append)
    yield opened
    apsw.connection_hooks.remove(opened.append)
