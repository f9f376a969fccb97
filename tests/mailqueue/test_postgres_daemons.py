"""The whole daemon on a PostgreSQL queue: several of them, each with its part, and the commands."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from asyncnet.config.file import ConfigError, load
from asyncnet.config.values import Endpoint
from asyncnet.lab.sink import Sink
from tests.support.cutting_proxy import CuttingProxy
from tests.support.daemon import SERVE, DaemonProcess, config_text, start
from tests.support.postgres import PostgresServer
from tests.support.smtp_server import ScriptedServer, Slow

SECRET = "7h3-p4ssw0rd"
JOB = "from: ada@example.org\nto: grace@example.com\nsubject: hello\ntext: hello\n"
LARGE_JOB = JOB + "attachments: [large.bin]\n"


@pytest.fixture
async def sink(tmp_path: Path) -> AsyncIterator[Sink]:
    it = Sink((Endpoint("127.0.0.1", 0),), tmp_path / "maildir")
    await it.start()
    yield it
    await it.stop()


class Machines:
    """Daemons that share one database, each in a folder of its own."""

    def __init__(self, url: str, sink: Sink, folder: Path, stack: AsyncExitStack) -> None:
        self.url = url
        self._sink = sink
        self.folder = folder
        self._stack = stack

    async def start(
        self, name: str, *parts: str, spool: str | None = None, server_port: int | None = None
    ) -> DaemonProcess:
        """A daemon that is ready, with the parts given, or all."""
        folder = self.folder / (spool or name)
        folder.mkdir(exist_ok=True)
        only = [word for part in parts for word in ("--only", part)]
        queue = f'[queue]\nurl = "{self.url}"\n'
        daemon = await start(
            folder,
            config_text(folder, server_port or self._sink.endpoints[0].port, queue),
            argv=(*SERVE, *only),
            environment={"PGPASSWORD": SECRET},
        )
        self._stack.push_async_callback(self._end, daemon)
        assert await daemon.wait_ready(), daemon.errors
        return daemon

    async def command(self, name: str, *words: str) -> tuple[int, str]:
        """Exit code and output of a command with that daemon's settings."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "asyncnet", *words, "--config", str(self.folder / name / "asyncnet.toml")),
            cwd=self.folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()

    async def _end(self, daemon: DaemonProcess) -> None:
        if daemon.process.returncode is None:
            assert await daemon.terminate() == 0, daemon.errors
        assert SECRET not in json.dumps(daemon.log) + "".join(daemon.errors)


async def page(daemon: DaemonProcess) -> bytes:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(*daemon.http)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer


@pytest.fixture
async def machines(
    postgres_server: PostgresServer, tmp_path: Path, sink: Sink
) -> AsyncIterator[Machines]:
    url = await postgres_server.new_schema()
    async with AsyncExitStack() as stack:
        yield Machines(url, sink, tmp_path, stack)


async def test_one_machine_takes_in_what_another_sends_and_files_the_result(
    machines: Machines, sink: Sink, tmp_path: Path
) -> None:
    taker = await machines.start("taker", "intake")
    (tmp_path / "taker" / "large.bin").write_bytes(os.urandom(300_000))
    taker.drop("small.yaml", JOB)
    taker.drop("large.yaml", LARGE_JOB)
    assert await taker.said("job accepted", name="large")
    assert await taker.said("job accepted", name="small")
    code, listed = await machines.command("taker", "queue", "list", "--json")
    assert (code, {it["status"] for it in json.loads(listed)}) == (0, {"queued"})

    sender = await machines.start("sender", "delivery")
    for name in ("small", "large"):
        result = await taker.result(name)
        assert (result["status"], result["attempts"]) == ("sent", 1)
    assert sink.stored == 2
    assert not (tmp_path / "sender" / "spool").exists()
    assert await sender.said("attempt")
    code, shown = await machines.command("sender", "queue", "show", "small", "--json")
    assert (code, json.loads(shown)[0]["status"]) == (0, "sent")


async def test_daemons_of_one_spool_share_the_work_by_parts(machines: Machines, sink: Sink) -> None:
    await machines.start("web", "web", spool="here")
    taker = await machines.start("taker", "intake", spool="here")
    await machines.start("sender", "delivery", spool="here")
    taker.drop("hello.yaml", JOB)
    assert (await taker.result("hello"))["status"] == "sent"
    assert sink.stored == 1


async def test_the_pages_alone_need_neither_spool_nor_database(tmp_path: Path) -> None:
    queue = '[queue]\nurl = "postgresql://127.0.0.1:1/queue"\n'
    daemon = await start(tmp_path, config_text(tmp_path, 1, queue), argv=(*SERVE, "--only", "web"))
    assert await daemon.wait_ready(), daemon.errors
    assert (await page(daemon)).startswith(b"HTTP/1.1 200")
    assert not daemon.spool.exists()
    assert await daemon.terminate() == 0


async def test_two_that_take_jobs_in_from_one_spool_are_one_too_many(machines: Machines) -> None:
    await machines.start("first", "intake", spool="here")
    config = (machines.folder / "here" / "asyncnet.toml").read_text()
    second = await start(machines.folder / "here", config)
    assert await second.wait() == 69
    await machines.start("third", "delivery", spool="here")  # which has nothing to do with it


async def test_a_machine_that_is_gone_for_a_while_files_its_results_later(
    machines: Machines, sink: Sink
) -> None:
    here = await machines.start("here", "intake")
    here.drop("hello.yaml", JOB)
    await here.said("job accepted")
    await here.kill()
    there = await machines.start("there")
    assert await there.said("attempt")
    here = await machines.start("here")
    assert (await here.result("hello"))["status"] == "sent"
    assert sink.stored == 1


async def test_a_database_that_is_away_for_a_while_costs_no_mail(
    machines: Machines, postgres_server: PostgresServer, sink: Sink
) -> None:
    here = await machines.start("here")
    here.drop("before.yaml", JOB)
    assert (await here.result("before"))["status"] == "sent"
    await asyncio.to_thread(postgres_server.stop, signal.SIGQUIT)
    try:
        here.drop("meanwhile.yaml", JOB)
        here.drop("bad.yaml", "from: nobody\n")
        assert await here.said("intake waits")
    finally:
        await asyncio.to_thread(postgres_server.start)
    here.drop("after.yaml", JOB)
    for name in ("meanwhile", "after"):
        result = await here.result(name)
        assert (result["status"], result["attempts"]) == ("sent", 1)
    assert (await here.result("bad", 40.0))["status"] == "invalid"
    assert sink.stored == 3


async def test_a_database_that_is_away_is_told_once_and_what_there_is_goes_on(
    machines: Machines, postgres_server: PostgresServer
) -> None:
    """However much mail is in hand, and however often it is tried again."""
    url, port = machines.url, postgres_server.port
    slow = ScriptedServer({"content": Slow(0.05)})
    async with CuttingProxy(port).running() as proxy, slow as server:
        machines.url = url.replace(str(port), str(proxy.port))
        here = await machines.start("here", server_port=server.port)
        names = [f"job-{number}" for number in range(60)]
        for name in names:
            here.drop(f"{name}.yaml", JOB)
        assert await here.said("attempt")
        proxy.die()
        assert await here.said("the store cannot be used now")
        assert (await page(here)).startswith(b"HTTP/1.1 200")
        for words in (("queue", "list"), ("queue", "hold", "job-1")):
            code, told = await machines.command("here", *words)
            assert code in (69, 75)
            assert "the database cannot be reached now" in told
        proxy.revive()
        assert await here.said("the store can be used again")
        results = [await here.result(name, 30.0) for name in names]
        assert {(it["status"], it["attempts"]) for it in results} == {("sent", 1)}
        assert sum(it.taken for it in server.heard.deliveries) == len(names)
        told_of = Counter(it["event"] for it in here.log)
        assert told_of["the store cannot be used now"] == 1
        waits = Counter(it["reason"] for it in here.log if it["event"] == "reporter waits")
        assert set(waits.values()) <= {1}  # the line that broke, and the server that is away
        assert not told_of["account waits"]  # no server is to blame


async def test_a_database_that_is_away_at_the_start_is_no_fault_of_the_settings(
    tmp_path: Path,
) -> None:
    queue = f'[queue]\nurl = "postgresql://who:{SECRET}@127.0.0.1:1/queue"\n'
    config = config_text(tmp_path, 1, queue)
    (tmp_path / "asyncnet.toml").touch(mode=0o600)
    daemon = await start(tmp_path, config)
    assert await daemon.wait() == 69
    assert any("cannot be reached now" in line for line in daemon.errors)
    assert SECRET not in json.dumps(daemon.log) + "".join(daemon.errors)


async def test_without_the_driver_the_daemon_says_which_extra_it_needs(tmp_path: Path) -> None:
    (tmp_path / "asyncpg.py").write_text(
        "raise ModuleNotFoundError('No module named asyncpg', name='asyncpg')"
    )
    queue = '[queue]\nurl = "postgresql://127.0.0.1/queue"\n'
    daemon = await start(
        tmp_path, config_text(tmp_path, 1, queue), environment={"PYTHONPATH": str(tmp_path)}
    )
    assert await daemon.wait() == 78
    assert any("install 'asyncnet[postgres]'" in line for line in daemon.errors)


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_a_password_in_the_url_wants_a_file_that_nobody_else_reads(
    tmp_path: Path, mode: int
) -> None:
    path = tmp_path / "asyncnet.toml"
    path.write_text(f'[queue]\nurl = "postgresql://who:{SECRET}@db.example.org/queue"\n')
    path.chmod(mode)
    if mode == 0o600:
        settings = load(path, {})
        assert SECRET not in repr(settings)
        return
    with pytest.raises(ConfigError, match=r"line 2: \[queue\] url: .* chmod 600") as caught:
        load(path, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("url", [f"mysql://who:{SECRET}@db/queue", "sqlite:", f"{SECRET}"])
def test_another_url_is_refused_without_being_shown(tmp_path: Path, url: str) -> None:
    path = tmp_path / "asyncnet.toml"
    path.write_text(f'[queue]\nurl = "{url}"\n')
    with pytest.raises(ConfigError, match="postgresql://HOST/DATABASE") as caught:
        load(path, {})
    assert SECRET not in str(caught.value)
