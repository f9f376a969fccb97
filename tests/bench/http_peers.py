"""The servers of `make bench-http`: where they come from, how they are started, what they take.

Python peers live in build/bench-venv-http, nginx is Debian's package unpacked into
build/peers/nginx, never installed.  Ours is the real daemon.  Each answers with as many octets as
our home page has.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.http_load import compiled
from tests.bench.peers import BUILD, ROOT, Missing, get
from tests.bench.sink import NoCompiler

VENV = BUILD / "bench-venv-http"
PACKAGES = (
    *("uvicorn==0.54.0", "httptools==0.9.0", "uvloop==0.23.0"),
    *("granian==2.8.7", "aiohttp==3.14.5"),
)
INSTALL_S = 300.0
START_S = 30.0
TOKEN_OCTETS = 4_000  # nginx reads no longer word in its settings

OURS, LIMIT, CANNED, NGINX = "asyncnet", "uvloop Protocol (limit)", "C epoll, canned", "nginx"
GRANIAN, GRANIAN_ASGI = "granian, RSGI", "granian, ASGI"
UVICORN, AIOHTTP, STDLIB = "uvicorn, bare ASGI", "aiohttp", "http.server"


@dataclass(frozen=True)
class Server:
    """A running server: its process and those it started."""

    name: str
    pid: int
    port: int

    def cpu_s(self) -> float:
        """Processor time of all its threads, ended ones included, to the nanosecond."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in _family(self.pid))

    def resident_octets(self) -> int:
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


Command = Callable[[int, Path, Path], list[str]]  # port, response, a folder of its own


def asyncnet(port: int, response: Path, folder: Path) -> list[str]:
    (folder / "asyncnet.toml").write_text(settings(port, folder))
    words = ["-m", "asyncnet", "serve", "--only", "web", "--config", str(folder / "asyncnet.toml")]
    return [sys.executable, *words]


def settings(port: int, folder: Path, extra: str = "") -> str:
    # A deadline beyond the measurement: what is held must stay held.
    return (
        f'[http]\nlisten = "127.0.0.1:{port}"\nhead_timeout = "10m"\n'
        f'[spool]\ndir = "{folder / "spool"}"\n[log]\nformat = "json"\n{extra}'
    )


def python_peer(kind: str) -> Callable[[], Command]:
    def source() -> Command:
        """Raises CalledProcessError or OSError."""
        _install()
        words = [str(VENV / "bin" / "python"), "-m", "tests.bench.http_servers", kind]
        return lambda port, response, folder: [*words, str(port), str(response)]

    return source


def canned() -> Command:
    binary = str(compiled("http_canned"))
    return lambda port, response, folder: [binary, str(port), str(response)]


def nginx() -> Command:
    """Raises CalledProcessError or OSError."""
    unpacked = BUILD / "peers" / "nginx"
    binary = unpacked / "usr" / "sbin" / "nginx"
    if not binary.exists():
        archives = unpacked.with_name("nginx-archives")
        archives.mkdir(parents=True, exist_ok=True)
        _run(
            "apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", "nginx", folder=archives
        )
        for archive in archives.glob("nginx_*.deb"):
            _run("dpkg", "-x", str(archive), str(unpacked))
        shutil.rmtree(archives)
    linked = _run("ldd", str(binary))
    lacking = [line.split()[0] for line in linked.splitlines() if "not found" in line]
    if lacking:
        raise FileNotFoundError(f"nginx needs {', '.join(lacking)}")

    def command(port: int, response: Path, folder: Path) -> list[str]:
        (folder / "nginx.conf").write_text(_nginx_settings(port, response))
        return [str(binary), "-p", str(folder), "-c", "nginx.conf", "-e", str(folder / "errors")]

    return command


def _nginx_settings(port: int, response: Path) -> str:
    octets = len(response.read_bytes().partition(b"\r\n\r\n")[2])
    whole, rest = divmod(octets, TOKEN_OCTETS)
    page = "${part}" * whole + "x" * rest
    paths = "".join(
        f"{kind}_temp_path temp; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""
daemon off; worker_processes 1; pid nginx.pid; {user}
events {{ worker_connections 8192; }}
http {{
  access_log off; default_type text/html; {paths}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ set $part "{"x" * TOKEN_OCTETS}"; return 200 "{page}"; }}
  }}
}}
"""


SOURCES: dict[str, Callable[[], Command]] = {
    CANNED: canned,
    NGINX: nginx,
    LIMIT: python_peer("limit"),
    OURS: lambda: asyncnet,
    GRANIAN: python_peer("granian-rsgi"),
    GRANIAN_ASGI: python_peer("granian-asgi"),
    UVICORN: python_peer("uvicorn"),
    AIOHTTP: python_peer("aiohttp"),
    STDLIB: python_peer("http.server"),
}


def find(name: str) -> Command | Missing:
    """How the server is started; Missing when it cannot be had, for whatever reason."""
    try:
        return get(SOURCES[name])  # type: ignore[arg-type, return-value]
    except NoCompiler as error:
        return Missing(str(error))


@contextmanager
def running(
    name: str, command: Command, response: Path, folder: Path, core: int | None
) -> Iterator[Server]:
    """The server on its core, from its first answer to the end of the block."""
    folder.mkdir(parents=True)
    port = free_port()
    process = start(command(port, response, folder), folder, core)
    try:
        try:
            wait_for_answer(port, process)
        except OSError as error:
            words = (folder / "log").read_text(errors="replace").strip().splitlines()
            raise OSError(f"{error}: {words[-1] if words else 'without a word'}") from error
        yield Server(name, process.pid, port)
    finally:
        stop(process)


def start(words: list[str], folder: Path, core: int | None) -> "subprocess.Popen[bytes]":
    mine = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})  # a child begins where its parent is
    try:
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(
                words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
    finally:
        os.sched_setaffinity(0, mine)


def stop(process: "subprocess.Popen[bytes]") -> None:
    family = _family(process.pid)
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        for pid in family:
            os.kill(pid, 9)
        process.wait()


def wait_for_answer(
    port: int, process: "subprocess.Popen[bytes] | None" = None, look_s: float = 0.02
) -> bytes:
    """The first whole answer.  Raises OSError when the server ends before, or takes too long."""
    begun = time.monotonic()
    while time.monotonic() - begun < START_S:
        if process is not None and process.poll() is not None:
            raise OSError(f"the server ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", port), START_S) as client:
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = bytearray()
                while part := client.recv(65536):
                    answer += part
                return bytes(answer)
        except ConnectionError:
            time.sleep(look_s)
    raise OSError("the server does not answer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _family(pid: int) -> list[int]:
    """The process and all below it."""
    family = [pid]
    for member in family:
        for children in Path("/proc").glob(f"{member}/task/*/children"):
            try:
                family += map(int, children.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                continue  # the thread has ended
    return family


def _install() -> None:
    python = VENV / "bin" / "python"
    if not python.exists():
        _run(sys.executable, "-m", "venv", str(VENV))
    wanted = dict(package.split("==") for package in PACKAGES)
    asked = "import sys, json; from importlib.metadata import version as v"
    asked += "; print(all(v(n) == w for n, w in json.loads(sys.argv[1]).items()))"
    done = subprocess.run(
        (str(python), "-c", asked, json.dumps(wanted)), capture_output=True, text=True, check=False
    )
    if done.stdout.strip() != "True":
        _run(str(python), "-m", "pip", "-qq", "--disable-pip-version-check", "install", *PACKAGES)


def _run(*command: str, folder: Path | None = None) -> str:
    done = subprocess.run(
        command, cwd=folder, check=True, timeout=INSTALL_S, capture_output=True, text=True
    )
    return done.stdout
