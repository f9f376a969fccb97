"""The yardstick: its mails arrive, and its structure is what the docstring says."""

import asyncio
from datetime import UTC, datetime

import pytest

from asyncnet.lab.baseline import build, send_with_stdlib
from asyncnet.lab.sink import Sink
from asyncnet.mail.address import Mailbox
from asyncnet.mail.envelope import Envelope, Server, TlsMode
from asyncnet.mail.letter import Calendar, Letter, Octets, Part, whole_text
from asyncnet.mail.verdict import Phase, RecipientStatus, Verdict
from tests.lab.conftest import StartSink, Tls
from tests.support.maildir import read_maildir

LOGIN = ("ada@example.org", "correct horse")
PICTURE = Part(Octets(b"\x89PNG\r\n\x1a\n" + bytes(range(256))), "image/png", "logo.png", "logo")
LETTER = Letter(
    from_=Mailbox("艾达", "ada", "example.org"),
    date=datetime(2026, 3, 1, 12, 0, tzinfo=UTC),
    message_id="<1@example.org>",
    boundary_seed="1",
    sender=Mailbox("", "robot", "example.org"),
    reply_to=(Mailbox("Last, First", "reply", "example.org"),),
    to=(Mailbox("Grace Example", "grace", "example.com"), Mailbox("", "alan", "example.com")),
    cc=(Mailbox("", "edsger", "example.net"),),
    subject="🎉 一个很长的主题 " * 6,
    text="你好\n",
    html='<img src="cid:logo">',
    inline=(PICTURE,),
    attachments=(
        Part(Octets(bytes(range(256)) * 300), "application/pdf", "一份名字很长的报告" * 5 + ".pdf"),
        Part(Octets(b"a,b\r\n1,2\r\n"), "text/csv", "a b.csv"),
        Part(Octets(b"Subject: inner\r\n\r\ninner\r\n"), "message/rfc822", "inner.eml"),
        Part(Octets(b""), "application/octet-stream", "empty"),
    ),
    headers=(("X-Campaign", "spring"),),
)
ENVELOPE = Envelope("ada@example.org", ("grace@example.com", "bcc@example.com"))


async def send(
    sink: Sink,
    letter: Letter = LETTER,
    envelope: Envelope = ENVELOPE,
    tls: TlsMode = "none",
    ca_file: str | None = None,
    login: tuple[str, str] | None = None,
) -> dict[str, Verdict]:
    server = Server("localhost", sink.endpoints[0].port, tls)
    return await asyncio.to_thread(
        send_with_stdlib, letter, envelope, server, login=login, ca_file=ca_file, timeout_s=10.0
    )


async def test_a_letter_arrives_as_the_tree_it_is(start_sink: StartSink) -> None:
    sink = await start_sink()
    verdicts = await send(sink)
    assert {(address, verdict.status) for address, verdict in verdicts.items()} == {
        ("grace@example.com", RecipientStatus.ACCEPTED),
        ("bcc@example.com", RecipientStatus.ACCEPTED),
    }
    (mail,) = read_maildir(sink.maildir)
    assert (mail.reverse_path, mail.recipients) == (ENVELOPE.reverse_path, ENVELOPE.recipients)
    assert mail.content.isascii()
    assert max(map(len, mail.content.split(b"\r\n"))) <= 998
    assert [part.get_content_type() for part in mail.message.walk()] == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "application/pdf",
        "text/csv",
        "application/octet-stream",  # base64 may not wrap a message
        "application/octet-stream",
    ]


async def test_fields_and_files_come_back_as_they_were(start_sink: StartSink) -> None:
    sink = await start_sink()
    await send(sink)
    message = read_maildir(sink.maildir)[0].message
    assert message["Subject"].rstrip() == str(LETTER.subject).rstrip()
    assert [address.display_name for address in message["From"].addresses] == ["艾达"]
    assert [address.display_name for address in message["Reply-To"].addresses] == ["Last, First"]
    assert [address.addr_spec for address in message["To"].addresses] == [
        "grace@example.com",
        "alan@example.com",
    ]
    assert message["Date"].datetime == LETTER.date
    assert (message["Message-ID"], message["X-Campaign"]) == ("<1@example.org>", "spring")
    assert message["Bcc"] is None
    files = [
        (part.get_filename(), part.get_payload(decode=True)) for part in message.iter_attachments()
    ]
    assert files == [(part.name, b"".join(part.content.blocks())) for part in LETTER.attachments]
    (image,) = [part for part in message.walk() if part.get_content_maintype() == "image"]
    assert image["Content-ID"] == "<logo>"
    assert image.get_payload(decode=True) == b"".join(PICTURE.content.blocks())


async def test_a_text_alone_needs_no_alternative(start_sink: StartSink) -> None:
    sink = await start_sink()
    await send(sink, LETTER._replace(html=None, inline=(), attachments=()))
    message = read_maildir(sink.maildir)[0].message
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "text/plain",
    ]


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_it_logs_in_over_verified_tls(start_sink: StartSink, tls: Tls, mode: TlsMode) -> None:
    sink = await start_sink(tls=tls.server, implicit_tls=mode == "implicit", login=LOGIN)
    await send(sink, tls=mode, ca_file=tls.ca_file, login=LOGIN)
    (mail,) = read_maildir(sink.maildir)
    assert (mail.protocol, mail.login) == ("ESMTPSA", LOGIN[0])


@pytest.mark.parametrize("mode", ["starttls", "implicit"])
async def test_an_unknown_authority_ends_it(start_sink: StartSink, tls: Tls, mode: TlsMode) -> None:
    sink = await start_sink(tls=tls.server, implicit_tls=mode == "implicit")
    with pytest.raises(OSError, match="certificate verify failed"):
        await send(sink, tls=mode)
    assert sink.stored == 0


async def test_a_wrong_password_is_an_oserror(start_sink: StartSink) -> None:
    sink = await start_sink(login=LOGIN)
    with pytest.raises(OSError, match="535"):
        await send(sink, login=(LOGIN[0], "a wrong guess"))


async def test_smtputf8_carries_a_local_part_that_is_not_ascii(start_sink: StartSink) -> None:
    sink = await start_sink()
    letter = LETTER._replace(to=(Mailbox("", "用户", "example.com"),), cc=())
    await send(sink, letter, Envelope("ada@example.org", ("用户@example.com",), smtputf8=True))
    (mail,) = read_maildir(sink.maildir)
    assert (mail.protocol, mail.recipients) == ("UTF8SMTP", ("用户@example.com",))
    assert "To: 用户@example.com\r\n".encode() in mail.content


@pytest.mark.parametrize(
    ("recipients", "expected"),
    [
        pytest.param(
            ("reject@example.org", "grace@example.com", "defer@example.org"),
            ("550 rejected rcpt", "250 accepted dot", "451 deferred rcpt"),
            id="one is accepted",
        ),
        pytest.param(
            ("reject@example.org", "defer@example.org"),
            ("550 rejected rcpt", "451 deferred rcpt"),
            id="none is accepted",
        ),
        pytest.param(
            ("grace@example.com", "reject-421@example.org", "alan@example.com"),
            ("421 deferred rcpt", "421 deferred rcpt", "421 deferred rcpt"),
            id="the server leaves half-way",
        ),
        pytest.param(
            ("grace@example.com", "reject-554-dot@example.org"),
            ("554 rejected dot", "554 rejected dot"),
            id="the content is refused",
        ),
    ],
)
async def test_each_recipient_has_a_verdict(
    start_sink: StartSink, recipients: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    sink = await start_sink()
    verdicts = await send(sink, envelope=Envelope("ada@example.org", recipients))
    assert tuple(f"{v.code} {v.status} {v.phase}" for v in verdicts.values()) == expected


async def test_a_refused_sender_is_everybodys_verdict(start_sink: StartSink) -> None:
    sink = await start_sink(login=LOGIN)  # and no login: 530 at MAIL
    verdicts = await send(sink)
    assert {(v.code, v.phase) for v in verdicts.values()} == {(530, Phase.MAIL)}


async def test_an_answer_lost_after_the_last_dot_is_in_doubt(start_sink: StartSink) -> None:
    sink = await start_sink()
    recipient = "drop-after-dot@example.org"
    verdicts = await send(sink, envelope=Envelope("ada@example.org", (recipient,)))
    assert verdicts[recipient].status is RecipientStatus.IN_DOUBT
    assert sink.stored == 1


def test_an_invitation_stands_beside_text_and_html() -> None:
    invitation = Calendar("CANCEL", "BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n")
    tree = build(LETTER._replace(calendar=invitation))
    (part,) = [it for it in tree.walk() if it.get_content_type() == "text/calendar"]
    assert part.get_param("method") == "CANCEL"
    assert part.get_payload(decode=True) == whole_text(invitation.text).encode()
