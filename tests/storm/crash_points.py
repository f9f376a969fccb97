"""`make crash-points`: each system call of one job's life meets each fault once.

    python -m tests.storm.crash_points [--faults EIO,SIGKILL,…] [--only WORD] [--list]

The real daemon takes a job with an attachment, whose content lies in a file.  A fault strikes at
one call of one of its threads: it is killed there, the call fails, or a write takes less than it
was given.  Then the daemon goes on by itself, or it has ended (killed, or by 75 with a plain
line) and is started afresh.  Afterwards the job has one result, "sent"; its mail is at the
server, twice only where the result says so; nothing is left in pickup/ and queue/, no descriptor,
no traceback.  Ends with 1 where that is not so.

It needs strace, and a C compiler for the short writes.
"""

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from tests.storm.one_life import CAPABLE, FAULTS, NEVER_FAILS, SHORT, Life, Meeting, Point
from tests.support.short_write import CALLS
from tests.support.smtp_server import ScriptedServer

# Between the event loop and the kernel nothing fails in these ways, and the loop would take it for
# the end of all (abort): such calls are only killed at.
LOOP_S_OWN = frozenset({"epoll_ctl", "io_uring_enter"})
SHIFTS = (0, -1, 1, 0, -2, 2)


def plan(points: Iterable[Point], faults: Sequence[str]) -> list[tuple[Point, str]]:
    """Which point meets which fault."""
    return [
        (point, fault)
        for point in points
        for fault in faults
        if fault == "SIGKILL"
        or (
            point.call.name not in LOOP_S_OWN
            and not point.call.on.endswith(NEVER_FAILS)
            and (fault not in ("nothing", SHORT) or point.call.name in CALLS)
        )
    ]


async def meet_at(life: Life, point: Point, fault: str) -> Meeting:
    """A meeting that struck what was meant, if one of a few did.

    The loop's wake-ups come now between these calls and now between those, so that the number of
    a call is not always the same.
    """
    for number in (point.number + shift for shift in SHIFTS if point.number + shift > 0):
        meeting = await life.meet(replace(point, number=number), fault)
        if meeting.wrong or meeting.struck_what(point.call):
            break
    meeting.point = point
    return meeting


async def work(
    lives: Sequence[Life], meetings: Sequence[tuple[Point, str]], note: Callable[[Meeting], None]
) -> None:
    """Let the lives share the meetings."""
    waiting = list(reversed(meetings))

    async def live(life: Life) -> None:
        while waiting:
            note(await meet_at(life, *waiting.pop()))
        code = await life.end()
        assert code == 0, f"a daemon ended with {code}"

    async with asyncio.TaskGroup() as tasks:
        for life in lives:
            tasks.create_task(live(life))


def table(meetings: Iterable[Meeting]) -> str:
    """How it went, by thread, call and fault."""
    rows: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
    for it in meetings:
        key = (it.point.thread, it.point.call.name)
        how = "WRONG" if it.wrong else it.how
        rows.setdefault(key, Counter())[it.fault, how] += 1
    lines = []
    for (thread, call), counts in sorted(rows.items()):
        cells = []
        for fault in FAULTS:
            found = {how: number for (of, how), number in sorted(counts.items()) if of == fault}
            cells.append(" ".join(f"{number} {how}" for how, number in found.items()))
        shown = "; ".join(f"{f}: {cell}" for f, cell in zip(FAULTS, cells, strict=True) if cell)
        lines.append(f"{thread:7} {call:12} {shown}")
    return "\n".join(lines)


async def strike(options: argparse.Namespace) -> int:
    begun_s = time.monotonic()
    met: list[Meeting] = []
    async with contextlib.AsyncExitStack() as stack:
        lives = []
        for _ in range(options.beside):
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncnet-points-"))
            server = ScriptedServer(capabilities=CAPABLE)
            lives.append(Life(Path(name), await stack.enter_async_context(server)))
            stack.push_async_callback(lives[-1].end)
        points = await lives[0].points()
        wanted = options.faults.split(",")
        faults = [fault for fault in lives[0].faults if fault in wanted]
        if left_out := set(wanted) - set(faults):
            print(f"LEFT OUT: {', '.join(left_out)}: no such fault, or no C compiler for it")
        meetings = [
            (point, fault)
            for point, fault in plan(points, faults)
            if options.only in f"{point} {fault}"
        ]
        print(f"{len(points)} points, {len(meetings)} meetings")
        if options.list:
            print(*(f"{point}: {fault}" for point, fault in meetings), sep="\n")
            return 0

        def note(meeting: Meeting) -> None:
            met.append(meeting)
            if meeting.wrong or options.verbose:
                head = "***" if meeting.wrong else meeting.how
                where = f", struck {meeting.struck}" * (meeting.struck != meeting.point.call)
                print(f"{head} {meeting.fault} at {meeting.point}{where}", flush=True)
                for line in (*meeting.wrong, *(f"said: {it}" for it in meeting.said)):
                    print(f"      {line}", flush=True)
            if len(met) % 50 == 0:
                took_s = time.monotonic() - begun_s
                wrong = sum(bool(it.wrong) for it in met)
                print(f"{len(met)} of {len(meetings)}, {wrong} wrong, {took_s:.0f} s", flush=True)

        await work(lives, meetings, note)
    print(table(met))
    wrong = sum(bool(it.wrong) for it in met)
    missed = sum(not it.struck_what(it.point.call) for it in met)
    starts = sum(life.starts for life in lives)
    took_s = time.monotonic() - begun_s
    print(
        f"{len(points)} points, {len(met)} meetings ({missed} missed), {starts} starts,"
        f" {took_s:.0f} s: {wrong} wrong"
    )
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--faults", default=",".join(FAULTS))
    parser.add_argument("--only", default="", help="points and faults that hold this word")
    parser.add_argument("--beside", type=int, default=4, help="daemons at a time")
    parser.add_argument("--list", action="store_true", help="show them and end")
    parser.add_argument("--verbose", action="store_true")
    return asyncio.run(strike(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
