"""What `make bench-http` measures of our server alone: delay, crowds, memory, start, attacks."""

import os
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.http_load import Load, flood, held, run_load
from tests.bench.http_peers import (
    OURS,
    Server,
    asyncnet,
    free_port,
    running,
    settings,
    start,
    stop,
    wait_for_answer,
)
from tests.bench.sink import running_sink

RATE = 2_000
VISITS = 10_000  # five seconds of them
CROWDS = (10, 100, 1_000, 5_000)
CROWD_REQUESTS = 60_000  # of each, so that how the largest gathers is not most of its run
HELD = 5_000
STARTS = 7
MAILS_PER_S = 200
ABORTS_PER_S = 2_000
WHOLE_DAEMON = """
[account.local]
host = "127.0.0.1"
port = {port}
tls = "none"
"""
JOB = "from: a@example.org\nto: b@example.com\nsubject: Measurement\ntext: |\n  {text}\n"
TEXT = "A thousand octets of plain text make an ordinary mail. " * 18


CALLED = 2_000  # requests under strace, which makes them slow


@dataclass(frozen=True)
class Visit:
    """p50 and p99 at a fixed rate, in milliseconds, and how many got no whole answer."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    failed: int
    note: str = ""


@contextmanager
def precedence(wanted: bool) -> Iterator[None]:
    """All that is started in the block goes before the neighbours' processes: only root may.

    Raises PermissionError.
    """
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    if wanted:
        # Niceness would count among the processes of our own session only.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        yield
    finally:
        if wanted:
            os.sched_setscheduler(0, policy, parameter)


def visit(port: int, core: int | None, note: str = "") -> Visit:
    load = run_load(port, core, "--rate", RATE, "--requests", VISITS, may_fail=True)
    return Visit(load.p50_us / 1e3, load.p99_us / 1e3, load.max_us / 1e3, load.failed, note)


def load_of(server: Server, core: int | None, at_once: int, requests: int) -> tuple[Load, float]:
    """One closed-loop run, and the server's processor time for each request in microseconds."""
    before_s = server.cpu_s()
    load = run_load(server.port, core, "--at-once", at_once, "--requests", requests)
    return load, (server.cpu_s() - before_s) / requests * 1e6


def crowds(server: Server, core: int | None, rounds: int) -> dict[int, float]:
    """Processor microseconds a request by the number of connections at once; medians."""
    taken: dict[int, list[float]] = {crowd: [] for crowd in CROWDS}
    for number in range(rounds):
        turn = number % len(CROWDS)
        for crowd in (*CROWDS[turn:], *CROWDS[:turn]):
            taken[crowd].append(load_of(server, core, crowd, CROWD_REQUESTS)[1])
    return {crowd: statistics.median(values) for crowd, values in taken.items()}


def octets_per_held_connection(server: Server, core: int | None) -> float:
    """What a fresh server grows by for each connection that has sent half a head."""
    before = server.resident_octets()
    with held(server.port, core, HELD):
        time.sleep(1.0)  # until the last ones are read
        grown = server.resident_octets() - before
    wait_until_gone(server)
    return grown / HELD


def wait_until_gone(server: Server) -> None:
    """Until the held ones are closed: they would be counted with what is measured next."""
    while len(os.listdir(f"/proc/{server.pid}/fd")) > 100:
        time.sleep(0.05)


def system_calls(server: Server, core: int | None) -> dict[str, float]:
    """How often each is made for one ordinary request.  Raises OSError without strace."""
    with tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as name:
        told = Path(name) / "calls"
        words = ["strace", "-f", "-c", "-U", "name,calls", "-o", str(told), "-p", str(server.pid)]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        if "attached" not in (said := process.stderr.readline()):
            process.wait()
            raise OSError(f"strace: {said.strip()}")
        run_load(server.port, core, "--at-once", 16, "--requests", CALLED)
        process.send_signal(signal.SIGINT)
        process.communicate()
        rows = (line.split() for line in told.read_text().splitlines()[2:])
        counted = {row[0]: row[1] for row in rows if len(row) == 2 and row[1].isdigit()}
        counted.pop("total", None)
        return {name: int(count) / CALLED for name, count in counted.items()}


def under_attack(server: Server, core: int | None) -> dict[str, Visit]:
    """Real visitors beside 5,000 half-sent requests, and beside those who reset each request."""
    told = {}
    with held(server.port, core, HELD):
        told["beside 5,000 half-sent requests"] = visit(server.port, core)
    aborting = ("--abort", "--rate", ABORTS_PER_S, "--requests", 1_000_000)
    wait_until_gone(server)
    with flood(server.port, core, *aborting):
        told[f"beside {ABORTS_PER_S:,} resets a second"] = visit(server.port, core)
    with ExitStack() as stack:
        stack.enter_context(held(server.port, core, HELD))
        stack.enter_context(flood(server.port, core, *aborting))
        told["beside both"] = visit(server.port, core)
    return told


def while_sending(own: int | None, other: int | None) -> dict[str, Visit]:
    """Visitors of the whole daemon: with no mail, a steady flow, and a burst of all at once."""
    with (
        tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as name,
        running_sink(core=other) as sink,
        whole_daemon(Path(name), sink.port, own) as port,
    ):
        pickup = Path(name) / "spool" / "pickup"
        told = {"whole daemon, no mail": visit(port, other)}
        with dropping(pickup, MAILS_PER_S):
            sink.reset()
            flow = visit(port, other)
            mails = sink.counts()["messages"]
        note = f"{mails:,} mails delivered meanwhile"
        told[f"while {MAILS_PER_S} mails a second are sent"] = _noted(flow, note)
        for number in range(VISITS):
            (pickup / f".b{number}").write_text(JOB.format(text=TEXT))
        sink.reset()
        for number in range(VISITS):
            (pickup / f".b{number}").rename(pickup / f"b{number}.yaml")
        burst = visit(port, other)
        note = f"{sink.counts()['messages']:,} mails delivered meanwhile"
        told["while a burst of mails is sent as fast as it goes"] = _noted(burst, note)
    return told


def _noted(visit: Visit, note: str) -> Visit:
    return Visit(visit.p50_ms, visit.p99_ms, visit.max_ms, visit.failed, note)


@contextmanager
def whole_daemon(folder: Path, sink_port: int, core: int | None) -> Iterator[int]:
    port = free_port()
    text = settings(port, folder, WHOLE_DAEMON.format(port=sink_port))
    words = [it for it in asyncnet(port, folder, folder) if it not in ("--only", "web")]
    (folder / "asyncnet.toml").write_text(text)
    process = start(words, folder, core)
    try:
        wait_for_answer(port, process)
        yield port
    finally:
        stop(process)


@contextmanager
def dropping(pickup: Path, per_s: int) -> Iterator[None]:
    """So many jobs a second, until the block ends."""
    ended = threading.Event()

    def drop() -> None:
        number, begun = 0, time.monotonic()
        while not ended.wait(max(0.0, begun + number / per_s - time.monotonic())):
            (pickup / f".s{number}").write_text(JOB.format(text=TEXT))
            (pickup / f".s{number}").rename(pickup / f"s{number}.yaml")
            number += 1

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def start_ms(core: int | None) -> tuple[float, float]:
    """From the start of the whole daemon, spool and all, to the end of its first answer; median.

    The second figure is its processor time until then, which neighbours do not lengthen.
    """
    times_ms, cpu_ms = [], []
    for _ in range(STARTS):
        with tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as name:
            folder, port = Path(name), free_port()
            words = [it for it in asyncnet(port, folder, folder) if it not in ("--only", "web")]
            extra = WHOLE_DAEMON.format(port=free_port())
            (folder / "asyncnet.toml").write_text(settings(port, folder, extra))
            begun = time.monotonic()
            process = start(words, folder, core)
            try:
                wait_for_answer(port, process, look_s=0.002)
                times_ms.append((time.monotonic() - begun) * 1e3)
                cpu_ms.append(Server(OURS, process.pid, port).cpu_s() * 1e3)
            finally:
                stop(process)
    return statistics.median(times_ms), statistics.median(cpu_ms)


@contextmanager
def ours_alone(response: Path, core: int | None) -> Iterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as name,
        running(OURS, asyncnet, response, Path(name) / "ours", core) as server,
    ):
        yield server
