"""Several messages over one talk: what shares a write, in which order, and who is told what.

The server keeps all that came in; each plan is driven with as many messages at a time as the
talk asks for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop

from asyncnet.delivery.exchange import Exchange, Login, Target
from asyncnet.delivery.handover import SMALL_OCTETS
from asyncnet.delivery.pipeline import ASK_FIRST_S
from asyncnet.delivery.window import MAX_REFUSALS
from asyncnet.delivery.wire import Deadlines, Wire
from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.letter import ContentError, Octets
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.transaction import Plan, RecipientReply
from tests.support.certificates import certificates
from tests.support.smtp_server import (
    CAPABILITIES,
    HangUp,
    Reset,
    Say,
    Script,
    ScriptedServer,
    Silence,
)

CHUNKING = (*CAPABILITIES, "CHUNKING")
OFFERS = {
    Plan.SERIAL: ("SIZE 50000000",),
    Plan.JOINED: CAPABILITIES,
    Plan.CHUNKED: CHUNKING,
}
ACCEPTED = [(Phase.DOT, 250, False)]
LATE_S = 0.1


def envelope(number: int, recipient: str = "b@example.com") -> Envelope:
    return Envelope(f"a{number}@example.org", (recipient,))


def letter(number: int) -> Octets:
    return Octets(b"Subject: %d\r\n\r\nhello %d\r\n.dot\r\n" % (number, number))


def stuffed(number: int) -> bytes:
    return letter(number).data.replace(b"\r\n.", b"\r\n..")


@asynccontextmanager
async def talk(
    server: ScriptedServer,
    *,
    window: int = 1,
    plan: Plan = Plan.CHUNKED,
    rset: bool = True,
    deadlines: Deadlines | None = None,
) -> AsyncIterator[Exchange]:
    target = Target("127.0.0.1", server.port, "none", window=window, plan=plan, rset=rset)
    exchange = await Exchange.connect(target, deadlines=deadlines)
    try:
        yield exchange
    finally:
        await exchange.close()


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every write of every wire, in order."""
    written: list[bytes] = []
    write = Wire.write

    def noted(wire: Wire, *pieces: bytes) -> None:
        written.append(b"".join(pieces))
        write(wire, *pieces)

    monkeypatch.setattr(Wire, "write", noted)
    return written


def seen(replies: Sequence[RecipientReply]) -> list[tuple[Phase, int | None, bool]]:
    return [(it.phase, it.reply.code if it.reply else None, it.in_doubt) for it in replies]


async def send(
    exchange: Exchange, number: int, recipient: str = "b@example.com"
) -> list[tuple[Phase, int | None, bool]]:
    return seen(await exchange.transact(envelope(number, recipient), letter(number)))


async def send_all(exchange: Exchange, *numbers: int) -> list[list[tuple[Phase, int | None, bool]]]:
    return list(await asyncio.gather(*(send(exchange, number) for number in numbers)))


def nobody(recipient: str) -> bytes | None:
    return b"550 5.1.1 who?\r\n" if recipient.startswith("nobody") else None


# --- What goes in one write -----------------------------------------------------------------


def verbs(octets: bytes) -> str:
    """The commands of a write, "content" for everything else."""
    words: list[str] = []
    for line in octets.split(b"\r\n")[:-1]:
        word = line.split(b" ")[0].decode()
        if word not in ("EHLO", "AUTH", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "."):
            word = "content"
        if words[-1:] != ["content"] or word != "content":
            words.append(word)
    return " ".join(words)


async def test_a_server_without_pipelining_is_told_one_command_at_a_time(
    writes: list[bytes],
) -> None:
    async with (
        ScriptedServer(capabilities=OFFERS[Plan.SERIAL]) as server,
        talk(server) as exchange,
    ):
        assert exchange.places == 1
        del writes[:]
        assert await send_all(exchange, 1, 2) == [ACCEPTED] * 2
        one = ["MAIL", "RCPT", "DATA", "content ."]
        assert [verbs(it) for it in writes] == one * 2


async def test_the_next_envelope_goes_along_with_the_content(writes: list[bytes]) -> None:
    async with ScriptedServer() as server, talk(server) as exchange:
        del writes[:]
        assert await send_all(exchange, 1, 2, 3) == [ACCEPTED] * 3
        assert [verbs(it) for it in writes] == [
            "MAIL RCPT DATA",
            "content . MAIL RCPT DATA",
            "content . MAIL RCPT DATA",
            "content .",
        ]
    assert server.heard.taken == [(f"a{n}@example.org", stuffed(n)) for n in (1, 2, 3)]


async def test_with_chunking_a_message_is_one_write_and_one_round_trip(
    writes: list[bytes],
) -> None:
    async with ScriptedServer(capabilities=CHUNKING) as server, talk(server) as exchange:
        del writes[:]
        assert await send_all(exchange, 1, 2) == [ACCEPTED] * 2
        assert [verbs(it) for it in writes] == ["MAIL RCPT BDAT content"] * 2
    assert server.heard.taken == [(f"a{n}@example.org", letter(n).data) for n in (1, 2)]


async def test_a_window_opens_by_doubling_and_each_message_begins_afresh(
    writes: list[bytes],
) -> None:
    async with (
        ScriptedServer(capabilities=CHUNKING) as server,
        talk(server, window=4) as exchange,
    ):
        del writes[:]
        assert exchange.places == 9
        assert await send_all(exchange, *range(9)) == [ACCEPTED] * 9
        messages = [verbs(it).count("BDAT") for it in writes]
        assert messages[:2] == [1, 2]
        assert max(messages) == 4
        one = "MAIL RCPT BDAT content"
        assert all(
            verbs(it).removeprefix("RSET ") == " RSET ".join([one] * n)
            for it, n in zip(writes, messages, strict=True)
        )
    assert server.heard.taken == [(f"a{n}@example.org", letter(n).data) for n in range(9)]


LARGE = [Octets(b"Subject: %d\r\n\r\n" % n + b"%04d\r\n" % n * 17_000) for n in range(10)]


@pytest.mark.parametrize("tls", ["none", "implicit"])
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_messages_of_100_kb_share_writes_and_arrive_as_they_are(
    loop: Callable[[], asyncio.AbstractEventLoop],
    tls: TlsMode,
    writes: list[bytes],
    tmp_path: Path,
) -> None:
    pki = certificates()

    async def scenario() -> list[tuple[str, bytes]]:
        context = pki.good() if tls == "implicit" else None
        server = ScriptedServer(capabilities=CHUNKING, tls=context, implicit=context is not None)
        async with server:
            ca_file = pki.write_authority(tmp_path)
            target = Target("127.0.0.1", server.port, tls, ca_file=ca_file, window=8)
            exchange = await Exchange.connect(target)
            del writes[:]
            replies = await asyncio.gather(
                *(exchange.transact(envelope(n), content) for n, content in enumerate(LARGE))
            )
            assert [seen(it) for it in replies] == [ACCEPTED] * len(LARGE)
            await exchange.close()
            return server.heard.taken

    with asyncio.Runner(loop_factory=loop) as runner:
        taken = runner.run(scenario())
    assert taken == [(f"a{n}@example.org", content.data) for n, content in enumerate(LARGE)]
    assert max(verbs(it).count("BDAT") for it in writes) == 2
    assert max(map(len, writes)) <= SMALL_OCTETS + 1000


async def test_a_refusal_closes_the_window_again(writes: list[bytes]) -> None:
    server = ScriptedServer(capabilities=CHUNKING, refuse=nobody)
    async with server, talk(server, window=4) as exchange:
        await send_all(exchange, *range(8))  # the window is open
        del writes[:]
        who = [*["b@example.com"] * 3, "nobody@example.com", *["b@example.com"] * 2]
        replies = await asyncio.gather(*(send(exchange, n, it) for n, it in enumerate(who)))
        assert replies == [*[ACCEPTED] * 3, [(Phase.RCPT, 550, False)], *[ACCEPTED] * 2]
        assert [n for it in writes if (n := verbs(it).count("BDAT"))] == [4, 1, 1]


async def test_a_confused_server_never_gets_a_message_under_anothers_sender() -> None:
    """Seen with Exim: behind a refused BDAT the next MAIL is not heard, without RSET."""
    server = ScriptedServer(capabilities=CHUNKING, refuse=nobody, confused=True)
    async with server, talk(server, window=8) as exchange:
        await send_all(exchange, *range(8))
        who = ["b@example.com", "nobody@example.com", "b@example.com"]
        replies = await asyncio.gather(*(send(exchange, 10 + n, it) for n, it in enumerate(who)))
    assert replies == [ACCEPTED, [(Phase.RCPT, 550, False)], ACCEPTED]
    assert server.heard.taken[-2:] == [
        ("a10@example.org", letter(10).data),
        ("a12@example.org", letter(12).data),
    ]


async def test_no_window_opens_at_a_server_that_refuses_rset(writes: list[bytes]) -> None:
    """Behind a refused message it would be the one protection against another's sender."""
    script: Script = {"RSET": Say(b"502 5.5.1 no RSET here\r\n")}
    async with (
        ScriptedServer(script, capabilities=CHUNKING) as server,
        talk(server, window=4) as exchange,
    ):
        del writes[:]
        assert await send_all(exchange, *range(9)) == [ACCEPTED] * 9
        assert [verbs(it).count("BDAT") for it in writes] == [1] * 9


async def test_a_password_that_the_server_repeats_comes_into_no_reply() -> None:
    password = "made-up-for-this-test"
    script: Script = {"BDAT": Say(f"250 2.0.0 queued, {password} it was\r\n".encode())}
    server = ScriptedServer(script, capabilities=(*CHUNKING, "AUTH PLAIN"))
    async with server:
        login = Login("anna@example.org", password)
        exchange = await Exchange.connect(Target("127.0.0.1", server.port, "none", login))
        (reply,) = await exchange.transact(envelope(1), letter(1))
        await exchange.close()
    assert seen([reply]) == ACCEPTED
    assert reply.reply is not None
    assert reply.reply.text == "queued, ******** it was"
    assert password not in repr(reply) + repr(reply.reply.raw)


async def test_after_many_refusals_the_window_stays_closed(writes: list[bytes]) -> None:
    server = ScriptedServer(capabilities=CHUNKING, refuse=nobody)
    async with server, talk(server, window=4) as exchange:
        for number in range(MAX_REFUSALS):
            assert await send(exchange, number, "nobody@example.com") == [(Phase.RCPT, 550, False)]
        del writes[:]
        await send_all(exchange, *range(5))
        assert [n for it in writes if (n := verbs(it).count("BDAT"))] == [1] * 5


async def test_without_rset_there_is_no_window(writes: list[bytes]) -> None:
    server = ScriptedServer(capabilities=CHUNKING)
    async with server, talk(server, window=8, rset=False) as exchange:
        del writes[:]
        await send_all(exchange, *range(5))
        assert [verbs(it) for it in writes] == ["MAIL RCPT BDAT content"] * 5


async def test_a_large_message_waits_for_the_answer_to_its_envelope(writes: list[bytes]) -> None:
    large = Octets(b"x" * 70 + b"\r\n" + b"y" * SMALL_OCTETS + b"\r\n")
    async with ScriptedServer(capabilities=CHUNKING) as server, talk(server) as exchange:
        del writes[:]
        sending = asyncio.create_task(exchange.transact(envelope(1), large))
        await asyncio.sleep(0)
        assert exchange.places == 1, "nothing should queue up behind a large message"
        assert seen(await sending) == ACCEPTED
        assert verbs(writes[0]) == "MAIL RCPT DATA"
    assert server.heard.contents == [large.data]


async def test_what_is_near_the_servers_limit_waits_for_the_answer_too(
    writes: list[bytes],
) -> None:
    offer = ("PIPELINING", "CHUNKING", f"SIZE {len(letter(1).data)}")
    async with ScriptedServer(capabilities=offer) as server, talk(server) as exchange:
        del writes[:]
        assert await send(exchange, 1) == ACCEPTED
        assert [verbs(it) for it in writes] == ["MAIL RCPT DATA", "content ."]


async def test_after_a_pause_the_envelope_is_answered_first(
    writes: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hangs up on an idle client has not got the message, and we can tell."""
    server = ScriptedServer(
        {"MAIL": [None, HangUp(b"421 4.4.2 idle for too long\r\n")]}, capabilities=CHUNKING
    )
    async with server, talk(server) as exchange:
        assert await send(exchange, 1) == ACCEPTED
        monkeypatch.setattr("asyncnet.delivery.pipeline.ASK_FIRST_S", -1.0)
        assert ASK_FIRST_S > 0
        del writes[:]
        assert await send(exchange, 2) == [(Phase.MAIL, 421, False)]
        assert verbs(writes[0]) == "MAIL RCPT DATA"
    assert len(server.heard.taken) == 1


async def test_a_plan_that_the_pool_forbids_is_not_used(writes: list[bytes]) -> None:
    async with ScriptedServer(capabilities=CHUNKING) as server:
        for plan, first in ((Plan.JOINED, "MAIL RCPT DATA"), (Plan.SERIAL, "MAIL")):
            async with talk(server, plan=plan) as exchange:
                del writes[:]
                assert await send(exchange, 1) == ACCEPTED
                assert verbs(writes[0]) == first


async def test_what_failed_before_goes_alone(writes: list[bytes]) -> None:
    async with ScriptedServer(capabilities=CHUNKING) as server, talk(server) as exchange:
        del writes[:]
        alone = exchange.transact(envelope(2), letter(2), alone=True)
        first, second, third = await asyncio.gather(send(exchange, 1), alone, send(exchange, 3))
        assert [first, seen(second), third] == [ACCEPTED] * 3
        assert [verbs(it) for it in writes] == [
            "MAIL RCPT BDAT content",
            "MAIL RCPT DATA",
            "content .",
            "MAIL RCPT BDAT content",
        ]


@pytest.mark.parametrize(
    ("offer", "groups"),
    [
        # With the handshakes of TCP and TLS 1.3 and the greeting, three round trips more.
        (CHUNKING, ["EHLO", "AUTH", "MAIL RCPT BDAT content"]),
        (CAPABILITIES, ["EHLO", "AUTH", "MAIL RCPT DATA", "content ."]),
    ],
)
async def test_the_first_message_by_tls_and_login_takes_six_round_trips_or_seven(
    offer: Sequence[str], groups: list[str], writes: list[bytes], tmp_path: Path
) -> None:
    pki = certificates()
    server = ScriptedServer(
        capabilities=(*offer, "AUTH PLAIN LOGIN"), tls=pki.good(), implicit=True
    )
    async with server:
        login = Login("anna@example.org", "made-up word")
        ca_file = pki.write_authority(tmp_path)
        target = Target("127.0.0.1", server.port, "implicit", login, ca_file=ca_file)
        exchange = await Exchange.connect(target)
        assert await send(exchange, 1) == ACCEPTED
        assert [verbs(it) for it in writes] == groups
        assert len(server.heard.chunks) == len(groups)
        await exchange.close()


# --- The mark: before the end of the content, and of nobody else ------------------------------


class Marks:
    """Marks that can be held back, and what was on the wire when each was made."""

    def __init__(self, server: ScriptedServer) -> None:
        self.made: list[int] = []
        self.gates: dict[int, asyncio.Event] = {}
        self.errors: dict[int, Exception] = {}
        self._server = server

    def of(self, number: int) -> Callable[[], Awaitable[None]]:
        async def mark() -> None:
            if number in self.gates:
                await self.gates[number].wait()
            if number in self.errors:
                raise self.errors[number]
            received = [content for content in self._server.heard.contents]
            assert letter(number).data not in received
            assert stuffed(number) not in received
            self.made.append(number)

        return mark


@pytest.mark.parametrize("plan", list(Plan))
async def test_no_content_ends_before_its_mark_is_made(plan: Plan) -> None:
    async with ScriptedServer(capabilities=OFFERS[plan]) as server, talk(server) as exchange:
        marks = Marks(server)
        gate = marks.gates[1] = asyncio.Event()
        sending = [
            asyncio.create_task(exchange.transact(envelope(n), letter(n), marks.of(n)))
            for n in range(3)
        ]
        assert seen(await sending[0]) == ACCEPTED
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(server.heard.taken) == 1
        gate.set()
        assert [seen(await it) for it in sending] == [ACCEPTED] * 3
        assert sorted(marks.made) == [0, 1, 2]


@pytest.mark.parametrize("plan", list(Plan))
async def test_a_mark_that_fails_stops_its_own_message_and_no_others_verdict(plan: Plan) -> None:
    async with ScriptedServer(capabilities=OFFERS[plan]) as server, talk(server) as exchange:
        marks = Marks(server)
        marks.errors[1] = OSError("the disk is full")
        results = await asyncio.gather(
            *(exchange.transact(envelope(n), letter(n), marks.of(n)) for n in range(3)),
            return_exceptions=True,
        )
        assert isinstance(results[1], OSError)
        assert not isinstance(results[0], BaseException)
        assert not isinstance(results[2], BaseException)
        assert seen(results[0]) == ACCEPTED
        # With DATA the talk had to be cut; the third was not begun, and nobody doubts it.
        third = ACCEPTED if plan is Plan.CHUNKED else [(Phase.MAIL, None, False)]
        assert seen(results[2]) == third
    assert all(content != letter(1).data for _, content in server.heard.taken)


@pytest.mark.parametrize("plan", list(Plan))
async def test_small_content_that_cannot_be_read_harms_nobody(plan: Plan) -> None:
    class Broken(Octets):
        octets = 10  # and it has more

    async with ScriptedServer(capabilities=OFFERS[plan]) as server, talk(server) as exchange:
        first = asyncio.create_task(send(exchange, 1))
        with pytest.raises(ContentError):
            await exchange.transact(envelope(2), Broken(b"x" * 20))
        assert await first == ACCEPTED
        assert await send(exchange, 3) == ACCEPTED


@pytest.mark.parametrize("plan", list(Plan))
async def test_a_message_that_is_cancelled_before_its_turn_is_left_out(plan: Plan) -> None:
    async with ScriptedServer(capabilities=OFFERS[plan]) as server, talk(server) as exchange:
        marks = Marks(server)
        gate = marks.gates[0] = asyncio.Event()
        first = asyncio.create_task(exchange.transact(envelope(0), letter(0), marks.of(0)))
        others = [asyncio.create_task(send(exchange, number)) for number in (1, 2)]
        await asyncio.sleep(0)
        others[1].cancel()
        gate.set()
        assert seen(await first) == ACCEPTED
        assert await others[0] == ACCEPTED
        assert exchange.usable
    assert [sender for sender, _ in server.heard.taken] == ["a0@example.org", "a1@example.org"]


# --- When the talk breaks: who may have been delivered, and who not -------------------------

LOST, DOUBT = [(Phase.MAIL, None, False)], [(Phase.DOT, None, True)]
OK = b"250 2.0.0 queued as 4F2\r\n"


@pytest.mark.parametrize(
    ("plan", "window", "script", "expected"),
    [
        # DATA: the second's envelope went along, its content did not.
        (Plan.JOINED, 1, {"content": HangUp()}, [DOUBT, LOST, LOST]),
        (Plan.JOINED, 1, {"content": Reset()}, [DOUBT, LOST, LOST]),
        (Plan.JOINED, 1, {"content": [HangUp(OK)]}, [ACCEPTED, LOST, LOST]),
        (Plan.JOINED, 1, {"content": [None, HangUp()]}, [ACCEPTED, DOUBT, LOST]),
        (Plan.JOINED, 1, {"MAIL": [None, HangUp()]}, [ACCEPTED, LOST, LOST]),
        (Plan.JOINED, 1, {"RCPT": [None, HangUp()]}, [
            ACCEPTED, [(Phase.RCPT, None, False)], LOST,
        ]),
        (Plan.JOINED, 1, {"DATA": [None, Silence()]}, [
            ACCEPTED, [(Phase.DATA, None, False)], LOST,
        ]),
        (Plan.JOINED, 1, {"content": [Say(b"554 5.7.1 no\r\n"), None]}, [
            [(Phase.DOT, 554, False)], ACCEPTED, ACCEPTED,
        ]),
        (Plan.JOINED, 1, {"MAIL": [None, HangUp(b"421 4.3.2 bye\r\n")]}, [
            ACCEPTED, [(Phase.MAIL, 421, False)], LOST,
        ]),
        (Plan.JOINED, 1, {"content": HangUp(OK[:9])}, [DOUBT, LOST, LOST]),
        # BDAT: all of a message is there, whatever is answered first.
        (Plan.CHUNKED, 1, {"MAIL": HangUp()}, [DOUBT, LOST, LOST]),
        (Plan.CHUNKED, 1, {"BDAT": Reset()}, [DOUBT, LOST, LOST]),
        (Plan.CHUNKED, 1, {"BDAT": Silence()}, [DOUBT, LOST, LOST]),
        (Plan.CHUNKED, 1, {"MAIL": HangUp(b"421 4.3.2 bye\r\n")}, [
            [(Phase.MAIL, 421, False)], LOST, LOST,
        ]),
        (Plan.CHUNKED, 1, {"RCPT": Say(b"354 go on\r\n")}, [DOUBT, LOST, LOST]),
        (Plan.CHUNKED, 1, {"BDAT": [Say(b"554 5.7.1 no\r\n"), None]}, [
            [(Phase.DOT, 554, False)], ACCEPTED, ACCEPTED,
        ]),
        (Plan.CHUNKED, 1, {"BDAT": [Say(b"452 4.3.1 disk full\r\n"), None]}, [
            [(Phase.DOT, 452, False)], ACCEPTED, ACCEPTED,
        ]),
        (Plan.CHUNKED, 1, {"BDAT": Say(b"\xff\xfejunk\r\n")}, [DOUBT, LOST, LOST]),
        # A window: the first shows that it works, then two, then the rest.
        (Plan.CHUNKED, 4, {"BDAT": [None, None, HangUp()]}, [ACCEPTED, ACCEPTED, DOUBT]),
        (Plan.CHUNKED, 4, {"BDAT": [None, HangUp()]}, [ACCEPTED, DOUBT, DOUBT]),
        (Plan.CHUNKED, 4, {"BDAT": [None, HangUp(b"421 4.3.2 bye\r\n")]}, [
            ACCEPTED, [(Phase.DOT, 421, False)], DOUBT,
        ]),
        (Plan.CHUNKED, 4, {"BDAT": [None, Say(b"554 5.7.1 no\r\n"), None]}, [
            ACCEPTED, [(Phase.DOT, 554, False)], ACCEPTED,
        ]),
        (Plan.CHUNKED, 4, {"MAIL": [None, Say(b"501 5.1.7 whose?\r\n"), None]}, [
            ACCEPTED, [(Phase.MAIL, 501, False)], ACCEPTED,
        ]),
        (Plan.CHUNKED, 4, {"RSET": Say(b"502 5.5.1 no RSET here\r\n")}, [ACCEPTED] * 3),
    ],
)  # fmt: skip
async def test_a_break_is_told_to_everybody_as_it_is(
    plan: Plan, window: int, script: Script, expected: list[object]
) -> None:
    late = Deadlines(data_s=LATE_S, dot_s=LATE_S)
    server = ScriptedServer(script, capabilities=OFFERS[plan])
    async with server, talk(server, window=window, deadlines=late) as exchange:
        assert await send_all(exchange, 0, 1, 2) == expected
        if LOST in expected or DOUBT in expected:
            assert not exchange.usable
    # Nobody whom we call safe, or refused, was delivered; nobody accepted is missing.
    delivered = [int(sender[1 : sender.index("@")]) for sender, _ in server.heard.taken]
    certain = [n for n, it in enumerate(expected) if it == ACCEPTED]
    possible = [n for n, it in enumerate(expected) if it in (ACCEPTED, DOUBT)]
    assert set(certain) <= set(delivered) <= set(possible)


@pytest.mark.parametrize(
    ("plan", "script", "tripped"),
    [
        (Plan.CHUNKED, {"BDAT": Say(b"503 5.5.1 bad sequence\r\n")}, True),
        (Plan.CHUNKED, {"BDAT": Say(b"502 5.5.1 what is BDAT?\r\n")}, True),
        (Plan.CHUNKED, {"RCPT": Say(b"\0\0\r\n")}, True),
        (Plan.CHUNKED, {"RCPT": HangUp()}, True),
        (Plan.CHUNKED, {"BDAT": Say(b"554 5.7.1 spam\r\n")}, False),
        (Plan.CHUNKED, {"BDAT": HangUp(b"421 4.3.2 bye\r\n")}, False),
        (Plan.CHUNKED, {"MAIL": HangUp()}, False),
        (Plan.JOINED, {"RCPT": Say(b"503 5.5.1 bad sequence\r\n")}, True),
        (Plan.JOINED, {"DATA": Silence()}, True),
        (Plan.JOINED, {"content": Silence()}, False),
        (Plan.JOINED, {"RCPT": Say(b"550 5.1.1 who?\r\n")}, False),
        (Plan.SERIAL, {"RCPT": Say(b"503 5.5.1 bad sequence\r\n")}, False),
    ],
)
async def test_a_server_that_cannot_do_what_it_offered_is_noticed(
    plan: Plan, script: Script, tripped: bool
) -> None:
    late = Deadlines(data_s=LATE_S, dot_s=LATE_S)
    server = ScriptedServer(script, capabilities=OFFERS[plan])
    async with server, talk(server, deadlines=late) as exchange:
        await send(exchange, 1)
        assert exchange.tripped is (plan if tripped else None)
