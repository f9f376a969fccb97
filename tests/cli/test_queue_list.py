"""`asyncnet queue list`, `queue show` and `account list`: whom they name, and what stays whole."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asyncnet.cli import queue
from asyncnet.cli.account import print_accounts
from asyncnet.cli.exit_codes import CommandFailed
from asyncnet.cli.queue import list_jobs, show
from asyncnet.cli.queue_printing import Sight, print_jobs
from asyncnet.cli.queue_words import Which
from asyncnet.config.file import load
from asyncnet.mail.envelope import Envelope, Route, Server
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import JobStatus, Phase, RecipientStatus, Verdict
from asyncnet.mailqueue.opening import make_store
from asyncnet.mailqueue.store import (
    AccountState,
    Claim,
    NewMessage,
    RecipientRecord,
    Record,
    Settlement,
    Store,
    Word,
)
from tests.support.daemon import config_text

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


# Which jobs are meant, in a real queue with no daemon.

WORK, HOME = Route("work"), Route("home")
WORK_AND_HOME = '[account.work]\nhost = "w"\n[account.home]\nhost = "h"\n'
REJECTED = Verdict(RecipientStatus.REJECTED, 550, "5.1.1", Phase.RCPT, text="no such user")
ELSEWHERE = Route(server=Server("mx.example.com", 25, "none"))


async def add(store: Store, number: int, name: str, route: Route) -> str:
    claim = Claim(f"Q{number}", name, f"Q{number}.{name}.yaml", NOW)
    message = NewMessage(
        claim,
        f"<{number}@example.org>",
        route=route,
        envelope=Envelope("ada@example.org", ("ok@example.com",)),
        due_at=NOW,
        expires_at=NOW + 86400,
    )
    await store.accept(message, Octets(b"From: ada@example.org\r\n\r\nno subject\r\n"), NOW)
    return claim.queue_id


@pytest.fixture
async def config(tmp_path: Path) -> Path:
    """Settings of a queue with six jobs; two are called "news", the first and last are finished."""
    path = tmp_path / "asyncnet.toml"
    path.write_text(config_text(tmp_path, 1, WORK_AND_HOME))
    settings = load(path)
    settings.spool.dir.mkdir()
    store = make_store(settings.queue, settings.database, settings.spool.dir, takes_jobs=False)
    await store.open(NOW)
    await add(store, 0, "past", ELSEWHERE)
    (lease,) = await store.lease(NOW, 1)
    reached = Settlement({0: REJECTED}, NOW, server="mx.example.com:25")
    await store.settle(lease, reached, NOW)
    await add(store, 1, "news", WORK)
    await add(store, 2, "bill", WORK)
    await add(store, 3, "news", HOME)
    await add(store, 4, "late", ELSEWHERE)
    await add(store, 5, "gone", WORK)
    await store.instruct(Word.CANCEL, ["Q5"], NOW)
    await store.instruct(Word.HOLD, ["Q2"], NOW)
    await store.close()
    return path


@pytest.mark.parametrize(
    ("which", "listed"),
    [
        (Which(), "Q4 Q3 Q2 Q1"),
        (Which(everything=True), "Q5 Q4 Q3 Q2 Q1 Q0"),
        (Which(account="work"), "Q2 Q1"),
        (Which(account="work", everything=True), "Q5 Q2 Q1"),
        (Which(account="home", everything=True), "Q3"),
        (Which(account="server mx.example.com:25/none"), "Q4"),
        (Which(account="server mx.example.com:25/none", everything=True), "Q4 Q0"),
        (Which(["past"], account="server mx.example.com:25/none"), "Q0"),
        (Which(states=["held"]), "Q2"),
        (Which(states=["canceled", "held"]), "Q5 Q2"),
        (Which(account="home", states=["held", "queued"]), "Q3"),
        (Which(["news"]), "Q3 Q1"),
        (Which(["Q5"]), "Q5"),
        (Which(["news"], account="work"), "Q1"),
        (Which(["Q1", "news", "bill", "Q1"]), "Q1 Q3 Q2"),
        (Which(states=["sent"]), ""),
    ],
)
async def test_those_are_listed_that_meet_each_of_the_terms(
    config: Path, capsys: pytest.CaptureFixture[str], which: Which, listed: str
) -> None:
    assert list_jobs(which, config, as_json=True) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [it["queue_id"] for it in documents] == listed.split()
    assert list_jobs(which, config, as_json=False) == 0
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [it.split()[0] for it in rows] == listed.split()
    if which.terms:
        assert show(which, config, as_json=True) == 0
        assert json.loads(capsys.readouterr().out) == documents
        assert show(which, config, as_json=False) == 0
        heads = [it for it in capsys.readouterr().out.splitlines() if not it.startswith(" ")]
        assert [it.split()[1] for it in heads] == listed.split()


@pytest.mark.parametrize(
    ("which", "code", "told"),
    [
        (Which(["nobody", "bill"]), 65, "no job has the id or name 'nobody'"),
        (Which(["bill"], account="home"), 69, "bill (Q2) is held: not asked for"),
        (Which(["news"], states=["held"]), 69, "news (Q3) is queued: not asked for"),
        (Which(account="local"), 0, "no job that waits is meant"),
        (Which(account="home", states=["sent"]), 0, "no job is meant"),
    ],
)
@pytest.mark.parametrize("command", [list_jobs, show])
async def test_what_nothing_fits_is_told_as_the_other_verbs_tell_it(
    config: Path,
    capsys: pytest.CaptureFixture[str],
    command: Any,
    which: Which,
    code: int,
    told: str,
) -> None:
    assert command(which, config, as_json=False) == code
    assert capsys.readouterr().err == f"asyncnet: {told}\n"


async def test_one_key_that_nothing_has_and_one_that_does_not_fit(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(Which(["bill", "nobody"], states=["queued"]), config, as_json=True) == 65
    told = capsys.readouterr()
    assert json.loads(told.out) == []
    assert len(told.err.splitlines()) == 2


async def test_to_show_all_is_not_what_nothing_means(config: Path) -> None:
    with pytest.raises(CommandFailed, match="say which: ids or names, an account") as caught:
        show(Which(), config, as_json=False)
    assert caught.value.code == 64


async def test_a_quiet_account_behind_a_busy_one_is_listed(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LISTED", 1)
    for account, newest in (("home", "Q3"), ("work", "Q2")):
        assert list_jobs(Which(account=account), config, as_json=True) == 0
        (document,) = json.loads(capsys.readouterr().out)
        assert document["queue_id"] == newest
