"""The metrics, as Prometheus' own reader takes them, and the alerts on them."""

import math
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from asyncnet.config.sections import HttpSettings
from asyncnet.mail.envelope import Route
from asyncnet.mail.verdict import RecipientStatus, Verdict
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import AccountState
from asyncnet.web.listener import HttpListener
from asyncnet.web.ops.tally import BOUNDS_S, JOB_SERVERS, RequestTally, SettlementTally
from tests.mailqueue.messages import (
    ACCEPTED,
    DEFERRED,
    EXPIRED,
    IN_DOUBT,
    NOW,
    REJECTED,
    SMALL,
    leased,
    message,
    settled,
)
from tests.web.operating import (
    JOB_SERVER,
    Operated,
    fill,
)

RULES = Path(__file__).parents[2] / "config/prometheus-rules.yml"


# Metrics


async def test_depth_and_accounts_are_gauges(operated: Operated, store: SqliteStore) -> None:
    await fill(store)
    metrics = await operated.get("/metrics")
    depth = {
        (sample.labels["account"], sample.labels["state"]): sample.value
        for sample in metrics.metrics["asyncnet_queue_messages"].samples
    }
    assert depth["work", "queued"] == 3
    assert depth["work", "deferred"] == 1
    assert depth[JOB_SERVERS, "queued"] == 1
    assert depth["qq", "held"] == 0
    assert sum(depth.values()) == 9
    for state, value in {"ok": 0, "throttled": 1, "held": 0, "down": 0}.items():
        found = metrics.sample("asyncnet_account_state", account="work", state=state)
        assert found == value
    assert metrics.sample("asyncnet_job_servers", state="down") == 1
    assert metrics.sample("asyncnet_queue_oldest_seconds") == 300


async def test_deliveries_are_counted_as_they_are_committed(
    operated: Operated, store: SqliteStore
) -> None:
    tally = operated.watched.settlements
    people = ("a@example.org", "b@example.org", "c@example.org")
    await store.accept(message("Q1", *people), SMALL, NOW)
    tally.note(await leased(store, "Q1"), settled(ACCEPTED, REJECTED, DEFERRED))
    metrics = await operated.get("/metrics")

    def count(name: str, **labels: str) -> float | None:
        return metrics.sample(f"asyncnet_{name}_total", **labels)

    statuses = {str(it): count("recipients", account="work", status=it) for it in RecipientStatus}
    assert statuses["accepted"] == statuses["rejected"] == statuses["deferred"] == 1
    assert statuses["expired"] == statuses["in_doubt"] == 0
    assert count("attempts", account="work", **{"class": "several"}) == 1
    assert count("attempts", account="work", **{"class": "none"}) == 0
    assert count("sent_bytes", account="work") == SMALL.octets


@pytest.mark.parametrize(
    ("verdicts", "kind"),
    [
        ((ACCEPTED, ACCEPTED), "none"),
        ((ACCEPTED, REJECTED), "recipient"),
        ((DEFERRED, DEFERRED), "greylist"),
        ((DEFERRED, REJECTED), "several"),
        ((ACCEPTED, IN_DOUBT), "in_doubt"),
        ((EXPIRED, EXPIRED), None),
        ((), None),
    ],
)
async def test_an_attempt_has_one_class(
    store: SqliteStore, verdicts: tuple[Verdict, ...], kind: str | None
) -> None:
    await store.accept(message("Q1", "a@example.org", "b@example.org"), SMALL, NOW)
    tally = SettlementTally()
    tally.note(await leased(store, "Q1"), settled(*verdicts))
    assert dict(tally.attempts) == ({} if kind is None else {("work", kind): 1})


async def test_servers_that_jobs_name_share_one_label(store: SqliteStore) -> None:
    await store.accept(message("Q1", route=JOB_SERVER), SMALL, NOW)
    tally = SettlementTally()
    tally.note(await leased(store, "Q1"), settled(ACCEPTED))
    assert dict(tally.verdicts) == {(JOB_SERVERS, "accepted"): 1}


async def test_requests_are_counted_by_status_and_time(operated: Operated) -> None:
    requests = operated.watched.requests
    operated.watched.pages = HttpListener(HttpSettings())
    for status, time_s in ((200, 0.0001), (200, 0.0003), (404, 0.05), (400, 99.0)):
        requests.note(b"HTTP/1.1 %d " % status, time_s)
    metrics = await operated.get("/metrics")
    counted = {
        it: metrics.sample("asyncnet_http_requests_total", status=it)
        for it in ("200", "400", "404")
    }
    assert counted == {"200": 2, "400": 1, "404": 1}
    buckets = {
        float(sample.labels["le"]): sample.value
        for sample in metrics.metrics["asyncnet_http_request_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert list(buckets) == [*BOUNDS_S, math.inf]
    assert (buckets[0.00025], buckets[0.0005], buckets[0.05], buckets[10.0]) == (1, 2, 3, 3)
    assert buckets[math.inf] == metrics.sample("asyncnet_http_request_seconds_count") == 4
    assert metrics.sample("asyncnet_http_request_seconds_sum") == pytest.approx(99.0504)
    assert metrics.sample("asyncnet_http_open_connections") == 0


def test_a_time_on_a_bound_is_within_it() -> None:
    tally = RequestTally()
    tally.note(b"HTTP/1.1 200 OK", BOUNDS_S[3])
    assert tally.buckets[3] == 1


async def test_a_name_that_no_text_can_hold_does_not_end_the_metrics(
    operated: Operated, store: SqliteStore
) -> None:
    await store.accept(message("Q1", route=Route('a\n"\\\ud800')), SMALL, NOW)
    metrics = await operated.get("/metrics")
    name = 'a\N{REPLACEMENT CHARACTER}"\\\N{REPLACEMENT CHARACTER}'
    assert metrics.sample("asyncnet_queue_messages", account=name, state="queued") == 1


async def test_the_process_tells_of_itself(operated: Operated) -> None:
    metrics = await operated.get("/metrics")
    for name in ("process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"):
        assert (metrics.sample(name) or 0) > 0
    (info,) = metrics.metrics["asyncnet_build_info"].samples
    assert set(info.labels) == {"version", "python"}


# Alerts


async def test_every_metric_of_an_alert_is_one_of_ours(
    operated: Operated, store: SqliteStore
) -> None:
    await fill(store)
    operated.watched.pages = HttpListener(HttpSettings())
    metrics = await operated.get("/metrics")
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(metrics.body.decode("utf-8")):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    assert len(alerts) >= 8
    for alert in alerts:
        names = re.findall(r"\b((?:asyncnet|process)_\w+)(?:\{(.*?)\})?", alert["expr"])
        assert names or 'up{job="asyncnet"}' in alert["expr"], alert
        for name, selector in names:
            wanted = set(re.findall(r"(\w+)\s*=", selector)) - {"job"}
            assert wanted <= labels[name], alert
        assert alert["annotations"]["summary"]
        assert alert["labels"]["severity"] in ("warning", "critical")


async def test_every_value_that_an_alert_selects_can_come(
    operated: Operated, store: SqliteStore
) -> None:
    await fill(store)
    seen: dict[str, set[str]] = {}
    for family in (await operated.get("/metrics")).metrics.values():
        for sample in family.samples:
            for label, value in sample.labels.items():
                seen.setdefault(f"{sample.name} {label}", set()).add(value)
    text = RULES.read_text(encoding="utf-8")
    selected = re.findall(r'(asyncnet_\w+)\{(\w+)=~?"([^"]*)"\}', text)
    assert len(selected) >= 5
    for name, label, values in selected:
        assert set(values.split("|")) <= seen[f"{name} {label}"]


@pytest.mark.parametrize(("name", "state"), [("Held", "held"), ("Down", "down")])
async def test_an_account_is_alarming_only_with_mail_of_its_own_waiting(
    operated: Operated, store: SqliteStore, name: str, state: str
) -> None:
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    (alert,) = (rule for rule in rules if rule["alert"] == f"AsyncnetAccount{name}")
    standing, _, waiting = " ".join(alert["expr"].split()).partition(
        " and on (instance, job, account) "
    )
    assert standing == f'asyncnet_account_state{{state="{state}"}} == 1'
    selector = r'\(asyncnet_queue_messages\{state=~"(.*)"\}\)'
    asked = re.fullmatch(rf"sum by \(instance, job, account\) {selector} > 0", waiting)
    assert asked is not None
    states = asked[1].split("|")
    await store.set_account_state(AccountState("work", "down", NOW + 5, NOW, 1, "gone"))
    await store.set_account_state(AccountState("idle", "down", NOW + 5, NOW, 1, "gone"))
    await store.accept(message("Q1"), SMALL, NOW)
    metrics = await operated.get("/metrics")

    def depth(account: str) -> float:
        samples = metrics.metrics["asyncnet_queue_messages"].samples
        return sum(
            it.value
            for it in samples
            if it.labels["account"] == account and it.labels["state"] in states
        )

    assert (depth("work"), depth("idle")) == (1, 0)
