"""One run of one sender process against the sink, and what it took.

Time is taken at the sink, from the first MAIL to the last reply to a content; processor time and
memory are those of the sender process while it sent, its start left out (smtp-source, which
cannot be told to wait, is taken whole: its start costs a few milliseconds).
"""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.child import SENDER, Job
from tests.bench.peers import ROOT, Program
from tests.bench.sink import Sink

RUN_S = 120.0  # no run takes a quarter of that
LOOK_S = 0.005
MEGABYTE = 1_000_000
# What base64 makes of a file: 57 octets give a line of 76 and its end.
ROW_OCTETS, LINE_OCTETS = 57, 78
SMTP_SOURCE_SMALL_OCTETS = 1024


@dataclass(frozen=True)
class Figures:
    """What one run took, by message where nothing else is said."""

    per_s: float
    cpu_us: float
    peak_mb: float  # above the idle process; of smtp-source all of it
    round_trips: float
    sink_busy: float  # share of the time
    octets: float
    illegal_groups: int  # in all


class SenderFailed(Exception):
    """A sender ended early, or the sink has not got from it what it should have."""


def cores() -> tuple[int, int] | tuple[None, None]:
    """A core for the senders and one for the sink, where there are two."""
    mine = sorted(os.sched_getaffinity(0))
    return (mine[0], mine[-1]) if len(mine) > 1 else (None, None)


def run_sender(program: Program, job: Job, sink: Sink, core: int | None) -> Figures:
    """Raises SenderFailed."""
    if Path(program.command[0]).name == "smtp-source":
        return _run_smtp_source(program, job, sink, core)
    with _started(program, (job.argument(),), core) as process:
        _expect(process, "ready")
        idle_mb = _memory_mb(process.pid, "VmRSS")
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak is the present
        sink.reset()
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        cpu_s = float(_expect(process, "done"))
        peak_mb = _memory_mb(process.pid, "VmHWM") - idle_mb
    return _figures(job, sink, cpu_s, peak_mb)


def _run_smtp_source(program: Program, job: Job, sink: Sink, core: int | None) -> Figures:
    octets = SMTP_SOURCE_SMALL_OCTETS
    if job.file:
        octets += Path(job.file).stat().st_size * LINE_OCTETS // ROW_OCTETS
    words = ["-d", "-s", job.connections, "-m", job.messages, "-l", octets]
    words += ["-r", job.recipients, "-f", SENDER, "-t", "bob@example.com"]
    sink.reset()
    with _started(program, (*map(str, words), f"127.0.0.1:{job.port}"), core) as process:
        peak_mb = 0.0
        while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            try:
                peak_mb = _memory_mb(process.pid, "VmHWM")
            except LookupError:  # it is ending
                continue
            time.sleep(LOOK_S)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SenderFailed(f"{program.command[0]} ended with {process.returncode}")
    return _figures(job, sink, usage.ru_utime + usage.ru_stime, peak_mb)


def _figures(job: Job, sink: Sink, cpu_s: float, peak_mb: float) -> Figures:
    counts = sink.counts()
    wrong = counts["unknown_commands"] + counts["out_of_order"] + counts["lost_in_content"]
    expected = (job.messages, job.messages * job.recipients)
    if (counts["messages"], counts["recipients"]) != expected or wrong:
        raise SenderFailed(f"{expected} messages and recipients were to come: {counts}")
    took_s = counts["last_reply_s"] - counts["first_mail_s"]
    return Figures(
        per_s=job.messages / took_s,
        cpu_us=cpu_s / job.messages * 1e6,
        peak_mb=peak_mb,
        round_trips=counts["round_trips"] / job.messages,
        sink_busy=counts["cpu_s"] / took_s,
        octets=counts["octets"] / job.messages,
        illegal_groups=counts["illegal_groups"],
    )


@contextmanager
def _started(
    program: Program, arguments: tuple[str, ...], core: int | None
) -> Iterator["subprocess.Popen[str]"]:
    """The sender's process on its core; killed when it takes too long, ended at the end."""
    mine = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})  # a child begins where its parent is
    try:
        process = subprocess.Popen(
            (*program.command, *arguments),
            cwd=ROOT,
            env={**os.environ, **program.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.sched_setaffinity(0, mine)
    watchdog = threading.Timer(RUN_S, process.kill)
    watchdog.start()
    try:
        yield process
        process.communicate()  # the end of its input ends it
    finally:
        watchdog.cancel()
        if process.returncode is None:
            process.kill()
            process.wait()


def _expect(process: "subprocess.Popen[str]", word: str) -> str:
    """What stands behind this word in the next line.  Raises SenderFailed when it is another."""
    assert process.stdout is not None
    assert process.stderr is not None
    first, _, rest = process.stdout.readline().strip().partition(" ")
    if first != word:
        process.kill()
        words = process.stderr.read().strip().splitlines()
        raise SenderFailed(f"not {word}: {words[-1] if words else 'it ended without a word'}")
    return rest


def _memory_mb(pid: int, field: str) -> float:
    """VmRSS, or VmHWM: the most it was.  Raises LookupError when the process is no more."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / MEGABYTE
    raise LookupError(field)
