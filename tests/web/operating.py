"""The operators' site over a real store, and a listener for it in the loop of the test."""

import http.client
import io
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from itertools import count
from pathlib import Path
from typing import Any, cast

from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from asyncnet.config.sections import HttpSettings
from asyncnet.http1.request import read_plain_head
from asyncnet.mail.envelope import Route, Server
from asyncnet.mail.problem import Problem
from asyncnet.mail.verdict import Kind, RecipientStatus, Verdict
from asyncnet.mail.verdict import Phase as Stage
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import AccountState, Refusal, Settlement, Word
from asyncnet.web.listener import HttpListener
from asyncnet.web.ops.site import OperatorsSite
from asyncnet.web.ops.survey import Phase, Surveyor, Watched
from tests.mailqueue.messages import ACCEPTED, DEFERRED, NOW, SMALL, claim, message
from tests.web.serving import ANY_PORT

JOB_SERVER = Route(server=Server("mx.example.test", 25, "none"))
MARKUP = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
HOSTILE = f"{MARKUP}'\" &lt; \u202eesrever \x1b[2J\x00 \ud800"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def metrics(self) -> dict[str, Metric]:
        """The families, as Prometheus' own reader takes them."""
        found = text_string_to_metric_families(self.body.decode("utf-8"))
        return {family.name: family for family in found}

    def sample(self, name: str, **labels: str) -> float | None:
        """The one sample of that name and those labels, None where there is none."""
        for family in self.metrics.values():
            for sample in family.samples:
                if sample.name == name and sample.labels == labels:
                    return float(sample.value)
        return None


def read_answer(response: bytes) -> Answer:
    """One whole response, judged by the standard library."""

    class _Connection:
        def makefile(self, mode: str) -> io.BytesIO:
            return io.BytesIO(response)

    found = http.client.HTTPResponse(cast(socket.socket, _Connection()))
    found.begin()
    return Answer(found.status, found.headers, found.read())


class Operated:
    """The site, and what it looks at; every look is a new one, at the time now."""

    def __init__(self, store: SqliteStore | None, spool: Path | None) -> None:
        self.now = NOW
        self.watched = Watched(phase=Phase.RUNNING, store=store, spool=spool)
        looks = count(step=10)
        surveyor = Surveyor(self.watched, lambda: self.now, lambda: float(next(looks)))
        self.site = OperatorsSite(surveyor, ["ops.example.org"], lambda: self.now)

    async def get(self, path: str, host: str = "localhost:8081") -> Answer:
        head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"
        request = read_plain_head(head.encode("ascii"))
        assert request is not None
        return read_answer(await self.site.answer(request))


@asynccontextmanager
async def listening(operated: Operated) -> AsyncIterator[tuple[str, int]]:
    """The site on a port of the system's choice; gives the address."""
    settings = HttpSettings(listen=(ANY_PORT,), max_connections=100)
    listener = HttpListener(settings, operated.site.answer)
    await listener.start()
    (endpoint,) = listener.endpoints
    try:
        yield endpoint.host, endpoint.port
    finally:
        await listener.stop(0.0)


@asynccontextmanager
async def operated_store(folder: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(folder / "queue.db", folder / "queue", dedup_window_s=3600.0)
    await store.open(NOW)
    try:
        yield store
    finally:
        await store.close()


async def fill(store: SqliteStore) -> None:
    """Some of everything: each state of a message and an account, results, and hostile texts."""
    await _finish_some(store)
    for n in range(3):
        await store.accept(message(f"W{n}", at=NOW - 300), SMALL, NOW)
    for n in range(4):
        given = message(f"H{n}", route=Route(HOSTILE), due_at=NOW + 60)
        await store.accept(given, SMALL, NOW)
    await store.accept(message("S0", route=JOB_SERVER, due_at=NOW + 60), SMALL, NOW)
    await store.instruct(Word.HOLD, ["H0", "H1"], NOW)
    inf = float("inf")
    for state in (
        AccountState("qq", "held", inf, NOW - 7200, 3, "535 Login Fail.", "wants the code"),
        AccountState("work", "throttled", NOW + 90, NOW - 60, 1, "421 too many", None),
        AccountState(HOSTILE, "down", NOW + 40, NOW - 5000, 7, HOSTILE, HOSTILE),
        AccountState(JOB_SERVER.key, "down", NOW + 5, NOW, 1, "no route to host", None),
    ):
        await store.set_account_state(state)


async def _finish_some(store: SqliteStore) -> None:
    refused = Verdict(
        RecipientStatus.REJECTED, 550, "5.1.1", Stage.RCPT, Kind.RECIPIENT, HOSTILE, HOSTILE
    )
    people = ("a@example.org", "b@example.org")
    await store.accept(message("R1", *people, claim=claim("R1", name="invoice-11")), SMALL, NOW)
    await store.accept(message("R2", *people, claim=claim("R2", name="newsletter")), SMALL, NOW)
    odd = claim("R3", name=HOSTILE)
    await store.accept(message("R3", f"{MARKUP}@example.org", claim=odd), SMALL, NOW)
    await store.accept(message("R4"), SMALL, NOW)
    verdicts = {
        "R1": {0: ACCEPTED, 1: ACCEPTED},
        "R2": {0: ACCEPTED, 1: refused},
        "R3": {0: refused},
        "R4": {0: DEFERRED},
    }
    for at, lease in enumerate(await store.lease(NOW, 10)):
        told = Settlement(verdicts[lease.queue_id], due_at=NOW + 600)
        await store.settle(lease, told, NOW - 60 * at)
    mistake = Problem("attachments[0]", MARKUP, None)
    await store.refuse(Refusal(claim("R5", name="with-a-mistake"), (mistake,)), NOW - 3000)
