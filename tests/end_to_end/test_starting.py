"""The pages answer as soon as they can; the daemon is ready when all of it is."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from asyncnet import supervisor
from asyncnet.config.file import load
from asyncnet.supervisor import Daemon
from asyncnet.web.listener import HttpListener
from tests.support.daemon import config_text

OPS = '\n[ops]\nlisten = "127.0.0.1:0"\n'


async def asked(listener: HttpListener | None, path: str) -> bytes:
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
