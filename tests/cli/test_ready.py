"""The commands take ready messages, and the envelope beside them, as the daemon does."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from asyncinotify import Inotify, Mask

from tests.cli.processes import run
from tests.support.daemon import config_text, running
from tests.support.maildir import read_maildir
from tests.support.smtp_server import ScriptedServer

HEADER = """\
From: Example News <news@example.org>
To: Ada <ada@example.com>
Bcc: secret@example.com
Subject: News
Content-Type: multipart/mixed; boundary="out"
"""
ADDED = "Date: Sun, 22 Nov 2026 10:30:00 +0000\nMessage-ID: <1@example.org>\n"
BODY = """
This is a multi-part message.
--out
Content-Type: multipart/alternative; boundary=in

--in
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Hello =E2=9C=93
.a dot
--in
Content-Type: text/html; charset=utf-8
Content-Transfer-Encoding: 8bit

<p>Grüße</p>
--in--
--out
Content-Type: application/pdf; name="=?utf-8?B?5oql5ZGKLnBkZg==?="
Content-Transfer-Encoding: base64

JVBERi0=
--out
Content-Type: message/rfc822

Subject: forwarded

inner
--out--
"""
CONFIG = ("-c", "asyncnet.toml")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with settings and a spool that no daemon watches."""
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    (tmp_path / "spool" / "pickup").mkdir(parents=True)
    return tmp_path


def message(folder: Path, name: str = "news.eml", text: str = HEADER + ADDED + BODY) -> str:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return name


def envelope(folder: Path, text: str, name: str = "news.envelope.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return name


def as_sent(text: str) -> bytes:
    return text.replace("Bcc: secret@example.com\n", "").replace("\n", "\r\n").encode()


# check


async def test_check_counts_the_recipients_of_header_or_envelope(folder: Path) -> None:
    message(folder)
    ended = await run(folder, "check", "news.eml", *CONFIG)
    assert (ended.code, ended.out) == (0, "news.eml: good; 2 recipient(s), by local\n")
    envelope(folder, "to: [a@example.com, b@example.com, c@example.com]\nserver: mx.test\n")
    ended = await run(folder, "check", "news.eml", *CONFIG)
    assert (ended.code, ended.out) == (0, "news.eml: good; 3 recipient(s), by mx.test:587\n")


async def test_check_tells_each_mistake_in_the_file_that_has_it(folder: Path) -> None:
    message(folder, text="From: a@example.org\nSender: nobody\nTo: b@example.org\n\nx\n")
    envelope(folder, "to: [ok@example.com, nobody]\nacount: local\n")
    ended = await run(folder, "check", "news.eml", *CONFIG)
    assert ended.code == 65
    assert ended.err.splitlines() == [
        "news.eml:2:1: Sender: is missing the domain; write name@example.org",
        "    Sender: nobody",
        "    ^",
        "news.envelope.yaml:1:22: to[1]: is missing the domain; write name@example.org",
        "    to: [ok@example.com, nobody]",
        "                         ^",
        "news.envelope.yaml:2:1: acount: unknown key; did you mean 'account'?",
        "    acount: local",
        "    ^",
    ]


async def test_a_wrong_envelope_is_blamed_for_nothing_that_it_may_have_said(
    tmp_path: Path,
) -> None:
    message(tmp_path, text="From: a@example.org\n\nx\n")  # no recipient here, no account at all
    envelope(tmp_path, "server: mx.test\nto: b@example.com\nacount: local\n")
    ended = await run(tmp_path, "check", "news.eml")
    assert ended.err.splitlines() == [
        "news.envelope.yaml:3:1: acount: unknown key; did you mean 'account'?",
        "    acount: local",
        "    ^",
    ]


async def test_check_tells_programs_what_the_result_would(folder: Path) -> None:
    message(folder, text="From: a@example.org\nTo: b@example.org\nTo: c@example.org\n\nx\n")
    ended = await run(folder, "check", "news.eml", "--json", *CONFIG)
    (document,) = json.loads(ended.out)
    assert (document["file"], document["good"], document["errors"]) == ("news.eml", True, [])
    assert document["warnings"][0].startswith("To: stands more than once")
    envelope(folder, "account: no\n")
    ended = await run(folder, "check", "news.eml", "--json", *CONFIG)
    (document,) = json.loads(ended.out)
    assert document["errors"][0] == {
        "field": "envelope.account",
        "problem": "there is no account 'no'",
        "suggestion": "known are: local",
        "line": 1,
        "column": 10,
    }


async def test_check_shows_the_line_of_a_large_message(folder: Path) -> None:
    lines = "".join(f"line {number} {'x' * 60}\r\n" for number in range(30_000))
    message(folder, text=HEADER + "\n" + lines + "wrong " + "y" * 1_000 + "\n" + lines)
    ended = await run(folder, "check", "news.eml", *CONFIG)
    told, shown, mark = ended.err.splitlines()
    assert told.startswith("news.eml:30007:1: has more than 998 octets")
    assert shown.startswith("    wrong yyyy")
    assert mark == "    ^"


async def test_check_goes_through_folders_of_messages(folder: Path) -> None:
    jobs = folder / "jobs"
    jobs.mkdir()
    message(jobs, "good.eml")
    envelope(jobs, "to: b@example.com\n", "good.envelope.yaml")
    message(jobs, "Capital.EML")
    envelope(jobs, "to: x\n", "Capital.envelope.yaml")
    envelope(jobs, "to: b@example.com\n", "alone.envelope.yaml")
    envelope(jobs, "to: b@example.com\n", "good.envelope.yml")
    envelope(jobs, "to: b@example.com\n", "good.Envelope.yaml")
    envelope(jobs, "to: b@example.com\n", "_draft.envelope.yaml")
    os.mkfifo(jobs / "pipe.eml")
    ended = await run(folder, "check", "jobs", *CONFIG)
    assert ended.code == 65
    assert ended.out.splitlines() == [
        "jobs/good.eml: good; 1 recipient(s), by local",
        "1 good, 4 wrong",
    ]
    assert [line for line in ended.err.splitlines() if line.startswith("jobs")] == [
        "jobs/Capital.envelope.yaml:1:5: to: is missing the domain; write name@example.org",
        "jobs/alone.envelope.yaml: goes with alone.eml, which is not beside it; name both alike",
        "jobs/good.Envelope.yaml: is not noticed beside good.eml; write its ending small",
        "jobs/good.envelope.yml: is taken for a job, not for the envelope of good.eml; "
        "call it good.envelope.yaml",
    ]


async def test_an_envelope_that_is_named_means_its_message_once(folder: Path) -> None:
    message(folder)
    envelope(folder, "to: b@example.com\n")
    said = "news.eml: good; 1 recipient(s), by local\n"
    for names in (["news.envelope.yaml"], ["news.eml", "news.envelope.yaml"]):
        assert (await run(folder, "check", *names, *CONFIG)).out == said


async def test_a_misnamed_envelope_beside_a_message_is_no_small_thing(folder: Path) -> None:
    message(folder)
    envelope(folder, "to: b@example.com\n", "news.envelope.yml")
    for command in ("check", "submit"):
        ended = await run(folder, command, "news.eml", *CONFIG)
        assert ended.code == 65
        assert ended.err == (
            "news.eml: news.envelope.yml beside it would not be noticed; "
            "call it news.envelope.yaml\n"
        )


async def test_what_is_no_message_file_is_told_and_links_are_followed(folder: Path) -> None:
    os.mkfifo(folder / "pipe.eml")
    message(folder, "empty.eml", "")
    message(folder)
    (folder / "link.eml").symlink_to("news.eml")
    ended = await run(folder, "check", "pipe.eml", "gone.eml", "empty.eml", "link.eml", *CONFIG)
    assert ended.err.splitlines() == [
        "pipe.eml: is no regular file",
        "gone.eml: cannot be read: No such file or directory",
        "empty.eml: the file is empty; a message begins with header fields",
    ]
    assert "link.eml: good" in ended.out


async def test_a_message_over_the_limit_is_refused_as_the_daemon_refuses_it(folder: Path) -> None:
    limit = len(as_sent(HEADER + ADDED + BODY)) - 10
    text = config_text(folder, 1025).replace("[spool]", f'[spool]\nmax_message = "{limit}B"')
    (folder / "asyncnet.toml").write_text(text)
    message(folder)
    ended = await run(folder, "check", "news.eml", *CONFIG)
    assert ended.code == 65
    assert f"allowed are {limit:,}" in ended.err


# render


async def test_render_prints_what_would_leave_us(folder: Path) -> None:
    message(folder, text=HEADER + BODY)
    ended = await run(folder, "render", "news.eml", *CONFIG)
    assert ended.code == 0
    head, body = ended.out.split("\r\n\r\n", 1)
    *kept, date, identifier = head.split("\r\n")
    assert re.fullmatch(r"Date: \w{3}, \d\d \w{3} \d{4} [\d:]{8} \+0000", date)
    assert re.fullmatch(r"Message-ID: <\w{16}@example\.org>", identifier)
    rest = "\r\n".join([*kept, "", body])
    assert rest.encode() == as_sent(HEADER + BODY)


async def test_render_draws_the_structure_of_a_message(folder: Path) -> None:
    message(folder)
    ended = await run(folder, "render", "--tree", "news.eml", *CONFIG)
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"multipart/mixed                             {len(as_sent(HEADER + ADDED + BODY))} B",
        "├─ multipart/alternative                    274 B",
        "│  ├─ text/plain          quoted-printable  111 B",
        "│  └─ text/html           8bit               89 B",
        "├─ application/pdf        base64            113 B  报告.pdf",
        "└─ message/rfc822                            59 B",
        "   └─ text/plain          7bit               27 B",
    ]


async def test_render_needs_no_account_and_refuses_what_check_refuses(folder: Path) -> None:
    message(folder)
    assert (await run(folder.parent, "render", folder / "news.eml")).code == 0
    envelope(folder, "too: a@example.com\n")
    ended = await run(folder, "render", "news.eml")
    assert (ended.code, ended.out) == (65, "")
    assert "news.envelope.yaml:1:1: too: unknown key; did you mean 'to'?" in ended.err


async def test_no_name_in_a_message_acts_on_the_terminal(folder: Path) -> None:
    hostile = 'Content-Disposition: x; filename="a\x1b[31m\u202egnp.exe"; f=g\n'
    message(folder, text=f"From: a@example.org\nTo: b@example.org\n{hostile}\nx\n")
    ended = await run(folder, "render", "--tree", "news.eml", *CONFIG)
    assert ended.out.rstrip().endswith("a\\x1b[31m\\u202egnp.exe")


# send


@pytest.mark.parametrize("engine", ["own", "stdlib"])
async def test_send_hands_over_the_same_octets_by_both_engines(
    folder: Path, sinks: Any, engine: str
) -> None:
    sink = await sinks()
    message(folder)
    envelope(folder, "account: local\nto: [ok@example.com, reject-550@example.com]\n")
    way = ("--server", str(sink.endpoints[0]), "--tls", "none", "--engine", engine)
    ended = await run(folder, "send", "news.eml", *way, *CONFIG)
    assert ended.code == 69, ended
    assert "ok@example.com: accepted 250" in ended.out
    assert "reject-550@example.com: rejected 550" in ended.out
    (mail,) = read_maildir(sink.maildir)
    assert mail.reverse_path == "news@example.org"
    assert mail.recipients == ("ok@example.com",)
    assert mail.content == as_sent(HEADER + ADDED + BODY)


@pytest.mark.parametrize("engine", ["own", "stdlib"])
async def test_send_announces_octets_above_127_and_asks_for_smtputf8_where_it_must(
    folder: Path, engine: str
) -> None:
    message(folder, "body.eml")
    utf8 = HEADER.replace("Subject: News", "Subject: Grüße").replace("Content-Type", "X-Type")
    message(folder, "header.eml", utf8 + ADDED + "\nplain\n")
    old = ScriptedServer(capabilities=("8BITMIME",))
    async with ScriptedServer() as able, old:
        for server in (able, old):
            way = ("--server", f"127.0.0.1:{server.port}", "--tls", "none", "--engine", engine)
            ended = await run(folder, "send", "body.eml", "header.eml", *way, *CONFIG)
            assert ended.code == (0 if server is able else 69), ended
    first, second = (line for line in able.heard.lines if line.startswith(("MAIL", "mail")))
    assert "BODY=8BITMIME" in first
    assert "SMTPUTF8" not in first
    assert "SMTPUTF8" in second
    assert "SMTPUTF8" in ended.out
    assert "in doubt" not in ended.out.replace("_", " ")


async def test_send_takes_the_account_of_the_envelope(folder: Path, sinks: Any) -> None:
    sink = await sinks()
    (folder / "asyncnet.toml").write_text(
        config_text(folder, 1, f"[account.other]\nhost = '127.0.0.1'\ntls = 'none'\n"
                    f"port = {sink.endpoints[0].port}\n")
    )  # fmt: skip
    message(folder)
    envelope(folder, "account: other\n")
    ended = await run(folder, "send", "news.eml", *CONFIG)
    assert ended.code == 0, ended
    (mail,) = read_maildir(sink.maildir)
    assert mail.recipients == ("ada@example.com", "secret@example.com")


async def test_send_refuses_a_wrong_message(folder: Path) -> None:
    message(folder, text="Subject: x\n\n")
    ended = await run(folder, "send", "news.eml", "--server", "mx.test", *CONFIG)
    assert ended.code == 65
    assert "news.eml: From: no author is given" in ended.err


# submit


def files(folder: Path) -> dict[str, str]:
    pickup = folder / "spool" / "pickup"
    return {path.name: path.read_bytes().decode() for path in sorted(pickup.iterdir())}


async def test_submit_drops_the_message_with_its_envelope(folder: Path) -> None:
    message(folder)
    envelope(folder, "to: b@example.com\n")
    ended = await run(folder, "submit", "news.eml", "news.envelope.yaml", *CONFIG)
    assert (ended.code, ended.out) == (0, f"{folder}/spool/pickup/news.eml\n")
    assert files(folder) == {
        "news.eml": HEADER + ADDED + BODY,
        "news.envelope.yaml": "to: b@example.com\n",
    }
    (folder / "news.envelope.yaml").unlink()
    assert (await run(folder, "submit", "news.eml", *CONFIG)).code == 0
    assert list(files(folder)) == ["news-2.eml", "news.eml", "news.envelope.yaml"]


async def test_the_envelope_is_there_before_its_message(folder: Path) -> None:
    message(folder)
    envelope(folder, "to: b@example.com\n")
    with Inotify() as inotify:
        inotify.add_watch(folder / "spool" / "pickup", Mask.MOVED_TO)
        assert (await run(folder, "submit", "news.eml", *CONFIG)).code == 0
        async with asyncio.timeout(10):
            names = [str((await inotify.get()).name) for _ in range(2)]
    assert names == ["news.envelope.yaml", "news.eml"]


@pytest.mark.parametrize("left", ["news.envelope.yaml", "news.result.json"])
async def test_submit_never_goes_with_what_lies_there_for_another(folder: Path, left: str) -> None:
    (folder / "spool" / "pickup" / left).write_text("somebody else's")
    message(folder)
    assert (await run(folder, "submit", "news.eml", *CONFIG)).code == 0
    assert sorted(files(folder)) == ["news-2.eml", left]


async def test_submit_of_a_wrong_message_leaves_nothing(folder: Path) -> None:
    message(folder)
    envelope(folder, "to: nobody\n")
    ended = await run(folder, "submit", "news.eml", *CONFIG)
    assert ended.code == 65
    assert "news.envelope.yaml:1:5: to: is missing the domain" in ended.err
    assert files(folder) == {}


@pytest.mark.parametrize(
    ("orders", "code"),
    [("to: ok@example.com\n", 0), ("to: reject-550@example.com\n", 69), (None, 0)],
)
async def test_submit_waits_for_the_outcome_of_a_message(
    tmp_path: Path, sinks: Any, orders: str | None, code: int
) -> None:
    sink = await sinks()
    message(tmp_path)
    if orders is not None:
        envelope(tmp_path, orders)
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)):
        ended = await run(tmp_path, "submit", "news.eml", "--wait", "20", *CONFIG)
    assert ended.code == code, ended
    for address in re.findall("[a-z0-9-]+@example.com", orders or HEADER):
        assert address in ended.out
    if not code:
        (mail,) = read_maildir(sink.maildir)
        assert mail.content == as_sent(HEADER + ADDED + BODY)
