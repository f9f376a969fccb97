"""The real daemon as a process of its own, for tests and measurements."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from asyncinotify import Inotify, Mask

REPOSITORY = Path(__file__).parent.parent.parent
START_S = 20.0  # generous: the machine may be busy
SERVE = ("-m", "asyncnet", "serve")


def config_text(folder: Path, sink_port: int, extra: str = "") -> str:
    """Settings for a spool in folder, a free HTTP port and one account at a local sink."""
    return f"""
[http]
listen = "127.0.0.1:0"
[spool]
dir = "{folder / "spool"}"
attachment_roots = ["{folder}"]
allow_server = true
[account.local]
host = "127.0.0.1"
port = {sink_port}
tls = "none"
[log]
format = "json"
{extra}
"""


class DaemonProcess:
    """A running daemon; made by running()."""

    def __init__(self, process: asyncio.subprocess.Process, spool: Path) -> None:
        self.process = process
        self.spool = spool
        self.log: list[dict[str, Any]] = []
        self.errors: list[str] = []  # lines that are no log: one-line refusals, tracebacks
        self.ready: dict[str, Any] = {}
        self._noted = asyncio.Event()  # set at each new line, and at the end
        self._ended = False
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                self.log.append(json.loads(line))
            except ValueError:
                self.errors.append(line.decode().rstrip())
            self._noted.set()
        self._ended = True
        self._noted.set()

    async def said(self, event: str, **told: Any) -> dict[str, Any] | None:
        """The first log line of that event that tells so, as soon as it is there.

        None: the daemon ended without.
        """
        async with asyncio.timeout(START_S):
            while True:
                self._noted.clear()
                for entry in self.log:
                    if entry["event"] == event and told.items() <= entry.items():
                        return entry
                if self._ended:
                    return None
                await self._noted.wait()

    async def wait_ready(self) -> bool:
        """Whether it came up; False when it ended instead."""
        self.ready = await self.said("ready") or {}
        return bool(self.ready)

    @property
    def http(self) -> tuple[str, int]:
        """Host and port of the pages."""
        place = urlsplit(self.ready["pages"][0])
        assert place.hostname is not None
        assert place.port is not None
        return place.hostname, place.port

    def drop(self, name: str, text: str) -> None:
        """Put a job into pickup/ as a careful program does: aside, then renamed in."""
        aside = self.spool / "pickup" / f".{name}"
        aside.write_text(text, encoding="utf-8")
        aside.rename(self.spool / "pickup" / name)

    async def result(self, name: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """The result of the job called name, as soon as it is filed with its job."""
        places = [self.spool / folder / f"{name}.result.json" for folder in ("sent", "failed")]
        path = await first_of(places, timeout_s)
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    async def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await self.wait()

    async def kill(self) -> None:
        self.process.kill()
        await self.wait()

    async def wait(self) -> int:
        async with asyncio.timeout(START_S):
            code = await self.process.wait()
            await self._reader
        return code


async def start(
    folder: Path,
    config: str,
    *,
    argv: Sequence[str] = SERVE,
    environment: dict[str, str] | None = None,
    pass_fds: Collection[int] = (),
    through: Sequence[str] = (),
) -> DaemonProcess:
    """Write the settings into folder and start the daemon; it may not be ready yet.

    through: the command that starts it, with arguments of its own.
    """
    path = folder / "asyncnet.toml"
    path.write_text(config, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *through,
        sys.executable,
        *argv,
        "--config",
        str(path),
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=pass_fds,
    )
    return DaemonProcess(process, folder / "spool")


@asynccontextmanager
async def running(
    folder: Path,
    config: str,
    *,
    environment: dict[str, str] | None = None,
    through: Sequence[str] = (),
) -> AsyncIterator[DaemonProcess]:
    """A daemon that is ready; it is stopped at the end, and must stop well."""
    daemon = await start(folder, config, environment=environment, through=through)
    try:
        assert await daemon.wait_ready(), daemon.errors
        yield daemon
    except BaseException:
        if daemon.process.returncode is None:
            await daemon.kill()
        print(*daemon.log, *daemon.errors, sep="\n")
        raise
    if daemon.process.returncode is None:
        assert await daemon.terminate() == 0, daemon.errors


async def first_of(paths: Sequence[Path], timeout_s: float = 20.0) -> Path:
    """Wait until one of paths exists; their folders must exist already."""
    folders = {path.parent for path in paths}
    found = await seen_in(folders, lambda: [path for path in paths if path.exists()], timeout_s)
    return found[0]


async def seen_in(
    folders: Collection[Path], look: Callable[[], list[Path]], timeout_s: float = 20.0
) -> list[Path]:
    """Look at once and whenever something new is in folders, until look() finds something."""
    with Inotify() as inotify:
        for folder in folders:
            inotify.add_watch(folder, Mask.MOVED_TO | Mask.CREATE)
        async with asyncio.timeout(timeout_s):
            while not (found := look()):
                await inotify.get()
    return found
