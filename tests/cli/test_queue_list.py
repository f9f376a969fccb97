"""`asyncnet queue list` and `account list` on narrow terminals: what must stay whole does."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from asyncnet.cli.account import print_accounts
from asyncnet.cli.queue import Sight, print_jobs
from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.store import AccountState, Claim, RecipientRecord, Record

NOW = 1_800_000_000.0
ANSWER = (
    "451 4.7.1 Greylisting in effect, please come back in some minutes; see the page that our "
    "postmaster keeps at https://example.com/greylisting for what else could be the reason of it"
)


def deferred(number: int, name: str, **other: Any) -> Record:
    words = ANSWER.removeprefix("451 ")
    verdict = Verdict(RecipientStatus.DEFERRED, 451, "4.7.1", Phase.RCPT, text=words)
    values: dict[str, Any] = {
        "claim": Claim(f"01JCV8QK5W3Z4T{number:02}", name, f"{name}.yaml", NOW - 60),
        "status": JobStatus.DEFERRED,
        "job_id": None,
        "account": "work",
        "server": "mx.example.com:25",
        "tls": None,
        "message_id": "<1@example.org>",
        "envelope_from": "ada@example.org",
        "size_octets": 1000,
        "priority": 1,
        "attempts": 3,
        "due_at": NOW + 600,
        "expires_at": NOW + 86400,
        "finished_at": None,
        "recipients": (RecipientRecord("ok@example.com", verdict),),
        "errors": (),
        "warnings": (),
        "meta": {},
    }
    return Record(**(values | other))


def listed(width: int, records: list[Record], sight: Sight) -> list[str]:
    out = StringIO()
    print_jobs(Console(file=out, width=width, highlight=False), records, sight)
    return out.getvalue().splitlines()


def words_of(lines: list[str], name: str) -> list[str]:
    """The words of the job's line from its id on."""
    (line,) = [it for it in lines if it.startswith("01JC") and name in it]
    return line.split()


AT_REST = Sight(frozenset(), {}, NOW)


@pytest.mark.parametrize("width", [60, 80, 90, 200])
def test_a_long_answer_takes_no_room_from_the_other_columns(width: int) -> None:
    lines = listed(width, [deferred(1, "invoice"), deferred(2, "late")], AT_REST)
    titles = ["queue", "id", "name", "status", "tries", "next", "try"]
    assert lines[0].split()[:7] == titles
    assert words_of(lines, "invoice")[:6] == [
        "01JCV8QK5W3Z4T01",
        *("invoice", "deferred", "3", "in", "10"),
    ]
    assert max(map(len, lines)) <= width
    told = " ".join("\n".join(lines).split())
    assert "451 4.7.1 Greylisting in effect, please" in told
    if width < 200:
        assert "by work, to 1: 451 4.7.1 Greylisting" in told
        assert len(lines) > 5, "the answer stands below its row"
    else:
        assert len(lines) == 3


def test_a_job_that_is_being_sent_says_so() -> None:
    sending = Sight(frozenset({"01JCV8QK5W3Z4T01"}), {}, NOW)
    jobs = [deferred(1, "invoice", due_at=NOW - 1), deferred(2, "late", due_at=NOW - 1)]
    lines = listed(80, jobs, sending)
    assert words_of(lines, "invoice")[2:] == ["sending", "3", "now"]
    assert words_of(lines, "late")[2:] == ["deferred", "3", "now"]


def test_a_job_whose_account_waits_is_not_tried_now() -> None:
    states = {
        "work": AccountState("work", "held", float("inf"), reason="the lawyers are in"),
        "home": AccountState("home", "down", NOW + 60),
    }
    jobs = [
        deferred(1, "held", due_at=NOW - 1),
        deferred(2, "down", due_at=NOW - 1, account="home"),
        deferred(3, "later", account="home"),
    ]
    lines = listed(80, jobs, Sight(frozenset(), states, NOW))
    assert words_of(lines, "held")[-2:] == ["account", "held"]
    assert words_of(lines, "down")[-2:] == ["account", "down"]
    assert words_of(lines, "later")[-3:] == ["in", "10", "min"], "the account is tried before"


@pytest.mark.parametrize("width", [60, 80])
def test_the_reason_of_an_account_is_broken_between_words(width: int) -> None:
    account = {
        "name": "work",
        "state": "held",
        "since": "2027-01-15T07:00:00Z",
        "until": None,
        "held_by_person": True,
        "failures": 12,
        "reason": ANSWER,
        "hint": None,
        "waiting": 1234,
        "due_at": None,
    }
    out = StringIO()
    print_accounts(Console(file=out, width=width, highlight=False), [account], NOW)
    lines = out.getvalue().splitlines()
    assert lines[1].split() == [
        "work",
        "held",
        "60",
        "min",
        "ago",
        "when",
        "released",
        "12",
        "1234",
    ]
    assert " ".join(" ".join(lines[2:]).split()) == ANSWER
    assert max(map(len, lines)) <= width


def test_what_a_server_says_cannot_act_on_the_terminal() -> None:
    (job,) = [deferred(1, "in\x1b[31mvoice\n", server=None, account=None)]
    assert "\x1b" not in "\n".join(listed(80, [job], AT_REST))
