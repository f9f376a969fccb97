"""`make bench-http`: our server beside those that its users would pick instead, in one run.

    python -m tests.bench.http [--rounds 5] [--only PART]...

A new connection for each request, 64 at once, one process each; the server on one core, the
generator (http_load.c) on the other, alternating rounds, medians.  What counts is the processor
time of a request and its ratios: when neighbours take the machine, requests a second fall to a
tenth, and processor time rises by a fifth, most for those who work in Python, since the caches are
the neighbours' too.  The generator takes 35 µs for a connection of its own, so no server can be
seen to do more than some 28,000 requests a second.

"limit" is uvloop's bare Protocol that writes a ready answer and looks at nothing.  All answer with
as many octets as our home page has.  Peers that are not here are fetched into build/; what cannot
be had is told.  --precedence has all of this go before what else the machine does, and the
neighbours wait meanwhile; delays beside mail are longer then, since generator and mail do not give
way to the pages.  Figures go to build/bench-http.json and build/bench-http.txt.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from tests.bench import http_cases
from tests.bench.http_goals import (
    AT_ONCE,
    Measured,
    Run,
    goals,
    goals_table,
    peers_table,
    visits_table,
)
from tests.bench.http_load import LoadFailed, compiled
from tests.bench.http_peers import (
    OURS,
    SOURCES,
    Command,
    Server,
    asyncnet,
    find,
    running,
    wait_for_answer,
)
from tests.bench.measuring import cores
from tests.bench.peers import BUILD, Missing
from tests.bench.sink import NoCompiler

ROUNDS = 5
REQUESTS = 15_000
WARM_UP = 1_000
BUSY_LOAD = 1.0  # beside us, when we begin
PARTS = ("peers", "crowds", "calls", "delay", "attack", "memory", "start")


def measure_peers(measured: Measured, response: Path, rounds: int, console: Console) -> None:
    own, other = cores()
    commands: dict[str, Command] = {}
    for name in SOURCES:
        with console.status(f"looking for {name}"):
            found = find(name)
        if isinstance(found, Missing):
            measured.missing[name] = found.why
        else:
            commands[name] = found
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncnet-bench-")))
        servers: list[Server] = []
        for number, (name, command) in enumerate(commands.items()):
            try:
                running_one = running(name, command, response, folder / str(number), own)
                servers.append(stack.enter_context(running_one))
            except OSError as error:
                measured.missing[name] = str(error)
        for server in servers:
            http_cases.load_of(server, other, AT_ONCE, WARM_UP)
        for number in range(rounds):
            # Nobody is always first, or always behind the same one.
            turn = number % len(servers)
            for server in (*servers[turn:], *servers[:turn]):
                with console.status(f"round {number + 1}: {server.name}"):
                    load, cpu_us = http_cases.load_of(server, other, AT_ONCE, REQUESTS)
                run = Run(cpu_us, load.per_s, load.p99_us / 1e3)
                measured.peers.setdefault(server.name, []).append(run)


def measure(parts: list[str], rounds: int, console: Console) -> Measured:
    measured = Measured()
    own, other = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="asyncnet-bench-")))
        response = folder / "response"
        with running(OURS, asyncnet, response, folder / "first", own) as first:
            response.write_bytes(wait_for_answer(first.port))
        if "peers" in parts:
            measure_peers(measured, response, rounds, console)
            console.print(peers_table(measured))
            tell_missing(measured, console)
        with http_cases.ours_alone(response, own) as ours, console.status("ours alone"):
            http_cases.load_of(ours, other, AT_ONCE, WARM_UP)
            if "calls" in parts:
                measure_calls(measured, ours, console)
            if "memory" in parts:
                measured.octets_per_connection = http_cases.octets_per_held_connection(ours, other)
            if "crowds" in parts:
                measured.crowds = http_cases.crowds(ours, other, rounds)
                told = (f"{crowd:,}: {cpu:.1f} µs" for crowd, cpu in measured.crowds.items())
                console.print("connections at once, processor time:", "; ".join(told))
            if "delay" in parts:
                measured.visits["pages alone"] = http_cases.visit(ours.port, other)
            if "attack" in parts:
                measured.visits |= http_cases.under_attack(ours, other)
        if "delay" in parts:
            with console.status("while mail is being sent"):
                measured.visits |= http_cases.while_sending(own, other)
        if measured.visits:
            console.print(visits_table(measured.visits))
        if "start" in parts:
            with console.status("starting"):
                measured.start_ms, measured.start_cpu_ms = http_cases.start_ms(own)
            console.print(f"processor time of a start: {measured.start_cpu_ms:.0f} ms")
    return measured


def measure_calls(measured: Measured, ours: Server, console: Console) -> None:
    try:
        measured.calls = http_cases.system_calls(ours, cores()[1])
    except OSError as error:
        measured.missing["the count of system calls"] = str(error)
        return
    often = {name: count for name, count in measured.calls.items() if count >= 0.02}
    each = ", ".join(f"{name} {count:.2f}" for name, count in often.items())
    total = sum(measured.calls.values())
    console.print(f"system calls for an ordinary request: {total:.1f} ({each})")


def tell_missing(measured: Measured, console: Console) -> None:
    for name, why in measured.missing.items():
        console.print(f"[bold red]*** {name} CANNOT BE HAD, so nothing is said of it: ", end="")
        console.print(why, markup=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--only", action="append", choices=PARTS, default=[])
    parser.add_argument("--precedence", action="store_true", help="before neighbours (root only)")
    parser.add_argument("--out", type=Path, default=BUILD / "bench-http", help="less .json, .txt")
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120, record=True)
    try:
        compiled("http_load")
    except (NoCompiler, subprocess.CalledProcessError) as error:
        console.print(f"[bold red]*** the generator cannot be made: {error}")
        return 1
    if (load := os.getloadavg()[0]) > BUSY_LOAD:
        console.print(
            f"[yellow]*** load {load:.1f}: others use this machine.  Believe processor times and"
            " their ratios; delays, rates and the start tell how long we waited for our turn.[/]"
        )
    try:
        with http_cases.precedence(options.precedence):
            measured = measure(options.only or list(PARTS), options.rounds, console)
    except LoadFailed as failed:
        console.print(f"[bold red]*** {failed}")
        return 1
    found = goals(measured)
    console.print(goals_table(found))
    tell_missing(measured, console)
    figures = {**asdict(measured), "goals": [{**asdict(it), "met": it.verdict()} for it in found]}
    options.out.with_suffix(".json").write_text(json.dumps(figures, indent=1))
    options.out.with_suffix(".txt").write_text(console.export_text())
    return int(any(goal.verdict() == "MISSED" for goal in found))


if __name__ == "__main__":
    sys.exit(main())
