"""One job's life, as its system calls, and what must be so after one of them met a fault.

The real daemon runs in a folder of its own, beside a server in the test, and is started whenever
there is none.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.sink import NoCompiler
from tests.support.daemon import REPOSITORY, DaemonProcess, config_text, start
from tests.support.short_write import ShortWrite
from tests.support.smtp_server import CAPABILITIES, ScriptedServer
from tests.support.steady_daemon import FILES, READER, WORKER, WRITER
from tests.support.strace import Call, Strace, calls, struck

SHORT = "half"
FAULTS = {
    "SIGKILL": "signal=SIGKILL",
    "EIO": "error=EIO",
    "ENOSPC": "error=ENOSPC",
    "EMFILE": "error=EMFILE",
    "nothing": "retval=0",  # a write that takes nothing, as a short one may
    SHORT: "",  # or half of what it was given; not by strace, which lets nothing be written
}
# Of these nothing is kept and nothing decided: waiting, locks between threads, memory, clocks.
PASSED_OVER = frozenset(
    "futex epoll_pwait epoll_wait getpid gettid mmap munmap mprotect madvise brk clock_gettime"
    " clock_nanosleep rt_sigprocmask rt_sigaction sched_yield restart_syscall uname getrandom"
    " sched_getaffinity".split()
)
# By which its threads and its files wake the loop.  They never fail, and it ends if they do.
# Nor is a lock ever kept from being given back, which SQLite would then hold for ever.
NEVER_FAILS = ("[eventfd]", "inotify", "F_UNLCK")
# strace answers in the system's place: a close that fails has closed nothing.  Nor does uvloop
# close a socket that it could not set up, which no system refuses.
UNCLOSED = frozenset({"close", "ioctl", "setsockopt"})

JOB = """\
from: ada@example.org
to: [ok@example.com, also@example.com]
subject: {}
text: y
attachments: [large.bin]
"""
LARGE_OCTETS = 20_000  # with its base64 more than a row holds
CAPABLE = (*CAPABILITIES, "CHUNKING")
PATIENCE_S = 20.0
QUIET_S = 0.05  # what follows the report: the worker's last look
CLOSED_S = 3.0  # within which the daemon has let go of what it opened


@dataclass(frozen=True, slots=True)
class Point:
    """The number-th call of that name in a thread, counted from the drop."""

    thread: str
    call: Call
    number: int

    @property
    def about(self) -> tuple[str, str]:
        """The call's name and object."""
        return self.call.name, self.call.on

    def __str__(self) -> str:
        return f"{self.thread} {self.call.name} {self.number} ({self.call.on})"


@dataclass(slots=True)
class Meeting:
    """What became of a point and a fault.

    how: "unmoved", "told", "ended", "killed"; "missed" where nothing was struck, "none" where it
    was something that never fails.
    """

    point: Point
    fault: str
    struck: Call | None = None
    how: str = "missed"
    wrong: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def struck_what(self, call: Call) -> bool:
        """Whether it struck that call; one that gives a descriptor is about nothing if it fails."""
        it = self.struck
        return it is not None and it.name == call.name and it.on in (call.on, "")


class Life:
    """A spool, a server and a daemon that is started whenever there is none."""

    def __init__(self, root: Path, server: ScriptedServer) -> None:
        self.starts = 0
        self._root = root
        self._server = server
        self._daemon: DaemonProcess | None = None
        self._jobs = 0
        self._short_write: ShortWrite | None = None
        with contextlib.suppress(NoCompiler):
            self._short_write = ShortWrite(root)
        self._afresh()

    def _afresh(self) -> None:
        """Begin with an empty spool."""
        self.folder = Path(tempfile.mkdtemp(dir=self._root))
        self.spool = self.folder / "spool"
        (self.folder / "large.bin").write_bytes(bytes(range(256)) * (LARGE_OCTETS // 256 + 1))
        account = "messages_per_connection = 1"  # so that each life has a connection of its own
        text = config_text(self.folder, self._server.port).replace("[log]", f"{account}\n[log]")
        rules = '[spool]\nsettle = "200ms"\ngrace = "1s"\nscan = "1s"'
        queue = '[queue]\nretry = ["0s", "100ms"]\n'
        self._config = text.replace("[spool]", rules) + queue

    @property
    def faults(self) -> list[str]:
        """Those that can be had here."""
        return [it for it in FAULTS if it != SHORT or self._short_write is not None]

    async def points(self) -> list[Point]:
        """All calls of one job's life as they are when nothing goes wrong."""
        daemon, threads = await self._ready()
        logs = {thread: self.folder / f"calm-{thread}" for thread in threads}
        tracers = [await Strace.attach(threads[name], log) for name, log in logs.items()]
        name = self._drop(daemon)
        await self._until(lambda: self._is_done(name, daemon))
        await asyncio.sleep(QUIET_S)
        for tracer in tracers:
            await tracer.detach()
        found = []
        for thread, log in logs.items():
            counted: Counter[str] = Counter()
            for call in calls(log):
                counted[call.name] += 1
                if call.name not in PASSED_OVER:
                    found.append(Point(thread, call, counted[call.name]))
        return found

    async def meet(self, point: Point, fault: str) -> Meeting:
        """Let the fault strike at the point in a job's life."""
        meeting = Meeting(point, fault)
        daemon, threads = await self._ready()
        open_before, said_before = self._descriptors(daemon), len(daemon.log)
        log = self.folder / "struck"
        call = point.call.name
        tracer = None
        if fault == SHORT:
            assert self._short_write is not None, "a short write takes a C compiler"
            self._short_write.order(threads[point.thread], call, point.number)
        else:
            inject = f"inject={call}:{FAULTS[fault]}:when={point.number}"
            options = ("-e", f"trace={call}", "-e", inject)
            tracer = await Strace.attach(threads[point.thread], log, *options)
        name = self._drop(daemon)
        await self._until(lambda: self._is_done(name, daemon) or self._is_over(daemon))
        await asyncio.sleep(QUIET_S)
        if tracer is not None:
            await tracer.detach()
            meeting.struck = struck(log)
        elif self._short_write is not None and self._short_write.struck():
            meeting.struck = point.call
        if meeting.struck is not None and meeting.struck.on.endswith(NEVER_FAILS):
            if fault != "SIGKILL":
                meeting.how = "none"
                await self._begin_anew()
                return meeting
        if self._is_over(daemon) or (meeting.struck is not None and fault == "SIGKILL"):
            self._judge_end(meeting, await daemon.wait(), daemon.log[said_before:])
            self._judge_words(meeting, daemon, said_before)
            daemon, _ = await self._ready()
            said_before = 0
            await self._until(lambda: self._is_filed(name))
        elif meeting.struck is not None:
            told = any(it["level"] in ("warning", "error") for it in daemon.log[said_before:])
            meeting.how = "told" if told else "unmoved"
            if call not in UNCLOSED:
                await self._until(lambda: self._descriptors(daemon) <= open_before, CLOSED_S)
            opened = self._descriptors(daemon) - open_before
            if opened > 0 and call not in UNCLOSED:
                meeting.wrong.append(f"{opened} descriptors more than before")
        self._judge_words(meeting, daemon, said_before)
        await self._judge_leftovers(meeting)
        meeting.wrong += self._judge_mail(name)
        if meeting.wrong:
            await self._begin_anew()
        return meeting

    async def _begin_anew(self) -> None:
        """The next point shall not suffer for this one."""
        if self._daemon is not None and not self._is_over(self._daemon):
            await self._daemon.kill()
        self._daemon = None
        self._afresh()

    async def end(self) -> int:
        """Stop the daemon; its exit code."""
        daemon, self._daemon = self._daemon, None
        if daemon is None or daemon.process.returncode is not None:
            return 0
        try:
            return await daemon.terminate()
        except TimeoutError:
            await daemon.kill()
            return -9

    # What must be so.

    def _judge_end(self, meeting: Meeting, code: int, log: Sequence[dict[str, Any]]) -> None:
        critical = [it for it in log if it["level"] == "critical" and it.get("error")]
        if code == -9 and meeting.fault == "SIGKILL":
            meeting.how = "killed"
        elif code == 75 and critical:
            meeting.how = "ended"
        else:
            meeting.wrong.append(f"the daemon ended with {code}, saying {critical}")

    def _judge_words(self, meeting: Meeting, daemon: DaemonProcess, since: int) -> None:
        meeting.said += [
            " ".join(str(it[key]) for key in ("event", "reason", "error") if it.get(key))
            for it in daemon.log[since:]
            if it["level"] in ("warning", "error", "critical")
        ]
        meeting.wrong += [
            f"a traceback: {it['event']}: {it['exception']}"
            for it in daemon.log[since:]
            if "exception" in it
        ]
        meeting.wrong += [f"no log line: {line}" for line in daemon.errors]

    async def _judge_leftovers(self, meeting: Meeting) -> None:
        if not (left := self._left()):
            return
        if meeting.point.call.name == "unlink" and all(name.endswith(".msg") for name in left):
            await self.end()  # it is nobody's; the next start sweeps it
            await self._ready()
            meeting.how += ", swept at the start"
            left = self._left()
        meeting.wrong += [f"left: {name}" for name in left]

    def _judge_mail(self, name: str) -> list[str]:
        results = self._results(name)
        if len(results) != 1:
            return [f"{len(results)} results"]
        result = json.loads(results[0].read_text())
        if not results[0].with_name(f"{name}.yaml").exists():
            return ["the job is not beside its result"]
        if result["status"] != "sent":
            return [f"{result['status']}: {result['recipients']} {result['errors']}"]
        copies = Counter(
            recipient
            for it in self._server.heard.deliveries
            if it.taken and f"Message-ID: {result['message_id']}\r\n".encode() in it.content
            for recipient in it.recipients
        )
        return [
            f"{copies[it['address']]} times to {it}"
            for it in result["recipients"]
            if copies[it["address"]] != 1
            and not (copies[it["address"]] > 1 and it["possible_duplicate"])
        ]

    # What is looked at.

    def _results(self, name: str) -> list[Path]:
        """All that was written of a job, under another name, too."""
        of_it = (f"{name}.result.json", f"{name}~*.result.json")
        return [path for it in of_it for path in self.spool.glob(f"[sf]*/{it}")]

    def _left(self) -> list[str]:
        """What lies where nothing is to be once all is done."""
        found = [
            f"{folder}/{path.name}"
            for folder in ("pickup", "queue")
            for path in (self.spool / folder).iterdir()
        ]
        return found + [str(path.name) for path in self.spool.glob("[sf]*/.*")]

    def _is_filed(self, name: str) -> bool:
        return bool(self._results(name)) and not self._left()

    def _is_done(self, name: str, daemon: DaemonProcess) -> bool:
        reported = any(
            it["event"] == "job reported" and it.get("name") == name for it in daemon.log
        )
        return reported and bool(self._results(name))

    def _is_over(self, daemon: DaemonProcess) -> bool:
        return daemon.process.returncode is not None

    def _descriptors(self, daemon: DaemonProcess) -> int:
        try:
            return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))
        except OSError:
            return 0

    async def _until(self, condition: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
        """Return when it is so, or when it is too late: what is not so is told then."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not condition():  # noqa: ASYNC110  # another process
                    await asyncio.sleep(0.01)

    # The daemon.

    def _drop(self, daemon: DaemonProcess) -> str:
        self._jobs += 1
        name = f"job-{self._jobs}"
        daemon.drop(f"{name}.yaml", JOB.format(name))
        return name

    async def _ready(self) -> tuple[DaemonProcess, dict[str, int]]:
        """A daemon that runs, and its threads by their names."""
        if self._daemon is None or self._is_over(self._daemon):
            self.starts += 1
            # Without a buffer Python itself drops what a short write to the log left.
            environment = {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": ""}
            if self._short_write is not None:
                environment |= self._short_write.environment
            argv = ("-m", "tests.support.steady_daemon")
            self._daemon = daemon = await start(
                self.folder, self._config, argv=argv, environment=environment
            )
            assert await daemon.wait_ready(), daemon.errors
            name = self._drop(daemon)  # it opens what is opened once
            await self._until(lambda: self._is_done(name, daemon))
        return self._daemon, self._threads(self._daemon.process.pid)

    def _threads(self, pid: int) -> dict[str, int]:
        names = {f"{WORKER}_0": "worker", f"{FILES}_0": "files", WRITER: "writer", READER: "reader"}
        found = {"loop": pid}
        for task in Path(f"/proc/{pid}/task").iterdir():
            comm = (task / "comm").read_text().strip()
            if comm in names:
                found[names[comm]] = int(task.name)
        assert len(found) == 5, found
        return found
