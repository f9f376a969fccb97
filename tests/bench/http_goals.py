"""What `make bench-http` has found out, as tables, and beside the goals."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.table import Table

from tests.bench import http_cases
from tests.bench.http_cases import Visit
from tests.bench.http_peers import AIOHTTP, GRANIAN, LIMIT, OURS, UVICORN

AT_ONCE = 64
FLOW = f"while {http_cases.MAILS_PER_S} mails a second are sent"


@dataclass(frozen=True)
class Run:
    """One round of one server."""

    cpu_us: float
    per_s: float
    p99_ms: float


@dataclass
class Measured:
    """Everything this run found out; what was not measured is empty."""

    peers: dict[str, list[Run]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    crowds: dict[int, float] = field(default_factory=dict)
    calls: dict[str, float] = field(default_factory=dict)
    visits: dict[str, Visit] = field(default_factory=dict)
    octets_per_connection: float | None = None
    start_ms: float | None = None
    start_cpu_ms: float | None = None


@dataclass(frozen=True)
class Goal:
    name: str
    unit: str
    must: float
    goal: float
    value: float | None
    more_is_better: bool = True

    def verdict(self) -> str:
        """ "goal", "must", "MISSED", or "not measured" """
        if self.value is None:
            return "not measured"
        sign = 1 if self.more_is_better else -1
        if sign * self.value >= sign * self.goal:
            return "goal"
        return "must" if sign * self.value >= sign * self.must else "MISSED"


def ratio(measured: Measured, theirs: str) -> float | None:
    """How often our processor time goes into theirs; the median of single rounds."""
    ours, others = measured.peers.get(OURS), measured.peers.get(theirs)
    if not ours or not others:
        return None
    return statistics.median(b.cpu_us / a.cpu_us for a, b in zip(ours, others, strict=True))


def growth(crowds: Mapping[int, float]) -> float | None:
    if not crowds:
        return None
    return (crowds[max(crowds)] / crowds[min(crowds)] - 1) * 100


def goals(measured: Measured) -> list[Goal]:
    sending = measured.visits.get(FLOW)
    held = measured.octets_per_connection
    return [
        Goal("processor time, limit / ours", "x", 0.52, 0.65, ratio(measured, LIMIT)),
        Goal("uvicorn / ours", "x", 1.35, 1.7, ratio(measured, UVICORN)),
        Goal("granian / ours", "x", 0.85, 1.1, ratio(measured, GRANIAN)),
        Goal("aiohttp / ours", "x", 2.2, 3.0, ratio(measured, AIOHTTP)),
        Goal("growth from 10 to 5,000 at once", " %", 15, 5, growth(measured.crowds), False),
        Goal(
            f"p50 at {http_cases.RATE:,}/s, mail being sent",
            *(" ms", 0.5, 0.25),
            sending.p50_ms if sending else None,
            False,
        ),
        Goal(
            "memory of a half-sent connection",
            *(" KiB", 8, 5),
            held / 1024 if held is not None else None,
            False,
        ),
        Goal("start to first answer, whole daemon", " ms", 400, 200, measured.start_ms, False),
    ]


def peers_table(measured: Measured) -> Table:
    title = f"A new connection for each request, {AT_ONCE} at once"
    table = Table(title=title, title_justify="left")
    table.add_column("server")
    for column in ("processor time", "limit / this", "this / ours", "requests/s", "p99"):
        table.add_column(column, justify="right")
    limit = measured.peers.get(LIMIT)
    for name, runs in sorted(measured.peers.items(), key=lambda it: _cpu_us(it[1])):
        of_limit = ""
        if limit:
            pairs = zip(limit, runs, strict=True)
            of_limit = f"{statistics.median(a.cpu_us / b.cpu_us for a, b in pairs):.2f}"
        beside = ratio(measured, name)
        table.add_row(
            name,
            f"{_cpu_us(runs):.1f} µs",
            of_limit,
            "" if beside is None else f"{beside:.2f}",
            f"{statistics.median(it.per_s for it in runs):,.0f}",
            f"{statistics.median(it.p99_ms for it in runs):.1f} ms",
            style="bold" if name == OURS else None,
        )
    return table


def _cpu_us(runs: list[Run]) -> float:
    return statistics.median(it.cpu_us for it in runs)


def visits_table(visits: Mapping[str, Visit]) -> Table:
    table = Table(title=f"{http_cases.RATE:,} visitors a second", title_justify="left")
    table.add_column("when")
    for column in ("p50", "p99", "longest", "without an answer"):
        table.add_column(column, justify="right")
    table.add_column("")
    for name, it in visits.items():
        times = (f"{value:.2f} ms" for value in (it.p50_ms, it.p99_ms, it.max_ms))
        table.add_row(name, *times, f"{it.failed:,}", it.note)
    return table


def goals_table(found: list[Goal]) -> Table:
    table = Table(title="Against the goals", title_justify="left")
    table.add_column("case")
    for column in ("must", "goal", "measured"):
        table.add_column(column, justify="right")
    table.add_column("met")
    colours = {"goal": "green", "must": "yellow", "MISSED": "bold red", "not measured": "red"}
    for goal in found:
        said = goal.verdict()
        value = "" if goal.value is None else f"{goal.value:.2f}{goal.unit}"
        musts = (f"{it:g}{goal.unit}" for it in (goal.must, goal.goal))
        table.add_row(goal.name, *musts, value, f"[{colours[said]}]{said}[/]")
    return table
