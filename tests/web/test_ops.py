"""The operators' site: which request gets which answer, and how health is told."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from asyncnet.config.values import Endpoint
from asyncnet.http1.request import RequestReader, read_plain_head
from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import AccountState, StoreAway
from asyncnet.web.ops.hosts import Hosts
from asyncnet.web.ops.listening import warn_of_others
from asyncnet.web.ops.survey import Phase, Surveyor, Watched
from tests.mailqueue.messages import (
    NOW,
)
from tests.web.operating import (
    Operated,
    listening,
    read_answer,
)

PATHS = ("/metrics", "/queue", "/queue.json", "/healthz", "/healthz/ready", "/healthz/live")


# Who gets what


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/queue", "text/html"),
        ("/queue.json", "application/json"),
        ("/healthz", "application/json"),
        ("/healthz/ready", "application/json"),
        ("/healthz/live", "application/json"),
        ("/queue?x=1", "text/html"),
    ],
)
async def test_what_is_there(operated: Operated, path: str, content_type: str) -> None:
    answer = await operated.get(path)
    assert (answer.status, answer.fields["Content-Type"]) == (200, content_type)
    assert answer.fields.get_all("Content-Length") == [str(len(answer.body))]
    assert answer.fields["Cache-Control"] == "no-store"
    assert answer.fields["Date"] == "Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize("path", ["/", "/page2", "/Queue", "/queue/", "/metrics/x", "/healthz/x"])
async def test_nothing_else_is_there(operated: Operated, path: str) -> None:
    answer = await operated.get(path)
    assert answer.status == 404
    assert b"The information was not found" in answer.body


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_only_get_is_answered(operated: Operated, path: str, method: str) -> None:
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    request = RequestReader().receive_data(head)
    assert request is not None
    response = await operated.site.answer(request)
    assert response.startswith(b"HTTP/1.1 400 ")
    assert response.endswith(b"\r\n\r\n") == (method == "HEAD")


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:8081", "LOCALHOST.", "127.0.0.1:8081", "192.0.2.7"),
        *("[::1]:8081", "ops.example.org", "OPS.example.org.:80"),
    ],
)
@pytest.mark.parametrize("path", ["/queue", "/metrics"])
async def test_it_is_asked_by_address_or_by_a_name_of_its_own(
    operated: Operated, host: str, path: str
) -> None:
    assert (await operated.get(path, host)).status == 200


@pytest.mark.parametrize("path", [*PATHS, "/x"])
@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8081", "0x7f.1"]
)
async def test_a_name_that_was_made_to_point_here_reads_nothing(
    operated: Operated, host: str, path: str
) -> None:
    answer = await operated.get(path, host)
    assert answer.status == 400
    assert b"[ops] hosts" in answer.body


def test_a_request_without_a_host_is_no_browsers() -> None:
    assert Hosts([]).takes(b"")


@pytest.mark.parametrize(
    ("fields", "host"),
    [
        (b"Host: a.example:80\r\n", b"a.example:80"),
        (b"host:\ta.example \r\nX: y\r\n", b"a.example"),
        (b"X: y\r\nHOST: [::1]:8081\r\n", b"[::1]:8081"),
    ],
)
def test_both_judges_of_a_head_tell_its_host(fields: bytes, host: bytes) -> None:
    head = b"GET /queue HTTP/1.1\r\n" + fields + b"\r\n"
    read = RequestReader().receive_data(head)
    assert read is not None
    assert read == read_plain_head(head)
    assert read.host == host


def test_the_host_is_the_field_whatever_the_target_says() -> None:
    head = b"GET http://localhost/queue HTTP/1.1\r\nHost: evil.example\r\n\r\n"
    request = RequestReader().receive_data(head)
    assert request is not None
    assert (request.path, request.host) == (b"/queue", b"evil.example")


# Health


async def test_a_daemon_that_runs_is_live_and_ready(operated: Operated) -> None:
    answer = await operated.get("/healthz")
    assert (answer.status, answer.json) == (200, {"live": True, "ready": True, "reasons": []})


@pytest.mark.parametrize("phase", [Phase.STARTING, Phase.STOPPING])
async def test_one_that_starts_or_stops_is_live_and_not_ready(
    operated: Operated, phase: Phase
) -> None:
    operated.watched.phase = phase
    answer = await operated.get("/healthz")
    assert (answer.status, answer.json["reasons"]) == (503, [f"the daemon is {phase}"])
    live = await operated.get("/healthz/live")
    assert (live.status, live.json) == (200, {"live": True})
    assert (await operated.get("/metrics")).sample("asyncnet_ready") == 0


async def test_a_store_that_is_gone_is_told_everywhere(
    operated: Operated, store: SqliteStore
) -> None:
    await store.close()
    health = await operated.get("/healthz/ready")
    assert health.status == 503
    assert "queue.db is closed" in health.json["reasons"][0]
    document = (await operated.get("/queue.json")).json
    assert (document["ready"], document["messages"], document["oldest_at"]) == (False, None, None)
    assert b"queue.db is closed" in (await operated.get("/queue")).body
    metrics = await operated.get("/metrics")
    assert metrics.sample("asyncnet_store_up") == 0
    assert "asyncnet_queue_messages" not in metrics.metrics


async def test_a_store_that_does_not_answer_holds_nobody_up(
    operated: Operated, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    operated.watched.spool = None  # its disk would have no more time to answer
    monkeypatch.setattr("asyncnet.web.ops.survey.ASK_S", 0.01)
    monkeypatch.setattr(operated.watched.store, "census", never)
    answer = await operated.get("/healthz")
    assert answer.json["reasons"] == ["the store gave no answer within 0.01 s"]


async def test_a_disk_below_min_free_is_not_ready(operated: Operated) -> None:
    operated.watched.min_free_octets = 2**62
    (reason,) = (await operated.get("/healthz")).json["reasons"]
    assert re.fullmatch(r"the spool's disk has [\d.]+ [GM]B left, less than min_free", reason)


async def test_a_spool_that_is_gone_is_not_ready(operated: Operated, tmp_path: Path) -> None:
    operated.watched.spool = tmp_path / "gone"
    (reason,) = (await operated.get("/healthz")).json["reasons"]
    assert reason == "the spool cannot be looked at: No such file or directory"


async def test_who_waits_for_a_local_fault_is_named(operated: Operated) -> None:
    full: str | None = "No space left on device"
    operated.watched.waits = {"reporter": lambda: None, "intake": lambda: full}
    answer = await operated.get("/healthz")
    assert (answer.status, answer.json["reasons"]) == (503, [f"intake waits: {full}"])
    full = None
    assert (await operated.get("/healthz")).status == 200


async def test_pages_alone_are_ready_without_a_store() -> None:
    operated = Operated(None, None)
    assert (await operated.get("/healthz")).status == 200
    assert (await operated.get("/queue.json")).json["messages"] is None
    assert b"No store to ask" in (await operated.get("/queue")).body
    assert "asyncnet_store_up" not in (await operated.get("/metrics")).metrics


async def test_whoever_asks_in_the_same_second_gets_the_same_look(store: SqliteStore) -> None:
    now = 0.0
    watched = Watched(phase=Phase.RUNNING, store=store)
    surveyor = Surveyor(watched, lambda: NOW, lambda: now)
    first, second = await asyncio.gather(surveyor.survey(), surveyor.survey())
    assert first is second
    now = 1.5
    third = await surveyor.survey()
    assert third is not first
    watched.phase = Phase.STOPPING
    assert (await surveyor.survey()).reasons == ["the daemon is stopping"]


async def test_the_store_is_told_of_by_the_accounts_themselves_where_they_can(
    operated: Operated,
) -> None:
    async def standings() -> dict[str, AccountState]:
        return {"work": AccountState("work", "down", NOW + 5, NOW, 1, "news")}

    operated.watched.standings = standings
    (account,) = (await operated.get("/queue.json")).json["accounts"]
    assert (account["state"], account["reason"]) == ("down", "news")

    async def away() -> dict[str, AccountState]:
        raise StoreAway("the database is away")

    operated.watched.standings = away
    assert (await operated.get("/healthz")).json["reasons"] == ["the database is away"]


# The listener


async def test_the_listener_answers_on_the_wire(operated: Operated) -> None:
    async with listening(operated) as (host, port):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = read_answer(await reader.read())
        writer.close()
    assert (answer.status, answer.json["ready"]) == (200, True)


@pytest.mark.parametrize(
    ("host", "told"),
    [
        *(("127.0.0.1", 0), ("127.8.8.8", 0), ("::1", 0), ("::ffff:127.0.0.1", 0)),
        *(("0.0.0.0", 1), ("::", 1), ("192.0.2.1", 1)),
    ],
)
def test_it_is_told_where_other_machines_can_read(
    host: str, told: int, capsys: pytest.CaptureFixture[str]
) -> None:
    warn_of_others([Endpoint(host, 8081)])
    assert capsys.readouterr().out.count("other machines can read") == told


def test_who_does_not_listen_for_operators_does_not_load_what_it_takes() -> None:
    look = "import sys, asyncnet.supervisor; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", look], check=False).returncode == 0
