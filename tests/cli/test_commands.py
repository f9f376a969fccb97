"""The commands as a person runs them: real processes, their output and their exit codes."""

import asyncio
import json
import os
import re
import sys
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import run
from tests.support.certificates import Certificates
from tests.support.daemon import REPOSITORY, config_text, running
from tests.support.maildir import read_maildir
from tests.support.ports import refusing_port

JOB = """\
from: Ada <ada@example.org>
to: {to}
subject: Hello
text: |
  Hello.
"""
PASSWORD = "made up for this test"
TOKEN = "made-up-for-this-test"


def job(folder: Path, to: str = "ok@example.com", extra: str = "") -> Path:
    path = folder / "hello.yaml"
    path.write_text(JOB.format(to=to) + extra, encoding="utf-8")
    return path


# check, render, schema


async def test_check_says_good_and_by_which_way(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    ended = await run(tmp_path, "check", job(tmp_path), "--config", "asyncnet.toml")
    assert ended.code == 0
    assert "good" in ended.out
    assert "local" in ended.out


async def test_check_warns_of_what_the_provider_is_known_to_refuse(tmp_path: Path) -> None:
    login = 'preset = "qq"\nuser = "10001@example.org"\nsecret = { env = "CODE" }\n'
    (tmp_path / "asyncnet.toml").write_text(f"[account.qq]\n{login}")
    (tmp_path / "providers.toml").write_text("[preset.qq]\noctets = 2000000\n")
    others = job(tmp_path, extra="attachments: [photo.jpg]\n")
    (tmp_path / "photo.jpg").write_bytes(bytes(1_600_000))
    mine = tmp_path / "mine.yaml"
    mine.write_text(others.read_text().replace("ada@", "10001@").replace("photo", "small"))
    (tmp_path / "small.jpg").write_bytes(bytes(1_400_000))
    ended = await run(tmp_path, "check", others, mine, "--json", "--config", "asyncnet.toml")
    assert ended.code == 0
    told, quiet = json.loads(ended.out)
    assert told["warnings"] == [
        "the account qq sends for its login 10001@example.org alone: its provider refuses mail"
        " from ada@example.org",
        "the message has 2.19 MB, and the provider of the account qq takes 2 MB",
    ]
    assert (quiet["good"], quiet["warnings"]) == (True, [])
    for_people = await run(tmp_path, "check", others, "--config", "asyncnet.toml")
    assert "warning: the account qq sends for its login" in for_people.err


async def test_check_tells_of_an_account_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text('[account.x]\npreset = "ses"\n')
    ended = await run(tmp_path, "check", job(tmp_path), "--config", "asyncnet.toml")
    assert ended.code == 0
    assert "warning: it will wait: [account.x]" in ended.err


async def test_check_shows_every_mistake_with_its_place_and_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("from: ada@example.org\nto: [ok@example.com, nobody]\nsubjekt: x\ntext: y\n")
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    ended = await run(tmp_path, "check", path, "--config", "asyncnet.toml")
    assert ended.code == 65
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"{path}:2:22: to[1]: ")
    assert lines[1] == "    to: [ok@example.com, nobody]"
    assert lines[2].index("^") == lines[1].index("nobody")
    assert lines[3].startswith(f"{path}:3:1: subjekt: ")
    assert "'subject'" in lines[3]


async def test_check_of_a_missing_file_is_one_line(tmp_path: Path) -> None:
    ended = await run(tmp_path, "check", "gone.yaml")
    assert ended.code == 65
    assert ended.err == "gone.yaml: cannot be read: No such file or directory\n"


async def test_check_goes_through_folders_and_counts(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    jobs = tmp_path / "jobs"
    (jobs / "inner").mkdir(parents=True)
    job(jobs)
    (jobs / "inner" / "wrong.yaml").write_text("to: nobody\nattachments: [gone.pdf]\n")
    (jobs / "inner" / "notes.txt").write_text("no job")
    (jobs / "inner" / "ready.eml").write_text("From: ada@example.org\nTo: nobody\n\n")
    (jobs / ".hidden.yaml").write_text("no job")
    (jobs / "rules.yml").write_text("groups:\n  - name: another program's\n")
    os.mkfifo(jobs / "pipe.yaml")
    ended = await run(tmp_path, "check", "jobs", "-c", "asyncnet.toml")
    assert ended.code == 65
    assert ended.out.splitlines()[-1] == "1 good, 2 wrong"
    assert "jobs/rules.yml: passed over: it has none of the keys of a job" in ended.err
    assert "jobs/inner/ready.eml:2:1: To: is missing the domain" in ended.err
    assert "jobs/inner/wrong.yaml:1:5: to: is missing the domain" in ended.err
    assert "jobs/inner/wrong.yaml:2:15: attachments[0]: 'gone.pdf': there is no" in ended.err
    assert "jobs/inner/wrong.yaml: from: is missing" in ended.err


async def test_check_tells_programs_in_json(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    (tmp_path / "wrong.yaml").write_text("from: ada@example.org\nto: nobody\ntext: x\n")
    good = job(tmp_path, extra="html: <img src='https://example.org/a.png'>\n")
    ended = await run(tmp_path, "check", good, "wrong.yaml", "--json", "-c", "asyncnet.toml")
    assert ended.code == 65
    first, second = json.loads(ended.out)
    assert (first["file"], first["good"], first["errors"]) == (str(good), True, [])
    assert "external images" in first["warnings"][0]
    assert second["errors"] == [
        {
            "field": "to",
            "problem": "is missing the domain",
            "suggestion": "write name@example.org",
            "line": 2,
            "column": 5,
        }
    ]


async def test_render_draws_the_structure(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"attached\r\n")
    (tmp_path / "logo.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    extra = "html: <img src='cid:logo'>\ninline: {logo: logo.png}\nattachments: [note.txt]\n"
    ended = await run(tmp_path, "render", "--tree", job(tmp_path, extra=extra))
    assert ended.code == 0
    drawn = [re.sub(r" +[0-9.]+ k?B", "", line) for line in ended.out.splitlines()]
    assert [re.sub(" {2,}", "  ", line) for line in drawn] == [
        "multipart/mixed",
        "├─ multipart/alternative",
        "│  ├─ text/plain  7bit",
        "│  └─ multipart/related",
        "│  ├─ text/html  7bit",
        "│  └─ image/png  base64  logo.png  cid:logo",
        "└─ text/plain  base64  note.txt",
    ]


async def test_render_prints_the_message_and_finds_files_beside_the_job(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_bytes(b"attached\r\n")
    path = job(tmp_path, extra="attachments: [note.txt]\n")
    ended = await run(tmp_path.parent, "render", path)
    message = message_from_bytes(ended.out.encode(), policy=policy.default)
    assert ended.code == 0
    assert message["To"] == "ok@example.com"
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == "note.txt"


async def test_schema_is_json_that_knows_the_keys(tmp_path: Path) -> None:
    ended = await run(tmp_path, "schema")
    assert ended.code == 0
    assert {"from", "to", "subject", "attachments"} <= json.loads(ended.out)["properties"].keys()


# send


@pytest.mark.parametrize("engine", ["own", "stdlib"])
async def test_send_names_each_recipient_and_what_the_server_said(
    tmp_path: Path, sinks: Any, engine: str
) -> None:
    sink = await sinks()
    path = job(tmp_path, to="[ok@example.com, reject-550@example.com]")
    server = str(sink.endpoints[0])
    ended = await run(
        tmp_path, "send", path, "--server", server, "--tls", "none", "--engine", engine
    )
    assert ended.code == 69
    assert "ok@example.com: accepted 250" in ended.out
    assert "reject-550@example.com: rejected 550" in ended.out
    (mail,) = read_maildir(sink.maildir)
    assert mail.recipients == ("ok@example.com",)


@pytest.mark.parametrize("engine", ["own", "stdlib"])
async def test_send_logs_in_over_verified_tls_and_shows_no_password(
    tmp_path: Path, sinks: Any, engine: str
) -> None:
    certificates = Certificates()
    sink = await sinks(tls=certificates.good(), login=("ada@example.org", PASSWORD))
    ended = await run(
        tmp_path,
        "send",
        job(tmp_path),
        *("--server", f"localhost:{sink.endpoints[0].port}", "--engine", engine, "--trace"),
        *("--user", "ada@example.org", "--password-env", "CODE"),
        *("--ca-file", certificates.write_authority(tmp_path)),
        CODE=PASSWORD,
    )
    assert ended.code == 0, ended
    assert "accepted" in ended.out
    (mail,) = read_maildir(sink.maildir)
    assert mail.login == "ada@example.org"
    assert PASSWORD not in ended.out + ended.err


async def test_send_refuses_a_certificate_that_nobody_vouches_for(
    tmp_path: Path, sinks: Any
) -> None:
    sink = await sinks(tls=Certificates().good())
    server = f"localhost:{sink.endpoints[0].port}"
    ended = await run(tmp_path, "send", job(tmp_path), "--server", server)
    assert ended.code == 75
    assert "certificate" in ended.out
    assert sink.stored == 0


async def test_trace_shows_the_handshake_and_both_sides_of_the_dialogue(
    tmp_path: Path, sinks: Any
) -> None:
    sink = await sinks()
    server = str(sink.endpoints[0])
    ended = await run(
        tmp_path, "send", job(tmp_path), "--server", server, "--tls", "none", "--trace"
    )
    assert ended.code == 0
    for part in ("SYN", "< 220", "> EHLO", "> MAIL FROM:<ada@example.org>", "> DATA", "< 354"):
        assert part in ended.err, part
    assert "RFC 5321" in ended.err
    assert "Hello." not in ended.err  # the body stays private


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(("--account", "a", "--server", "b"), id="account and server"),
        pytest.param(("--tls", "none"), id="tls without server"),
        pytest.param(("--server", "h", "--user", "u"), id="user without password"),
        pytest.param(("--server", "h", "--user", "u", "--password-env", "NOT_SET"), id="no env"),
        pytest.param(("--server", "h:99999"), id="no port"),
        pytest.param(("--engine", "third"), id="no engine"),
        pytest.param(("--account", "nobody's"), id="no account"),
    ],
)
async def test_a_wrong_command_line_is_told_and_ends_with_64(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    ended = await run(tmp_path, "send", job(tmp_path), *options)
    assert ended.code == 64
    assert ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("engine", ["own", "stdlib"])
async def test_send_to_nobody_is_a_network_trouble_to_be_tried_again(
    tmp_path: Path, engine: str
) -> None:
    with refusing_port() as port:
        options = ("--server", f"127.0.0.1:{port}", "--tls", "none", "--engine", engine)
        ended = await run(tmp_path, "send", job(tmp_path), *options)
    assert ended.code == 75
    assert "refused" in ended.out


async def test_the_yardstick_sends_no_password_over_a_plain_network(tmp_path: Path) -> None:
    # 192.0.2.1 is nobody's (RFC 5737), and refused before anything is connected.
    (tmp_path / "asyncnet.toml").write_text(
        '[account.plain]\nhost = "192.0.2.1"\ntls = "none"\nuser = "ada"\n'
        'secret = { env = "CODE" }\n'
    )
    ended = await run(
        tmp_path,
        *("send", job(tmp_path), "--config", "asyncnet.toml", "--engine", "stdlib"),
        CODE=PASSWORD,
    )
    assert ended.code == 78
    assert "in the clear" in ended.err
    assert PASSWORD not in ended.out + ended.err


# queue and submit, beside a daemon


async def test_queue_shows_what_waits_and_why_beside_the_daemon(tmp_path: Path, sinks: Any) -> None:
    sink = await sinks()
    config = config_text(tmp_path, sink.endpoints[0].port)
    async with running(tmp_path, config) as daemon:
        daemon.drop("late.yaml", JOB.format(to="[ok@example.com, defer-451@example.com]"))
        assert await daemon.said("attempt")
        listed = await run(tmp_path, "queue", "list", "--config", "asyncnet.toml")
        shown = await run(tmp_path, "queue", "show", "late", "-c", "asyncnet.toml", "--json")
        unknown = await run(tmp_path, "queue", "show", "nobody", "-c", "asyncnet.toml")
    assert listed.code == 0
    assert "late" in listed.out
    assert "deferred" in listed.out
    (document,) = json.loads(shown.out)
    statuses = {it["address"]: it["status"] for it in document["recipients"]}
    assert statuses == {"ok@example.com": "accepted", "defer-451@example.com": "deferred"}
    assert unknown.code == 65


async def test_submit_tells_a_daemon_that_waits_from_one_that_is_not_there(tmp_path: Path) -> None:
    config = config_text(tmp_path, 1025).replace("[spool]", '[spool]\nmin_free = "900000000GB"')
    async with running(tmp_path, config):
        waits = await run(tmp_path, "submit", job(tmp_path), "--wait", "0.2", "-c", "asyncnet.toml")
    gone = await run(tmp_path, "submit", job(tmp_path), "--wait", "0.2", "-c", "asyncnet.toml")
    assert waits.code == gone.code == 75
    assert "not taken yet; the daemon runs and waits for room: its disk has less" in waits.out
    assert "not taken yet; no daemon runs" in gone.out


async def test_queue_without_a_queue_says_so(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    ended = await run(tmp_path, "queue", "list", "-c", "asyncnet.toml")
    assert ended.code == 69
    assert "queue.db" in ended.err
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(("to", "code"), [("ok@example.com", 0), ("reject-550@example.com", 69)])
async def test_submit_waits_for_the_outcome(tmp_path: Path, sinks: Any, to: str, code: int) -> None:
    sink = await sinks()
    path = job(tmp_path, to=to)
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)):
        ended = await run(tmp_path, "submit", path, "--wait", "20", "-c", "asyncnet.toml")
    assert ended.code == code, ended
    assert to in ended.out


async def test_submit_overwrites_no_job_that_still_waits(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    pickup = tmp_path / "spool" / "pickup"
    pickup.mkdir(parents=True)
    for _ in range(2):
        assert (await run(tmp_path, "submit", job(tmp_path), "-c", "asyncnet.toml")).code == 0
    assert sorted(path.name for path in pickup.iterdir()) == ["hello-2.yaml", "hello.yaml"]


async def test_submit_of_what_would_be_passed_over_names_it_so_that_it_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    pickup = tmp_path / "spool" / "pickup"
    pickup.mkdir(parents=True)
    for name in ("_draft.yaml", "job.txt", ".hidden.yml"):
        job(tmp_path).rename(tmp_path / name)
        assert (await run(tmp_path, "submit", name, "-c", "asyncnet.toml")).code == 0
    names = sorted(path.name for path in pickup.iterdir())
    assert names == ["draft.yaml", "hidden.yml", "job.txt.yaml"]


async def test_submit_without_a_spool_says_what_makes_one(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text(config_text(tmp_path, 1025))
    ended = await run(tmp_path, "submit", job(tmp_path), "-c", "asyncnet.toml")
    assert ended.code == 78
    assert "there is no such folder; the daemon makes it" in ended.err


async def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    ended = await run(tmp_path, "--version")
    assert ended.code == 0
    assert ended.out.split()[0] == "asyncnet"


async def test_every_command_has_help_that_says_what_it_does(tmp_path: Path) -> None:
    for command in ("serve", "send", "submit", "check", "render", "schema", "sink", "queue list"):
        ended = await run(tmp_path, *command.split(), "--help")
        assert ended.code == 0
        assert "Usage" in ended.out


def test_the_demo_is_run_from_the_repository() -> None:
    assert (REPOSITORY / "config" / "jobs" / "hello.yaml").exists()


async def test_a_fault_of_ours_ends_with_70_and_its_traceback(tmp_path: Path) -> None:
    # Another name for the app is the smallest fault that main() can meet.
    script = "from asyncnet.cli import commands, main; commands.app = None; main.main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script), cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 70
    assert b"Traceback" in err


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ('oauth2 = { token = { env = "TOKEN" } }\nuser = "ada"', "oauth2"),
        (f'pin_sha256 = ["{"A" * 43}="]', "pin_sha256"),
        ('address = "127.0.0.1"', "address"),
        ("verify = false", "verify"),
    ],
)
async def test_the_yardstick_does_not_pretend_to_know_what_it_cannot(
    setting: str, named: str, tmp_path: Path
) -> None:
    """smtplib would send a token as a password, and talk to whomever the authorities know."""
    (tmp_path / "asyncnet.toml").write_text(
        f'[account.work]\nhost = "mx.example.test"\ntls = "implicit"\n{setting}\n'
    )
    ended = await run(
        tmp_path,
        *("send", job(tmp_path), "--config", "asyncnet.toml", "--engine", "stdlib"),
        TOKEN=TOKEN,
    )
    assert ended.code == 78
    assert f"--engine stdlib knows no {named}" in ended.err
    assert TOKEN not in ended.err + ended.out
