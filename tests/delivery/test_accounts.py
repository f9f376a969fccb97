"""Accounts put together from settings and presets, and secrets from where they lie."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from asyncnet.config import AccountSettings, SecretSource, choose_account
from asyncnet.delivery import accounts
from asyncnet.delivery.accounts import Account, AccountError, for_server, read_secret, resolve
from asyncnet.mail.envelope import Server
from asyncnet.providers.builtin import catalogue

SECRET = "hunter-zwei"


def resolved(**settings: object) -> Account:
    return resolve("work", AccountSettings.model_validate(settings), catalogue())


@pytest.mark.parametrize(
    ("settings", "place"),
    [
        ({"preset": "qq"}, ("smtp.qq.com", 465, "implicit")),
        ({"preset": "qq", "port": 587}, ("smtp.qq.com", 587, "starttls")),
        ({"preset": "qq", "tls": "starttls"}, ("smtp.qq.com", 587, "starttls")),
        ({"preset": "qq", "tls": "implicit"}, ("smtp.qq.com", 465, "implicit")),
        ({"preset": "m365"}, ("smtp.office365.com", 587, "starttls")),
        ({"preset": "126", "port": 25, "tls": "none"}, ("smtp.126.com", 25, "none")),
        ({"preset": "ses", "host": "ses.test", "port": 2465}, ("ses.test", 2465, "implicit")),
        ({"preset": "ses", "host": "ses.test"}, ("ses.test", 587, "starttls")),
        ({"host": "mail.test"}, ("mail.test", 587, "starttls")),
        ({"host": "mail.test", "port": 465}, ("mail.test", 465, "implicit")),
        ({"host": "mail.test", "port": 1025}, ("mail.test", 1025, "starttls")),
        ({"host": "mail.test", "tls": "implicit"}, ("mail.test", 465, "implicit")),
        ({"host": "mail.test", "tls": "none"}, ("mail.test", 25, "none")),
        ({"host": "::1", "port": 1025, "tls": "none"}, ("::1", 1025, "none")),
    ],
)
def test_port_and_tls_follow_from_what_is_written(
    settings: dict[str, object], place: tuple[str, int, str]
) -> None:
    account = resolved(**settings)
    assert (account.host, account.port, account.tls) == place


def test_what_the_settings_say_wins_over_the_preset() -> None:
    account = resolved(preset="gmail", connections=7, messages_per_connection=3, host="relay.test")
    assert (account.connections, account.messages_per_connection) == (7, 3)
    assert (account.host, account.recipients) == ("relay.test", 100)


def test_a_host_of_a_known_provider_gets_its_rules_and_limits() -> None:
    account = resolved(host="smtp.qq.com")
    assert account.charset == "gb18030"
    assert account.book == catalogue().rule_book(catalogue().by_name("qq"))
    assert account.connections == 1


def test_an_unknown_preset_is_told_with_the_account() -> None:
    with pytest.raises(AccountError, match=r"\[account.work\] unknown preset 'gmale'; did you me"):
        resolved(preset="gmale")


def test_a_preset_with_many_hosts_wants_one() -> None:
    with pytest.raises(AccountError, match="host for each region"):
        resolved(preset="ses")


async def test_the_target_is_complete() -> None:
    account = resolved(
        preset="qq",
        user="10001@qq.com",
        secret={"value": SECRET},
        auth=["LOGIN"],
        ehlo="me.example.org",
        verify=False,
        ca_file="/ca.pem",
    )
    target = await account.target({})
    assert (target.host, target.port, target.tls) == ("smtp.qq.com", 465, "implicit")
    assert (target.charset, target.rset, target.verify) == ("gb18030", False, False)
    assert (target.ehlo, target.ca_file) == ("me.example.org", "/ca.pem")
    assert target.login is not None
    assert (target.login.user, target.login.password) == ("10001@qq.com", SECRET)
    assert target.login.mechanisms == ("LOGIN",)
    assert SECRET not in repr(account) + repr(target)


async def test_a_jobs_own_server_is_verified_and_never_logged_in_to() -> None:
    account = for_server("key", Server("10.0.0.1", 2525, "starttls"), catalogue())
    target = await account.target({})
    assert (target.host, target.port, target.tls) == ("10.0.0.1", 2525, "starttls")
    assert (target.login, target.verify) == (None, True)


async def test_a_secret_is_read_from_the_environment() -> None:
    assert await read_secret(SecretSource(env="CODE"), {"CODE": SECRET}) == SECRET


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
async def test_a_secret_is_read_from_a_file(tmp_path: Path, end: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(f" {SECRET} {end}".encode())
    assert await read_secret(SecretSource(file=path), {}) == f" {SECRET} "


async def test_a_secret_is_read_from_a_credential(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text(SECRET)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert await read_secret(SecretSource(credential="mail"), environment) == SECRET


async def test_a_secret_is_read_from_a_command() -> None:
    command = (sys.executable, "-c", f"print({SECRET!r})")
    assert await read_secret(SecretSource(command=command), {}) == SECRET


async def test_a_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    account = resolved(host="mail.test", user="me", secret={"file": path})
    await account.target({})
    path.write_text("new")
    target = await account.target({})
    assert target.login is not None
    assert target.login.password == "new"


def exits(code: int) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; print({SECRET!r}); sys.exit({code})")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"env": "NOT_THERE"}, "the environment variable NOT_THERE is not set"),
        ({"env": "EMPTY"}, "the environment variable EMPTY is empty"),
        ({"env": "TWO"}, "the environment variable TWO holds more than one line"),
        ({"file": "/no/such/file"}, "the file /no/such/file cannot be read: No such file"),
        ({"credential": "x"}, "systemd sets .CREDENTIALS_DIRECTORY only"),
        ({"command": ["/no/such/program", SECRET]}, "'/no/such/program' cannot be started: No su"),
        ({"command": []}, "the command '' cannot be started"),
        ({"command": exits(3)}, "ended with exit code 3"),
        ({"command": [sys.executable, "-c", f"#{SECRET}"]}, "is empty"),
    ],
)
async def test_a_missing_secret_is_told_without_telling_it(
    source: dict[str, object], told: str
) -> None:
    environment = {"EMPTY": "", "TWO": f"{SECRET}\n{SECRET}\n"}
    with pytest.raises(AccountError, match=told) as caught:
        await read_secret(SecretSource.model_validate(source), environment)
    assert SECRET not in str(caught.value)


async def test_a_credential_stays_in_its_folder(tmp_path: Path) -> None:
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    with pytest.raises(AccountError, match="no plain name"):
        await read_secret(SecretSource(credential="../passwd"), environment)


async def test_octets_that_are_no_text_are_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET.encode() + b"\xff")
    with pytest.raises(AccountError, match="no UTF-8 text") as caught:
        await read_secret(SecretSource(file=path), {})
    assert caught.value.__cause__ is None


async def test_a_huge_file_is_no_password(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x" * 100_000)
    with pytest.raises(AccountError, match="too long"):
        await read_secret(SecretSource(file=path), {})


async def test_a_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "COMMAND_TIMEOUT_S", 0.05)
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    with pytest.raises(AccountError, match="gave no password within"):
        await read_secret(SecretSource(command=command), {})


async def test_cancelling_ends_the_command(tmp_path: Path) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    script = f"import os, time; open({str(pipe)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    source = SecretSource(command=(sys.executable, "-c", script))
    task = asyncio.create_task(read_secret(source, {}))
    pid = int(await asyncio.to_thread(pipe.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


ACCOUNTS = {
    "work": AccountSettings(host="w.test", senders=("*@work.example.org", "Boss@example.org")),
    "home": AccountSettings(host="h.test", senders=("*@example.org",)),
    "rest": AccountSettings(host="r.test", default=True),
}


@pytest.mark.parametrize(
    ("name", "sender", "chosen"),
    [
        ("home", "x@work.example.org", "home"),
        ("nowhere", "x@work.example.org", None),
        (None, "x@WORK.example.org", "work"),
        (None, "boss@example.org", "work"),
        (None, "me@example.org", "home"),
        (None, "me@example.com", "rest"),
    ],
)
def test_the_account_is_chosen_by_name_then_sender_then_default(
    name: str | None, sender: str, chosen: str | None
) -> None:
    assert choose_account(ACCOUNTS, name, sender) == chosen


def test_without_a_default_the_first_is_taken_and_of_none_none() -> None:
    two = {name: ACCOUNTS[name] for name in ("work", "home")}
    assert choose_account(two, None, "me@example.com") == "work"
    assert choose_account({}, None, "me@example.com") is None
