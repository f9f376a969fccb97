"""Logins over a wire with aiosmtpd, which is taught the mechanisms that it does not know."""

import asyncio
import hmac
import secrets
import warnings
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Login, Target
from asyncnet.delivery.trace import TraceEvent
from asyncnet.mail.verdict import Phase
from tests.support.certificates import NAME, certificates
from tests.support.scram_judge import ScramJudge
from tests.support.smtp_server import ScriptedServer

USER, SECRET = "anna@example.org", "made-up word é"
TOKEN = secrets.token_urlsafe(400)  # does not fit on the AUTH line, and just on aiosmtpd's next


class Teller:
    """aiosmtpd's handler: knows one user, and whether it is to cheat."""

    def __init__(self, *, knows: str = SECRET, cheats: bool = False) -> None:
        self._knows = knows
        self._cheats = cheats
        self.tried: list[str] = []

    async def auth_SCRAM__SHA__256(self, server: SMTP, args: list[str]) -> AuthResult:
        self.tried.append("SCRAM-SHA-256")
        judge = ScramJudge(self._knows, nonce=secrets.token_hex(8), salt=secrets.token_bytes(16))
        final = await server.challenge_auth(judge.first(b64decode(args[1])))
        assert isinstance(final, bytes)
        proof = judge.final(final)
        if self._cheats:
            return AuthResult(success=True, handled=False)
        if proof is None or judge.user != USER:
            return AuthResult(success=False, handled=False)
        assert await server.challenge_auth(proof) == b""
        return AuthResult(success=True, handled=False)

    async def auth_CRAM__MD5(self, server: SMTP, args: list[str]) -> AuthResult:
        self.tried.append("CRAM-MD5")
        challenge = f"<{secrets.token_hex(8)}@example.test>".encode()
        given = await server.challenge_auth(challenge)
        digest = hmac.new(self._knows.encode(), challenge, "md5").hexdigest()
        return AuthResult(success=given == f"{USER} {digest}".encode(), handled=False)

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:
        self.tried.append("XOAUTH2")
        good = f"user={USER}\1auth=Bearer {self._knows}\1\1"
        return await self._token(server, args, good, b"")

    async def auth_OAUTHBEARER(self, server: SMTP, args: list[str]) -> AuthResult:
        self.tried.append("OAUTHBEARER")
        port = cast("asyncio.WriteTransport", server.transport).get_extra_info("sockname")[1]
        good = f"n,a={USER},\1host={NAME}\1port={port}\1auth=Bearer {self._knows}\1\1"
        return await self._token(server, args, good, b"\1")

    async def _token(self, server: SMTP, args: list[str], good: str, dummy: bytes) -> AuthResult:
        given = b64decode(args[1]) if len(args) > 1 else await server.challenge_auth(b"")
        if given == good.encode():
            return AuthResult(success=True, handled=False)
        assert await server.challenge_auth(b'{"status":"invalid_token"}') == dummy
        return AuthResult(success=False, handled=False)


@asynccontextmanager
async def answering(teller: Teller, *without: str) -> AsyncIterator[int]:
    """The port of an aiosmtpd with STARTTLS that asks the teller."""
    context, sessions = certificates().good(), []

    def connected() -> SMTP:
        kept: dict[str, Any] = {"tls_context": context, "require_starttls": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of mechanisms that it knows nothing of
            sessions.append(SMTP(teller, hostname=NAME, auth_exclude_mechanism=without, **kept))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        talks = [it._handler_coroutine for it in sessions if it._handler_coroutine is not None]
        for session in sessions:
            if session.transport is not None:
                cast("asyncio.WriteTransport", session.transport).abort()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets under TLS close one turn later


async def log_in(teller: Teller, tmp_path: Path, login: Login, *without: str) -> list[TraceEvent]:
    """Everything that was seen of a login that succeeded."""
    events: list[TraceEvent] = []
    ca_file = certificates().write_authority(tmp_path)
    async with answering(teller, *without) as port:
        target = Target(NAME, port, "starttls", login, ca_file=ca_file, address="127.0.0.1")
        exchange = await Exchange.connect(target, events.append)
        assert exchange.usable
        await exchange.close()
    return events


@pytest.mark.parametrize(
    ("login", "knows", "tried"),
    [
        pytest.param(Login(USER, SECRET), SECRET, "SCRAM-SHA-256", id="the best for a password"),
        pytest.param(Login(USER, SECRET, ("CRAM-MD5",)), SECRET, "CRAM-MD5", id="on request"),
        pytest.param(Login(USER, TOKEN, bearer=True), TOKEN, "OAUTHBEARER", id="a long token"),
        pytest.param(Login(USER, "t0ken", bearer=True), "t0ken", "OAUTHBEARER", id="a short one"),
        pytest.param(Login(USER, TOKEN, ("XOAUTH2",), bearer=True), TOKEN, "XOAUTH2", id="XOAUTH2"),
    ],
)
async def test_a_login_is_made_the_best_way(
    login: Login, knows: str, tried: str, tmp_path: Path
) -> None:
    teller = Teller(knows=knows)
    events = await log_in(teller, tmp_path, login)
    assert teller.tried == [tried]
    shown = "\n".join(event.text for event in events)
    assert knows not in shown
    assert "********" in shown


@pytest.mark.parametrize(
    ("login", "cheats", "told"),
    [
        (Login(USER, "wrong"), False, r"refuses the login: 535"),
        (Login(USER, SECRET), True, "did not prove that it knows the password"),
        (Login(USER, "stale", bearer=True), False, r"refuses the login \(invalid_token\): 535"),
        (Login(USER, "stale", ("XOAUTH2",), bearer=True), False, r"\(invalid_token\): 535"),
    ],
)
async def test_a_login_that_fails_is_tried_once(
    login: Login, cheats: bool, told: str, tmp_path: Path
) -> None:
    teller = Teller(cheats=cheats)
    with pytest.raises(ExchangeFailed, match=told) as caught:
        await log_in(teller, tmp_path, login)
    assert caught.value.phase is Phase.AUTH
    assert len(teller.tried) == 1


@pytest.mark.parametrize("verify", [True, False])
async def test_nothing_is_said_to_a_server_with_another_key(verify: bool, tmp_path: Path) -> None:
    teller = Teller()
    ca_file = certificates().write_authority(tmp_path)
    pin = "A" * 43 + "="
    async with answering(teller) as port:
        target = Target("127.0.0.1", port, "starttls", Login(USER, SECRET), pins=(pin,))
        target = replace(target, ca_file=ca_file, verify=verify)
        with pytest.raises(ExchangeFailed, match="none of pin_sha256") as caught:
            await Exchange.connect(target)
        right = str(caught.value).rpartition(" ")[2]
        exchange = await Exchange.connect(replace(target, pins=(pin, right)))
        assert exchange.tls_facts is not None
        assert exchange.tls_facts.verified is verify
        await exchange.close()
    assert (caught.value.phase, caught.value.cause) == (Phase.TLS, "tls")
    assert len(teller.tried) == 1


async def test_a_pin_replaces_no_verification() -> None:
    async with ScriptedServer(tls=certificates().good()) as server:
        target = Target("127.0.0.1", server.port, "starttls", verify=False)
        seen = await Exchange.connect(target)
        await seen.close()
        assert seen.tls_facts is not None
        assert seen.tls_facts.certificate is not None
        pins = (seen.tls_facts.certificate.pin_sha256,)
        with pytest.raises(ExchangeFailed, match="the certificate does not prove"):
            await Exchange.connect(replace(target, verify=True, pins=pins))
        await server.ended.wait()


async def test_every_login_has_its_own_nonce(tmp_path: Path) -> None:
    firsts = []

    class Listener(Teller):
        async def auth_SCRAM__SHA__256(self, server: SMTP, args: list[str]) -> AuthResult:
            firsts.append(b64decode(args[1]))
            return await super().auth_SCRAM__SHA__256(server, args)

    for _ in range(3):
        await log_in(Listener(), tmp_path, Login(USER, SECRET))
    assert len(set(firsts)) == 3
