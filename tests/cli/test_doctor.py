"""`asyncnet doctor` as a person runs it, and as a program reads it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Ended, run
from tests.support.certificates import Certificates, certificates
from tests.support.daemon import config_text, running
from tests.support.smtp_server import CAPABILITIES, Say, ScriptedServer

SECRET = "made-up word 4711"
USER = "ada@example.org"
WITH_LOGIN = (*CAPABILITIES, "AUTH PLAIN LOGIN")


def settings(folder: Path, port: int, extra: str = "", spool: str = "") -> Path:
    path = folder / "asyncnet.toml"
    path.write_text(
        f"""
[spool]
dir = "{folder / "spool"}"
{spool}
[account.work]
host = "127.0.0.1"
port = {port}
{extra or 'tls = "none"'}
"""
    )
    return path


LOGIN = f'user = "{USER}"\nsecret = {{ env = "CODE" }}\n'


async def doctor(folder: Path, *argv: str, **environment: str) -> Ended:
    return await run(folder, "doctor", "--config", "asyncnet.toml", *argv, **environment)


def stages(ended: Ended) -> dict[str, Mapping[str, Any]]:
    (account,) = json.loads(ended.out)
    return {stage["stage"]: stage for stage in account["stages"]}


async def test_all_is_well(tmp_path: Path) -> None:
    async with ScriptedServer(capabilities=WITH_LOGIN) as server:
        settings(tmp_path, server.port, 'tls = "none"\n' + LOGIN)
        ended = await doctor(tmp_path, CODE=SECRET)
        assert not server.heard.contents
        assert server.heard.connections == 1
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == f"work  127.0.0.1:{server.port}, no TLS"
    assert [line.split()[1] for line in lines[1:-1] if line[2] != " "] == [
        *("settings", "queue", "dns", "tcp", "greeting", "ehlo", "auth", "size", "mail", "rcpt")
    ]
    assert f"login as {USER}, secret from the variable CODE" in ended.out
    assert "round trip" in ended.out
    assert lines[-1] == "  mail can go out; none was sent"
    assert SECRET not in ended.out


async def test_a_refused_login_ends_with_69_and_the_provider_s_hint(tmp_path: Path) -> None:
    refused = {"AUTH": Say(b"535 Login Fail. Please enter your authorization code to login\r\n")}
    async with ScriptedServer(refused, capabilities=WITH_LOGIN) as server:
        settings(tmp_path, server.port, f'tls = "none"\npreset = "qq"\n{LOGIN}')
        ended = await doctor(tmp_path, CODE=SECRET)
    assert ended.code == 69
    assert "failed  auth" in ended.out
    assert "→ QQ wants the authorization code" in ended.out
    assert "skipped  not reached: size, mail, rcpt" in ended.out
    assert ended.out.splitlines()[-1] == "  auth is where it stops: login_refused"


async def test_json_has_one_object_for_each_account(tmp_path: Path) -> None:
    async with ScriptedServer() as good, ScriptedServer({"greeting": Say(b"554 no\r\n")}) as bad:
        path = settings(tmp_path, good.port, 'tls = "none"\nsenders = ["ada@example.org"]')
        other = f'[account.other]\nhost = "127.0.0.1"\nport = {bad.port}\ntls = "none"\n'
        path.write_text(path.read_text() + other)
        ended = await doctor(tmp_path, "--json")
        one = await doctor(tmp_path, "other", "--json")
    assert (ended.code, ended.err, one.code) == (69, "", 69)
    work, other_one = json.loads(ended.out)
    assert (work["account"], work["ok"]) == ("work", True)
    assert (work["server"], work["tls"]) == (f"127.0.0.1:{good.port}", "none")
    assert (other_one["account"], other_one["ok"]) == ("other", False)
    found = {stage["stage"]: stage for stage in other_one["stages"]}
    assert set(found["greeting"]) == {
        *("stage", "verdict", "took_ms", "told", "details", "cause", "advice")
    }
    assert (found["greeting"]["verdict"], found["greeting"]["cause"]) == ("failed", "turned_away")
    assert found["ehlo"]["verdict"] == "skipped"
    assert [it["account"] for it in json.loads(one.out)] == ["other"]


@pytest.mark.parametrize(
    ("extra", "cause", "advice"),
    [
        (LOGIN, "secret_missing", "export CODE=…"),
        (
            f'preset = "qq"\n{LOGIN}',
            "secret_missing",
            "QQ wants the 16-character authorization code",
        ),
        (f'user = "{USER}"\nsecret = {{ file = "gone" }}', "secret_missing", "put the secret into"),
        (
            f'user = "{USER}"\nsecret = {{ command = ["false"] }}',
            "secret_missing",
            "'false' runs without a question",
        ),
        ('tls = "implicit"\nca_file = "gone.pem"', "ca_file", "PEM"),
        ('preset = "gmial"', "settings", "config"),
    ],
)
async def test_settings_that_cannot_be_used_end_with_78(
    extra: str, cause: str, advice: str, tmp_path: Path
) -> None:
    settings(tmp_path, 1025, extra)
    ended = await doctor(tmp_path, "--json")
    assert ended.code == 78
    found = stages(ended)
    assert (found["settings"]["verdict"], found["settings"]["cause"]) == ("failed", cause)
    assert advice in found["settings"]["advice"]
    assert found["tcp"]["verdict"] == "skipped"


async def test_a_server_unlike_the_provider_s_is_pointed_out(tmp_path: Path) -> None:
    path = settings(tmp_path, 25, f'preset = "qq"\naddress = "127.0.0.1"\n{LOGIN}')
    path.write_text(path.read_text().replace('host = "127.0.0.1"\n', ""))
    ended = await doctor(tmp_path, "--json", CODE=SECRET)
    found = stages(ended)["settings"]
    assert (found["verdict"], found["cause"]) == ("warning", "unusual_server")
    assert '465 with tls = "implicit"' in found["advice"]


async def test_senders_that_the_provider_does_not_take_are_pointed_out(tmp_path: Path) -> None:
    senders = 'senders = ["*@example.org", "ADA@example.org", "bob@example.org", "*@example.com"]'
    settings(tmp_path, 465, f'preset = "qq"\ntls = "implicit"\n{LOGIN}{senders}')
    found = stages(await doctor(tmp_path, "--json", CODE=SECRET))["settings"]
    assert (found["verdict"], found["cause"]) == ("warning", "sender_not_login")
    assert f"from {USER} alone, not from *@example.com, bob@example.org" in found["advice"]


async def test_a_blank_around_the_secret_is_pointed_out(tmp_path: Path) -> None:
    """Pasted codes bring one along."""
    settings(tmp_path, 1, f'tls = "none"\n{LOGIN}')
    found = stages(await doctor(tmp_path, "--json", CODE=f"{SECRET} "))["settings"]
    assert (found["verdict"], found["cause"]) == ("warning", "secret_blank")


async def test_size_and_addresses_are_as_asked_for(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        settings(tmp_path, server.port, spool='max_message = "80MB"')
        argv = ("--json", "--from", "a@example.org", "--to", "b@example.org")
        ended = await doctor(tmp_path, *argv)
        too_large = await doctor(tmp_path, *argv, "--size", "60MB")
        nonsense = await doctor(tmp_path, *argv, "--size", "much")
        named = await doctor(tmp_path, "--json", "--from", "Ada <ada@bücher.example>")
        bad = await doctor(tmp_path, "--from", "nobody")
        assert "MAIL FROM:<ada@xn--bcher-kva.example> SIZE=1000" in server.heard.lines
        assert "MAIL FROM:<a@example.org> SIZE=1000" in server.heard.lines
        assert "MAIL FROM:<a@example.org> SIZE=50000000" in server.heard.lines
        assert "RCPT TO:<b@example.org>" in server.heard.lines
    assert (ended.code, too_large.code, nonsense.code) == (0, 69, 64)
    assert (named.code, bad.code) == (0, 64)
    assert "--from is missing the domain" in bad.err
    assert stages(ended)["size"]["verdict"] == "warning"
    assert stages(too_large)["size"]["verdict"] == "failed"
    assert "'much' is no size" in nonsense.err


async def test_an_address_beyond_ascii_goes_where_the_server_takes_it(tmp_path: Path) -> None:
    async with ScriptedServer() as able, ScriptedServer(capabilities=["SIZE"]) as unable:
        settings(tmp_path, able.port)
        good = await doctor(tmp_path, "--from", "jürgen@example.org")
        assert "MAIL FROM:<jürgen@example.org> SIZE=1000 BODY=8BITMIME SMTPUTF8" in able.heard.lines
        settings(tmp_path, unable.port)
        bad = await doctor(tmp_path, "--json", "--from", "jürgen@example.org")
    assert (good.code, bad.code) == (0, 69)
    assert stages(bad)["mail"]["cause"] == "smtputf8"


async def test_a_user_that_is_no_address_is_not_taken_for_one(tmp_path: Path) -> None:
    async with ScriptedServer(capabilities=WITH_LOGIN) as server:
        settings(tmp_path, server.port, f'tls = "none"\n{LOGIN.replace(USER, "a b@c d")}')
        ended = await doctor(tmp_path, "--json", CODE=SECRET)
    assert ended.code == 69
    assert stages(ended)["mail"]["cause"] == "settings"
    assert "--from" in stages(ended)["mail"]["advice"]


async def test_a_token_that_is_not_given_is_not_the_settings_fault(tmp_path: Path) -> None:
    oauth2 = 'oauth2 = { token_url = "https://127.0.0.1:1/", client_id = "x", '
    oauth2 += 'refresh_token = { env = "CODE" } }'
    settings(tmp_path, 1025, f'user = "{USER}"\n{oauth2}')
    ended = await doctor(tmp_path, "--json", CODE=SECRET)
    assert (ended.code, stages(ended)["settings"]["cause"]) == (69, "token_refused")
    assert SECRET not in ended.out


async def test_a_name_that_is_none_is_told_with_the_nearest(tmp_path: Path) -> None:
    settings(tmp_path, 1025)
    ended = await doctor(tmp_path, "wrok")
    assert (ended.code, ended.out) == (64, "")
    assert "did you mean 'work'?" in ended.err


async def test_without_an_account_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    (tmp_path / "asyncnet.toml").write_text("")
    ended = await doctor(tmp_path)
    assert (ended.code, ended.out) == (78, "")
    assert "no account is configured" in ended.err


async def test_trace_shows_the_talk_and_no_secret(tmp_path: Path) -> None:
    ca_file = certificates().write_authority(tmp_path)
    shown = Certificates.good(certificates())
    async with ScriptedServer(capabilities=WITH_LOGIN, tls=shown) as server:
        settings(tmp_path, server.port, f'tls = "starttls"\nca_file = "{ca_file}"\n{LOGIN}')
        ended = await doctor(tmp_path, "--trace", CODE=SECRET)
    assert ended.code == 0
    for part in (
        *("> SYN", "< SYN-ACK", "> ACK", "(TCP_INFO)", "> STARTTLS", "* TLSv1.3"),
        *("> AUTH PLAIN ********", "[RFC 4954 section 4]", "> RSET", "> QUIT"),
    ):
        assert part in ended.err
    assert SECRET not in ended.err + ended.out
    assert "DATA" not in ended.err


async def test_a_running_daemon_tells_how_the_account_stands(tmp_path: Path) -> None:
    async with ScriptedServer() as server:
        text = config_text(tmp_path, server.port)
        (tmp_path / "asyncnet.toml").write_text(text)
        async with running(tmp_path, text) as daemon:
            good = stages(await doctor(tmp_path, "--json"))["queue"]
            await run(
                *(tmp_path, "account", "hold", "local", "--reason", "moving house"),
                *("-c", "asyncnet.toml"),
            )
            ended = await doctor(tmp_path, "--json")
            assert daemon.process.returncode is None
    held = stages(ended)["queue"]
    assert good["verdict"] == "ok"
    assert good["told"].startswith("the daemon has it as ok")
    assert ended.code == 0, "a held account is no fault of its server"
    assert (held["verdict"], held["cause"]) == ("warning", "held")
    assert "moving house" in held["told"]
    assert "asyncnet account release local" in held["advice"]
