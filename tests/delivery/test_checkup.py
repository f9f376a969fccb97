"""Each way in which an account's server can be wrong, named by its real cause, with what to do.

The server is seeded with one fault; the check-up has to find it, and to leave no mail behind.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncnet.config.sections import AccountSettings
from asyncnet.delivery.accounts import resolve
from asyncnet.delivery.checkup.diagnosis import no_tls_there
from asyncnet.delivery.checkup.dry_run import DryRun
from asyncnet.delivery.checkup.finding_out import Known
from asyncnet.delivery.checkup.stages import Cause, Finding, Stage
from asyncnet.delivery.checkup.walk import DEADLINES, STAGES, Checkup
from asyncnet.delivery.trace import TraceEvent
from asyncnet.providers.builtin import catalogue
from tests.support.certificates import NAME, Certificates, certificates
from tests.support.smtp_server import (
    CAPABILITIES,
    HangUp,
    Reset,
    Say,
    Script,
    ScriptedServer,
    Silence,
    Slow,
)

USER = "10001@qq.com"
SECRET = "made-up word 4711"
HURRY = replace(DEADLINES, connect_s=0.3, tls_s=0.5, greeting_s=0.5, ehlo_s=0.5, auth_s=0.5)
LOOK_S = 0.15
PROTOCOL_VERSION = b"\x15\x03\x01\x00\x02\x02\x46"  # a fatal alert; RFC 5246 section 7.2
NO_PIN = "A" * 43 + "="
WITH_LOGIN = (*CAPABILITIES, "AUTH PLAIN LOGIN")

TO_MYSELF = DryRun(USER)
NO = Say(b"500 what?\r\n")

Run = Callable[[Coroutine[Any, Any, None]], None]
Place = AbstractAsyncContextManager[int]  # a server's port


@asynccontextmanager
async def scripted(
    script: Script | None = None,
    shown: Callable[[Certificates], ssl.SSLContext] | None = None,
    **how: Any,
) -> AsyncIterator[int]:
    tls = None if shown is None else shown(certificates())
    how = {"capabilities": WITH_LOGIN, **how}
    async with ScriptedServer(script, tls=tls, **how) as server:
        yield server.port
        assert not server.heard.contents, "a check-up sends no mail"
        assert "DATA" not in server.heard.verbs()
        assert "BDAT" not in server.heard.verbs()


@asynccontextmanager
async def another(
    says: bytes = b"", answers: bytes = b"", tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Something that is no mail server."""
    talks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(says)
            while await reader.read(1000):
                writer.write(answers)
        finally:
            writer.transport.abort()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.ensure_future(talk(reader, writer)))

    server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*talks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)  # what was aborted is closed in the next turn


@asynccontextmanager
async def nobody() -> AsyncIterator[int]:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@asynccontextmanager
async def black_hole() -> AsyncIterator[int]:
    """A full accept queue leaves a SYN without answer."""
    with ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            other = open_sockets.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@dataclass(frozen=True)
class Fault:
    """A server's fault, where it must be found, its name, and words of the advice."""

    place: Callable[[], Place]
    stage: str
    cause: Cause
    advice: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    dry_run: DryRun = TO_MYSELF
    finding: Finding = Finding.FAILED


def server(*script: Any, **how: Any) -> Callable[[], Place]:
    return lambda: scripted(*script, **how)


def starttls(script: Script | None = None, **how: Any) -> Callable[[], Place]:
    return lambda: scripted(script, **{"shown": Certificates.good, **how})


def implicit(script: Script | None = None, **how: Any) -> Callable[[], Place]:
    return starttls(script, implicit=True, **how)


CLEAR = {"tls": "none"}  # to loopback a password may go in the clear
STARTTLS = {"tls": "starttls"}
IMPLICIT = {"tls": "implicit"}
GMAIL, M365, NETEASE = {"preset": "gmail"}, {"preset": "m365"}, {"preset": "126"}
F, C = Fault, Cause

FAULTS = {
    # getting there
    "nobody listens": F(nobody, "tcp", C.CONNECTION_REFUSED, "nobody listens on port"),
    "packets are dropped": F(black_hole, "tcp", C.CONNECTION_TIMEOUT, "a firewall drops"),
    # who is there
    "a firewall closes at once": F(
        server({"greeting": HangUp()}), "greeting", C.CLOSED_AT_ONCE, "a firewall", CLEAR
    ),
    "a firewall resets at once": F(
        server({"greeting": Reset()}), "greeting", C.CLOSED_AT_ONCE, "a firewall", STARTTLS
    ),
    "a firewall closes in the TLS handshake": F(
        server({"greeting": HangUp()}), "tls", C.CLOSED_AT_ONCE, "a firewall", IMPLICIT
    ),
    "a TLS handshake that stalls": F(lambda: another(), "tls", C.SILENT, "QQ does that", IMPLICIT),
    "a server that says nothing": F(
        server({"greeting": Silence()}), "greeting", C.SILENT, "says nothing", CLEAR
    ),
    "a web server": F(
        lambda: another(answers=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        *("greeting", C.NOT_SMTP, "another service", STARTTLS),
    ),
    "a web server, asked for TLS": F(
        lambda: another(answers=b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        *("tls", C.NOT_SMTP, "another service", IMPLICIT),
    ),
    "a web server under TLS": F(
        lambda: another(answers=b"HTTP/1.1 400 No\r\n\r\n", tls=certificates().good()),
        *("greeting", C.NOT_SMTP, "another service", STARTTLS),
    ),
    "an SSH server": F(
        lambda: another(b"SSH-2.0-OpenSSH_9.2\r\n"),
        *("greeting", C.NOT_SMTP, "another service", STARTTLS),
    ),
    "an IMAP server": F(
        lambda: another(b"* OK IMAP4rev1 ready\r\n"),
        *("greeting", C.NOT_SMTP, "another service", STARTTLS),
    ),
    "an FTP server": F(
        server({"greeting": Say(b"220 ProFTPD Server\r\n"), "EHLO": NO, "HELO": NO}),
        *("ehlo", C.NOT_SMTP, "another service", CLEAR),
    ),
    "421 in place of a greeting": F(
        server({"greeting": HangUp(b"421 4.7.0 try again later\r\n")}),
        *("greeting", C.BUSY, "busy", CLEAR),
    ),
    "554 in place of a greeting": F(
        server({"greeting": HangUp(b"554 5.7.1 you are on a list\r\n")}),
        *("greeting", C.TURNED_AWAY, "block list", CLEAR),
    ),
    "EHLO refused": F(
        server({"EHLO": Say(b"550 need a real name\r\n"), "HELO": Say(b"550 no\r\n")}),
        *("ehlo", C.EHLO_REFUSED, 'ehlo = "host.example.org"', CLEAR),
    ),
    "250 for a greeting": F(
        server({"greeting": Say(b"250 hello\r\n")}), "greeting", C.PROTOCOL, "keep to SMTP", CLEAR
    ),
    # TLS modes mixed up
    "implicit TLS on a STARTTLS port": F(
        starttls(), "tls", C.TLS_BY_STARTTLS, 'set tls = "starttls"', IMPLICIT
    ),
    "STARTTLS on an implicit port": F(
        implicit(), "greeting", C.TLS_FROM_THE_START, 'set tls = "implicit"', STARTTLS
    ),
    "no TLS on an implicit port": F(
        implicit(), "greeting", C.TLS_FROM_THE_START, 'set tls = "implicit"', CLEAR
    ),
    "STARTTLS asked of a plain server": F(
        server(), "tls", C.TLS_NOT_OFFERED, 'no TLS to offer: tls = "none" will do', STARTTLS
    ),
    "TLS asked of a plain server": F(
        server(), "tls", C.TLS_NOT_OFFERED, 'no TLS to offer: tls = "none" will do', IMPLICIT
    ),
    "STARTTLS refused": F(
        starttls({"STARTTLS": Say(b"454 4.7.0 TLS not available\r\n")}),
        *("tls", C.STARTTLS_REFUSED, "port 465", STARTTLS),
    ),
    "octets before TLS": F(
        starttls({"STARTTLS": Say(b"220 go\r\n250 injected\r\n")}),
        *("tls", C.INJECTED, "somebody on the way", STARTTLS),
    ),
    "TLS of long ago": F(
        lambda: another(answers=PROTOCOL_VERSION), "tls", C.TLS_TOO_OLD, "TLS 1.2 or 1.3", IMPLICIT
    ),
    # certificates
    "expired": F(
        starttls(shown=Certificates.expired),
        *("tls", C.CERTIFICATE_EXPIRED, "it ended on", STARTTLS),
    ),
    "expired, implicit": F(
        implicit(shown=Certificates.expired),
        *("tls", C.CERTIFICATE_EXPIRED, "this machine's clock says", IMPLICIT),
    ),
    "not valid yet: a wrong clock": F(
        starttls(shown=Certificates.not_yet_valid),
        *("tls", C.CERTIFICATE_NOT_YET_VALID, "set the clock right", STARTTLS),
    ),
    "another's name": F(
        starttls(shown=Certificates.wrong_name),
        *("tls", C.CERTIFICATE_NAME, f"elsewhere.example.test, and host is {NAME}", STARTTLS),
    ),
    "a common name alone": F(
        starttls(shown=Certificates.common_name_only),
        *("tls", C.CERTIFICATE_NAME, "no name that counts", STARTTLS),
    ),
    "self-signed": F(
        starttls(shown=Certificates.self_signed),
        *("tls", C.CERTIFICATE_SELF_SIGNED, "ca_file", STARTTLS),
    ),
    "of an unknown authority": F(
        implicit(shown=Certificates.unknown_authority),
        *("tls", C.CERTIFICATE_UNKNOWN_AUTHORITY, "issued by", IMPLICIT),
    ),
    "for clients only": F(
        implicit(shown=Certificates.for_clients_only),
        *("tls", C.CERTIFICATE_NOT_FOR_SERVERS, "serverAuth", IMPLICIT),
    ),
    "1024 bits": F(
        implicit(shown=Certificates.weak_key),
        *("tls", C.CERTIFICATE_WEAK, "RSA 2048", IMPLICIT),
    ),
    "another key than the pinned one": F(
        implicit(), "tls", C.PIN, "pin_sha256", {**IMPLICIT, "pin_sha256": NO_PIN}
    ),
    "ends within three weeks": F(
        implicit(shown=lambda it: it.ending_in(days=5)),
        *("tls", C.CERTIFICATE_EXPIRES, "to know", IMPLICIT),
        finding=Finding.WARNING,
    ),
    "not asked to prove anything": F(
        implicit(shown=Certificates.expired),
        *("tls", C.NOT_VERIFIED, "take verify = false out", {**IMPLICIT, "verify": False}),
        finding=Finding.WARNING,
    ),
    # the login
    "the password in place of QQ's authorization code": F(
        implicit({"AUTH": Say("535 Login Fail. 登录失败\r\n".encode("gb18030"))}),
        *("auth", C.LOGIN_REFUSED, "QQ wants the authorization code", IMPLICIT),
    ),
    "a wrong password at NetEase": F(
        implicit({"AUTH": Say(b"535 Error: authentication failed\r\n")}),
        *("auth", C.LOGIN_REFUSED, "NetEase wants the authorization code", {**IMPLICIT, **NETEASE}),
    ),
    "no app password at Gmail": F(
        implicit({"AUTH": Say(b"534 5.7.9 Application-specific password required\r\n")}),
        *("auth", C.LOGIN_REFUSED, "Gmail wants an app password", {**IMPLICIT, **GMAIL}),
    ),
    "SMTP AUTH switched off for the tenant": F(
        implicit(
            {"AUTH": Say(b"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication\r\n")}
        ),
        *("auth", C.SMTP_AUTH_DISABLED, "an administrator switches it on", {**IMPLICIT, **M365}),
    ),
    "too many logins": F(
        implicit({"AUTH": Say(b"454 4.7.0 Too many login attempts, please try again later\r\n")}),
        *("auth", C.THROTTLED, "limits logins", {**IMPLICIT, **GMAIL}),
    ),
    "too many logins at a server of no preset": F(
        server({"AUTH": HangUp(b"421 4.7.0 Too many errors\r\n")}),
        *("auth", C.THROTTLED, "limits logins", {**CLEAR, "preset": None}),
    ),
    "logins cannot be checked now": F(
        server({"AUTH": Say(b"454 4.7.0 Temporary authentication failure\r\n")}),
        *("auth", C.NOT_NOW, "wait", {**CLEAR, "preset": None}),
    ),
    "no common mechanism": F(
        server(capabilities=(*CAPABILITIES, "AUTH GSSAPI NTLM")),
        *("auth", C.MECHANISM_NOT_OFFERED, "the server offers GSSAPI, NTLM", CLEAR),
    ),
    "a mechanism asked for that is not offered": F(
        server(capabilities=(*CAPABILITIES, "AUTH PLAIN")),
        *("auth", C.MECHANISM_NOT_OFFERED, "auth = LOGIN", {**CLEAR, "auth": ["LOGIN"]}),
    ),
    "no AUTH at all": F(
        server(capabilities=CAPABILITIES), "auth", C.AUTH_NOT_OFFERED, "use 587 or 465", CLEAR
    ),
    "AUTH after TLS only": F(
        starttls(capabilities=CAPABILITIES),
        *("auth", C.AUTH_NEEDS_TLS, 'set tls = "starttls"', CLEAR),
    ),
    "AUTH offered before TLS, and refused": F(
        server({"AUTH": Say(b"538 5.7.11 Encryption required\r\n")}),
        *("auth", C.AUTH_NEEDS_TLS, 'set tls = "starttls"', CLEAR),
    ),
    "a mechanism that is offered and not there": F(
        server({"AUTH": Say(b"504 5.5.4 not really\r\n")}),
        *("auth", C.MECHANISM_NOT_OFFERED, "write there what the server offers", CLEAR),
    ),
    "hangs up at the login": F(
        server({"AUTH": HangUp()}), "auth", C.CLOSED, "hung up without a word", CLEAR
    ),
    # a mail
    "From is not the login at QQ": F(
        implicit({"MAIL": Say(b"501 mail from address must be same as authorization user\r\n")}),
        *("mail", C.SENDER_REFUSED, f"the dry run was from me@example.org, the login is {USER}"),
        IMPLICIT,
        DryRun("me@example.org"),
    ),
    "From is not the login at NetEase": F(
        implicit({"MAIL": Say(b"553 Mail from must equal authorized user\r\n")}),
        *("mail", C.SENDER_REFUSED, "NetEase sends only for the address that logs in"),
        {**IMPLICIT, **NETEASE},
        DryRun("me@example.org"),
    ),
    "a login is needed": F(
        server({"MAIL": Say(b"530 5.7.0 Authentication required\r\n")}),
        *("mail", C.LOGIN_NEEDED, "give the account user and secret"),
        {**CLEAR, "preset": None, "user": None, "secret": None},
    ),
    "the size refused at MAIL": F(
        server({"MAIL": Say(b"552 5.3.4 message size exceeds fixed maximum\r\n")}),
        *("mail", C.SIZE, "send a link", CLEAR),
    ),
    "too much mail for now": F(
        server({"MAIL": Say(b"550 Sender frequency limited\r\n")}),
        *("mail", C.THROTTLED, "QQ limits how often", CLEAR),
    ),
    "the daily quota is used up": F(
        implicit({"MAIL": Say(b"550 5.4.5 Daily user sending limit exceeded\r\n")}),
        *("mail", C.QUOTA, "2,000 within any 24 hours", {**IMPLICIT, **GMAIL}),
    ),
    "not now": F(server({"MAIL": Say(b"451 4.3.0 later\r\n")}), "mail", C.NOT_NOW, "wait", CLEAR),
    "the recipient is unknown": F(
        server(refuse=lambda _: b"550 5.1.1 no such user\r\n"),
        *("rcpt", C.RECIPIENT_REFUSED, "look at its spelling", {**CLEAR, "preset": None}),
    ),
    "relaying is denied": F(
        server(refuse=lambda _: b"554 5.7.1 Relay access denied\r\n"),
        *("rcpt", C.RELAY_DENIED, "only from those who log in"),
        {**CLEAR, "preset": None, "user": None, "secret": None},
    ),
    "greylisted": F(
        server(refuse=lambda _: b"451 4.7.1 Greylisted, come back\r\n"),
        *("rcpt", C.GREYLISTED, "the next try is mostly taken", {**CLEAR, "preset": None}),
        finding=Finding.WARNING,
    ),
    "larger than asked for": F(
        server(),
        *("size", C.SIZE, "60.0 MB are too much", CLEAR),
        dry_run=DryRun(USER, octets=60_000_000),
    ),
    "larger mails let in than go out": F(
        server(),
        *("size", C.SIZE, "max_message", CLEAR),
        dry_run=DryRun(USER, max_octets=200_000_000),
        finding=Finding.WARNING,
    ),
}


async def checked(
    port: int,
    settings: Mapping[str, Any],
    folder: Path,
    dry_run: DryRun = TO_MYSELF,
    **how: Any,
) -> list[Stage]:
    given = {
        "preset": "qq",
        "host": NAME,
        "address": "127.0.0.1",
        "port": port,
        "user": USER,
        "secret": {"env": "CODE"},
        "ca_file": certificates().write_authority(folder),
        **settings,
    }
    section = AccountSettings.model_validate(
        {key: value for key, value in given.items() if value is not None}
    )
    account = resolve("work", section, catalogue())
    stages: list[Stage] = []
    target = await account.target({"CODE": SECRET})
    how = {"deadlines": HURRY, "patience_s": LOOK_S, **how}
    await Checkup(account, target, dry_run, stages.append, **how).run()
    return stages


def only(stages: list[Stage], name: str) -> Stage:
    (found,) = [stage for stage in stages if stage.name == name]
    return found


def text_of(stages: list[Stage]) -> str:
    return "\n".join(" ".join((it.told, *it.details, it.advice or "")) for it in stages)


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_named_by_its_real_cause(name: str, run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        fault = FAULTS[name]
        async with fault.place() as port:
            stages = await checked(port, fault.settings, tmp_path, fault.dry_run)
        found = only(stages, fault.stage)
        assert (found.finding, found.cause) == (fault.finding, fault.cause)
        assert found.advice is not None
        assert fault.advice in found.advice
        if found.finding is Finding.FAILED and found.name != "size":
            after = stages[stages.index(found) + 1 :]
            assert {it.finding for it in after} <= {Finding.SKIPPED}
        assert SECRET not in text_of(stages)

    run(scenario())


def test_there_are_at_least_twenty_causes() -> None:
    assert len({fault.cause for fault in FAULTS.values()}) >= 20


@pytest.mark.parametrize("tls", ["implicit", "starttls", "none"])
async def test_a_good_server_passes_every_stage_in_its_order(tls: str, tmp_path: Path) -> None:
    how: dict[str, Any] = {} if tls == "none" else {"shown": Certificates.good}
    async with scripted(implicit=tls == "implicit", **how) as port:
        stages = await checked(port, {"tls": tls}, tmp_path)
    assert tuple(stage.name for stage in stages) == STAGES[tls]
    assert {stage.name for stage in stages if stage.finding is not Finding.OK} == {"dns"}
    assert "PIPELINING" in only(stages, "ehlo").told
    assert f"{USER} is logged in by PLAIN" in only(stages, "auth").told
    assert "mails up to 50.0 MB" in only(stages, "size").told
    if tls != "none":
        told = "\n".join(only(stages, "tls").details)
        for words in (NAME, "EC 256", "valid until", "issued by trustme", "pin_sha256 = "):
            assert words in told


async def test_a_transaction_is_undone_and_the_talk_ended_in_order(tmp_path: Path) -> None:
    async with ScriptedServer(capabilities=WITH_LOGIN) as server:
        settings = {"tls": "none", "preset": None}
        await checked(server.port, settings, tmp_path, DryRun(USER, "b@example.org"))
        await server.ended.wait()
        assert server.heard.verbs() == ["EHLO", "AUTH", "MAIL", "RCPT", "RSET", "QUIT"]
        assert "RCPT TO:<b@example.org>" in server.heard.lines


async def test_qq_is_told_no_rset(tmp_path: Path) -> None:
    async with ScriptedServer(capabilities=WITH_LOGIN) as server:
        await checked(server.port, CLEAR, tmp_path)
        await server.ended.wait()
        assert server.heard.verbs() == ["EHLO", "AUTH", "MAIL", "RCPT", "QUIT"]


async def test_without_an_address_no_mail_is_begun(tmp_path: Path) -> None:
    async with ScriptedServer(capabilities=WITH_LOGIN) as server:
        stages = await checked(server.port, CLEAR, tmp_path, DryRun(None))
        await server.ended.wait()
        assert "MAIL" not in server.heard.verbs()
    assert only(stages, "mail").finding is Finding.SKIPPED
    assert "--from" in only(stages, "mail").told


async def test_a_wrong_port_is_told_with_the_right_one(tmp_path: Path) -> None:
    async with nobody() as port, scripted() as right:
        known = Known({port: "implicit", right: "starttls"})
        stages = await checked(port, STARTTLS, tmp_path, known=known)
    found = only(stages, "tcp")
    assert found.cause is Cause.WRONG_PORT
    assert found.advice is not None
    assert f'port {right} (tls = "starttls")' in found.advice


def refuse_names(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    async def getaddrinfo(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def test_a_name_that_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    refuse_names(monkeypatch, error)
    known = Known(hosts=("smtp.qq.com", "smtp.gmail.com"))
    settings = {"address": None, "host": "smpt.qq.com"}
    found = only(await checked(465, settings, tmp_path, known=known), "dns")
    assert (found.cause, found.advice) == (Cause.HOST_UNKNOWN, "did you mean smtp.qq.com?")


async def test_a_name_service_that_does_not_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_names(monkeypatch, socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name res."))
    found = only(await checked(465, {"address": None}, tmp_path), "dns")
    assert found.cause is Cause.NAME_SERVICE
    assert found.advice is not None
    assert "/etc/resolv.conf" in found.advice


async def test_one_dead_address_of_several_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        found = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*found, (address, port)) for address in ("127.0.0.2", "127.0.0.1")]

    async with scripted() as port:  # on 127.0.0.1 alone
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        stages = await checked(port, {**CLEAR, "address": None, "host": "mx.test"}, tmp_path)
    assert only(stages, "dns").told == "mx.test is 127.0.0.2, 127.0.0.1"
    found = only(stages, "tcp")
    assert (found.finding, found.cause) == (Finding.WARNING, Cause.ADDRESS_DEAD)
    assert "Connection refused" in found.details[0]
    assert found.details[1].startswith(f"127.0.0.1:{port}: connected in ")
    assert only(stages, "rcpt").finding is Finding.OK


async def test_who_watches_is_told_of_a_second_look(tmp_path: Path) -> None:
    events: list[TraceEvent] = []
    async with implicit()() as port:
        await checked(port, STARTTLS, tmp_path, trace=events.append)
    notes = [event.text for event in events if event.direction == "*"]
    assert "a second look" in notes[-1]
    assert all(event.rule.startswith("RFC ") for event in events)


async def test_a_slow_greeting_is_no_fault(tmp_path: Path) -> None:
    """Some servers let strangers wait, to see who is too impatient to be honest."""
    async with scripted({"greeting": Slow(0.3)}) as port:
        stages = await checked(port, CLEAR, tmp_path, deadlines=replace(HURRY, greeting_s=5))
    assert only(stages, "greeting").finding is Finding.OK
    assert only(stages, "rcpt").finding is Finding.OK


async def test_what_a_server_repeats_of_a_secret_is_struck_out_at_every_stage(
    tmp_path: Path,
) -> None:
    spilt = f"550 5.1.0 we know {SECRET.upper()}, and bWFkZS11cCB3b3JkIDQ3MTE=\r\n".encode()
    events: list[TraceEvent] = []
    async with scripted({"MAIL": Say(spilt)}) as port:
        stages = await checked(port, CLEAR, tmp_path, trace=events.append)
    text = text_of(stages) + "\n".join(event.text for event in events)
    assert "we know ********, and ********" in text
    assert SECRET.lower() not in text.lower()
    assert "bWFkZS11cCB3b3JkIDQ3MTE" not in text


async def test_a_refused_token_is_renewed_as_a_delivery_does(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("old-token")
    refused = [Say(b"535 5.7.8 bad token\r\n"), None]
    capabilities = (*CAPABILITIES, "AUTH XOAUTH2")
    async with ScriptedServer({"AUTH": refused}, capabilities=capabilities) as server:
        section = AccountSettings.model_validate(
            {
                "host": "127.0.0.1",
                "port": server.port,
                "tls": "none",
                "user": USER,
                "oauth2": {"token": {"file": str(token)}},
            }
        )
        account = resolve("work", section, catalogue())
        target = await account.target({})
        token.write_text("new-token")
        stages: list[Stage] = []
        await Checkup(account, target, DryRun(USER), stages.append, deadlines=HURRY).run()
        assert server.heard.connections == 2
    assert {stage.finding for stage in stages} == {Finding.OK}
    assert len({stage.name for stage in stages}) == len(stages)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_no_tls_on_a_far_server_is_never_answered_by_doing_without(elsewhere: bool) -> None:
    trouble = no_tls_there(25, "no STARTTLS", loopback=False, implicit_elsewhere=elsewhere)
    assert "none" not in trouble.advice
    assert "465" in trouble.advice
