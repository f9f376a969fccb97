"""Some system calls of one job's life, each met by a fault; `make crash-points` takes them all."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.storm.one_life import CAPABLE, Life, Meeting, Point
from tests.support.smtp_server import ScriptedServer
from tests.support.strace import NoStrace, NoTracing

# Thread, call, what it is about, the fault, and how the daemon takes it.
MEETINGS = [
    ("loop", "rename", "pickup/job-N.yaml", "SIGKILL", "killed"),
    ("worker", "fsync", "queue/ID.msg", "SIGKILL", "killed"),
    ("writer", "fdatasync", "spool/queue.db-wal", "SIGKILL", "killed"),
    ("worker", "rename", "queue/ID.job-N.yaml", "SIGKILL", "killed"),
    ("worker", "fsync", "spool/queue", "EIO", "ended"),
    ("worker", "fsync", "queue/ID.msg", "EIO", "ended"),
    ("writer", "fdatasync", "spool/queue.db-wal", "EIO", "ended"),
    ("writer", "pwrite64", "spool/queue.db-wal", "ENOSPC", "told"),
    ("worker", "writev", "queue/ID.msg", "ENOSPC", "told"),
    ("worker", "writev", "queue/ID.msg", "nothing", "unmoved"),
    ("loop", "openat", "pickup/job-N.yaml", "EMFILE", "told"),
    ("loop", "openat", "queue/ID.msg", "EMFILE", "told"),
    ("loop", "openat", "queue/ID.msg", "EIO", "unmoved"),
    ("worker", "newfstatat", "sent/job-N.yaml", "EIO", "told"),
    ("worker", "openat", "sent/.ID.result.json.tmp", "EMFILE", "told"),
]


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    async with ScriptedServer(capabilities=CAPABLE) as server:
        life = Life(tmp_path, server)
        yield life
        assert await life.end() == 0


async def points_of(life: Life) -> list[Point]:
    try:
        return await life.points()
    except NoTracing as error:
        if isinstance(error, NoStrace) and os.environ.get("CI"):
            raise
        pytest.skip(f"LEFT OUT: {error}")


@pytest.mark.parametrize("deadly", [True, False], ids=["the end", "a fault"])
async def test_a_call_that_meets_a_fault_loses_nothing(life: Life, deadly: bool) -> None:
    points = await points_of(life)
    for thread, call, on, fault, how in MEETINGS:
        if (how in ("killed", "ended")) is not deadly:
            continue
        found = [it for it in points if (it.thread, *it.about) == (thread, call, on)]
        assert found, f"{thread} says no {call} of {on} in {[str(it) for it in points]}"
        met: Meeting | None = None
        while met is None or met.how == "missed":  # the calls came in another order
            met = await life.meet(found[0], fault)
        assert met.wrong == [], f"{fault} at {met.point}, where it said {met.said}"
        assert met.how == how, f"{fault} at {met.point}, where it said {met.said}"
