"""Accounts put together from settings and presets."""

from pathlib import Path

import pytest

from asyncnet.config.sections import AccountSettings, choose_account
from asyncnet.delivery.accounts import Account, AccountError, for_server, resolve
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
    assert target.usual_octets == 73_400_320
    assert target.login is not None
    assert (target.login.user, target.login.password) == ("10001@qq.com", SECRET)
    assert target.login.mechanisms == ("LOGIN",)
    assert SECRET not in repr(account) + repr(target)


async def test_the_name_is_meant_and_the_address_connected_to() -> None:
    pin = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    account = resolved(host="mx.test", address="192.0.2.1", pin_sha256=pin, window=8)
    target = await account.target({})
    assert (target.host, target.address, target.server_name) == ("mx.test", "192.0.2.1", None)
    assert (target.pins, target.window) == ((pin,), 8)


async def test_a_token_logs_in_in_place_of_a_password() -> None:
    account = resolved(host="mx.test", user="me", oauth2={"token": {"value": "t0ken"}})
    target = await account.target({})
    assert target.login is not None
    assert (target.login.password, target.login.bearer) == ("t0ken", True)
    assert "t0ken" not in repr(account) + repr(target)


async def test_a_secret_that_cannot_be_had_is_the_accounts_trouble() -> None:
    account = resolved(host="mx.test", user="me", secret={"env": "NOT_THERE"})
    with pytest.raises(AccountError, match="NOT_THERE is not set"):
        await account.target({})


async def test_a_jobs_own_server_is_verified_and_never_logged_in_to() -> None:
    account = for_server("key", Server("10.0.0.1", 2525, "starttls"), catalogue())
    target = await account.target({})
    assert (target.host, target.port, target.tls) == ("10.0.0.1", 2525, "starttls")
    assert (target.login, target.verify) == (None, True)


async def test_a_secret_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old")
    account = resolved(host="mail.test", user="me", secret={"file": path})
    await account.target({})
    path.write_text("new")
    target = await account.target({})
    assert target.login is not None
    assert target.login.password == "new"


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
