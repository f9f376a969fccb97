"""Access tokens from files, programs and a real token server over TLS."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from asyncnet.config.sections import AccountSettings, SecretSource
from asyncnet.delivery import token_request
from asyncnet.delivery.accounts import Account, AccountError, resolve
from asyncnet.delivery.credential import CredentialError
from asyncnet.delivery.exchange import Exchange, ExchangeFailed
from asyncnet.delivery.tokens import Grant, ReadyTokens, RefreshedTokens
from asyncnet.providers.builtin import catalogue
from tests.support.certificates import certificates
from tests.support.smtp_server import Say, ScriptedServer, Silence
from tests.support.token_server import TokenServer, Told, token_server

REFRESH, SECRET = "1//refresh-me", "client+secret/x"
ENVIRONMENT = {"REFRESH": REFRESH, "SECRET": SECRET}


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    return Path(certificates().write_authority(tmp_path))


def grant(server: TokenServer, ca_file: Path | None, **changes: Any) -> Grant:
    kept: dict[str, Any] = {
        "token_url": server.url,
        "client_id": "client-7",
        "refresh_token": SecretSource(env="REFRESH"),
        "client_secret": SecretSource(env="SECRET"),
        "scope": "https://mail.example.test/ offline",
        "ca_file": ca_file,
    }
    return Grant(**(kept | changes))


def fresh(token: str, **more: Any) -> Told:
    return Told({"access_token": token, "token_type": "Bearer", "expires_in": 3600} | more)


async def test_a_refresh_token_is_changed_for_an_access_token(ca_file: Path) -> None:
    with token_server(certificates().good(), fresh("t0ken")) as server:
        assert await RefreshedTokens(grant(server, ca_file)).token(ENVIRONMENT) == "t0ken"
    assert server.forms == [
        {
            "grant_type": "refresh_token",
            "client_id": "client-7",
            "refresh_token": REFRESH,
            "client_secret": SECRET,
            "scope": "https://mail.example.test/ offline",
        }
    ]
    assert server.headers[0]["path"] == "/oauth/token?v=2"
    assert server.headers[0]["Content-Type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("form", ["length", "chunks", "end"])
async def test_an_answer_may_be_framed_in_any_way(form: str, ca_file: Path) -> None:
    told = Told({"access_token": "t0ken", "padding": "x" * 20_000}, form=form)
    with token_server(certificates().good(), told) as server:
        tokens = RefreshedTokens(grant(server, ca_file, client_secret=None, scope=None))
        assert await tokens.token(ENVIRONMENT) == "t0ken"
    assert set(server.forms[0]) == {"grant_type", "client_id", "refresh_token"}


async def test_a_token_is_kept_until_shortly_before_it_expires(ca_file: Path) -> None:
    clock = Clock()
    with token_server(certificates().good(), fresh("first"), fresh("second")) as server:
        tokens = RefreshedTokens(grant(server, ca_file), clock)
        given = []
        for now_s in (1000, 4470, 4490):  # it is good until 4600
            clock.now_s = now_s
            given.append(await tokens.token(ENVIRONMENT))
    assert given == ["first", "first", "second"]


@pytest.mark.parametrize(
    ("expires_in", "kept_s"),
    [(3600, 3480), ("3600", 3480), (60, 30), (None, 180), ("soon", 180), (-5, 180), (True, 180)],
)
async def test_how_long_it_lives_is_believed_within_reason(
    expires_in: object, kept_s: float, ca_file: Path
) -> None:
    clock = Clock()
    told = fresh("first", expires_in=expires_in)
    with token_server(certificates().good(), told, fresh("second")) as server:
        tokens = RefreshedTokens(grant(server, ca_file), clock)
        await tokens.token(ENVIRONMENT)
        clock.now_s += kept_s - 1
        assert await tokens.token(ENVIRONMENT) == "first"
        clock.now_s += 2
        assert await tokens.token(ENVIRONMENT) == "second"


async def test_logins_at_the_same_time_share_one_request(ca_file: Path) -> None:
    with token_server(certificates().good(), fresh("t0ken"), fresh("other")) as server:
        tokens = RefreshedTokens(grant(server, ca_file))
        given = await asyncio.gather(*(tokens.token(ENVIRONMENT) for _ in range(5)))
        renewed = await asyncio.gather(*(tokens.renew("t0ken", ENVIRONMENT) for _ in range(5)))
    assert (set(given), set(renewed), len(server.forms)) == ({"t0ken"}, {"other"}, 2)


async def test_the_same_token_once_more_is_none(ca_file: Path) -> None:
    with token_server(certificates().good(), fresh("t0ken")) as server:
        tokens = RefreshedTokens(grant(server, ca_file))
        assert await tokens.renew(await tokens.token(ENVIRONMENT), ENVIRONMENT) is None


async def test_a_refresh_token_that_was_replaced_is_not_used_again(ca_file: Path) -> None:
    answers = (fresh("a", refresh_token="second"), fresh("b"), fresh("c"))
    with token_server(certificates().good(), *answers) as server:
        tokens = RefreshedTokens(grant(server, ca_file))
        await tokens.token(ENVIRONMENT)
        await tokens.renew("a", ENVIRONMENT)
        await tokens.renew("b", ENVIRONMENT | {"REFRESH": "written anew"})
    assert [form["refresh_token"] for form in server.forms] == [REFRESH, "second", "written anew"]


REFUSALS = {
    "a reason": (
        Told({"error": "invalid_grant", "error_description": "Token has been revoked."}, 400),
        r"refuses \(400\): invalid_grant: Token has been revoked\.",
    ),
    "no reason": (Told(b"<h1>Bad gateway</h1>", 502), r"refuses \(502\): without a reason"),
    "our secrets repeated": (
        Told(
            {"error": f"bad {REFRESH}", "error_description": f"{SECRET} client%2Bsecret%2Fx"}, 401
        ),
        r"bad \*{8}: \*{8} \*{8}$",
    ),
    "control characters": (Told({"error": "a\x1b[2J\nb"}, 400), r"a \[2J b$"),
    "a novel": (Told({"error": "x" * 5000}, 400), r"x{299}…$"),
    "a redirect": (Told(b"", 302, fields={"Location": "https://elsewhere.test/"}), r"\(302\)"),
    "no token": (Told({"expires_in": 3600}), "access token is none"),
    "a token with a line end": (fresh("a\r\nb"), "access token is none"),
    "a token of another type": (fresh("x", token_type="mac"), "tokens of another type"),
    "no JSON": (Told(b"access_token=x"), "without a reason"),
    "a list": (Told(b"[1]"), "without a reason"),
    "JSON without end": (Told(b"[" * 60_000), "without a reason"),
    "too much": (fresh("x", padding="x" * 100_000), "it is too long"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_told_without_our_secrets(name: str, ca_file: Path) -> None:
    told, words = REFUSALS[name]
    with (
        token_server(certificates().good(), told) as server,
        pytest.raises(CredentialError, match=words) as caught,
    ):
        await RefreshedTokens(grant(server, ca_file)).token(ENVIRONMENT)
    assert not any(secret in str(caught.value) for secret in (REFRESH, SECRET))


async def test_a_token_server_that_cannot_prove_itself_is_told_nothing(ca_file: Path) -> None:
    with token_server(certificates().unknown_authority(), fresh("x")) as server:
        with pytest.raises(CredentialError, match=r"does not prove '127\.0\.0\.1'"):
            await RefreshedTokens(grant(server, ca_file)).token(ENVIRONMENT)
        assert server.forms == []


async def test_a_token_server_that_never_answers_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(token_request, "DEADLINE_S", 0.05)
    async with ScriptedServer({"greeting": Silence()}) as server:
        stuck = TokenServer(f"https://127.0.0.1:{server.port}/", [])
        with pytest.raises(CredentialError, match=r"did not answer in time|within 0\.05 s"):
            await RefreshedTokens(grant(stuck, None)).token(ENVIRONMENT)


async def test_a_token_server_that_drips_is_cut(
    monkeypatch: pytest.MonkeyPatch, ca_file: Path
) -> None:
    gone = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            gone.set()
        finally:
            writer.transport.abort()

    monkeypatch.setattr(token_request, "DEADLINE_S", 0.5)
    listener = await asyncio.start_server(drip, "127.0.0.1", 0, ssl=certificates().good())
    stuck = TokenServer(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/", [])
    with pytest.raises(CredentialError, match="did not answer in time"):
        await RefreshedTokens(grant(stuck, ca_file)).token(ENVIRONMENT)
    await asyncio.wait_for(gone.wait(), 10)
    listener.close()
    await listener.wait_closed()
    await asyncio.sleep(0)  # what was aborted is closed in the next turn


async def test_ready_tokens_are_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    tokens = ReadyTokens(SecretSource(file=path))
    assert await tokens.token({}) == "first"
    assert await tokens.renew("first", {}) is None
    path.write_text("second\n")
    assert await tokens.renew("first", {}) == "second"
    path.write_text("not a token\n")
    with pytest.raises(CredentialError, match="is none"):
        await tokens.token({})


def account(port: int, ca_file: Path, oauth2: Mapping[str, Any]) -> Account:
    settings = {
        "host": "localhost",
        "address": "127.0.0.1",
        "port": port,
        "tls": "starttls",
        "ca_file": ca_file,
        "user": "anna@example.org",
        "oauth2": oauth2,
    }
    return resolve("work", AccountSettings.model_validate(settings), catalogue())


def scripted(*deeds: Say | None) -> ScriptedServer:
    return ScriptedServer(
        {"AUTH": deeds},
        tls=certificates().good(),
        capabilities_in_tls=("AUTH LOGIN PLAIN XOAUTH2",),
    )


STALE = Say(b"535 5.7.8 stale\r\n")


async def test_a_refused_token_is_fetched_anew_once_at_once(ca_file: Path) -> None:
    with token_server(certificates().good(), fresh("first"), fresh("second")) as tokens:
        async with scripted(STALE, None) as server:
            events: list[str] = []
            work = account(server.port, ca_file, oauth2(tokens, ca_file))
            target = await work.target(ENVIRONMENT)
            exchange = await Exchange.connect(target, lambda event: events.append(event.text))
            assert exchange.usable
            await exchange.close()
            await server.ended.wait()
            assert (await work.target(ENVIRONMENT)).login is not None
    assert len(tokens.forms) == 2
    assert server.heard.connections == 2
    shown = "\n".join([*events, repr(work), repr(target)])
    assert not re.search("first|second|refresh-me|client.secret", shown)


async def test_and_not_twice(ca_file: Path) -> None:
    with token_server(certificates().good(), fresh("first"), fresh("second")) as tokens:
        async with scripted(STALE) as server:
            work = account(server.port, ca_file, oauth2(tokens, ca_file))
            with pytest.raises(ExchangeFailed, match="535"):
                await Exchange.connect(await work.target(ENVIRONMENT))
    assert (len(tokens.forms), server.heard.connections) == (2, 2)


@pytest.mark.parametrize("deed", [Say(b"454 4.7.0 not now\r\n"), Say(b"421 4.3.0 bye\r\n")])
async def test_a_trouble_that_passes_costs_no_token(deed: Say, ca_file: Path) -> None:
    with token_server(certificates().good(), fresh("first"), fresh("second")) as tokens:
        async with scripted(deed) as server:
            work = account(server.port, ca_file, oauth2(tokens, ca_file))
            with pytest.raises(ExchangeFailed):
                await Exchange.connect(await work.target(ENVIRONMENT))
    assert (len(tokens.forms), server.heard.connections) == (1, 1)


async def test_a_token_that_cannot_be_renewed_is_the_accounts_trouble(ca_file: Path) -> None:
    refusal = Told({"error": "invalid_grant"}, 400)
    with token_server(certificates().good(), fresh("first"), refusal) as tokens:
        async with scripted(STALE) as server:
            work = account(server.port, ca_file, oauth2(tokens, ca_file))
            with pytest.raises(AccountError, match="invalid_grant"):
                await Exchange.connect(await work.target(ENVIRONMENT))
            await server.ended.wait()
        with pytest.raises(AccountError, match="invalid_grant"):
            await work.target(ENVIRONMENT)


async def test_a_ready_token_that_is_still_the_same_is_not_tried_twice(
    ca_file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    path.write_text("t0ken")
    async with scripted(STALE) as server:
        work = account(server.port, ca_file, {"token": {"file": path}})
        with pytest.raises(ExchangeFailed, match="535"):
            await Exchange.connect(await work.target({}))
    assert server.heard.connections == 1


def oauth2(server: TokenServer, ca_file: Path) -> dict[str, Any]:
    return {
        "token_url": server.url,
        "client_id": "client-7",
        "client_secret": {"env": "SECRET"},
        "refresh_token": {"env": "REFRESH"},
        "ca_file": ca_file,
    }


def test_an_account_without_token_url_is_told() -> None:
    settings = {"client_id": "x", "refresh_token": {"env": "REFRESH"}}
    with pytest.raises(AccountError, match=r"\[account.work\] oauth2 needs a token_url"):
        account(587, Path("x"), settings)
