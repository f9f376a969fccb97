"""The operators' listener of the real daemon, beside mail that goes out and pages that are read."""

import asyncio
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.daemon import DaemonProcess, config_text, running, seen_in, start
from tests.web.operating import Answer, read_answer

OPS = '[ops]\nlisten = ["127.0.0.1:0"]\n'
SINK = '[sink]\nlisten = "127.0.0.1:{port}"\nmaildir = "{folder}/sink"\n'
JOB = "from: a@example.org\nto: [b@example.org, reject-550@example.org]\ntext: hello\n"


async def ask(place: tuple[str, int], path: str) -> Answer:
    reader, writer = await asyncio.open_connection(*place)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    response = await reader.read()
    writer.close()
    return read_answer(response)


def ops_of(daemon: DaemonProcess) -> tuple[str, int]:
    place = urlsplit(daemon.ready["ops"][0])
    assert place.hostname is not None
    assert place.port is not None
    return place.hostname, place.port


async def free_port() -> int:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port


async def test_mail_and_requests_are_counted_where_they_happen(tmp_path: Path) -> None:
    port = await free_port()
    extra = OPS + SINK.format(port=port, folder=tmp_path)
    async with running(tmp_path, config_text(tmp_path, port, extra)) as daemon:
        for path in ("/", "/page2", "/nothing"):
            await ask(daemon.http, path)
        daemon.drop("hello.yaml", JOB)
        await daemon.result("hello")
        metrics = await ask(ops_of(daemon), "/metrics")
        assert metrics.sample("asyncnet_http_requests_total", status="200") == 2
        assert metrics.sample("asyncnet_http_requests_total", status="404") == 1
        for status in ("accepted", "rejected"):
            found = metrics.sample("asyncnet_recipients_total", account="local", status=status)
            assert found == 1
        assert (metrics.sample("asyncnet_sent_bytes_total", account="local") or 0) > 100
        assert metrics.sample("asyncnet_account_state", account="local", state="ok") == 1
        assert metrics.sample("asyncnet_queue_messages", account="local", state="queued") == 0
        document = (await ask(ops_of(daemon), "/queue.json")).json
        assert [it["name"] for it in document["results"]] == ["hello"]
        assert (await ask(daemon.http, "/queue")).status == 404  # port 8080 keeps its three pages
        daemon.process.send_signal(1)
        assert await daemon.said("reloaded")
        again = await ask(ops_of(daemon), "/metrics")
        kept = again.sample("asyncnet_recipients_total", account="local", status="accepted")
        assert kept == 1


@pytest.mark.parametrize("part", ["web", "intake", "delivery"])
async def test_it_comes_with_every_part(tmp_path: Path, part: str) -> None:
    argv = ("-m", "asyncnet", "serve", "--only", part)
    daemon = await start(tmp_path, config_text(tmp_path, 1, OPS), argv=argv)
    assert await daemon.wait_ready(), daemon.errors
    health = await ask(ops_of(daemon), "/healthz")
    assert (health.status, health.json["reasons"]) == (200, [])
    document = (await ask(ops_of(daemon), "/queue.json")).json
    assert (document["messages"] is None) == (part == "web")
    assert await daemon.terminate() == 0


@pytest.mark.parametrize(
    ("gone", "job", "why"),
    [
        ("queue", JOB, "spool/queue is gone"),
        ("pickup", None, "spool/pickup: No such file or directory"),
    ],
)
async def test_a_folder_that_is_gone_is_told_until_it_is_back(
    tmp_path: Path, gone: str, job: str | None, why: str
) -> None:
    async with running(tmp_path, config_text(tmp_path, 1, OPS)) as daemon:
        folder = daemon.spool / gone
        folder.rename(tmp_path / "aside")
        if job is not None:
            daemon.drop("hello.yaml", job)
        assert why in await told_while_it_waits(daemon, "intake")
        (tmp_path / "aside").rename(folder)
        await ready_again(daemon, "intake")


async def test_results_that_cannot_be_filed_are_told_until_they_are(tmp_path: Path) -> None:
    async with running(tmp_path, config_text(tmp_path, 1, OPS)) as daemon:
        daemon.drop("hello.yaml", JOB)
        (claimed,) = await seen_in([daemon.spool / "queue"], lambda: claims(daemon.spool))
        obstacle = daemon.spool / f"failed/.{claimed.name.partition('.')[0]}.result.json.tmp"
        obstacle.mkdir()
        command = (*("-m", "asyncnet", "queue", "cancel", "hello"), "--config", "asyncnet.toml")
        canceling = await asyncio.create_subprocess_exec(sys.executable, *command, cwd=tmp_path)
        assert await canceling.wait() == 0
        assert "Is a directory" in await told_while_it_waits(daemon, "reporter")
        obstacle.rmdir()
        await ready_again(daemon, "reporter")


def claims(spool: Path) -> list[Path]:
    return list((spool / "queue").glob("*.hello.yaml"))


async def told_while_it_waits(daemon: DaemonProcess, service: str) -> str:
    """What health, metrics and page agree on: the one reason."""
    assert await daemon.said(f"{service} waits")
    ops = ops_of(daemon)
    health = await ask(ops, "/healthz")
    (reason,) = health.json["reasons"]
    assert health.status == 503
    assert reason.startswith(f"{service} waits: ")
    assert (await ask(ops, "/metrics")).sample("asyncnet_ready") == 0
    assert "not ready" in (await ask(ops, "/queue")).body.decode()
    return str(reason)


async def ready_again(daemon: DaemonProcess, service: str) -> None:
    assert await daemon.said(f"{service} goes on")
    async with asyncio.timeout(10):  # one look is for a second
        while (await ask(ops_of(daemon), "/healthz")).status != 200:
            pass


async def test_a_listener_for_others_is_said_in_the_log(tmp_path: Path) -> None:
    extra = '[ops]\nlisten = "0.0.0.0:0"\n'
    async with running(tmp_path, config_text(tmp_path, 1, extra)) as daemon:
        said = await daemon.said("other machines can read the operators' pages")
        assert said is not None
        assert said["level"] == "warning"


async def test_without_the_section_there_is_none(tmp_path: Path) -> None:
    async with running(tmp_path, config_text(tmp_path, 1)) as daemon:
        assert "ops" not in daemon.ready
