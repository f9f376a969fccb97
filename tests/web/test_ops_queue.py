"""The queue as operators see it: the document and the page."""

import math
import re

import pytest

from asyncnet.mailqueue.sqlite import SqliteStore
from asyncnet.mailqueue.store import AccountState
from asyncnet.web.ops.document import describe
from asyncnet.web.ops.survey import Phase, Survey
from tests.mailqueue.messages import (
    NOW,
    SMALL,
    message,
)
from tests.web.operating import (
    HOSTILE,
    JOB_SERVER,
    MARKUP,
    Operated,
    fill,
)


async def test_the_document_tells_all(operated: Operated, store: SqliteStore) -> None:
    await fill(store)
    document = (await operated.get("/queue.json")).json
    assert document["messages"] == {"queued": 6, "deferred": 1, "sending": 0, "held": 2}
    assert (document["oldest_at"], document["oldest_age_s"]) == ("2023-11-14T22:08:20Z", 300.0)
    accounts = {it["name"]: it for it in document["accounts"]}
    assert set(accounts) == {"qq", "work", HOSTILE}
    assert accounts["qq"] == {
        "name": "qq",
        "state": "held",
        "since": "2023-11-14T20:13:20Z",
        "until": None,
        "held_by_person": True,
        "failures": 3,
        "reason": "535 Login Fail.",
        "hint": "wants the code",
        "messages": {"queued": 0, "deferred": 0, "sending": 0, "held": 0},
    }
    assert accounts["work"]["until"] == "2023-11-14T22:14:50Z"
    assert [it["name"] for it in document["servers"]] == [JOB_SERVER.key]
    assert [it["name"] for it in document["results"]][:2] == ["invoice-11", "newsletter"]
    assert document["results"][1] == {
        "queue_id": "R2",
        "name": "newsletter",
        "status": "partial",
        "account": "work",
        "attempts": 1,
        "finished_at": "2023-11-14T22:12:20Z",
        "recipients": 2,
        "accepted": 1,
        "address": "b@example.org",
        "code": 550,
        "text": HOSTILE,
        "hint": HOSTILE,
    }


async def test_a_message_that_waits_for_its_time_is_not_old(
    operated: Operated, store: SqliteStore
) -> None:
    await store.accept(message("Q1", due_at=NOW + 3600), SMALL, NOW)
    assert (await operated.get("/queue.json")).json["oldest_age_s"] is None
    assert (await operated.get("/metrics")).sample("asyncnet_queue_oldest_seconds") == 0
    operated.now = NOW + 3700
    assert (await operated.get("/queue.json")).json["oldest_age_s"] == 100
    assert (await operated.get("/metrics")).sample("asyncnet_queue_oldest_seconds") == 100


def test_any_number_of_servers_that_jobs_name_stays_a_short_document() -> None:
    states = {f"server s{n:04}:25/none": AccountState(f"s{n}", "down") for n in range(1000)}
    document = describe(Survey(NOW, Phase.RUNNING, states=states))
    assert (len(document["servers"]), document["servers_left_out"]) == (100, 900)


async def test_outside_text_never_becomes_markup(operated: Operated, store: SqliteStore) -> None:
    await fill(store)
    page = (await operated.get("/queue")).body.decode("utf-8")
    assert page.count("<script>") == 1
    assert MARKUP not in page
    assert "&lt;script&gt;document.title=" in page
    assert not set("\x00\x1b\u202e") & set(page)
    script = page.partition("<script>")[2].partition("</script>")[0]
    assert "document.title" not in script


@pytest.mark.parametrize(
    ("until", "told"),
    [(0.0, ", failures in a row: 2<"), (NOW + 60, " until <time"), (math.inf, " until a person")],
)
async def test_when_an_account_waits_is_told_in_one_sentence(
    operated: Operated, store: SqliteStore, until: float, told: str
) -> None:
    await store.set_account_state(AccountState("work", "held", until, NOW - 60, 2, "no"))
    page = (await operated.get("/queue")).body.decode("utf-8")
    assert re.search(r"<p>since <time[^>]*>[^<]*</time>" + re.escape(told), page)


async def test_a_long_reply_does_not_fill_the_page(operated: Operated, store: SqliteStore) -> None:
    await store.set_account_state(AccountState("work", "down", NOW, NOW, 1, "x" * 5000))
    assert b"x" * 300 not in (await operated.get("/queue")).body
    assert (await operated.get("/queue.json")).json["accounts"][0]["reason"] == "x" * 5000


async def test_the_page_may_run_its_own_script_and_ask_its_own_listener_alone(
    operated: Operated,
) -> None:
    policy = (await operated.get("/queue")).fields["Content-Security-Policy"]
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[A-Za-z0-9+/]{43}='", rules["script-src"])
    assert rules["connect-src"] == "'self'"
    for path in ("/x", "/queue.json", "/metrics"):
        policy = (await operated.get(path)).fields["Content-Security-Policy"]
        assert "script-src" not in policy
