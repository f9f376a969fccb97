"""Our client against Postfix, Exim and OpenSMTPD as Debian ships them.

What they accept must arrive octet for octet behind the trace fields that they add, under the
reverse-path and for the recipients that we said.
"""

import re
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest

from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Login
from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import Octets
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.transaction import RecipientReply
from tests.support.peers.exim import exim
from tests.support.peers.inbox import Arrival
from tests.support.peers.opensmtpd import opensmtpd
from tests.support.peers.peer import REFUSED, Features, Peer
from tests.support.peers.postfix import postfix

Start = Callable[..., AbstractAsyncContextManager[Peer]]
PEERS: dict[str, Start] = {"postfix": postfix, "exim": exim, "opensmtpd": opensmtpd}

SENDER = "a@example.org"
ENVELOPE = Envelope(SENDER, ("b@example.org",))
# Fields that a server may put before a message (RFC 5321 section 4.4).
TRACE = re.compile(rb"(?:(?:Received|Return-Path|Delivered-To):.*\r\n(?:[ \t].*\r\n)*)*")

every_peer = pytest.mark.parametrize("name", PEERS)


def letter(subject: str = "hello", body: bytes = b"hello\r\n") -> Octets:
    """A complete message; a server that misses a field would add it."""
    return Octets(
        b"Date: Sun, 22 Nov 2026 12:00:00 +0000\r\nFrom: a@example.org\r\n"
        b"To: b@example.org\r\nMessage-ID: <%b@example.org>\r\nSubject: %b\r\n\r\n%b"
        % (subject.encode(), subject.encode(), body)
    )


# All that transparency and line ends could spoil.
TRICKY = letter(
    body=b".\r\n..\r\n.hello\r\n\r\n" + b"x" * 998 + b"\r\n \t\r\nFrom here\r\n.\r\n\r\n\r\n"
)


async def nothing() -> None:
    pass


async def send(
    peer: Peer,
    envelope: Envelope = ENVELOPE,
    content: Octets = TRICKY,
    tls: TlsMode = "none",
    *,
    login: bool = False,
) -> tuple[RecipientReply, ...]:
    exchange = await Exchange.connect(peer.target(tls, login=login))
    replies = await exchange.transact(envelope, content, nothing)
    await exchange.close()
    return replies


def codes(replies: tuple[RecipientReply, ...]) -> list[tuple[Phase, int | None]]:
    return [(it.phase, it.reply.code if it.reply is not None else None) for it in replies]


def trace_fields(arrival: Arrival, content: Octets) -> bytes:
    """What stands before our octets; fails where they did not come as they were sent."""
    assert arrival.content.endswith(content.data)
    trace = arrival.content[: -content.octets]
    assert TRACE.fullmatch(trace), trace
    return trace


@every_peer
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
async def test_a_message_arrives_octet_for_octet(name: str, tls: TlsMode) -> None:
    async with PEERS[name]() as peer:
        if tls != "none" and peer.tls_broken:
            with pytest.raises(ExchangeFailed) as caught:
                await send(peer, tls=tls)
            assert (caught.value.phase, caught.value.cause) == (Phase.TLS, "tls")
            assert not peer.inbox.arrivals  # above all: not sent in the clear instead
            return
        assert codes(await send(peer, tls=tls)) == [(Phase.DOT, 250)]
        [arrival] = await peer.inbox.wait_for(1)
        trace = trace_fields(arrival, TRICKY)
        assert (b"with esmtps" in trace.lower()) is (tls != "none")  # RFC 3848
        assert (arrival.reverse_path, arrival.recipients) == (SENDER, ENVELOPE.recipients)


@every_peer
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
async def test_who_logs_in_may_send(name: str, mechanism: str, tls: TlsMode) -> None:
    async with PEERS[name](Features(login_required=True)) as peer:
        target = peer.target(tls, login=True, mechanisms=[mechanism])
        if name == "opensmtpd" and (tls == "none" or peer.tls_broken):
            with pytest.raises(ExchangeFailed) as caught:  # it offers AUTH under TLS only
                await Exchange.connect(target)
            assert caught.value.phase is (Phase.AUTH if tls == "none" else Phase.TLS)
            return
        exchange = await Exchange.connect(target)
        assert codes(await exchange.transact(ENVELOPE, TRICKY, nothing)) == [(Phase.DOT, 250)]
        await exchange.close()
        assert codes(await send(peer)) != [(Phase.DOT, 250)]  # who does not may not
        assert len(await peer.inbox.wait_for(1)) == 1


@every_peer
async def test_a_wrong_password_is_an_answer(name: str) -> None:
    async with PEERS[name]() as peer:
        login = Login(peer.account.user, "another word")
        with pytest.raises(ExchangeFailed) as caught:
            await Exchange.connect(replace(peer.target("starttls"), login=login))
        if peer.tls_broken:
            assert caught.value.phase is Phase.TLS
            return
        assert caught.value.phase is Phase.AUTH
        assert caught.value.reply is not None
        assert caught.value.reply.code == 535


@every_peer
async def test_a_refused_recipient_spoils_nothing_for_the_others(name: str) -> None:
    async with PEERS[name]() as peer:
        replies = await send(peer, Envelope(SENDER, ("b@example.org", REFUSED, "c@example.org")))
        assert codes(replies) == [(Phase.DOT, 250), (Phase.RCPT, 550), (Phase.DOT, 250)]
        await peer.inbox.wait_for(2)
        assert peer.inbox.deliveries == {(SENDER, "b@example.org"): 1, (SENDER, "c@example.org"): 1}


@every_peer
async def test_each_message_of_a_connection_comes_under_its_own_sender(name: str) -> None:
    talks = [(f"a{number}@example.org", f"b{number}@example.org") for number in range(20)]
    async with PEERS[name]() as peer:
        exchange = await Exchange.connect(peer.target())
        for number, (sender, recipient) in enumerate(talks):
            # Every third has nobody whom it can reach.
            to = REFUSED if number % 3 == 2 else recipient
            replies = await exchange.transact(
                Envelope(sender, (to,)), letter(f"m{number}"), nothing
            )
            assert codes(replies) == [(Phase.RCPT, 550) if to == REFUSED else (Phase.DOT, 250)]
        await exchange.close()
        expected = {
            (sender, recipient, f"m{number}")
            for number, (sender, recipient) in enumerate(talks)
            if number % 3 != 2
        }
        arrivals = await peer.inbox.wait_for(len(expected))
        assert Counter(
            (arrival.reverse_path, recipient, subject_of(arrival))
            for arrival in arrivals
            for recipient in arrival.recipients
        ) == dict.fromkeys(expected, 1)


def subject_of(arrival: Arrival) -> str:
    found = re.search(rb"^Subject: (.*)\r$", arrival.content, re.MULTILINE)
    assert found is not None
    return found[1].decode()


@pytest.mark.parametrize("name", ["postfix", "exim"])  # OpenSMTPD offers neither anyhow
@pytest.mark.parametrize("withheld", [{"CHUNKING"}, {"CHUNKING", "PIPELINING"}])
async def test_a_server_that_offers_less_gets_the_same_octets(
    name: str, withheld: set[str]
) -> None:
    async with PEERS[name](Features(withheld=frozenset(withheld))) as peer:
        exchange = await Exchange.connect(peer.target())
        envelope = Envelope(SENDER, ("b@example.org", REFUSED))
        for _ in range(3):
            replies = await exchange.transact(envelope, TRICKY, nothing)
            assert codes(replies) == [(Phase.DOT, 250), (Phase.RCPT, 550)]
        await exchange.close()
        for arrival in await peer.inbox.wait_for(3):
            trace_fields(arrival, TRICKY)


@every_peer
async def test_a_local_part_outside_ascii_goes_where_smtputf8_is_offered(name: str) -> None:
    envelope = Envelope("дед@example.org", ("bébé@example.org",), smtputf8=True)
    async with PEERS[name]() as peer:
        replies = await send(peer, envelope)
        if name == "opensmtpd":
            assert codes(replies) == [(Phase.MAIL, None)]
            assert "SMTPUTF8" in replies[0].detail
            return
        assert codes(replies) == [(Phase.DOT, 250)]
        [arrival] = await peer.inbox.wait_for(1)
        assert (arrival.reverse_path, arrival.recipients) == (
            "дед@example.org",
            envelope.recipients,
        )
        assert "SMTPUTF8" in arrival.parameters


@every_peer
async def test_8_bit_content_stays_8_bit(name: str) -> None:
    content = letter(body="Grüße, 你好\r\n".encode())
    async with PEERS[name]() as peer:
        envelope = Envelope(SENDER, ENVELOPE.recipients, body_8bit=True)
        assert codes(await send(peer, envelope, content)) == [(Phase.DOT, 250)]
        [arrival] = await peer.inbox.wait_for(1)
        trace_fields(arrival, content)


@every_peer
async def test_a_thousand_recipients_in_one_message(name: str) -> None:
    recipients = tuple(f"r{number}@example.org" for number in range(1_000))
    async with PEERS[name](Features(recipients=1_000)) as peer:
        replies = await send(peer, Envelope(SENDER, recipients))
        assert codes(replies) == [(Phase.DOT, 250)] * 1_000
        for arrival in await peer.inbox.wait_for(1_000):
            trace_fields(arrival, TRICKY)
        assert peer.inbox.deliveries == {(SENDER, recipient): 1 for recipient in recipients}


@every_peer
async def test_recipients_over_the_limit_are_not_lost_and_not_accepted(name: str) -> None:
    recipients = tuple(f"r{number}@example.org" for number in range(15))
    async with PEERS[name](Features(recipients=10)) as peer:
        replies = await send(peer, Envelope(SENDER, recipients))
        # RFC 5321 section 4.5.3.1.10 says 452.
        late = 451 if name == "opensmtpd" else 452
        assert codes(replies) == [(Phase.DOT, 250)] * 10 + [(Phase.RCPT, late)] * 5
        await peer.inbox.wait_for(10)
        assert set(peer.inbox.deliveries) == {(SENDER, recipient) for recipient in recipients[:10]}


@every_peer
async def test_25_megabytes_arrive_octet_for_octet(name: str) -> None:
    row = b".ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=========\r\n"
    content = letter(body=row * (25_000_000 // len(row)))
    async with PEERS[name]() as peer:
        assert codes(await send(peer, content=content)) == [(Phase.DOT, 250)]
        [arrival] = await peer.inbox.wait_for(1)
        trace_fields(arrival, content)


@every_peer
async def test_a_message_over_the_servers_size_is_never_begun(name: str) -> None:
    content = letter(body=b"x" * 70 + b"\r\n")
    async with PEERS[name](Features(message_octets=100)) as peer:
        replies = await send(peer, content=content)
        assert codes(replies) == [(Phase.MAIL, None)]
        assert "SIZE" in replies[0].detail


@every_peer
async def test_nothing_is_left_of_a_peer(name: str) -> None:
    async with PEERS[name]() as peer:
        await send(peer)
        assert peer.process.running()
    assert not peer.folder.exists()
    assert peer.process.running() == []
    with pytest.raises(ExchangeFailed):
        await Exchange.connect(peer.target())
