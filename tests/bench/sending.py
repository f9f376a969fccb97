"""`make bench-send`: our client beside those that its users would pick instead, on one sink.

    python -m tests.bench.sending [--rounds 5] [--case TEXT]... [--sender TEXT]... [--json FILE]

smtplib and aiosmtplib (ready octets, and with `email`), nodemailer's pool, and smtp-source, the C
tool of Postfix: the same messages over the same kept connections to the same sink (sink.c), one
process each, sender and sink on a core each, in alternating rounds.  A machine's speed drifts by
tens of per cent, so what counts are ratios: each is the median of the ratios of single rounds.
About five minutes, with --rounds 1 one.  Beside each ratio of rates stands that of the processor
times: on an idle machine the two agree wherever a sender keeps its core busy, and when neighbours
take the machine the second one drifts least.

The sink must not be what is measured: its share of a core is shown, and marked where it is the
limit.  A round trip of 40 ms is made by the sink, which holds its replies for so long.  Needs a C
compiler; peers that are not here are fetched into build/, and what cannot be had is told.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import peers
from tests.bench.child import Job
from tests.bench.measuring import Figures, SenderFailed, cores, run_sender
from tests.bench.peers import Missing, Program
from tests.bench.sending_cases import C_TOOL, CASES, GOALS, SENDERS, Case, Goal
from tests.bench.sink import NoCompiler, Sink, binary, running_sink

ROUNDS = 5
BUSY_LOAD = 1.0  # beside us, when we begin
SINK_IS_LIMIT = 0.93  # of a core, and then more than the sender itself took

Measured = dict[str, dict[str, list[Figures]]]  # by case and sender, round by round


def find_programs(names: Iterable[str]) -> dict[str, Program | Missing]:
    """The programs of these senders; a source is asked once."""
    sources = {SENDERS[name].source for name in names}
    found = {source: peers.get(source) for source in sources}
    return {name: found[SENDERS[name].source] for name in names}


def measure(
    cases: Sequence[Case], programs: Mapping[str, Program], rounds: int, console: Console
) -> Iterator[tuple[Case, dict[str, list[Figures]]]]:
    """Every case with the figures of its senders.  A sender that fails is told of and left out."""
    own, sinks = cores()
    with tempfile.TemporaryDirectory(prefix="asyncnet-bench-") as folder:
        for case in cases:
            names = [name for name in case.messages if name in programs]
            if not names:
                continue
            file = _file(Path(folder), case.file_octets)
            figures: dict[str, list[Figures]] = {name: [] for name in names}
            with running_sink(delay_ms=case.delay_ms, core=sinks) as sink:
                for number in range(rounds):
                    # Nobody is always first, or always behind the same one.
                    turn = number % len(names)
                    for name in [it for it in (*names[turn:], *names[:turn]) if it in figures]:
                        job = _job(case, name, sink, file)
                        try:
                            with console.status(f"{case.name}: {name}"):
                                figures[name].append(run_sender(programs[name], job, sink, own))
                        except SenderFailed as failed:
                            console.print(f"[bold red]{case.name}: {name} FAILED: {failed}")
                            del figures[name]
            yield case, figures


def _file(folder: Path, octets: int) -> str:
    if not octets:
        return ""
    file = folder / f"{octets}.pdf"
    file.write_bytes(os.urandom(octets))
    return str(file)


def _job(case: Case, name: str, sink: Sink, file: str) -> Job:
    return Job(
        port=sink.port,
        connections=case.connections,
        messages=case.messages[name],
        recipients=case.recipients,
        compose=SENDERS[name].compose,
        file=file,
        warm=case.warm,
        window=SENDERS[name].window,
    )


def ratio(ours: Sequence[Figures], theirs: Sequence[Figures]) -> float:
    return statistics.median(a.per_s / b.per_s for a, b in zip(ours, theirs, strict=True))


def cpu_ratio(ours: Sequence[Figures], theirs: Sequence[Figures]) -> float:
    """How often our processor time goes into theirs."""
    return statistics.median(b.cpu_us / a.cpu_us for a, b in zip(ours, theirs, strict=True))


def median(figures: Sequence[Figures], name: str) -> float:
    return float(statistics.median(getattr(it, name) for it in figures))


def case_table(case: Case, figures: Mapping[str, Sequence[Figures]]) -> Table:
    table = Table(title=case.name, title_justify="left")
    table.add_column("sender")
    for column in (
        "messages/s",
        "of smtp-source",
        "round trips",
        "processor time",
        "memory above idle",
        "sink busy",
    ):
        table.add_column(column, justify="right")
    for name, runs in figures.items():
        busy, cpu_us = median(runs, "sink_busy"), median(runs, "cpu_us")
        limited = busy > SINK_IS_LIMIT and busy > cpu_us * median(runs, "per_s") / 1e6
        table.add_row(
            name,
            f"{median(runs, 'per_s'):,.{0 if median(runs, 'per_s') > 100 else 1}f}",
            f"{ratio(runs, figures[C_TOOL]):.2f}" if C_TOOL in figures else "",
            f"{median(runs, 'round_trips'):.2f}",
            f"{cpu_us:,.0f} µs" if cpu_us < 10_000 else f"{cpu_us / 1000:,.0f} ms",
            f"{median(runs, 'peak_mb'):.1f} MB" + (" (all)" if name == C_TOOL else ""),
            f"{busy:.0%}" + (" [red]THE LIMIT[/]" if limited else ""),
        )
    illegal = sorted(name for name, runs in figures.items() if runs and runs[0].illegal_groups)
    if illegal:
        table.caption = f"[red]illegal groups (RFC 2920 section 3.1) from {', '.join(illegal)}[/]"
    return table


def reached(goal: Goal, measured: Measured) -> float | None:
    """The ratio, or the megabytes; None where one of the two was not measured."""
    figures = measured.get(goal.case.name, {})
    if goal.ours not in figures or (goal.theirs is not None and goal.theirs not in figures):
        return None
    if goal.theirs is None:
        return median(figures[goal.ours], "peak_mb")
    return ratio(figures[goal.ours], figures[goal.theirs])


def by_processor_time(goal: Goal, measured: Measured) -> str:
    """The same ratio in processor time, which neighbours disturb least; "" where waiting rules."""
    if goal.theirs is None or goal.case.delay_ms or reached(goal, measured) is None:
        return ""
    figures = measured[goal.case.name]
    return f"{cpu_ratio(figures[goal.ours], figures[goal.theirs]):.2f}x"


def verdict(goal: Goal, value: float | None) -> str:
    """ "goal", "must", "MISSED", or "not measured" """
    if value is None:
        return "not measured"
    better = -1 if goal.theirs is None else 1
    if better * value >= better * goal.goal:
        return "goal"
    return "must" if better * value >= better * goal.must else "MISSED"


def goal_table(goals: Sequence[Goal], measured: Measured) -> Table:
    table = Table(title="Against the goals", title_justify="left")
    for column in ("case", "ours", "against"):
        table.add_column(column)
    for column in ("must", "goal", "reached", "by processor time"):
        table.add_column(column, justify="right")
    table.add_column("met")
    colours = {"goal": "green", "must": "yellow", "MISSED": "bold red", "not measured": "red"}
    for goal in goals:
        value = reached(goal, measured)
        said = verdict(goal, value)
        unit = "x" if goal.theirs else " MB"
        table.add_row(
            goal.case.name,
            goal.ours,
            (goal.theirs or "memory above idle") + ("*" if goal.note else ""),
            f"{goal.must:g}{unit}",
            f"{goal.goal:g}{unit}",
            "" if value is None else f"{value:.2f}{unit}",
            by_processor_time(goal, measured),
            f"[{colours[said]}]{said}[/]",
        )
    notes = dict.fromkeys(goal.note for goal in goals if goal.note)
    table.caption = "\n".join(f"* {note}" for note in notes)
    table.caption_justify = "left"
    return table


def chosen(names: Iterable[str], words: Sequence[str]) -> list[str]:
    """The names in which one of the words stands; all, where there are no words."""
    return [name for name in names if not words or any(word in name for word in words)]


def tell_programs(programs: Mapping[str, Program | Missing], console: Console) -> None:
    for name, program in programs.items():
        if isinstance(program, Missing):
            console.print(f"[bold red]*** {name} CANNOT BE HAD, so nothing is said of it: ", end="")
            console.print(program.why, markup=False)
        elif program.version:
            console.print(f"{name}: {program.version}", highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--case", action="append", default=[], help="only cases with this word")
    parser.add_argument("--sender", action="append", default=[], help="only such senders")
    parser.add_argument("--json", type=Path, help="write all figures there, round by round")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        binary()
    except (NoCompiler, subprocess.CalledProcessError) as error:
        console.print(f"[bold red]*** the sink cannot be made: {error}")
        return 1
    programs = find_programs(chosen(SENDERS, options.sender))
    tell_programs(programs, console)
    if os.getloadavg()[0] > BUSY_LOAD:
        console.print(
            f"[yellow]*** load {os.getloadavg()[0]:.1f}: others use this machine, and who waits for"
            " most replies suffers most.  Believe the processor times.[/]"
        )
    present = {name: it for name, it in programs.items() if isinstance(it, Program)}
    names = chosen((case.name for case in CASES), options.case)
    measured: Measured = {}
    cases = [case for case in CASES if case.name in names]
    for case, figures in measure(cases, present, options.rounds, console):
        measured[case.name] = figures
        console.print(case_table(case, figures))
    goals = [goal for goal in GOALS if goal.case.name in names and goal.ours in programs]
    if goals:
        console.print(goal_table(goals, measured))
    tell_programs({n: it for n, it in programs.items() if isinstance(it, Missing)}, console)
    if options.json:
        raw = {
            case: {name: [asdict(it) for it in runs] for name, runs in figures.items()}
            for case, figures in measured.items()
        }
        options.json.write_text(json.dumps(raw, indent=1))
    return int(any(verdict(goal, reached(goal, measured)) == "MISSED" for goal in goals))


if __name__ == "__main__":
    sys.exit(main())
