"""A real process, killed in the middle of its work, and the queue that it leaves."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from asyncnet.mailqueue.store import Lease, Store
from tests.mailqueue.acknowledging_process import content_of
from tests.mailqueue.engines import PostgresEngine, SqliteEngine
from tests.mailqueue.messages import NOW, VAST

REPOSITORY = Path(__file__).parent.parent.parent


async def acknowledged_until_killed(place: str, enough: int) -> set[str]:
    """What a process says that it accepted, killed when that is enough."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.mailqueue.acknowledging_process",
        place,
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    printed = b""
    while printed.count(b"\n") < enough:
        printed += await process.stdout.readline()
        assert printed, "the process ended before it was killed"
    process.send_signal(signal.SIGKILL)
    printed += await process.stdout.read()
    assert await process.wait() == -signal.SIGKILL
    ids = set(printed.decode().split("\n")[:-1])  # the last line may be cut
    assert len(ids) >= enough
    return ids


async def all_is_whole(store: Store, ids: set[str]) -> list[Lease]:
    """Whatever was acknowledged is there, and nothing is half there."""
    assert await store.known(ids) == ids
    leases = await store.lease(NOW, 1_000_000)
    assert {lease.queue_id for lease in leases} >= ids
    for lease in leases:
        octets = b"".join(store.content(lease).blocks())
        assert octets == content_of(int(lease.queue_id[1:])).data
    return leases


@pytest.mark.parametrize("enough", [1, 500, 3000])
async def test_what_was_acknowledged_outlives_sigkill(sqlite: SqliteEngine, enough: int) -> None:
    sqlite.folder.mkdir()
    ids = await acknowledged_until_killed(str(sqlite.folder), enough)
    leases = await all_is_whole(await sqlite.open(), ids)
    files = {lease.place[0] for lease in leases if lease.place is not None}
    assert set(sqlite.content_files()) == files


@pytest.mark.parametrize("enough", [1, 500, 3000])
async def test_the_same_on_a_database(postgres: PostgresEngine, enough: int) -> None:
    postgres.url = await postgres.server.new_schema()
    ids = await acknowledged_until_killed(postgres.url, enough)
    leases = await all_is_whole(await postgres.open(), ids)
    rows = await postgres.server.fetch(
        "SELECT count(DISTINCT job), count(*) FROM content", postgres.url
    )
    vast = sum(lease.size_octets == VAST.octets for lease in leases)
    assert tuple(rows[0]) == (len(leases), len(leases) + 3 * vast)  # such a one has four parts
