"""A commit or flush that fails ends the daemon with 75; the next start goes on where it was."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from asyncnet import supervisor
from asyncnet.cli.serve import serve
from asyncnet.config.file import load
from asyncnet.config.sections import Settings
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import StoreBroken
from asyncnet.providers.builtin import catalogue
from asyncnet.supervisor import Daemon
from tests.support.daemon import config_text

JOB = "from: ada@example.org\nto: ok@example.com\nsubject: x\ntext: y\n"


@pytest.fixture
async def sink(make_sink: Any) -> Any:
    return await make_sink()


@pytest.fixture
def settings(tmp_path: Path, sink: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Those of a daemon in this process, which is to keep its switch interval."""
    monkeypatch.setattr(supervisor, "SWITCH_INTERVAL_S", sys.getswitchinterval())
    config = tmp_path / "asyncnet.toml"
    config.write_text(config_text(tmp_path, sink.endpoints[0].port))
    return load(config)


def broken_at(step: str, settings: Settings) -> SqliteStore:
    """A store that breaks at the first such step."""

    async def breaks(*given: object, **named: object) -> NoReturn:
        raise StoreBroken("the commit failed")

    window_s = settings.queue.dedup_window
    contents = settings.spool.dir / "queue"
    store = SqliteStore(settings.database, contents, dedup_window_s=window_s)
    setattr(store, step, breaks)
    return store


@pytest.mark.parametrize("step", ["accept", "lease", "mark_dot", "settle", "mark_reported"])
async def test_a_failed_commit_ends_the_daemon_and_costs_no_mail(
    tmp_path: Path, sink: Any, settings: Settings, step: str
) -> None:
    pickup, sent = tmp_path / "spool" / "pickup", tmp_path / "spool" / "sent"
    pickup.mkdir(parents=True)
    (pickup / "job.yaml").write_text(JOB)
    os.utime(pickup / "job.yaml", (0, 0))  # settled long ago

    broken = Daemon(settings, make_store=lambda settings: broken_at(step, settings))
    async with asyncio.timeout(10):
        assert await serve(broken, lambda: (settings, catalogue())) == 75

    stopping = asyncio.Event()

    def stop_at(reached: str) -> None:
        if reached == "reported":
            stopping.set()

    daemon = Daemon(settings, on_step=stop_at)
    await daemon.start()
    try:
        async with asyncio.timeout(10):
            await daemon.run(stopping)
    finally:
        await daemon.stop()
    assert sorted(path.name for path in sent.iterdir()) == ["job.result.json", "job.yaml"]
    # Taken by the server, its verdict not committed: in doubt, and sent again.
    assert sink.stored == (2 if step == "settle" else 1)


@pytest.mark.parametrize("step", ["accept", "lease", "mark_reported"])
async def test_a_failed_commit_ends_the_daemon_after_a_reload_too(
    tmp_path: Path, settings: Settings, step: str
) -> None:
    """Whose services are others than those that it began with."""
    fails = asyncio.Event()  # until it is set, all goes well

    def make_store(settings: Settings) -> SqliteStore:
        store = broken_at(step, settings)
        broken = getattr(store, step)

        async def breaks_later(*given: Any, **named: Any) -> Any:
            if fails.is_set():
                return await broken(*given, **named)
            return await getattr(SqliteStore, step)(store, *given, **named)

        setattr(store, step, breaks_later)
        return store

    daemon = Daemon(settings, make_store=make_store)
    await daemon.start()
    running = asyncio.create_task(daemon.run(asyncio.Event()))
    try:
        async with asyncio.timeout(20):
            await daemon.reload(settings)
            fails.set()
            aside = tmp_path / "spool" / "job"
            aside.write_text(JOB)
            aside.rename(tmp_path / "spool" / "pickup" / "job.yaml")
            with pytest.raises(StoreBroken):
                await running
    finally:
        await daemon.stop()
