"""The metrics, in Prometheus' text format.

All of a scrape is of one survey and of the counters at that moment; nothing is kept up to date in
between.  Labels have few values: accounts are those of the settings, and the servers that jobs
name themselves go together.
"""

import platform
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from asyncnet.mailqueue.store import AccountState, Census, Depth
from asyncnet.web.ops.document import total_of
from asyncnet.web.ops.survey import Survey, Watched, is_server
from asyncnet.web.ops.tally import BOUNDS_S, JOB_SERVERS, RequestTally, SettlementTally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # what every Prometheus can read

STATUSES = ("accepted", "deferred", "rejected", "expired", "in_doubt")
ACCOUNT_STATES = ("ok", "throttled", "held", "down")


class Metrics:
    """Writes surveys as metrics, in a registry of its own."""

    def __init__(self, watched: Watched) -> None:
        self._collector = _Collector(watched)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self._collector)
        ProcessCollector(registry=self._registry)

    def exposition(self, survey: Survey) -> bytes:
        """The whole text."""
        self._collector.survey = survey
        return generate_latest(self._registry)


class _Collector(Collector):
    def __init__(self, watched: Watched) -> None:
        self.survey: Survey | None = None
        self._watched = watched

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        survey, watched = self.survey, self._watched
        assert survey is not None
        yield _build_info()
        yield _gauge("ready", "1 where the daemon can do its work.", not survey.reasons)
        if watched.pages is not None:
            yield from _requests(watched.requests, watched.pages.open_connections)
        if watched.store is not None:
            yield _gauge("store_up", "1 where the store answers.", survey.store_trouble is None)
            accounts = [name for name in survey.states if not is_server(name)]
            yield from _settlements(watched.settlements, accounts)
        if survey.census is not None:
            yield from _queue(survey.census, survey.states, survey.at)
            yield from _accounts(survey.states)
        if survey.free_octets is not None:
            yield _gauge("spool_free_bytes", "Room on the spool's disk.", survey.free_octets)
            least = watched.min_free_octets
            yield _gauge("spool_min_free_bytes", "No job is taken below that.", least)


def _gauge(name: str, told: str, value: float) -> Metric:
    return GaugeMetricFamily(f"asyncnet_{name}", told, value=float(value))


def _build_info() -> Metric:
    try:
        ours = version("asyncnet")
    except PackageNotFoundError:  # run from a source tree
        ours = "unknown"
    info = GaugeMetricFamily(
        "asyncnet_build_info", "1, with the version.", labels=["version", "python"]
    )
    info.add_metric([ours, platform.python_version()], 1.0)
    return info


def _requests(tally: RequestTally, open_connections: int) -> Iterator[Metric]:
    answered = CounterMetricFamily(
        "asyncnet_http_requests", "Requests to the pages, answered.", labels=["status"]
    )
    for status, number in tally.statuses.items():
        answered.add_metric([status.decode("ascii")], number)
    yield answered
    yield _gauge("http_open_connections", "Connections to the pages.", open_connections)
    bounds = [*(repr(bound) for bound in BOUNDS_S), "+Inf"]
    yield HistogramMetricFamily(
        "asyncnet_http_request_seconds",
        "From the connection to its answer.",
        buckets=list(zip(bounds, accumulate(tally.buckets), strict=True)),
        sum_value=tally.sum_s,
    )


def _settlements(tally: SettlementTally, accounts: Iterable[str]) -> Iterator[Metric]:
    # A counter is there from the start, or the first failure would be no increase.
    names = sorted({*accounts, JOB_SERVERS, *(account for account, _ in tally.verdicts)})
    attempts = CounterMetricFamily(
        "asyncnet_attempts",
        "Attempts to deliver; class says what went wrong, none: nothing.",
        labels=["account", "class"],
    )
    for account, kind in sorted({*tally.attempts, *((name, "none") for name in names)}):
        attempts.add_metric([_label(account), kind], tally.attempts[account, kind])
    yield attempts
    recipients = CounterMetricFamily(
        "asyncnet_recipients",
        "What attempts and their end said of recipients, each deferral included.",
        labels=["account", "status"],
    )
    for name in names:
        for status in STATUSES:
            recipients.add_metric([_label(name), status], tally.verdicts[name, status])
    yield recipients
    octets = CounterMetricFamily(
        "asyncnet_sent_bytes", "Messages that a server accepted, in octets.", labels=["account"]
    )
    for name in names:
        octets.add_metric([_label(name)], tally.octets[name])
    yield octets


def _queue(census: Census, states: Mapping[str, AccountState], now: float) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "asyncnet_queue_messages", "Messages not finished.", labels=["account", "state"]
    )
    for account, at in _by_account(census.depths, states):
        for state in ("queued", "deferred", "sending", "held"):
            depth.add_metric([_label(account), state], getattr(at, state))
    yield depth
    age_s = 0.0 if census.oldest_at is None else max(0.0, now - census.oldest_at)
    yield _gauge("queue_oldest_seconds", "How long the oldest message has waited.", age_s)


def _by_account(
    depths: Mapping[str, Depth], states: Mapping[str, AccountState]
) -> Iterator[tuple[str, Depth]]:
    """Every account, and all the servers that jobs name as if they were one."""
    for key in sorted({*depths, *states}):
        if not is_server(key):
            yield key, depths.get(key, Depth())
    yield JOB_SERVERS, total_of([depth for key, depth in depths.items() if is_server(key)])


def _accounts(states: Mapping[str, AccountState]) -> Iterator[Metric]:
    accounts = GaugeMetricFamily(
        "asyncnet_account_state",
        "1 for the state that the account is in, 0 for the others.",
        labels=["account", "state"],
    )
    for name in sorted(states):
        if not is_server(name):
            for state in ACCOUNT_STATES:
                accounts.add_metric([_label(name), state], float(states[name].state == state))
    yield accounts
    servers = GaugeMetricFamily(
        "asyncnet_job_servers", "Servers that jobs name themselves, in trouble.", labels=["state"]
    )
    troubled = [it.state for key, it in states.items() if is_server(key)]
    for state in ACCOUNT_STATES[1:]:
        servers.add_metric([state], troubled.count(state))  # type: ignore[arg-type]
    yield servers


def _label(text: str) -> str:
    """The text without what UTF-8 cannot write, or what would act on a terminal."""
    return "".join(it if it.isprintable() else "\N{REPLACEMENT CHARACTER}" for it in text)
