"""Threads without a loop do not cut in on those with one."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asyncnet.cli import giving_way
from asyncnet.web.apart import PAGES
from tests.support.daemon import config_text, running

pytestmark = pytest.mark.skipif(
    not hasattr(os, "SCHED_BATCH"), reason="LEFT OUT: this system has no such thing"
)


@contextmanager
def a_thread(name: str) -> Iterator[int]:
    """One that waits; its number."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait, name=name)
    thread.start()
    try:
        assert thread.native_id is not None
        yield thread.native_id
    finally:
        done.set()
        thread.join()


async def until_it_gives_way(thread: int) -> None:
    async with asyncio.timeout(10):
        while os.sched_getscheduler(thread) != os.SCHED_BATCH:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


async def test_all_but_those_with_a_loop_give_way_also_those_begun_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giving_way, "LOOK_EVERY_S", 0.001)
    with a_thread(PAGES) as pages, a_thread("writer") as writer:
        giving = asyncio.create_task(giving_way.give_way())
        await until_it_gives_way(writer)
        with a_thread("later") as later:
            await until_it_gives_way(later)
        assert not giving.done()
        giving.cancel()
        with_a_loop = (pages, threading.get_native_id())
        assert [os.sched_getscheduler(it) for it in with_a_loop] == [os.SCHED_OTHER] * 2


async def test_a_policy_from_outside_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(giving_way, "LOOK_EVERY_S", 0.001)
    with a_thread("background") as background, a_thread("writer") as writer:
        os.sched_setscheduler(background, os.SCHED_IDLE, os.sched_param(0))
        giving = asyncio.create_task(giving_way.give_way())
        await until_it_gives_way(writer)  # which began later, so the other was looked at before
        giving.cancel()
        assert os.sched_getscheduler(background) == os.SCHED_IDLE


async def test_where_the_system_refuses_all_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = asyncio.Event()

    def refuse(thread: int, policy: int, parameters: object) -> None:
        asked.set()
        raise PermissionError

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with a_thread("writer"):
        giving = asyncio.create_task(giving_way.give_way())
        async with asyncio.timeout(10):
            await asked.wait()
        await asyncio.sleep(0)
        assert not giving.done()
        giving.cancel()


async def test_the_daemon_does_so(tmp_path: Path) -> None:
    async with running(tmp_path, config_text(tmp_path, 9)) as daemon:
        process = daemon.process.pid
        policies: list[int] = []
        async with asyncio.timeout(10):
            while os.SCHED_BATCH not in policies:
                others = {int(it) for it in os.listdir(f"/proc/{process}/task")} - {process}
                policies = [os.sched_getscheduler(it) for it in others]
                await asyncio.sleep(0.01)
        assert os.SCHED_OTHER in policies  # the pages
        assert os.sched_getscheduler(process) == os.SCHED_OTHER
