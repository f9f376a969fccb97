"""A ready message through the real daemon to the real sink, byte for byte."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

from tests.support.daemon import DaemonProcess, config_text, running
from tests.support.maildir import read_maildir

MAIL = (
    b"Received: from x by y; Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"From: Ada <ada@example.org>\r\n"
    b"To: Bob <bob@example.com>,\r\n\t(carol) carol@example.com\r\n"
    b"Subject: =?utf-8?q?odd?=   spacing\r\n"
    b"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <ready@example.org>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n"
    b".a dot\r\n..two\r\n.\r\nFrom here\r\n" + "Grüße 世界\r\n".encode() + b"\r\n.\r\n"
)


def drop(daemon: DaemonProcess, name: str, octets: bytes) -> None:
    aside = daemon.spool / "pickup" / f".{name}"
    aside.write_bytes(octets)
    aside.rename(daemon.spool / "pickup" / name)


async def test_a_ready_message_arrives_byte_for_byte(tmp_path: Path, make_sink: Any) -> None:
    sink = await make_sink()
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        drop(daemon, "mail.eml", MAIL)
        result = await daemon.result("mail")
    assert result["status"] == "sent"
    assert result["message_id"] == "<ready@example.org>"
    assert result["size_octets"] == len(MAIL)
    (mail,) = read_maildir(sink.maildir)
    assert mail.content == MAIL
    assert mail.reverse_path == "ada@example.org"
    assert set(mail.recipients) == {"bob@example.com", "carol@example.com"}
    assert sorted(os.listdir(daemon.spool / "sent")) == ["mail.eml", "mail.result.json"]
    assert (daemon.spool / "sent" / "mail.eml").read_bytes() == MAIL


async def test_bare_line_ends_smuggle_nothing_and_bcc_stays_secret(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    evil = (
        b"From: ada@example.org\nTo: bob@example.com\rBcc: secret@example.com\nSubject: x\n\n"
        b"text\n.\r\nMAIL FROM:<evil@example.org>\r.\nRCPT TO:<victim@example.com>\r\n.\rDATA\n.\n"
    )
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        drop(daemon, "evil.eml", evil)
        result = await daemon.result("evil")
    (mail,) = read_maildir(sink.maildir)
    assert set(mail.recipients) == {"bob@example.com", "secret@example.com"}
    header, _, body = mail.content.partition(b"\r\n\r\n")
    assert b"secret" not in mail.content
    assert re.findall(rb"^[A-Za-z-]+", header, re.MULTILINE) == [
        b"From",
        b"To",
        b"Subject",
        b"Date",
        b"Message-ID",
    ]
    assert f"Message-ID: {result['message_id']}\r\n".encode() in header + b"\r\n"
    expected = evil.partition(b"\n\n")[2].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert body == expected.replace(b"\n", b"\r\n")


async def test_a_large_message_with_its_envelope_is_streamed(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    lines = b"".join(b".%06d %s\n" % (number, b"x" * 60) for number in range(45_000))
    large = b"From: ada@example.org\nSubject: large\nMessage-ID: <l@x>\nDate: now\n\n" + lines
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        drop(
            daemon, "large.envelope.yaml", b"to: real@example.com\nenvelope_from: ''\nmeta: {a: b}"
        )
        drop(daemon, "large.eml", large)
        result = await daemon.result("large")
        assert sorted(os.listdir(daemon.spool / "sent")) == [
            "large.eml",
            "large.envelope.yaml",
            "large.result.json",
        ]
    assert (result["status"], result["meta"]) == ("sent", {"a": "b"})
    (mail,) = read_maildir(sink.maildir)
    assert (mail.reverse_path, list(mail.recipients)) == ("", ["real@example.com"])
    assert mail.content == large.replace(b"\n", b"\r\n")


async def test_a_refused_message_moved_back_goes_to_the_rest_alone(
    tmp_path: Path, make_sink: Any
) -> None:
    sink = await make_sink()
    async with running(tmp_path, config_text(tmp_path, sink.endpoints[0].port)) as daemon:
        drop(daemon, "two.envelope.yaml", b"to: [good@example.com, reject@example.com]\n")
        drop(daemon, "two.eml", MAIL)
        first = await daemon.result("two")
        assert first["status"] == "partial"
        failed, pickup = daemon.spool / "failed", daemon.spool / "pickup"
        (failed / "two.envelope.yaml").unlink()
        drop(daemon, "two.envelope.yaml", b"to: [good@example.com, better@example.com]\n")
        for name in ("two.result.json", "two.eml"):
            (failed / name).rename(pickup / name)
        async with asyncio.timeout(20):
            await sink.wait_for(2)
        second = await daemon.result("two")
    assert second["status"] == "sent", json.dumps(second)
    assert [it["address"] for it in second["recipients"]] == [
        "good@example.com",
        "better@example.com",
    ]
    mails = [list(mail.recipients) for mail in read_maildir(sink.maildir)]
    assert mails == [["good@example.com"], ["better@example.com"]]
