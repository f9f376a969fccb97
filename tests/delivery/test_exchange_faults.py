"""What becomes of a message, recipient by recipient, when the server misbehaves.

Each misdeed stands with its outcome.  Deadlines are short, nothing sleeps.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import uvloop

from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Login, Target
from asyncnet.delivery.wire import MAX_UNREAD_OCTETS, Deadlines
from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import ContentError, Octets
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Rset
from asyncnet.smtp.transaction import RecipientReply
from tests.support.certificates import NAME, Certificates, certificates
from tests.support.smtp_server import (
    CAPABILITIES,
    Drip,
    HangUp,
    Later,
    Reset,
    Say,
    Script,
    ScriptedServer,
    Silence,
    Slow,
    StopReading,
)

SECRET = "made-up word"
LOGIN = Login("anna@example.org", SECRET)
ENVELOPE = Envelope("a@example.org", ("b@example.org", "c@example.org"))
LETTER = Octets(b"Subject: hello\r\n\r\n.hello\r\n")
LATE_S = 0.1  # the one deadline that a test lets pass; the others are as in real life
SERIAL = ("SIZE 50000000", "8BITMIME")
LARGE = Octets((b"x" * 76 + b"\r\n") * 300_000)


Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


async def nothing() -> None:
    pass


@pytest.fixture(autouse=True)
def _no_secret_leaves(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert SECRET not in caplog.text


@asynccontextmanager
async def talk_with(
    server: ScriptedServer, late: str | None = None, **how: Any
) -> AsyncIterator[Exchange]:
    """An exchange that is closed in the end; late names the deadline that is short."""
    short: dict[str, float] = {late: LATE_S} if late else {}
    deadlines = replace(Deadlines(rcpt_more_s=0.0), **short)
    target = Target("127.0.0.1", server.port, **{"tls": "none", "ehlo": "me.example.test", **how})
    exchange = await Exchange.connect(target, deadlines=deadlines)
    try:
        yield exchange
    finally:
        await exchange.close()


# --- The opening: no message has been begun, and ExchangeFailed says why -----------------------


@dataclass(frozen=True)
class Refused:
    """A misdeed in the opening and what ExchangeFailed must say: phase, code, cause."""

    script: Script
    phase: Phase
    code: int | None
    cause: str | None
    tls: TlsMode = "none"
    capabilities: tuple[str, ...] = (*CAPABILITIES, "AUTH PLAIN LOGIN")
    shown: Callable[[Certificates], ssl.SSLContext] | None = None  # the certificate
    login: Login | None = LOGIN
    server_name: str | None = NAME
    late: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


G, E, T, A = Phase.GREETING, Phase.EHLO, Phase.TLS, Phase.AUTH
GOOD = Certificates.good
OPENINGS = {
    # the greeting
    "hangs up at once": Refused({"greeting": HangUp()}, G, None, "network"),
    "resets at once": Refused({"greeting": Reset()}, G, None, "network"),
    "says nothing": Refused({"greeting": Silence()}, G, None, "network", late="greeting_s"),
    "drips its greeting": Refused({"greeting": Drip()}, G, None, "network", late="greeting_s"),
    "greets line by line for ever": Refused(
        {"greeting": Drip(b"220-welcome\r\n", 0.0)}, G, None, "protocol"
    ),
    "drips line by line": Refused(
        {"greeting": Drip(b"220-hi\r\n", 0.05)}, G, None, "network", late="greeting_s"
    ),
    "greets with 554": Refused({"greeting": HangUp(b"554 no\r\n")}, G, 554, None),
    "greets with 421": Refused({"greeting": HangUp(b"421 busy\r\n")}, G, 421, None),
    "is a web server": Refused(
        {"greeting": HangUp(b"HTTP/1.1 400 Bad Request\r\n\r\n")}, G, None, "protocol"
    ),
    "speaks TLS at once": Refused(
        {"greeting": Say(b"\x15\x03\x01\x00\x02\x02\n")}, G, None, "protocol"
    ),
    "greets with half a line": Refused({"greeting": HangUp(b"220 mx")}, G, None, "network"),
    "greets without end of line": Refused(
        {"greeting": Say(b"220 " + b"x" * 9000)}, G, None, "protocol"
    ),
    "greets with digits that are none": Refused(
        {"greeting": Say("٢٢٠ hello\r\n".encode())}, G, None, "protocol"
    ),
    "greets twice": Refused({"greeting": Say(b"220 one\r\n220 two\r\n")}, E, 220, "protocol"),
    # EHLO
    "hangs up at EHLO": Refused({"EHLO": HangUp()}, E, None, "network"),
    "says nothing to EHLO": Refused({"EHLO": Silence()}, E, None, "network", late="ehlo_s"),
    "421 to EHLO": Refused({"EHLO": HangUp(b"421 4.3.2 bye\r\n")}, E, 421, None),
    "451 to EHLO": Refused({"EHLO": Say(b"451 4.3.0 later\r\n")}, E, 451, None),
    "changes its code within EHLO": Refused(
        {"EHLO": Say(b"250-mx\r\n220 SIZE\r\n")}, E, None, "protocol"
    ),
    "offers capabilities without end": Refused(
        {"EHLO": Say(b"250-X\r\n" * 300)}, E, None, "protocol"
    ),
    "refuses EHLO and HELO": Refused(
        {"EHLO": Say(b"502 no\r\n"), "HELO": Say(b"550 no\r\n")}, E, 550, None
    ),
    # STARTTLS
    "strips STARTTLS": Refused({}, T, None, "tls", tls="starttls"),
    "refuses STARTTLS": Refused(
        {"STARTTLS": HangUp(b"454 4.7.0 no\r\n")}, T, 454, "tls", tls="starttls", shown=GOOD
    ),
    "injects a reply behind the 220": Refused(
        {"STARTTLS": Say(b"220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n")},
        T,
        None,
        "tls",
        tls="starttls",
        shown=GOOD,
    ),
    "injects half a line behind the 220": Refused(
        {"STARTTLS": Say(b"220 go\r\n250-m")}, T, None, "tls", tls="starttls", shown=GOOD
    ),
    "hangs up in place of the handshake": Refused(
        {"STARTTLS": HangUp(b"220 go\r\n")}, T, None, "tls", tls="starttls", shown=GOOD
    ),
    "stops reading in place of the handshake": Refused(
        {"STARTTLS": StopReading(b"220 go\r\n")},
        T,
        None,
        "tls",
        tls="starttls",
        shown=GOOD,
        late="tls_s",
    ),
    "says nothing to STARTTLS": Refused(
        {"STARTTLS": Silence()}, T, None, "network", tls="starttls", shown=GOOD, late="tls_s"
    ),
    "offers no AUTH any more under TLS": Refused(
        {},
        A,
        None,
        "auth",
        tls="starttls",
        shown=GOOD,
        extra={"capabilities_in_tls": ["SIZE"]},
    ),
    # certificates
    "shows another's certificate": Refused(
        {}, T, None, "tls", tls="starttls", shown=Certificates.wrong_name
    ),
    "shows a certificate of its own": Refused(
        {}, T, None, "tls", tls="starttls", shown=Certificates.self_signed
    ),
    "shows one of an unknown authority": Refused(
        {}, T, None, "tls", tls="starttls", shown=Certificates.unknown_authority
    ),
    "shows an expired one": Refused({}, T, None, "tls", tls="starttls", shown=Certificates.expired),
    "has its name in CN only": Refused(
        {}, T, None, "tls", tls="starttls", shown=Certificates.common_name_only
    ),
    "shows an expired one on the TLS port": Refused(
        {}, T, None, "tls", tls="implicit", shown=Certificates.expired, extra={"implicit": True}
    ),
    "speaks in the clear on the TLS port": Refused({}, T, None, "tls", tls="implicit"),
    # AUTH
    "refuses the login": Refused({"AUTH": Say(b"535 5.7.8 no\r\n")}, A, 535, None),
    "hangs up at AUTH": Refused({"AUTH": HangUp()}, A, None, "network"),
    "says nothing to AUTH": Refused({"AUTH": Silence()}, A, None, "network", late="auth_s"),
    "421 to AUTH": Refused({"AUTH": HangUp(b"421 4.7.0 too many\r\n")}, A, 421, None),
    "repeats our secret": Refused(
        {"AUTH": Say(b"500 AUTH PLAIN AGFubmFAZXhhbXBsZS5vcmcAbWFkZS11cCB3b3Jk made-up word\r\n")},
        A,
        500,
        None,
    ),
    "babbles our secret": Refused({"AUTH": Say(b"made-up word?\r\n")}, A, None, "protocol"),
    "asks on and on": Refused(
        {"AUTH": Say(b"334 \r\n"), "other": Say(b"334 \r\n")}, A, None, "auth"
    ),
    "offers no AUTH": Refused({}, A, None, "auth", capabilities=CAPABILITIES),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_a_server_that(name: str, tmp_path: Path, run: Run) -> None:
    run(fail_to_open(name, certificates().write_authority(tmp_path)))


async def fail_to_open(name: str, ca_file: str) -> None:
    deed = OPENINGS[name]
    context = deed.shown(certificates()) if deed.shown else None
    async with ScriptedServer(
        deed.script, capabilities=deed.capabilities, tls=context, **deed.extra
    ) as server:
        with pytest.raises(ExchangeFailed) as caught:
            async with talk_with(
                server,
                tls=deed.tls,
                login=deed.login,
                ca_file=ca_file,
                server_name=deed.server_name,
                late=deed.late,
            ):
                pytest.fail("the opening came to its end")
        if "stops reading" not in name:  # a deaf server does not notice
            await asyncio.wait_for(server.ended.wait(), 5)  # nothing stays open
    failed = caught.value
    code = failed.reply and failed.reply.code
    assert (failed.phase, code, failed.cause) == (deed.phase, deed.code, deed.cause)
    assert (
        SECRET not in f"{failed} {failed!r} {failed.reply!r} {failed.reply and failed.reply.raw!r}"
    )
    if deed.phase is not A:
        assert not any("AUTH" in line for line in server.heard.lines), "the password was risked"


# --- The transaction: a RecipientReply for each ------------------------------------------------


@dataclass(frozen=True)
class Spoilt:
    """A misdeed in a transaction of two recipients; each one's phase, code, doubt."""

    script: Script
    first: tuple[Phase, int | None, bool]
    second: tuple[Phase, int | None, bool] | None = None  # None: as the first
    usable: bool = False
    serial: bool = False
    content: Octets = LETTER
    rset: bool = True
    contents: int = 0  # that the server got, dot and all
    late: str | None = None


M, R, D, DOT = Phase.MAIL, Phase.RCPT, Phase.DATA, Phase.DOT
OK = b"250 ok\r\n"
TRANSACTIONS = {
    # MAIL
    "hangs up at MAIL": Spoilt({"MAIL": HangUp()}, (M, None, False)),
    "resets at MAIL": Spoilt({"MAIL": Reset()}, (M, None, False)),
    "says nothing to MAIL": Spoilt({"MAIL": Silence()}, (M, None, False), late="mail_s"),
    "421 to MAIL": Spoilt({"MAIL": HangUp(b"421 4.3.2 bye\r\n")}, (M, 421, False)),
    "refuses the sender": Spoilt(
        {"MAIL": Say(b"553 no\r\n"), "RCPT": Say(b"503 no\r\n"), "DATA": Say(b"503 no\r\n")},
        (M, 553, False),
        usable=True,
    ),
    "refuses the sender, one by one": Spoilt(
        {"MAIL": Say(b"553 no\r\n")}, (M, 553, False), usable=True, serial=True
    ),
    "refuses the sender, and yet wants content": Spoilt(
        {"MAIL": Say(b"553 no\r\n"), "DATA": Say(b"354 go\r\n")},
        (M, 553, False),
        usable=True,
        contents=1,
    ),
    "354 to MAIL": Spoilt({"MAIL": Say(b"354 what\r\n")}, (M, 354, False)),
    "garbage to MAIL": Spoilt({"MAIL": Say(b"ok\r\n")}, (M, None, False)),
    # RCPT
    "refuses one": Spoilt(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None]},
        (R, 550, False),
        (DOT, 250, False),
        usable=True,
        contents=1,
    ),
    "refuses all": Spoilt(
        {
            "RCPT": [Say(b"550 5.1.1 no\r\n"), Say(b"450 4.2.0 later\r\n")],
            "DATA": Say(b"554 5.5.1 none\r\n"),
        },
        (R, 550, False),
        (R, 450, False),
        usable=True,
    ),
    "refuses all, and answers RSET with junk": Spoilt(
        {
            "RCPT": Say(b"550 no\r\n"),
            "DATA": Say(b"554 none\r\n"),
            "RSET": Say(b"\xff\xfe\x00junk\r\n"),
        },
        (R, 550, False),
    ),
    "refuses all, and RSET": Spoilt(
        {"RCPT": Say(b"550 no\r\n"), "DATA": Say(b"554 none\r\n"), "RSET": Say(b"502 no\r\n")},
        (R, 550, False),
    ),
    "refuses all, where RSET is not said": Spoilt(
        {"RCPT": Say(b"550 no\r\n"), "DATA": Say(b"554 none\r\n")}, (R, 550, False), rset=False
    ),
    "refuses all, and yet wants content": Spoilt(
        {"RCPT": Say(b"550 no\r\n"), "DATA": Say(b"354 go\r\n")},
        (R, 550, False),
        usable=True,
        contents=1,
    ),
    "421 to the second": Spoilt(
        {"RCPT": [Say(b"550 no\r\n"), HangUp(b"421 bye\r\n")]}, (R, 550, False), (R, 421, False)
    ),
    "hangs up at the second": Spoilt(
        {"RCPT": [Say(b"550 no\r\n"), HangUp()]}, (R, 550, False), (R, None, False)
    ),
    "says nothing to RCPT": Spoilt({"RCPT": Silence()}, (R, None, False), late="rcpt_s"),
    "drips its reply to RCPT": Spoilt(
        {"RCPT": Drip(b"250-\r\n", 0.05)}, (R, None, False), late="rcpt_s"
    ),
    # DATA
    "421 to DATA": Spoilt({"DATA": HangUp(b"421 bye\r\n")}, (D, 421, False)),
    "451 to DATA": Spoilt({"DATA": Say(b"451 4.3.0 later\r\n")}, (D, 451, False), usable=True),
    "250 to DATA": Spoilt({"DATA": Say(OK)}, (D, 250, False)),
    "hangs up at DATA": Spoilt({"DATA": HangUp()}, (D, None, False)),
    "hangs up at DATA, one by one": Spoilt({"DATA": HangUp()}, (D, None, False), serial=True),
    "says nothing to DATA": Spoilt({"DATA": Silence()}, (D, None, False), late="data_s"),
    # content
    "hangs up within the content": Spoilt({"begun": HangUp()}, (D, None, False), content=LARGE),
    "refuses within the content": Spoilt(
        {"begun": [Say(b"552 5.3.4 too large\r\n"), Silence()]}, (D, 552, False), content=LARGE
    ),
    "421 within the content": Spoilt(
        {"begun": [Say(b"421 4.3.2 bye\r\n"), Silence()]}, (D, 421, False), content=LARGE
    ),
    "accepts before the end": Spoilt(
        {"begun": [Say(OK), Silence()]}, (D, None, False), content=LARGE
    ),
    "stops reading within the content": Spoilt(
        {"begun": StopReading()}, (D, None, False), content=LARGE, late="block_s"
    ),
    # the dot
    "hangs up between dot and reply": Spoilt({"content": HangUp()}, (DOT, None, True), contents=1),
    "resets between dot and reply": Spoilt({"content": Reset()}, (DOT, None, True), contents=1),
    "says nothing to the dot": Spoilt(
        {"content": Silence()}, (DOT, None, True), contents=1, late="dot_s"
    ),
    "hangs up within the reply": Spoilt(
        {"content": HangUp(b"250-one\r\n250 qu")}, (DOT, None, True), contents=1
    ),
    "drips its last reply": Spoilt(
        {"content": Drip(b"250-working\r\n", 0.05)}, (DOT, None, True), contents=1, late="dot_s"
    ),
    "garbage to the dot": Spoilt({"content": Say(b"\x00\xff\r\n")}, (DOT, None, True), contents=1),
    "changes its code in the last reply": Spoilt(
        {"content": Say(b"250-yes\r\n550 no\r\n")}, (DOT, None, True), contents=1
    ),
    "refuses the content": Spoilt(
        {"content": Say(b"554 5.7.1 no\r\n")}, (DOT, 554, False), usable=True, contents=1
    ),
    "421 to the dot": Spoilt({"content": HangUp(b"421 bye\r\n")}, (DOT, 421, False), contents=1),
    "354 to the dot": Spoilt({"content": Say(b"354 more\r\n")}, (DOT, None, True), contents=1),
    "hangs up after its last reply": Spoilt({"content": HangUp(OK)}, (DOT, 250, False), contents=1),
    "junk behind its last reply": Spoilt(
        {"content": Say(OK + b"\xff\xfejunk\r\n")}, (DOT, 250, False), contents=1
    ),
    "answers twice": Spoilt(
        {"content": Say(OK + b"550 no, after all\r\n")}, (DOT, 250, False), contents=1
    ),
}


def seen(reply: RecipientReply) -> tuple[Phase, int | None, bool]:
    return reply.phase, reply.reply.code if reply.reply else None, reply.in_doubt


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_server_that_in_a_transaction(name: str, run: Run) -> None:
    run(hand_over(name))


async def hand_over(name: str) -> None:
    deed = TRANSACTIONS[name]
    capabilities = SERIAL if deed.serial else CAPABILITIES
    async with ScriptedServer(deed.script, capabilities=capabilities) as server:
        async with talk_with(server, deed.late, rset=deed.rset) as exchange:
            sent = [0]
            first, second = await exchange.transact(ENVELOPE, deed.content, nothing, sent.append)
            for _ in range(3):  # what came behind the last reply may be a turn late
                await asyncio.sleep(0)
            usable = exchange.usable
    assert (seen(first), seen(second)) == (deed.first, deed.second or deed.first)
    assert all(reply.detail or reply.reply for reply in (first, second))
    if "hangs up after" not in name:  # whether that end is here already nobody can say
        assert usable is deed.usable
    assert len(server.heard.contents) == deed.contents
    if "within the content" in name:
        assert sent[-1] < deed.content.octets, "it was sent to the end all the same"
    if deed.contents and DOT not in (first.phase, second.phase):
        assert server.heard.contents == [b""], "content was sent although nobody was accepted"


async def test_after_every_refusal_the_talk_serves_the_next_message() -> None:
    script: Script = {
        "RCPT": [Say(b"550 no\r\n"), Say(b"550 no\r\n"), None],
        "DATA": [Say(b"554 none\r\n"), None],
    }
    async with ScriptedServer(script) as server, talk_with(server) as exchange:
        refused = await exchange.transact(ENVELOPE, LETTER, nothing)
        assert [seen(it) for it in refused] == [(R, 550, False)] * 2
        accepted = await exchange.transact(ENVELOPE, LETTER, nothing)
    assert [seen(it) for it in accepted] == [(DOT, 250, False)] * 2
    assert "RSET" in server.heard.lines


async def test_junk_after_quit_changes_nothing() -> None:
    async with ScriptedServer({"QUIT": HangUp(b"\xff\xfe\x00junk")}) as server:
        async with talk_with(server) as exchange:
            replies = await exchange.transact(ENVELOPE, LETTER, nothing)
        assert [seen(it) for it in replies] == [(DOT, 250, False)] * 2
        await asyncio.wait_for(server.ended.wait(), 5)
    assert server.heard.verbs()[-1] == "QUIT"


@pytest.mark.parametrize(
    "deed",
    [
        HangUp(b"250 mx\r\n"),
        HangUp(b"250 mx\r\n421 idle for too long\r\n"),
        Say(b"250 mx\r\n250 psst\r\n"),
        Say(b"250 mx\r\n250-ps"),
        Later(b"250 mx\r\n", b"250 psst\r\n"),
        Later(b"250 mx\r\n", b"2"),
    ],
)
async def test_a_talk_that_ends_or_is_disturbed_while_idle_is_not_usable(
    deed: HangUp | Say | Later,
) -> None:
    async with ScriptedServer({"EHLO": deed}) as server, talk_with(server) as exchange:
        async with asyncio.timeout(5):
            while exchange.usable:  # noqa: ASYNC110  # it turns by itself, and tells nobody
                await asyncio.sleep(0)
        first, _ = await exchange.transact(ENVELOPE, LETTER, nothing)
        assert (first.phase, first.in_doubt) == (M, False)
        assert not server.heard.contents


async def test_a_deaf_server_that_cannot_have_got_the_dot_leaves_no_doubt() -> None:
    """The end of the content never left this machine: the kernel did not take it."""
    content = Octets((b"x" * 76 + b"\r\n") * 800)
    script = {"DATA": StopReading(b"354 go\r\n")}
    async with ScriptedServer(script, receive_octets=4096) as server:
        async with talk_with(server, "dot_s") as exchange:
            transport = exchange._dialogue.wire._open_transport()
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            replies = await exchange.transact(ENVELOPE, content, nothing)
    assert [seen(reply) for reply in replies] == [(DOT, None, False)] * 2


async def test_of_a_window_that_a_deaf_server_got_in_part_all_but_the_last_are_in_doubt() -> None:
    """The second is small and may be there; of the third, the end never left this machine."""
    script = {"BDAT": StopReading(b"250 ok\r\n")}
    offer = (*CAPABILITIES, "CHUNKING")
    large = Octets((b"x" * 76 + b"\r\n") * 700)
    async with ScriptedServer(script, capabilities=offer, receive_octets=4096) as server:
        async with talk_with(server, "mail_s", window=4) as exchange:
            transport = exchange._dialogue.wire._open_transport()
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            letters = (LETTER, LETTER, large)
            sending = (exchange.transact(ENVELOPE, letter, nothing) for letter in letters)
            first, second, third = await asyncio.gather(*sending)
    assert [seen(reply) for reply in first] == [(DOT, 250, False)] * 2
    assert [seen(reply) for reply in second] == [(DOT, None, True)] * 2
    assert [seen(reply) for reply in third] == [(DOT, None, False)] * 2


@pytest.mark.parametrize("verb", ["DATA", "BDAT"])
async def test_503_where_everybody_was_refused_is_no_reason_to_go_slow(verb: str) -> None:
    """Exim says so to DATA without recipients; the plan is none the worse for it."""
    offer = (*CAPABILITIES, *(["CHUNKING"] if verb == "BDAT" else []))
    script = {"RCPT": Say(b"550 5.1.1 no\r\n"), verb: Say(b"503 5.5.1 RCPT first\r\n")}
    async with ScriptedServer(script, capabilities=offer) as server:
        async with talk_with(server) as exchange:
            replies = await exchange.transact(ENVELOPE, LETTER, nothing)
            assert [seen(reply) for reply in replies] == [(R, 550, False)] * 2
            assert exchange.tripped is None


async def test_a_look_at_the_wire_leaves_alone_what_is_due() -> None:
    async with ScriptedServer() as server, talk_with(server) as exchange:
        dialogue = exchange._dialogue
        dialogue.say((Rset(), Rset()))
        async with asyncio.timeout(5):
            while not dialogue.wire.pending:  # noqa: ASYNC110
                await asyncio.sleep(0)
        dialogue.listen()
        assert [(await dialogue.answer()).kind for _ in range(2)] == [Rset, Rset]


async def test_a_flood_that_nobody_asked_for_is_cut_off() -> None:
    """No message is under way, nobody reads: what lies here stays bounded."""
    script = {"EHLO": Later(b"250 mx\r\n", b"250 psst\r\n" * 200_000)}
    async with ScriptedServer(script) as server, talk_with(server) as exchange:
        wire = exchange._dialogue.wire
        await asyncio.wait_for(server.ended.wait(), 10)
        assert not wire.alive
        assert MAX_UNREAD_OCTETS < wire._arrived_octets <= MAX_UNREAD_OCTETS + 256 * 1024


@pytest.mark.parametrize("ends", [False, True])
async def test_answers_that_come_while_a_mark_is_made_reach_those_they_are_for(ends: bool) -> None:
    """Of two under way one is answered, and the mark of a third takes its time meanwhile.

    ends: the server hangs up behind its last answer, which counts all the same.
    """
    offer = (*CAPABILITIES, "CHUNKING")
    last = HangUp(b"554 5.7.1 no\r\n") if ends else Say(b"554 5.7.1 no\r\n")
    script: Script = {"RSET": [None, None, Slow(), None], "BDAT": [None] * 4 + [last, None]}
    async with ScriptedServer(script, capabilities=offer) as server:
        async with talk_with(server, window=2) as exchange:
            wire = exchange._dialogue.wire

            async def answered() -> None:
                async with asyncio.timeout(5):
                    while server.heard.verbs().count("BDAT") < 5:  # noqa: ASYNC110
                        await asyncio.sleep(0)
                    while not wire.pending or (ends and wire.alive):  # noqa: ASYNC110
                        await asyncio.sleep(0)

            # One alone, two in one write; then two more, and the sixth behind the first of them.
            marks = (*[nothing] * 5, answered)
            sending = (exchange.transact(ENVELOPE, LETTER, mark) for mark in marks)
            replies = await asyncio.gather(*sending)
    expected = [(DOT, code, False) for code in (250, 250, 250, 250, 554)]
    assert [seen(first) for first, _ in replies[:5]] == expected
    assert seen(replies[5][0]) == ((M, None, False) if ends else (DOT, 250, False))


async def test_the_time_that_a_mark_takes_is_not_the_servers() -> None:
    async def slow() -> None:
        await asyncio.sleep(3 * LATE_S)

    offer = (*CAPABILITIES, "CHUNKING")
    async with ScriptedServer({"MAIL": Slow()}, capabilities=offer) as server:
        async with talk_with(server, "mail_s") as exchange:
            assert (await exchange.transact(ENVELOPE, LETTER, nothing))[0].reply
            sending = (exchange.transact(ENVELOPE, LETTER, mark) for mark in (nothing, slow))
            for reply, _ in await asyncio.gather(*sending):
                assert seen(reply) == (DOT, 250, False)


async def test_closing_in_the_middle_says_nothing_more() -> None:
    async with ScriptedServer({"MAIL": Silence()}, capabilities=SERIAL) as server:
        async with talk_with(server) as exchange:
            sending = asyncio.create_task(exchange.transact(ENVELOPE, LETTER, nothing))
            async with asyncio.timeout(5):
                while "MAIL" not in server.heard.verbs():  # noqa: ASYNC110
                    await asyncio.sleep(0)
            await exchange.close()
            assert [seen(reply) for reply in await sending] == [(M, None, False)] * 2
        await asyncio.wait_for(server.ended.wait(), 5)
    assert "QUIT" not in server.heard.lines


async def test_the_recipients_have_one_deadline_together() -> None:
    """Each reply comes in time; all of them would take ten times as long as is allowed."""
    many = tuple(f"r{number}@example.org" for number in range(50))
    async with ScriptedServer({"RCPT": Slow()}) as server, talk_with(server, "rcpt_s") as exchange:
        replies = await exchange.transact(Envelope("a@example.org", many), LETTER, nothing)
    assert {seen(reply) for reply in replies} == {(R, None, False)}
    assert "no reply to RCPT within 0.1 s" in replies[0].detail
    assert not server.heard.contents


@pytest.mark.parametrize("offer", [(), ("CHUNKING",)], ids=["DATA", "BDAT"])
async def test_a_reply_that_begins_in_time_has_no_other_deadline(offer: tuple[str, ...]) -> None:
    """Else who says a part of it just in time is waited for twice as long."""
    answers = {"MAIL": Silence(), "RCPT": Silence(), "DATA": Silence(), "BDAT": Silence()}
    async with ScriptedServer(answers, capabilities=(*CAPABILITIES, *offer)) as server:
        async with talk_with(server) as exchange:
            wire = exchange._dialogue.wire
            sending = asyncio.create_task(exchange.transact(ENVELOPE, LETTER, nothing))
            async with asyncio.timeout(5):
                while "MAIL" not in server.heard.verbs():  # noqa: ASYNC110
                    await asyncio.sleep(0)
            deadline = wire._deadline
            assert deadline is not None
            for octet in b"25":
                wire.data_received(bytes([octet]))
                for _ in range(5):  # turns of the loop: it is read
                    await asyncio.sleep(0)
                assert not wire.pending
                assert wire._deadline == deadline
            await exchange.close()
            await sending


async def test_the_last_words_before_an_end_within_the_content_are_heard() -> None:
    """The refusal and the reset are both here before we look again."""
    async with ScriptedServer() as server, talk_with(server) as exchange:
        wire = exchange._dialogue.wire

        def refuse_and_break(octets: int) -> None:
            if wire.alive:
                wire.data_received(b"552 5.3.4 too large\r\n")
                wire.connection_lost(ConnectionResetError())

        replies = await exchange.transact(ENVELOPE, LARGE, nothing, refuse_and_break)
    assert [seen(reply) for reply in replies] == [(D, 552, False)] * 2


class Broken:
    """Content that is not what it promised."""

    def __init__(self, octets: int, blocks: list[bytes]) -> None:
        self.octets = octets
        self._blocks = blocks

    def blocks(self) -> Iterator[bytes]:
        yield from self._blocks
        if not self._blocks:
            raise ContentError("the file is gone")


@pytest.mark.parametrize(
    "content",
    [
        Broken(10, []),
        Broken(10, [b"short\r\n"]),
        Broken(1_000_000, [b"x" * 65_664] * 2),
        Broken(300_000, [b"x" * 65_664] * 2),
        Broken(300_000, []),
    ],
)
async def test_broken_content_is_never_ended(content: Broken) -> None:
    async with ScriptedServer() as server, talk_with(server) as exchange:
        with pytest.raises(ContentError):
            await exchange.transact(ENVELOPE, content, nothing)
        # A small one is read before a word is said: the talk has not suffered.
        assert exchange.usable is (content.octets == 10)
        await exchange.close()
        await asyncio.wait_for(server.ended.wait(), 5)
        assert not server.heard.contents
