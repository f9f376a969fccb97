"""What is common to real mail servers as peers of our client: features, a running peer, its
process, and what happens where there can be none.

A peer runs from a copy of its package in a folder of its own under the system's temporary
folder, which the server's unprivileged users can enter (a checkout or pytest's folder may be
closed to them).  It listens on 127.0.0.1 only, and nothing of it is left at the end.
"""

import asyncio
import os
import random
import shutil
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from asyncnet.delivery.exchange import Login, Target
from asyncnet.mail.envelope import TlsMode
from tests.support.certificates import NAME
from tests.support.daemon import first_of
from tests.support.peers.inbox import Inbox
from tests.support.peers.packages import PackageMissing, tree

HOST = "127.0.0.1"
DOMAIN = "example.org"  # mail for it is taken, whoever brings it; for others never
REFUSED = f"nobody@{DOMAIN}"  # 550 at RCPT
START_S = 20.0  # generous: the machine may be busy
LIFE_S = 900  # and not longer, should the test run be killed before it can stop a server
# Below the range from which the kernel takes ports for outgoing connections: between our look
# and the server's bind, nobody gets one of these by chance.
PORTS = range(12_000, 32_000)


@dataclass(frozen=True, slots=True)
class Features:
    """How a peer is set up.  withheld are EHLO keywords that it shall not offer."""

    message_octets: int = 40_000_000
    recipients: int = 1_000  # in one transaction
    login_required: bool = False
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Account:
    """The one account of a peer."""

    user: str = "anna@example.org"
    password: str = field(default="made-up word", repr=False)


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server.  port: plain, with STARTTLS; tls_port: TLS at once.

    All that it takes arrives in inbox.  tls_broken says why no handshake with it can succeed,
    where that is so.
    """

    name: str
    port: int
    tls_port: int
    ca_file: str
    account: Account
    inbox: Inbox
    process: "PeerProcess"
    folder: Path
    tls_broken: str | None = None
    host: str = HOST

    def target(
        self, tls: TlsMode = "none", *, login: bool = False, mechanisms: Sequence[str] | None = None
    ) -> Target:
        """The way to it for our client."""
        account = self.account
        ways = tuple(mechanisms) if mechanisms else None
        return Target(
            self.host,
            self.tls_port if tls == "implicit" else self.port,
            tls,
            Login(account.user, account.password, ways) if login else None,
            server_name=NAME,
            ca_file=self.ca_file,
            ehlo="client.example.test",
        )


def require(name: str) -> Path:
    """The package's tree; skips, or fails where CI promised one."""
    try:
        if not hasattr(os, "geteuid") or os.geteuid() != 0:
            raise PackageMissing("only root can start it (it changes to users of its own)")
        return tree(name)
    except PackageMissing as missing:
        reason = f"the tests against the real {name} were LEFT OUT: {missing}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def installed(name: str) -> Iterator[Path]:
    """A copy of the package that is thrown away; see require().

    The server's certificate lies in it: server.pem, key.pem, authority.pem.
    """
    package = require(name)
    folder = Path(tempfile.mkdtemp(prefix=f"asyncnet-{name}-"))
    try:
        shutil.copytree(package, folder, symlinks=True, dirs_exist_ok=True)
        folder.chmod(0o711)
        _write_certificates(folder)
        yield folder
    finally:
        shutil.rmtree(folder)


def _write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    server = authority.issue_cert(NAME, "localhost", HOST)
    (folder / "authority.pem").write_bytes(authority.cert_pem.bytes())
    (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in server.cert_chain_pems))
    key = folder / "key.pem"
    key.write_bytes(server.private_key_pem.bytes())
    key.chmod(0o600)  # the servers look at this


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 at which nobody listens."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError("every port is taken")


def write_users(folder: Path, users: Mapping[str, int], groups: Mapping[str, int]) -> None:
    """passwd and group for a server whose package was not installed."""
    everyone = {"root": 0, "nobody": 65534, **users}
    every_group = {"root": 0, "nogroup": 65534, **groups}
    passwd = (f"{name}:x:{uid}:{uid}::/nonexistent:/bin/false" for name, uid in everyone.items())
    group = (f"{name}:x:{gid}:" for name, gid in every_group.items())
    (folder / "passwd").write_text("\n".join(passwd) + "\n")
    (folder / "group").write_text("\n".join(group) + "\n")


def wrapped(folder: Path, variables: dict[str, str]) -> dict[str, str]:
    """variables, and those with which a program finds the users of write_users(folder)."""
    [wrapper] = folder.glob("usr/lib/**/libnss_wrapper.so")
    return {
        **variables,
        "LD_PRELOAD": str(wrapper),
        "NSS_WRAPPER_PASSWD": str(folder / "passwd"),
        "NSS_WRAPPER_GROUP": str(folder / "group"),
    }


# What a server must hand on to the programs that it starts itself.
WRAPPED = ("LD_PRELOAD", "LD_LIBRARY_PATH", "NSS_WRAPPER_PASSWD", "NSS_WRAPPER_GROUP")


class PeerProcess:
    """A server in the foreground, with all its children in one process group."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._process = process
        self._noted = asyncio.Event()  # set at each new line, and at the end
        self._ended = False
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, argv: Collection[str], variables: dict[str, str]) -> "PeerProcess":
        return cls(
            await asyncio.create_subprocess_exec(
                *("timeout", "--kill-after=5", str(LIFE_S)),
                *argv,
                env=variables,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        )

    async def said(self, text: str) -> None:
        """Return once a line has text.  Raises AssertionError with all lines if none will."""
        try:
            async with asyncio.timeout(START_S):
                while not any(text in line for line in self.lines):
                    assert not self._ended, "\n".join(["it ended:", *self.lines])
                    self._noted.clear()
                    await self._noted.wait()
        except TimeoutError:
            raise AssertionError("\n".join([f"never said {text!r}:", *self.lines])) from None

    async def wrote(self, path: Path) -> None:
        """Return once path is there.  Raises AssertionError where it ends without."""
        written = asyncio.create_task(first_of([path], START_S))
        ended = asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait((written, ended), return_when=asyncio.FIRST_COMPLETED)
            assert written.done(), "\n".join(["it ended:", *self.lines])
            await written
        finally:
            written.cancel()
            ended.cancel()
            await asyncio.gather(written, ended, return_exceptions=True)

    def running(self) -> list[int]:
        """The ids of those of its processes that have not ended.

        One that has may stay a zombie until init reaps it, which it may do in its own time.
        """
        return [
            int(stat.parent.name)
            for stat in Path("/proc").glob("[0-9]*/stat")
            if _group_of_living(stat) == self._process.pid
        ]

    async def stop(self) -> None:
        """SIGTERM, then SIGKILL for whatever of the group is left; nothing runs any more."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), START_S)
        while self.running():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await asyncio.sleep(0.01)  # they are not our children: no event tells of their end
        await self._process.wait()
        await self._reader

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode("utf-8", "replace").rstrip())
            self._noted.set()
        self._ended = True
        self._noted.set()


def _group_of_living(stat: Path) -> int | None:
    """The process group in a /proc/PID/stat; None where the process has ended."""
    try:
        # PID (NAME) STATE PARENT GROUP …; the name may hold anything.
        state, _, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except OSError:
        return None
    return int(group) if state not in "ZX" else None


@asynccontextmanager
async def started(argv: Collection[str], variables: dict[str, str]) -> AsyncIterator[PeerProcess]:
    """A server's process, stopped at the end; what it said is shown where the test failed."""
    process = await PeerProcess.start(argv, variables)
    try:
        yield process
    except BaseException:
        print(*process.lines, sep="\n")
        raise
    finally:
        await process.stop()
