"""The pages answer as soon as they can, whatever mail does; the daemon is ready when all is."""

import asyncio
import http.client
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from asyncnet import supervisor
from asyncnet.config.file import load
from asyncnet.supervisor import Daemon, Part
from asyncnet.web.apart import ListenerApart
from asyncnet.web.listener import HttpListener
from tests.support.daemon import config_text

OPS = '\n[ops]\nlisten = "127.0.0.1:0"\n'


async def asked(listener: HttpListener | ListenerApart | None, path: str) -> bytes:
    """The status line of the answer."""
    assert listener is not None
    place = listener.endpoints[0]
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: localhost\r\n\r\n" % path.encode())
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return line.rstrip()


async def test_pages_answer_while_the_mail_half_is_still_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SWITCH_INTERVAL_S", sys.getswitchinterval())
    loop = asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), threading.Event()

    def slowly() -> None:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    monkeypatch.setattr(supervisor, "import_mail", slowly)
    config = tmp_path / "asyncnet.toml"
    config.write_text(config_text(tmp_path, 1025, OPS))
    daemon = Daemon(load(config))
    starting = asyncio.create_task(daemon.start())
    try:
        async with asyncio.timeout(10):
            await begun.wait()
            assert await asked(daemon.http, "/") == b"HTTP/1.1 200 OK"
            assert await asked(daemon.ops, "/healthz") == b"HTTP/1.1 503 Service Unavailable"
            assert not starting.done()
            go_on.set()
            await starting
            assert await asked(daemon.ops, "/healthz") == b"HTTP/1.1 200 OK"
    finally:
        go_on.set()
        await asyncio.wait([starting])
        await daemon.stop()


async def test_pages_answer_while_the_daemons_own_loop_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SWITCH_INTERVAL_S", sys.getswitchinterval())
    config = tmp_path / "asyncnet.toml"
    config.write_text(config_text(tmp_path, 1025))
    daemon = Daemon(load(config), parts=frozenset({Part.WEB}))
    await daemon.start()
    try:
        assert daemon.http is not None
        place = daemon.http.endpoints[0]
        visitor = http.client.HTTPConnection(place.host, place.port, timeout=10)
        visitor.request("GET", "/")  # no await: the loop stands here until the answer has come
        assert visitor.getresponse().status == 200
        visitor.close()
    finally:
        await daemon.stop()


START = """
import asyncio, sys
from pathlib import Path
from asyncnet import supervisor
from asyncnet.config.file import load

def ours():
    return {name for name in sys.modules if name.startswith("asyncnet.")}

async def start():
    supervisor.import_mail()
    before = ours()
    daemon = supervisor.Daemon(load(Path("asyncnet.toml")))
    await daemon.start()
    await daemon.stop()
    print(*sorted(ours() - before))

asyncio.run(start())
"""


def test_nothing_of_the_mail_half_is_imported_while_the_pages_would_wait_for_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    told = subprocess.run(
        [sys.executable, "-c", START], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    assert told.stdout.splitlines()[-1].split() == []
