"""An exchange with servers that behave: the real aiosmtpd, and one that tells what it saw."""

import asyncio
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from aiosmtpd.smtp import Envelope as Received

from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Login, Target
from asyncnet.delivery.trace import TraceEvent
from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import BLOCK_OCTETS, Octets
from asyncnet.mail.verdict import Kind, Phase
from asyncnet.smtp.transaction import RecipientReply
from tests.support.certificates import NAME, certificates
from tests.support.smtp_server import CAPABILITIES, Say, ScriptedServer

SECRET = "made-up word é"
LOGIN = Login("anna@example.org", SECRET)
ENVELOPE = Envelope("a@example.org", ("b@example.org", "c@example.org"))
LETTER = Octets(b"Subject: hello\r\n\r\n.hello\r\n..\r\n.\r\n")

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


async def nothing() -> None:
    pass


class Sink:
    """aiosmtpd's handler: keeps what it gets and refuses whom it does not know."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.logins: list[LoginPassword] = []
        self.secured: list[bool] = []

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Received, address: str, options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 nobody of that name"
        if address.startswith("later"):
            return "450 4.2.1 come again"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Received) -> str:
        self.received.append(envelope)
        self.secured.append(session.ssl is not None)
        return "250 2.0.0 queued as 4F2"

    def authenticate(
        self, server: SMTP, session: Any, envelope: Received, mechanism: str, given: Any
    ) -> AuthResult:
        self.logins.append(given)
        good = LoginPassword(LOGIN.user.encode(), SECRET.encode())
        return AuthResult(success=given == good, handled=False)


@asynccontextmanager
async def sink(
    tls: TlsMode = "none", **settings: Any
) -> AsyncIterator[tuple[Sink, int, ssl.SSLContext]]:
    handler = Sink()
    context = certificates().good()
    kept = {"hostname": "sink.example.test", "enable_SMTPUTF8": True, **settings}
    if tls == "starttls":
        kept |= {"tls_context": context, "require_starttls": True}

    sessions: list[SMTP] = []

    def connected() -> SMTP:
        sessions.append(SMTP(handler, **kept))
        return sessions[-1]

    server = await asyncio.get_running_loop().create_server(
        connected, "127.0.0.1", 0, ssl=context if tls == "implicit" else None
    )
    try:
        yield handler, server.sockets[0].getsockname()[1], context
    finally:
        # Not wait_closed(): uvloop counts a connection that STARTTLS took over for ever.
        server.close()
        talks = [it._handler_coroutine for it in sessions if it._handler_coroutine is not None]
        for session in sessions:
            if session.transport is not None:
                cast("asyncio.WriteTransport", session.transport).abort()
        await asyncio.gather(*talks, return_exceptions=True)
        await asyncio.sleep(0)  # the sockets under TLS close one turn later


def codes(replies: tuple[RecipientReply, ...]) -> list[tuple[Phase, int | None]]:
    return [(it.phase, it.reply.code if it.reply else None) for it in replies]


@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_aiosmtpd_gets_the_message_as_it_was(tls: TlsMode, run: Run, tmp_path: Path) -> None:
    ca_file = certificates().write_authority(tmp_path)

    async def scenario() -> None:
        async with sink(tls) as (handler, port, _):
            exchange = await Exchange.connect(
                Target("127.0.0.1", port, tls, ca_file=ca_file, server_name=NAME)
            )
            assert exchange.usable
            assert exchange.server == f"127.0.0.1:{port}"
            assert exchange.tls == (
                None if tls == "none" else {"version": "TLSv1.3", "verified": True}
            )
            first = await exchange.transact(ENVELOPE, LETTER, nothing)
            again = await exchange.transact(ENVELOPE, LETTER, nothing)
            await exchange.close()
            assert not exchange.usable
        assert codes(first) == codes(again) == [(Phase.DOT, 250)] * 2
        assert [it.content for it in handler.received] == [LETTER.data] * 2
        assert handler.received[0].rcpt_tos == list(ENVELOPE.recipients)
        if tls != "implicit":  # of which aiosmtpd's session knows nothing
            assert handler.secured == [tls == "starttls"] * 2

    run(scenario())


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
def test_aiosmtpd_takes_the_login(mechanism: str, tls: TlsMode, run: Run, tmp_path: Path) -> None:
    ca_file = certificates().write_authority(tmp_path)
    events: list[TraceEvent] = []

    async def scenario() -> None:
        handler = Sink()
        settings: dict[str, Any] = {
            "auth_required": tls == "starttls",  # elsewhere aiosmtpd warns
            "auth_require_tls": tls == "starttls",
            "authenticator": handler.authenticate,
        }
        async with sink(tls, **settings) as (receiver, port, _):
            login = Login(LOGIN.user, SECRET, mechanisms=(mechanism,))
            exchange = await Exchange.connect(
                Target("127.0.0.1", port, tls, login, ca_file=ca_file), events.append
            )
            replies = await exchange.transact(ENVELOPE, LETTER, nothing)
            await exchange.close()
        assert codes(replies) == [(Phase.DOT, 250)] * 2
        assert handler.logins == [LoginPassword(LOGIN.user.encode(), SECRET.encode())]
        assert len(receiver.received) == 1

    run(scenario())
    said = [event.text for event in events if event.direction == ">"]
    after_auth = said[next(i for i, text in enumerate(said) if text.startswith("AUTH")) :]
    assert not any("EHLO" in text for text in after_auth), "a second EHLO after AUTH breaks M365"


def test_a_wrong_password_says_so_and_shows_none(run: Run) -> None:
    async def scenario() -> None:
        handler = Sink()
        settings: dict[str, Any] = {
            "auth_require_tls": False,
            "authenticator": handler.authenticate,
        }
        async with sink(**settings) as (_, port, _context):
            with pytest.raises(ExchangeFailed) as caught:
                await Exchange.connect(
                    Target("127.0.0.1", port, "none", Login("anna", "another made-up word"))
                )
        assert (caught.value.phase, caught.value.cause) == (Phase.AUTH, None)
        assert caught.value.reply is not None
        assert caught.value.reply.code == 535
        assert "made-up" not in f"{caught.value!r}"

    run(scenario())


def test_many_recipients_each_with_its_own_verdict(run: Run) -> None:
    names = [("b", "nobody", "later")[number % 3] + str(number) for number in range(90)]
    envelope = Envelope("", tuple(f"{name}@example.org" for name in names))

    async def scenario() -> None:
        async with sink() as (handler, port, _):
            exchange = await Exchange.connect(Target("127.0.0.1", port, "none"))
            replies = await exchange.transact(envelope, LETTER, nothing)
            await exchange.close()
        expected = [(Phase.DOT, 250), (Phase.RCPT, 550), (Phase.RCPT, 450)] * 30
        assert codes(replies) == expected
        assert handler.received[0].mail_from == "<>"  # as aiosmtpd tells the null one
        assert handler.received[0].rcpt_tos == list(envelope.recipients[::3])

    run(scenario())


def test_other_letters_in_an_address(run: Run) -> None:
    envelope = Envelope("дед@example.org", ("внучка@example.org",), smtputf8=True)

    async def scenario() -> None:
        async with sink() as (handler, port, _):
            exchange = await Exchange.connect(Target("127.0.0.1", port, "none"))
            replies = await exchange.transact(envelope, LETTER, nothing)
            await exchange.close()
        assert codes(replies) == [(Phase.DOT, 250)]
        assert handler.received[0].mail_from == envelope.reverse_path
        assert "SMTPUTF8" in handler.received[0].mail_options

    run(scenario())


def test_a_message_over_the_limit_is_not_begun(run: Run) -> None:
    async def scenario() -> None:
        async with sink(data_size_limit=1000) as (handler, port, _):
            exchange = await Exchange.connect(Target("127.0.0.1", port, "none"))
            replies = await exchange.transact(ENVELOPE, Octets(b"x" * 1001), nothing)
            assert exchange.usable
            await exchange.close()
        assert replies == (
            RecipientReply(
                Phase.MAIL,
                None,
                "message of 1001 octets exceeds the server's SIZE limit of 1000 octets",
                kind=Kind.SIZE,
            ),
        ) * len(ENVELOPE.recipients)
        assert not handler.received

    run(scenario())


def test_where_the_server_tells_no_limit_the_provider_s_counts(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer(capabilities=["PIPELINING"]) as server:
            target = Target("127.0.0.1", server.port, "none", usual_octets=1000)
            exchange = await Exchange.connect(target)
            for octets in (1001, 1000):
                replies = await exchange.transact(ENVELOPE, Octets(b"x" * octets), nothing)
                assert {reply.kind for reply in replies} == {Kind.SIZE if octets > 1000 else None}
            await exchange.close()
        assert len(server.heard.contents) == 1

    run(scenario())


class Rows:
    """Large content that lies nowhere: rows are made when they are read."""

    def __init__(self, blocks: int) -> None:
        self._block = ((b"." * 76 + b"\r\n") * (BLOCK_OCTETS // 78 + 1))[:BLOCK_OCTETS]
        self._count = blocks
        self.octets = blocks * BLOCK_OCTETS

    def blocks(self) -> Iterator[bytes]:
        for _ in range(self._count):
            yield bytes(bytearray(self._block))  # a new one each time, as from a file


def test_large_content_streams_and_the_loop_stays_awake(run: Run) -> None:
    content = Rows(60)
    seen: list[int] = []
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scenario() -> None:
        async with ScriptedServer() as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            counter = asyncio.create_task(count_turns())
            replies = await exchange.transact(ENVELOPE, content, nothing, seen.append)
            counter.cancel()
            await exchange.close()
        assert codes(replies) == [(Phase.DOT, 250)] * 2
        assert seen == [BLOCK_OCTETS * (n + 1) for n in range(60)]
        assert turns >= 60, "a block without a turn for the others"
        received = server.heard.contents[0].replace(b"\r\n..", b"\r\n.")[1:]
        assert received.removesuffix(b"\r\n") == b"".join(content.blocks()).removesuffix(b"\r\n")

    run(scenario())


async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that keeps nothing, so that what is measured is the client's."""
    writer.write(b"220 mx\r\n")
    for reply in (b"250-mx\r\n250 PIPELINING\r\n", b"", b"", b"250 ok\r\n250 ok\r\n354 go\r\n"):
        await reader.readline()
        writer.write(reply)
    tail = b""
    while not tail.endswith(b"\r\n.\r\n"):
        tail = tail[-5:] + await reader.read(65536)
    writer.write(b"250 queued\r\n")
    await reader.read()
    writer.close()
    await writer.wait_closed()


def test_memory_stays_flat_however_large_the_content(run: Run) -> None:
    async def scenario() -> None:
        ended = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await swallow(reader, writer)
            ended.set()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        exchange = await Exchange.connect(Target("127.0.0.1", port, "none"))
        tracemalloc.start()
        envelope = Envelope("a@example.org", ("b@example.org",))
        replies = await exchange.transact(envelope, Rows(400), nothing)
        _, peak_octets = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await exchange.close()
        await asyncio.wait_for(ended.wait(), 5)
        server.close()
        assert codes(replies) == [(Phase.DOT, 250)]
        assert peak_octets < 2_000_000  # of 26 MB

    run(scenario())


def test_pipelining_is_one_write_for_the_envelope_and_one_for_the_message(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer() as server:
            target = Target("127.0.0.1", server.port, "none", ehlo="me.example.test")
            exchange = await Exchange.connect(target)
            await exchange.transact(ENVELOPE, LETTER, nothing)
            await exchange.close()
            await asyncio.wait_for(server.ended.wait(), 5)
        assert server.heard.chunks == [
            b"EHLO me.example.test\r\n",
            b"MAIL FROM:<a@example.org> SIZE=33\r\nRCPT TO:<b@example.org>\r\n"
            b"RCPT TO:<c@example.org>\r\nDATA\r\n",
            b"Subject: hello\r\n\r\n..hello\r\n...\r\n..\r\n.\r\n",
            b"QUIT\r\n",
        ]

    run(scenario())


def test_without_pipelining_one_thing_after_the_other(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer(capabilities=["SIZE"]) as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            replies = await exchange.transact(ENVELOPE, LETTER, nothing)
            await exchange.close()
        assert codes(replies) == [(Phase.DOT, 250)] * 2
        assert all(chunk.count(b"\r\n") == 1 for chunk in server.heard.chunks[:5])

    run(scenario())


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("content", [LETTER, Rows(3)])
def test_the_dot_waits_for_before_dot(content: Octets | Rows, pipelining: bool, run: Run) -> None:
    order: list[str] = []

    async def before_dot() -> None:
        for _ in range(200):  # far more turns than the dot would need
            await asyncio.sleep(0)
        order.append("marked")

    async def scenario() -> None:
        capabilities = CAPABILITIES if pipelining else ["SIZE"]
        async with ScriptedServer(capabilities=capabilities) as server:
            exchange = await Exchange.connect(
                Target("127.0.0.1", server.port, "none"), lambda event: order.append(event.text)
            )
            replies = await exchange.transact(ENVELOPE, content, before_dot)
            await exchange.close()
        assert codes(replies) == [(Phase.DOT, 250)] * 2

    run(scenario())
    assert order.index("DATA") < order.index("marked") < order.index(".")


class LeaseLost(Exception):
    pass


@pytest.mark.parametrize("content", [LETTER, Rows(3)])
def test_nothing_is_ended_when_before_dot_raises(content: Octets | Rows, run: Run) -> None:
    async def before_dot() -> None:
        raise LeaseLost

    async def scenario() -> None:
        async with ScriptedServer() as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            with pytest.raises(LeaseLost):
                await exchange.transact(ENVELOPE, content, before_dot)
            assert not exchange.usable
            await asyncio.wait_for(server.ended.wait(), 5)
        assert not server.heard.contents

    run(scenario())


def test_cancelling_cuts_the_connection_and_ends_before_dot(run: Run) -> None:
    async def scenario() -> None:
        begun = asyncio.Event()
        ended = asyncio.Event()

        async def before_dot() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        async with ScriptedServer() as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            handing = asyncio.create_task(exchange.transact(ENVELOPE, LETTER, before_dot))
            await begun.wait()
            handing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handing
            assert ended.is_set()
            assert not exchange.usable
            await asyncio.wait_for(server.ended.wait(), 5)
        assert not server.heard.contents

    run(scenario())


def test_nobody_accepted_means_no_content_and_the_mark_may_be_made(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer(refuse=lambda recipient: b"550 5.1.1 no\r\n") as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            replies = await exchange.transact(ENVELOPE, LETTER, nothing)
            assert exchange.usable
            await exchange.close()
        assert codes(replies) == [(Phase.RCPT, 550)] * 2
        assert not server.heard.contents

    run(scenario())


def test_recipients_over_the_servers_limit_come_back_for_another_transaction(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer(capabilities=(*CAPABILITIES, "LIMITS RCPTMAX=1")) as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            replies = await exchange.transact(ENVELOPE, LETTER, nothing)
            rest = Envelope("a@example.org", ENVELOPE.recipients[1:])
            others = await exchange.transact(rest, LETTER, nothing)
            await exchange.close()
        assert codes(replies) == [(Phase.DOT, 250), (Phase.RCPT, 452)]
        assert codes(others) == [(Phase.DOT, 250)]

    run(scenario())


@pytest.mark.parametrize("path", ["a@example.org\r\nRSET", "a@b> SIZE=0", "дед@example.org"])
def test_an_envelope_that_would_break_its_line_is_never_said(path: str, run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer() as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            [from_it] = await exchange.transact(Envelope(path, ("b@example.org",)), LETTER, nothing)
            bad, good = await exchange.transact(
                Envelope("a@example.org", (path, "b@example.org")), LETTER, nothing
            )
            assert exchange.usable
            await exchange.close()
        assert (from_it.phase, from_it.reply) == (Phase.MAIL, None)
        assert (bad.phase, bad.reply) == (Phase.RCPT, None)
        assert (good.phase, good.reply and good.reply.code) == (Phase.DOT, 250)
        assert "RSET" not in server.heard.lines

    run(scenario())


@pytest.mark.parametrize(
    ("plaintext", "peer_is_loopback", "said"),
    [(False, True, True), (True, False, True), (False, False, False)],
)
def test_a_password_crosses_the_net_in_the_clear_only_where_it_may(
    plaintext: bool, peer_is_loopback: bool, said: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "asyncnet.delivery.wire.Wire.peer_is_loopback", property(lambda wire: peer_is_loopback)
    )

    async def scenario() -> None:
        async with ScriptedServer(capabilities=("AUTH PLAIN",)) as server:
            login = Login(LOGIN.user, SECRET, plaintext=plaintext)
            target = Target("127.0.0.1", server.port, "none", login)
            if said:
                await (await Exchange.connect(target)).close()
            else:
                with pytest.raises(ExchangeFailed) as caught:
                    await Exchange.connect(target)
                assert (caught.value.phase, caught.value.cause) == (Phase.AUTH, "auth")
        assert ("AUTH" in server.heard.verbs()) is said

    run(scenario())


def test_the_trace_tells_all_but_the_secrets(run: Run, tmp_path: Path) -> None:
    events: list[TraceEvent] = []
    ca_file = certificates().write_authority(tmp_path)

    async def scenario() -> None:
        async with ScriptedServer(
            capabilities=(*CAPABILITIES, "AUTH LOGIN"), tls=certificates().good()
        ) as server:
            target = Target("localhost", server.port, "starttls", LOGIN, ca_file=ca_file)
            exchange = await Exchange.connect(target, events.append)
            await exchange.transact(ENVELOPE, LETTER, nothing)
            await exchange.close()

    run(scenario())
    lines = [f"{event.direction} {event.text}" for event in events]
    text = "\n".join(lines)
    assert lines[0].startswith("* localhost is ")
    assert "SYN-ACK back, ACK sent: connected in " in text
    assert "TLSv1.3, TLS_" in text
    assert "the certificate proves localhost" in text
    assert "> EHLO" in text
    assert "< 250-SIZE 50000000" in text
    assert lines.count("> ********") == 2
    assert f"> [{LETTER.octets} octets of content]" in lines
    assert "< 250 2.0.0 queued as 4F2" in lines
    assert lines[-1] == "> QUIT"
    assert all(event.rule.startswith("RFC ") for event in events)
    assert [event.at_s for event in events] == sorted(event.at_s for event in events)
    for secret in (SECRET, "YW5uYUBleGFtcGxlLm9yZw==", "bWFkZS11cCB3b3JkIMOp", "hello"):
        assert secret not in text


def test_reply_texts_are_read_in_the_targets_charset(run: Run) -> None:
    async def scenario() -> None:
        refusal = "550 邮箱不存在\r\n".encode("gb18030")
        async with ScriptedServer({"content": Say(refusal)}) as server:
            target = Target("127.0.0.1", server.port, "none", charset="gb18030")
            exchange = await Exchange.connect(target)
            first, _ = await exchange.transact(ENVELOPE, LETTER, nothing)
            await exchange.close()
        assert first.reply is not None
        assert first.reply.text == "邮箱不存在"

    run(scenario())


@pytest.mark.parametrize(
    ("host", "server_name"), [("127.0.0.1", None), ("127.0.0.1", NAME), ("localhost", None)]
)
def test_the_certificate_is_held_against_the_name_that_is_meant(
    host: str, server_name: str | None, run: Run, tmp_path: Path
) -> None:
    ca_file = certificates().write_authority(tmp_path)

    async def scenario() -> None:
        async with ScriptedServer(tls=certificates().good(), implicit=True) as server:
            target = Target(host, server.port, "implicit", ca_file=ca_file, server_name=server_name)
            exchange = await Exchange.connect(target)
            await exchange.close()
            target = Target(
                host, server.port, "implicit", ca_file=ca_file, server_name="mx.example.org"
            )
            with pytest.raises(ExchangeFailed, match=r"does not prove 'mx\.example\.org'"):
                await Exchange.connect(target)
            unproven = Target(host, server.port, "implicit", server_name=NAME, verify=False)
            exchange = await Exchange.connect(unproven)
            assert exchange.tls == {"version": "TLSv1.3", "verified": False}
            await exchange.close()

    run(scenario())


def test_old_tls_is_not_spoken(run: Run, tmp_path: Path) -> None:
    ca_file = certificates().write_authority(tmp_path)
    context = certificates().good()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    async def scenario() -> None:
        async with ScriptedServer(tls=context, implicit=True) as server:
            target = Target("127.0.0.1", server.port, "implicit", ca_file=ca_file)
            with pytest.raises(ExchangeFailed) as caught:
                await Exchange.connect(target)
        assert (caught.value.phase, caught.value.cause) == (Phase.TLS, "tls")

    run(scenario())


def test_a_missing_ca_file_is_told_and_nothing_stays_open(run: Run, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with ScriptedServer(tls=certificates().good()) as server:
            target = Target(
                "127.0.0.1", server.port, "starttls", ca_file=str(tmp_path / "none.pem")
            )
            with pytest.raises(ExchangeFailed, match=r"none\.pem") as caught:
                await Exchange.connect(target)
            await asyncio.wait_for(server.ended.wait(), 5)
        assert (caught.value.phase, caught.value.cause) == (Phase.TLS, "tls")

    run(scenario())


def test_closing_twice_is_no_fault(run: Run) -> None:
    async def scenario() -> None:
        async with ScriptedServer() as server:
            exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none"))
            await exchange.close()
            await exchange.close()
            await asyncio.wait_for(server.ended.wait(), 5)
        assert server.heard.verbs().count("QUIT") == 1

    run(scenario())


def test_a_login_never_shows_its_password() -> None:
    target = Target("mx.example.test", 465, "implicit", LOGIN)
    assert SECRET not in f"{LOGIN} {LOGIN!r} {target} {target!r}"
