"""The settings: what is taken, what is refused and in which words."""

from pathlib import Path
from typing import Any

import pytest

from asyncnet.config.file import ConfigError, load
from asyncnet.config.sections import Settings
from asyncnet.config.values import Endpoint, Rate, parse_rate

PIN = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def loaded(text: str, tmp_path: Path, mode: int = 0o600, **environment: str) -> Settings:
    path = tmp_path / "asyncnet.toml"
    path.write_text(text)
    path.chmod(mode)
    return load(path, environment)


def account(lines: str, tmp_path: Path, **how: Any) -> Any:
    text = f'[account.work]\nhost = "mx.example.test"\n{lines}\n'
    return loaded(text, tmp_path, **how).account["work"]


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("30/min", Rate(30, 60.0)),
        ("2/s", Rate(2, 1.0)),
        ("500/h", Rate(500, 3600.0)),
        ("2000 / d", Rate(2000, 86400.0)),
    ],
)
def test_a_rate_is_messages_within_seconds(text: str, rate: Rate, tmp_path: Path) -> None:
    assert account(f'rate = "{text}"', tmp_path).rate == rate
    assert parse_rate(rate) == rate


@pytest.mark.parametrize("value", ['"30"', '"0/min"', '"1/m"', '"-1/s"', '"1.5/s"', '"٣/s"', "30"])
def test_what_is_no_rate_is_refused(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'line 3: \[account\.work\] rate: .* write it as "30/'):
        account(f"rate = {value}", tmp_path)


@pytest.mark.parametrize("window", [1, 32])
def test_a_window_has_one_to_thirty_two_messages(window: int, tmp_path: Path) -> None:
    assert account(f"window = {window}", tmp_path).window == window


@pytest.mark.parametrize("window", [0, 33])
def test_another_window_is_refused(window: int, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[account\.work\] window: "):
        account(f"window = {window}", tmp_path)


@pytest.mark.parametrize("written", [f'"{PIN}"', f'["{PIN}"]'])
def test_a_pin_is_one_or_several(written: str, tmp_path: Path) -> None:
    assert account(f"pin_sha256 = {written}", tmp_path).pin_sha256 == (PIN,)


@pytest.mark.parametrize("pin", ["", "abc", PIN[:-1], PIN[4:], PIN + "AAAA", "é" * 44, "ab:cd"])
def test_what_is_no_pin_is_refused(pin: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pin_sha256.*has 44 characters"):
        account(f'pin_sha256 = "{pin}"', tmp_path)


def test_a_pin_without_tls_is_a_contradiction(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pin_sha256 needs TLS"):
        account(f'pin_sha256 = "{PIN}"\ntls = "none"', tmp_path)


@pytest.mark.parametrize(
    ("written", "address"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[::1]", "::1")],
)
def test_an_address_is_an_ip_address(written: str, address: str, tmp_path: Path) -> None:
    assert account(f'address = "{written}"', tmp_path).address == address


@pytest.mark.parametrize("written", ["mx.example.test", "192.0.2.1:25", ""])
def test_what_is_none_is_refused(written: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is no IP address; a name is written as host"):
        account(f'address = "{written}"', tmp_path)


@pytest.mark.parametrize(
    ("written", "host"),
    [("mx.example.test", "mx.example.test"), ("::1", "::1"), ("[2001:db8::1]", "2001:db8::1")],
)
def test_a_host_is_a_name_or_an_address(written: str, host: str, tmp_path: Path) -> None:
    text = f'[account.work]\nhost = "{written}"\n'
    assert loaded(text, tmp_path).account["work"].host == host


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("mx.example.test:587", "is no host; a port is written as port = 587"),
        ("smtp://mx.example.test", "is no host"),
        ("", "is no host"),
        ("mx example", "is no host"),
    ],
)
def test_what_is_no_host_is_refused(written: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        loaded(f'[account.work]\nhost = "{written}"\n', tmp_path)


READY = 'user = "a"\noauth2 = { token = { env = "T" } }'
GRANT = (
    'user = "a"\noauth2 = { token_url = "https://t.example.test/x", client_id = "c",'
    ' client_secret = { file = "/s" }, refresh_token = { file = "/r" }, scope = "mail" }'
)


def test_a_token_is_ready_or_fetched(tmp_path: Path) -> None:
    ready, fetched = account(READY, tmp_path).oauth2, account(GRANT, tmp_path).oauth2
    assert (ready.token.env, ready.client_id) == ("T", None)
    assert (fetched.token, fetched.client_id, fetched.scope) == (None, "c", "mail")


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ('oauth2 = { token = { env = "T" } }', "user and oauth2 go together"),
        ('user = "a"', "user and secret go together"),
        ('user = "a"\nsecret = { env = "S" }\noauth2 = { token = { env = "T" } }', "exclude each"),
        (f'{READY}\nauth = ["PLAIN"]', "auth has none for oauth2: OAUTHBEARER, XOAUTH2"),
        ('user = "a"\nsecret = { env = "S" }\nauth = ["XOAUTH2"]', "auth has none for secret: SC"),
        ('user = "a"\nsecret = { env = "S" }\nauth = ["NTLM"]', "'SCRAM-SHA-256', 'PLAIN'"),
        ('user = "a"\noauth2 = {}', "give token, or client_id and refresh_token"),
        ('user = "a"\noauth2 = { client_id = "c" }', "give token, or client_id and refresh"),
        (
            'user = "a"\noauth2 = { token = { env = "T" }, client_id = "c" }',
            "token stands alone; take out client_id",
        ),
        ('user = "a"\noauth2 = { tokn = { env = "T" } }', "did you mean 'token'"),
        (GRANT.replace("https://t", "http://t"), 'written as "https://host/path"'),
        (GRANT.replace("https://t", "https://me:hunter-zwei@t"), "without user name"),
        (GRANT.replace("/x", "/x y"), 'written as "https://host/path"'),
        (GRANT.replace("t.example.test", "t.example.test:x"), 'written as "https://host/path"'),
    ],
)
def test_a_contradiction_is_told(lines: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        account(lines, tmp_path)
    assert told in str(caught.value)
    assert "[account.work]" in str(caught.value)
    assert "hunter-zwei" not in str(caught.value)


@pytest.mark.parametrize("key", ["client_secret", "refresh_token"])
def test_a_secret_in_a_file_that_others_can_read_is_refused(key: str, tmp_path: Path) -> None:
    place = {"client_secret": "/s", "refresh_token": "/r"}[key]
    lines = GRANT.replace(f'file = "{place}"', 'value = "hunter-zwei"')
    assert "hunter-zwei" not in repr(account(lines, tmp_path))
    with pytest.raises(ConfigError, match=rf"line 4: .*oauth2\.{key}: .*chmod 600") as caught:
        account(lines, tmp_path, mode=0o644)
    assert "hunter-zwei" not in str(caught.value)


def test_all_mechanisms_can_be_asked_for(tmp_path: Path) -> None:
    names = ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"]
    lines = f'user = "a"\nsecret = {{ env = "S" }}\nauth = {names}'
    assert list(account(lines, tmp_path).auth) == names


def test_finished_jobs_are_kept_for_ever_unless_a_time_is_set(tmp_path: Path) -> None:
    path = tmp_path / "asyncnet.toml"
    path.write_text("")
    spool = load(path, {}).spool
    assert (spool.keep_sent, spool.keep_failed, spool.min_free) == (None, None, 50_000_000)
    path.write_text('[spool]\nkeep_sent = "7d"\nkeep_failed = "90d"\nmin_free = "0B"\n')
    spool = load(path, {}).spool
    assert (spool.keep_sent, spool.keep_failed) == (604_800.0, 7_776_000.0)
    assert spool.min_free == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("keep_sent = 7", "keep_sent: a duration is a text with a unit"),
        ('keep_failed = "for ever"', "keep_failed: 'for ever' is no duration"),
        ('min_free = "5%"', "min_free: '5%' is no size"),
    ],
)
def test_what_is_no_time_or_size_is_told_in_one_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "asyncnet.toml"
    path.write_text(f"[spool]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}, line 2: [spool] {told}")


def test_the_operators_listener_is_off_until_it_is_written_out(tmp_path: Path) -> None:
    assert loaded("", tmp_path).ops.listen == ()
    ops = loaded('[ops]\nlisten = "127.0.0.1:8081"\nhosts = "ops.example.org"\n', tmp_path).ops
    assert (ops.listen, ops.hosts) == ((Endpoint("127.0.0.1", 8081),), ("ops.example.org",))
    several = '[ops]\nlisten = ["[::1]:8081", "127.0.0.1:8081"]\nhosts = ["a", "b"]\n'
    assert [str(it) for it in loaded(several, tmp_path).ops.listen] == [
        "[::1]:8081",
        "127.0.0.1:8081",
    ]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("listen = 8081", r"\[ops\] listen: an address is a text"),
        ('listen = "127.0.0.1"', r"\[ops\] listen: .* has no port"),
        ('listen = "18650"', r"\[ops\] listen: .* is a port alone; write \"127.0.0.1:18650\""),
        ('host = "a"', r"\[ops\] host: unknown key; did you mean 'hosts'"),
    ],
)
def test_what_is_wrong_with_it_is_told(line: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=told):
        loaded(f"[ops]\n{line}\n", tmp_path)
