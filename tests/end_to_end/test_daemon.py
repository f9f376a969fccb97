"""The real daemon: files in, mails and results out; requests in, pages out; starts and stops."""

import asyncio
import hashlib
import http.client
import json
import re
import shutil
import signal
from contextlib import ExitStack
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config.values import Endpoint
from tests.support.certificates import Certificates
from tests.support.daemon import REPOSITORY, config_text, first_of, running, seen_in, start
from tests.support.maildir import read_maildir
from tests.support.ports import refusing_port

EXAMPLES = REPOSITORY / "config" / "jobs"

JOB = """\
from: Ada <ada@example.org>
to: {to}
subject: {subject}
text: |
  Hello.
"""


def parsed(content: bytes) -> EmailMessage:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def digests(message: EmailMessage) -> dict[str, str]:
    """SHA-256 by file name of every attachment and inline image."""
    return {
        part.get_filename() or "": hashlib.sha256(part.get_content_bytes()).hexdigest()
        if hasattr(part, "get_content_bytes")
        else hashlib.sha256(part.get_payload(decode=True)).hexdigest()  # type: ignore[arg-type]
        for part in message.walk()
        if part.get_filename()
    }


async def test_a_full_job_arrives_octet_by_octet_and_has_its_result(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    files = {
        "report.pdf": b"%PDF-1.4\n" + bytes(range(256)) * 40,
        "数据.csv": "名,值\n一,1\n".encode(),
        "logo.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        daemon.drop(
            "full.yaml",
            """\
from: Ada <ada@example.org>
to: [Grace <grace@example.com>, 李雷 <lilei@example.com>]
cc: carol@example.com
bcc: secret@example.net
subject: 你好 🌍
text: "Plain 文本"
html: '<p>Rich <img src="cid:logo"></p>'
inline: {logo: logo.png}
attachments: [report.pdf, 数据.csv]
meta: {order: A-17}
""",
        )
        result = await daemon.result("full")

    (mail,) = read_maildir(sink.maildir)
    message = parsed(mail.content)
    assert result["status"] == "sent"
    assert {it["address"] for it in result["recipients"]} == set(mail.recipients)
    assert set(mail.recipients) == {
        "grace@example.com",
        "lilei@example.com",
        "carol@example.com",
        "secret@example.net",
    }
    assert all(it["status"] == "accepted" and it["code"] == 250 for it in result["recipients"])
    assert result["meta"] == {"order": "A-17"}
    assert result["size_octets"] == len(mail.content)
    assert result["attempts"] == 1
    assert message["Subject"] == "你好 🌍"
    assert message["Message-ID"] == result["message_id"]
    assert b"secret@example.net" not in mail.content
    assert digests(message) == {n: hashlib.sha256(d).hexdigest() for n, d in files.items()}
    assert (daemon.spool / "sent" / "full.yaml").exists()
    assert list((daemon.spool / "queue").iterdir()) == []
    assert list((daemon.spool / "pickup").iterdir()) == []


async def test_every_example_of_the_repository_is_sent(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port).replace(
        f'attachment_roots = ["{tmp_path}"]', f'attachment_roots = ["{EXAMPLES}"]'
    )
    examples = sorted(EXAMPLES.glob("*.yaml"))
    assert len(examples) >= 4
    async with running(tmp_path, config) as daemon:
        for example in examples:
            # Not copy(), which sets the mode of a file that may be claimed by then.
            shutil.copyfile(example, daemon.spool / "pickup" / example.name)
        for example in examples:
            result = await daemon.result(example.stem)
            assert result["status"] == "sent", result
            assert result["warnings"] == [], result


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_the_account_s_mail_goes_over_verified_tls_with_its_login(
    tmp_path: Path, make_sink: Any, mode: str
) -> None:
    certificates = Certificates()
    user, password = "ada@example.org", "made up for this test: é"
    sink = await make_sink(
        tls=certificates.good(), implicit_tls=mode == "implicit", login=(user, password)
    )
    (tmp_path / "code").write_text(password)
    account = f"""
user = "{user}"
secret = {{ file = "{tmp_path / "code"}" }}
ca_file = "{certificates.write_authority(tmp_path)}"
"""
    config = config_text(tmp_path, sink.endpoints[0].port).replace(
        'tls = "none"', f'tls = "{mode}"{account}'
    )
    async with running(tmp_path, config) as daemon:
        daemon.drop("secret.yaml", JOB.format(to="ok@example.com", subject="x"))
        result = await daemon.result("secret")
        argv = Path(f"/proc/{daemon.process.pid}/cmdline").read_bytes()
    assert result["status"] == "sent"
    assert result["tls"] == {"version": "TLSv1.3", "verified": True}
    (mail,) = read_maildir(sink.maildir)
    assert mail.login == user
    traces = [argv, json.dumps(result).encode(), str([daemon.log, daemon.errors]).encode()]
    traces += [path.read_bytes() for path in daemon.spool.rglob("*") if path.is_file()]
    assert not any(word in trace for trace in traces for word in (b"made up", b"bWFkZSB1c"))


async def test_a_wrong_password_holds_the_account_and_fails_no_mail(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink(login=("ada", "the right one"))
    login = 'tls = "none"\nuser = "ada"\nsecret = { env = "CODE" }\n'
    config = config_text(tmp_path, sink.endpoints[0].port).replace('tls = "none"', login)
    daemon = await start(tmp_path, config, environment={"CODE": "a wrong one"})
    assert await daemon.wait_ready(), daemon.errors
    daemon.drop("waits.yaml", JOB.format(to="ok@example.com", subject="x"))
    waits = await daemon.said("account waits")
    assert waits is not None
    assert waits["state"] == "held"
    assert await daemon.terminate() == 0
    assert not list((daemon.spool / "failed").iterdir())

    daemon = await start(tmp_path, config, environment={"CODE": "the right one"})
    assert await daemon.wait_ready(), daemon.errors
    result = await daemon.result("waits")
    assert await daemon.terminate() == 0
    assert (result["status"], result["attempts"]) == ("sent", 1)


async def test_one_refused_recipient_spoils_nothing_and_is_told(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        daemon.drop(
            "mixed.yaml",
            JOB.format(to="[ok@example.com, reject-550@example.com]", subject="Mixed"),
        )
        result = await daemon.result("mixed")
    assert result["status"] == "partial"
    verdicts = {it["address"]: it for it in result["recipients"]}
    assert verdicts["ok@example.com"]["status"] == "accepted"
    assert verdicts["reject-550@example.com"]["status"] == "rejected"
    assert verdicts["reject-550@example.com"]["code"] == 550
    assert verdicts["reject-550@example.com"]["phase"] == "rcpt"
    assert (daemon.spool / "failed" / "mixed.yaml").exists()


async def test_a_recipient_deferred_at_first_is_tried_again(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()
    config = config_text(
        tmp_path, sink.endpoints[0].port, '[queue]\nretry = ["0s", "200ms"]\njitter = 0.0\n'
    )
    async with running(tmp_path, config) as daemon:
        daemon.drop(
            "grey.yaml", JOB.format(to="[ok@example.com, defer-451-once@example.com]", subject="x")
        )
        result = await daemon.result("grey")
    assert result["status"] == "sent"
    assert result["attempts"] == 2
    assert sorted(mail.recipients for mail in read_maildir(sink.maildir)) == [
        ("defer-451-once@example.com",),
        ("ok@example.com",),
    ]


@pytest.mark.parametrize("attachment", ["gone.pdf", "link.pdf"])
async def test_a_job_with_mistakes_yields_all_of_them_with_their_places(
    tmp_path: Path, make_sink: Any, attachment: str
) -> None:
    sink = await make_sink()
    (tmp_path / "link.pdf").symlink_to("/etc/hostname")
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        daemon.drop(
            "wrong.yaml",
            "from: ada@example.org\nto: [nobody]\nsubjekt: Hi\ntext: x\n"
            f"attachments: [{attachment}]\n",
        )
        result = await daemon.result("wrong")
    assert result["status"] == "invalid"
    places = [(it["field"], it["line"]) for it in result["errors"]]
    assert places == [("to[0]", 2), ("subjekt", 3), ("attachments[0]", 5)]
    assert any("subject" in (it["suggestion"] or "") for it in result["errors"])
    assert not read_maildir(sink.maildir)


async def test_a_server_that_is_down_costs_no_attempt_and_loses_nothing(
    tmp_path: Path, make_sink: Any
) -> None:
    with ExitStack() as down:
        port = down.enter_context(refusing_port())
        async with running(tmp_path, config_text(tmp_path, port)) as daemon:
            daemon.drop("patient.yaml", JOB.format(to="ok@example.com", subject="x"))
            assert await daemon.said("account waits")
            down.close()
            await make_sink(listen=Endpoint("127.0.0.1", port))
            result = await daemon.result("patient")
    assert (result["status"], result["attempts"]) == ("sent", 1)


async def test_the_pages_answer_and_count(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()

    def ask(method: str, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(*daemon.http)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        asked = [("GET", "/"), ("GET", "/page2"), ("GET", "/page3"), ("GET", "/no"), ("POST", "/")]
        statuses = [(await asyncio.to_thread(ask, *one))[0] for one in asked]
        _, home = await asyncio.to_thread(ask, "GET", "/")
    assert statuses == [200, 200, 200, 404, 400]
    assert re.search(r">\D*5\D*<", home)  # 200 200 200 400 and this one


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order(
    tmp_path: Path, make_sink: Any, number: signal.Signals
) -> None:
    sink = await make_sink()
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        daemon.process.send_signal(number)
        async with asyncio.timeout(10):
            assert await daemon.wait() == 0
    assert daemon.errors == []
    assert daemon.log[-1]["event"] == "stopped"


async def test_stopping_in_the_middle_of_many_jobs_loses_and_doubles_nothing(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port)
    count = 100
    async with running(tmp_path, config) as daemon:
        for number in range(count):
            daemon.drop(f"job-{number}.yaml", JOB.format(to="ok@example.com", subject=number))
        await sink.wait_for(count // 4)
        assert await daemon.terminate() == 0
    async with running(tmp_path, config) as daemon:
        for number in range(count):
            result = await daemon.result(f"job-{number}")
            assert result["status"] == "sent"
            assert not result["recipients"][0]["possible_duplicate"]
    subjects = [parsed(mail.content)["Subject"] for mail in read_maildir(sink.maildir)]
    assert sorted(subjects, key=int) == [str(number) for number in range(count)]


async def test_a_second_daemon_on_one_spool_refuses_and_names_the_first(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    config = config_text(tmp_path, sink.endpoints[0].port)
    async with running(tmp_path, config) as first:
        second = await start(tmp_path, config)
        assert not await second.wait_ready()
        assert await second.wait() == 69
        (line,) = second.errors
        assert str(first.process.pid) in line


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        pytest.param(("[spool]", "[spool]\nsettel = '1s'"), 78, "settle", id="unknown key"),
        pytest.param(("[spool]", "[spool]\nsettle = 3"), 78, "settle", id="no unit"),
        pytest.param(("port =", "prot ="), 78, "port", id="unknown account key"),
        pytest.param(('host = "127.0.0.1"', ""), 78, "host", id="missing key"),
        pytest.param(('tls = "none"', 'tls = "nnone"'), 78, "none", id="unknown value"),
        pytest.param(("[http]", "[http"), 78, "line 2", id="no TOML"),
    ],
)
async def test_a_wrong_setting_is_one_clear_line(
    tmp_path: Path, change: tuple[str, str], code: int, said: str
) -> None:
    config = config_text(tmp_path, 1025)
    assert change[0] in config
    daemon = await start(tmp_path, config.replace(*change, 1))
    assert not await daemon.wait_ready()
    assert await daemon.wait() == code
    (line,) = daemon.errors
    assert said in line
    assert "asyncnet.toml" in line


async def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        config = config_text(tmp_path, 1025).replace("127.0.0.1:0", f"127.0.0.1:{port}")
        daemon = await start(tmp_path, config)
        assert not await daemon.wait_ready()
        assert await daemon.wait() == 69
    (line,) = daemon.errors
    assert str(port) in line


async def test_folders_on_different_file_systems_are_refused(
    tmp_path: Path, elsewhere: Path
) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "queue").symlink_to(elsewhere)
    daemon = await start(tmp_path, config_text(tmp_path, 1025))
    assert not await daemon.wait_ready()
    assert await daemon.wait() == 78
    (line,) = daemon.errors
    assert "file system" in line


async def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    daemon = await start(tmp_path, config_text(tmp_path, 1025))
    assert not await daemon.wait_ready()
    assert await daemon.wait() == 78
    (line,) = daemon.errors
    assert str(tmp_path / "spool") in line


async def test_a_hangup_takes_new_accounts_and_keeps_the_old_ones_on_a_bad_file(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    port = sink.endpoints[0].port
    config = config_text(tmp_path, port)
    path = tmp_path / "asyncnet.toml"

    async with running(tmp_path, config) as daemon:
        path.write_text(config + "\n[nonsense]\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert await daemon.said("settings not reloaded; the old ones stay")
        path.write_text(
            config + f'\n[account.other]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\n'
        )
        daemon.process.send_signal(signal.SIGHUP)
        assert await daemon.said("reloaded")
        daemon.drop("other.yaml", "account: other\n" + JOB.format(to="ok@example.com", subject="x"))
        result = await daemon.result("other")
    assert (result["status"], result["account"]) == ("sent", "other")


async def test_a_job_may_name_its_own_server_where_the_settings_allow_it(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    server = f"server: localhost:{sink.endpoints[0].port}\ntls: none\n"
    config = config_text(tmp_path, 9)  # the account's own port: nobody is there
    job = server + JOB.format(to="ok@example.com", subject="x")
    async with running(tmp_path, config) as daemon:
        daemon.drop("allowed.yaml", job)
        allowed = await daemon.result("allowed")
    async with running(tmp_path, config.replace("allow_server = true", "")) as daemon:
        daemon.drop("forbidden.yaml", job)
        forbidden = await daemon.result("forbidden")
    assert allowed["status"] == "sent"
    assert allowed["account"] is None
    assert allowed["server"] == f"localhost:{sink.endpoints[0].port}"
    assert forbidden["status"] == "invalid"
    assert forbidden["errors"][0]["field"] == "server"


async def test_names_that_are_being_written_are_left_alone(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()
    names = [".hidden.yaml", "_aside.yaml", "a.yaml~", "a.tmp", "a.part", "a.swp", "a.result.json"]
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        for name in names:
            (daemon.spool / "pickup" / name).write_text("no: job\n")
        daemon.drop("real.yaml", JOB.format(to="ok@example.com", subject="x"))
        await daemon.result("real")
        left = {path.name for path in (daemon.spool / "pickup").iterdir()}
    assert left == set(names)


async def test_two_jobs_of_one_name_both_keep_their_results(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        daemon.drop("same.yaml", JOB.format(to="ok@example.com", subject="one"))
        first = await daemon.result("same")
        daemon.drop("same.yaml", JOB.format(to="ok@example.com", subject="two"))
        sent = daemon.spool / "sent"
        found = await seen_in([sent], lambda: list(sent.glob("same~*.result.json")))
    second = json.loads(found[0].read_text())
    assert found[0].name == f"same~{second['queue_id']}.result.json"
    assert first["queue_id"] != second["queue_id"]
    assert (daemon.spool / "sent" / f"same~{second['queue_id']}.yaml").exists()


async def test_first_of_finds_what_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    assert await first_of([tmp_path / "here"], timeout_s=1) == tmp_path / "here"
