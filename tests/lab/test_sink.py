"""The test sink as clients meet it: what it keeps, what it asks for, how it misbehaves."""

import asyncio
import gc
import re
import smtplib
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from asyncnet.config.values import Endpoint
from asyncnet.lab.maildir import StoredMail
from asyncnet.lab.sink import Sink
from tests.lab.conftest import StartSink, Tls
from tests.support.maildir import read_maildir, wait_for_mail

SENDER = "ada@example.org"
CONTENT = b"Subject: Hello\r\n\r\nHello Grace\r\n"
LOGIN = ("ada@example.org", "correct horse")
T = TypeVar("T")


async def talk(sink: Sink, client: Callable[[smtplib.SMTP], T]) -> T:
    """Run a conversation of smtplib's in a thread, on a connection of its own."""

    def run() -> T:
        with smtplib.SMTP("localhost", sink.endpoints[0].port, timeout=10) as smtp:
            return client(smtp)

    return await asyncio.to_thread(run)


async def deliver(sink: Sink, *recipients: str) -> dict[str, tuple[int, bytes]]:
    """Send CONTENT; the refused recipients with code and text."""
    return await talk(sink, lambda smtp: smtp.sendmail(SENDER, recipients, CONTENT))


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CONTENT, id="a plain mail"),
        pytest.param(b".\r\n..\r\n.dot\r\n", id="leading dots"),
        pytest.param(b"Return-Path: <x@y>\r\nReceived: by z\r\n\r\n", id="fields like ours"),
        pytest.param("Subject: 你好\r\n\r\n你好 🎉\r\n".encode(), id="eight bits"),
        pytest.param(b"a\rb\nc\x00d\xff\r\n", id="bare CR, LF, NUL, no UTF-8"),
        pytest.param((b"x" * 998 + b"\r\n") * 300, id="300 longest lines"),
    ],
)
async def test_what_was_sent_is_kept_octet_by_octet(start_sink: StartSink, content: bytes) -> None:
    sink = await start_sink()
    recipients = ["grace@example.com", "bcc@example.com"]
    await talk(sink, lambda smtp: smtp.sendmail(SENDER, recipients, content))
    (mail,) = read_maildir(sink.maildir)
    assert mail.content == content
    assert (mail.reverse_path, mail.recipients) == (SENDER, tuple(recipients))
    assert (mail.protocol, mail.login) == ("ESMTP", None)


async def test_smtputf8_and_the_null_reverse_path_are_kept(start_sink: StartSink) -> None:
    sink = await start_sink()
    options = ["SMTPUTF8", "BODY=8BITMIME"]
    await talk(sink, lambda smtp: smtp.sendmail("", ["用户@example.org"], CONTENT, options))
    (mail,) = read_maildir(sink.maildir)
    assert (mail.reverse_path, mail.recipients) == ("", ("用户@example.org",))
    assert mail.protocol == "UTF8SMTP"


async def test_on_mail_and_wait_for_tell_of_each_mail(start_sink: StartSink) -> None:
    seen: list[StoredMail] = []
    sink = await start_sink(on_mail=seen.append)
    waiting = asyncio.create_task(sink.wait_for(2))
    await deliver(sink, "one@example.org")
    assert not waiting.done()
    await deliver(sink, "two@example.org")
    await asyncio.wait_for(waiting, 5)
    assert [mail.recipients for mail in seen] == [("one@example.org",), ("two@example.org",)]
    assert seen == read_maildir(sink.maildir) == await wait_for_mail(sink.maildir, 2)


async def test_a_mail_of_another_moment_is_waited_for(start_sink: StartSink) -> None:
    sink = await start_sink()
    waiting = asyncio.create_task(wait_for_mail(sink.maildir, 1))
    await deliver(sink, "grace@example.com")
    assert [mail.content for mail in await waiting] == [CONTENT]


# Pipelining, and what is advertised


def keywords(smtp: smtplib.SMTP) -> set[str]:
    smtp.ehlo()
    return {name.upper() for name in smtp.esmtp_features}


async def test_it_advertises_what_it_can_take(start_sink: StartSink, tls: Tls) -> None:
    plain = {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "HELP"}
    assert await talk(await start_sink(), keywords) == plain
    assert await talk(await start_sink(tls=tls.server), keywords) == plain | {"STARTTLS"}
    assert await talk(await start_sink(login=LOGIN), keywords) == plain | {"AUTH"}
    secure = await start_sink(tls=tls.server, login=LOGIN)
    assert await talk(secure, keywords) == plain | {"STARTTLS"}  # AUTH only after it


async def test_withheld_keywords_are_not_advertised(start_sink: StartSink) -> None:
    sink = await start_sink(withhold={"PIPELINING", "SIZE", "8BITMIME", "HELP"})
    assert await talk(sink, keywords) == {"SMTPUTF8"}


async def test_without_ehlo_a_client_goes_on_with_helo(start_sink: StartSink) -> None:
    sink = await start_sink(withhold={"EHLO"})
    await deliver(sink, "grace@example.com")
    (mail,) = read_maildir(sink.maildir)
    assert mail.protocol == "SMTP"


async def test_pipelined_commands_are_answered_in_order(start_sink: StartSink) -> None:
    """RFC 2920: two transactions in three groups, content joined with the next envelope."""
    sink = await start_sink()
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.endpoints[0].port)
    writer.write(
        b"EHLO client.example.org\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<reject-553@example.org>"
        b"\r\nRCPT TO:<b@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
        b"first\r\n..\r\n.\r\nMAIL FROM:<d@example.org>\r\nRCPT TO:<e@example.org>\r\nDATA\r\n"
        b"second\r\n.\r\nMAIL FROM:<f@example.org>\r\nRCPT TO:<reject@example.org>\r\nDATA\r\n"
        b"RSET\r\nNOOP\r\nQUIT\r\n"
    )
    lines = (await asyncio.wait_for(reader.read(), 10)).decode().split("\r\n")
    writer.close()
    await writer.wait_closed()
    codes = [line[:3] for line in lines if line[3:4] == " "]
    first = ["220", "250", "250", "553", "250", "250", "354", "250"]
    assert codes == [*first, *("250 250 354 250".split()), *("250 550 503 250 250 221".split())]
    mails = [(mail.recipients, mail.content) for mail in read_maildir(sink.maildir)]
    assert mails == [
        (("b@example.org", "c@example.org"), b"first\r\n.\r\n"),
        (("e@example.org",), b"second\r\n"),
    ]


@pytest.mark.parametrize("cut", range(1, 200, 7))
async def test_pipelining_survives_any_cut(start_sink: StartSink, cut: int) -> None:
    sink = await start_sink()
    octets = (
        b"EHLO c.example.org\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
        b"x\r\n.\r\nMAIL FROM:<c@example.org>\r\nRCPT TO:<d@example.org>\r\nDATA\r\n"
        b"y\r\n.\r\nQUIT\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.endpoints[0].port)
    writer.write(octets[:cut])
    await reader.readline()  # the greeting: the first part is under way
    writer.write(octets[cut:])
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    assert answer.endswith(b"221 Bye\r\n")
    assert [mail.content for mail in read_maildir(sink.maildir)] == [b"x\r\n", b"y\r\n"]


# TLS and login


async def test_starttls_is_taken(start_sink: StartSink, tls: Tls) -> None:
    sink = await start_sink(tls=tls.server)

    def client(smtp: smtplib.SMTP) -> None:
        smtp.starttls(context=tls.client)
        assert "starttls" not in keywords(smtp)
        smtp.sendmail(SENDER, ["grace@example.com"], CONTENT)

    await talk(sink, client)
    (mail,) = read_maildir(sink.maildir)
    assert (mail.protocol, mail.content) == ("ESMTPS", CONTENT)


async def test_what_was_slipped_in_before_starttls_is_forgotten(
    start_sink: StartSink, tls: Tls
) -> None:
    sink = await start_sink(tls=tls.server)

    def client() -> bytes:
        with socket.create_connection(("127.0.0.1", sink.endpoints[0].port), 10) as plain:
            plain.sendall(b"EHLO c.example.org\r\n")
            while b" HELP\r\n" not in plain.recv(4096):
                pass
            plain.sendall(b"STARTTLS\r\nMAIL FROM:<slipped@example.org>\r\n")
            assert plain.recv(4096).startswith(b"220")
            with tls.client.wrap_socket(plain, server_hostname="localhost") as secure:
                secure.sendall(b"EHLO c.example.org\r\n")
                answer = b""
                while b"250 HELP\r\n" not in answer:
                    answer += secure.recv(4096)
                secure.sendall(b"RCPT TO:<b@example.org>\r\n")
                return secure.recv(4096)

    assert (await asyncio.to_thread(client)).startswith(b"503 Error: need MAIL")


async def test_implicit_tls_and_login_work_together(start_sink: StartSink, tls: Tls) -> None:
    sink = await start_sink(tls=tls.server, implicit_tls=True, login=LOGIN)

    def client() -> None:
        port = sink.endpoints[0].port
        with smtplib.SMTP_SSL("localhost", port, timeout=10, context=tls.client) as smtp:
            assert "starttls" not in keywords(smtp)
            smtp.login(*LOGIN)
            smtp.sendmail(SENDER, ["grace@example.com"], CONTENT)

    await asyncio.to_thread(client)
    (mail,) = read_maildir(sink.maildir)
    assert (mail.protocol, mail.login) == ("ESMTPSA", LOGIN[0])


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False], ids=["at once", "when asked"])
async def test_a_login_is_asked_for_and_believed(
    start_sink: StartSink, tls: Tls, mechanism: str, initial: bool
) -> None:
    sink = await start_sink(tls=tls.server, login=LOGIN)

    def client(smtp: smtplib.SMTP) -> None:
        smtp.ehlo()
        assert smtp.docmd("AUTH", mechanism)[0] == 538  # never without TLS, where there is TLS
        smtp.starttls(context=tls.client)
        smtp.ehlo()
        assert smtp.mail(SENDER)[0] == 530
        smtp.user, smtp.password = LOGIN
        answers = {"PLAIN": smtp.auth_plain, "LOGIN": smtp.auth_login}
        smtp.auth(mechanism, answers[mechanism], initial_response_ok=initial)
        smtp.sendmail(SENDER, ["grace@example.com"], CONTENT)

    await talk(sink, client)
    (mail,) = read_maildir(sink.maildir)
    assert (mail.protocol, mail.login) == ("ESMTPSA", LOGIN[0])


async def test_a_wrong_password_is_refused_and_told_nowhere(
    start_sink: StartSink, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    sink = await start_sink(login=LOGIN)

    def client(smtp: smtplib.SMTP) -> None:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            smtp.login(LOGIN[0], "a wrong guess")
        assert refused.value.smtp_code == 535
        smtp.login(*LOGIN)  # the talk goes on

    await talk(sink, client)
    captured = capsys.readouterr()
    told = caplog.text + captured.out + captured.err
    for secret in ("a wrong guess", LOGIN[1], "Y29ycmVjdCBob3JzZQ=="):
        assert secret not in told


# Limits


async def test_content_over_the_limit_is_refused(start_sink: StartSink) -> None:
    sink = await start_sink(max_message_octets=1000)

    def client(smtp: smtplib.SMTP) -> None:
        smtp.ehlo()
        assert smtp.mail(SENDER, ["SIZE=1001"])[0] == 552
        smtp.mail(SENDER)
        smtp.rcpt("grace@example.com")
        assert smtp.data(b"x" * 900 + b"\r\n" + b"y" * 100 + b"\r\n")[0] == 552
        smtp.sendmail(SENDER, ["grace@example.com"], CONTENT)

    await talk(sink, client)
    assert [mail.content for mail in read_maildir(sink.maildir)] == [CONTENT]


async def test_a_line_over_998_octets_is_refused(start_sink: StartSink) -> None:
    sink = await start_sink()

    def client(smtp: smtplib.SMTP) -> int:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail(SENDER, ["grace@example.com"], b"x" * 1000 + b"\r\n")
        return refused.value.smtp_code

    assert await talk(sink, client) == 500
    assert read_maildir(sink.maildir) == []


async def test_a_pattern_refuses_recipients(start_sink: StartSink) -> None:
    sink = await start_sink(refuse=re.compile(r".*@closed\.example\.com"))
    refused = await deliver(sink, "a@closed.example.com", "a@example.com")
    assert {address: code for address, (code, _) in refused.items()} == {
        "a@closed.example.com": 550
    }
    assert read_maildir(sink.maildir)[0].recipients == ("a@example.com",)


# Misdeeds


async def test_a_refused_recipient_does_not_spoil_the_others(start_sink: StartSink) -> None:
    sink = await start_sink()
    refused = await deliver(
        sink,
        "reject-551@example.org",
        "grace@example.com",
        "defer@example.org",
        "drop-@example.org",
    )
    assert {address: code for address, (code, _) in refused.items()} == {
        "reject-551@example.org": 551,
        "defer@example.org": 451,
        "drop-@example.org": 501,
    }
    assert read_maildir(sink.maildir)[0].recipients == ("grace@example.com",)


async def test_once_is_once_for_each_address(start_sink: StartSink) -> None:
    sink = await start_sink()
    greylisted = ["defer-451-once@example.org", "defer-451-once+b@example.org"]
    for address in greylisted:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            await deliver(sink, address)
    for address in greylisted:
        assert await deliver(sink, address) == {}


@pytest.mark.parametrize("place", ["data", "dot", "after-dot"])
async def test_content_is_refused_where_asked(start_sink: StartSink, place: str) -> None:
    sink = await start_sink()

    def client(smtp: smtplib.SMTP) -> int:
        recipients = ["grace@example.com", f"reject-554-{place}@example.org"]
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail(SENDER, recipients, CONTENT)
        smtp.rset()  # smtplib forgets it after a refused DATA command
        smtp.sendmail(SENDER, ["next@example.com"], CONTENT)  # the talk goes on
        return refused.value.smtp_code

    assert await talk(sink, client) == 554
    assert len(read_maildir(sink.maildir)) == 1 + (place == "after-dot")


@pytest.mark.parametrize(
    ("local", "kept"), [("drop", 0), ("drop-data", 0), ("drop-dot", 0), ("drop-after-dot", 1)]
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "STARTTLS"])
async def test_the_connection_drops_where_asked(
    start_sink: StartSink, tls: Tls, local: str, kept: int, secure: bool
) -> None:
    sink = await start_sink(tls=tls.server)

    def client(smtp: smtplib.SMTP) -> None:
        if secure:
            smtp.starttls(context=tls.client)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.sendmail(SENDER, [f"{local}@example.org"], CONTENT)

    await talk(sink, client)
    assert len(read_maildir(sink.maildir)) == kept


async def test_421_says_goodbye_and_closes(start_sink: StartSink) -> None:
    sink = await start_sink()
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.endpoints[0].port)
    writer.write(b"HELO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<reject-421@example.org>\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    assert answer.endswith(b"421 4.0.0 As the recipient's address asks\r\n")


async def test_delay_answers_later(start_sink: StartSink) -> None:
    sink = await start_sink()
    loop = asyncio.get_running_loop()
    before = loop.time()
    await deliver(sink, "delay-80ms-dot@example.org")
    assert loop.time() - before >= 0.08
    assert sink.stored == 1


async def test_hang_lasts_until_the_sink_stops(start_sink: StartSink) -> None:
    sink = await start_sink()
    reader, writer = await asyncio.open_connection("127.0.0.1", sink.endpoints[0].port)
    writer.write(
        b"HELO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<hang-after-dot@example.org>\r\n"
        b"DATA\r\nx\r\n.\r\n"
    )
    await asyncio.wait_for(sink.wait_for(1), 10)
    answer = asyncio.create_task(reader.read())
    await sink.stop()
    assert (await asyncio.wait_for(answer, 10)).splitlines()[-1].startswith(b"354")
    writer.close()
    await writer.wait_closed()


# Start, stop, and trouble of its own


async def test_a_taken_port_leaves_nothing_open(start_sink: StartSink, tmp_path: Path) -> None:
    first = await start_sink()
    free, taken = Endpoint("127.0.0.1", 0), first.endpoints[0]
    second = Sink([free, taken], tmp_path / "second")
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    assert second.endpoints == ()
    await deliver(first, "grace@example.com")


async def test_a_maildir_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="Not a directory"):
        await Sink([Endpoint("127.0.0.1", 0)], tmp_path / "file" / "sink").start()


async def test_a_mail_that_cannot_be_kept_is_deferred(start_sink: StartSink) -> None:
    sink = await start_sink()
    (sink.maildir / "tmp").rmdir()

    def client(smtp: smtplib.SMTP) -> int:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            smtp.sendmail(SENDER, ["grace@example.com"], CONTENT)
        return refused.value.smtp_code

    assert await talk(sink, client) == 452


@pytest.mark.parametrize("mode", ["plain", "STARTTLS"])
def test_it_runs_under_uvloop(tmp_path: Path, tls: Tls, mode: str) -> None:
    uvloop = pytest.importorskip("uvloop", reason="no uvloop on this system")
    secure = mode == "STARTTLS"

    def client(smtp: smtplib.SMTP) -> None:
        if secure:
            smtp.starttls(context=tls.client)
        smtp.login(*LOGIN)
        smtp.sendmail(SENDER, ["grace@example.com"], CONTENT)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            smtp.sendmail(SENDER, ["drop-after-dot@example.org"], CONTENT)

    async def tour() -> None:
        context = tls.server if secure else None
        sink = Sink([Endpoint("127.0.0.1", 0)], tmp_path / "sink", login=LOGIN, tls=context)
        await sink.start()
        await talk(sink, client)
        reader, writer = await asyncio.open_connection("127.0.0.1", sink.endpoints[0].port)
        await reader.readline()
        await sink.stop()  # with a connection open
        writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(tour())
    protocol = "ESMTPSA" if secure else "ESMTPA"
    assert [mail.protocol for mail in read_maildir(tmp_path / "sink")] == [protocol] * 2


async def test_clients_that_leave_rudely_disturb_nobody(start_sink: StartSink, tls: Tls) -> None:
    sink = await start_sink(tls=tls.server)
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    begun = b"EHLO c\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nhalf"

    def clients() -> None:
        for octets in (b"", b"NOOP\r\n" * 500, begun, b"STARTTLS\r\nno handshake\r\n", b"\0\xff\n"):
            with socket.create_connection(("127.0.0.1", sink.endpoints[0].port), 10) as rude:
                # With a linger time of 0, closing resets the connection.
                rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                rude.sendall(octets)

    await asyncio.to_thread(clients)
    await deliver(sink, "grace@example.com")
    gc.collect()  # an exception that nobody fetched is told when its task goes
    assert told == []
    assert [mail.recipients for mail in read_maildir(sink.maildir)] == [("grace@example.com",)]
