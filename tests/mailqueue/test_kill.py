"""A real process, killed in the middle of its work, and the queue that it leaves."""

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from tests.mailqueue.engines import SqliteEngine
from tests.mailqueue.messages import LARGE, NOW, SMALL

REPOSITORY = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("enough", [1, 500, 3000])
async def test_what_was_acknowledged_outlives_sigkill(sqlite: SqliteEngine, enough: int) -> None:
    sqlite.folder.mkdir()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.mailqueue.acknowledging_process",
        str(sqlite.folder),
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

    store = await sqlite.open()
    assert len(ids) >= enough
    assert await store.known(ids) == ids
    leases = await store.lease(NOW, 1_000_000)
    assert {lease.queue_id for lease in leases} >= ids
    for lease in leases:
        size = (LARGE if int(lease.queue_id[1:]) % 50 == 0 else SMALL).octets
        assert sum(len(block) for block in store.content(lease).blocks()) == size
    files = {f"{lease.queue_id}.msg" for lease in leases if lease.size_octets == LARGE.octets}
    assert set(sqlite.content_files()) == files
