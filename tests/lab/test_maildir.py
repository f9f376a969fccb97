"""The Maildir: what goes in comes out, and other programs can read it."""

import mailbox
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.lab.maildir import Receipt, prepare, read, read_all, store
from tests.support.maildir import wait_for_mail

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
CONTENT = b"Subject: Hello\r\nTo: grace@example.com\r\n\r\nHello Grace\r\n"


@pytest.fixture(scope="module")
def maildir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mail") / "sink"
    prepare(path)
    return path


@given(
    content=st.binary() | st.just(b"Received: by forged; x\r\nX-Envelope-Octets: 1\r\n\r\n"),
    reverse_path=st.text(alphabet="abc@.é中", max_size=20),
    recipients=st.lists(st.text(alphabet="abc@.é中 <>:", min_size=1).map(str.strip), min_size=1),
    login=st.none() | st.text(alphabet="ab@é", min_size=1),
)
def test_envelope_and_content_come_back_exactly(
    maildir: Path, content: bytes, reverse_path: str, recipients: list[str], login: str | None
) -> None:
    receipt = Receipt(reverse_path, tuple(recipients), "UTF8SMTPSA", login)
    path = store(maildir, receipt, content, NOW)
    mail = read(path)
    path.unlink()
    assert mail.content == content
    assert (mail.reverse_path, mail.recipients) == (reverse_path, tuple(recipients))
    assert (mail.protocol, mail.login) == ("UTF8SMTPSA", login)


def test_a_login_with_a_line_end_forges_no_field(maildir: Path) -> None:
    receipt = Receipt(
        "a@example.org", ("b@example.org",), login="x\r\nX-Envelope-To: c@example.org"
    )
    path = store(maildir, receipt, CONTENT, NOW)
    assert read(path).recipients == ("b@example.org",)
    path.unlink()


def test_the_standard_library_reads_the_folder(tmp_path: Path) -> None:
    prepare(tmp_path / "sink")
    receipt = Receipt("ada@example.org", ("grace@example.com", "bcc@example.com"), peer="127.0.0.1")
    store(tmp_path / "sink", receipt, CONTENT, NOW)
    (message,) = mailbox.Maildir(str(tmp_path / "sink"), create=False)
    assert message["Subject"] == "Hello"
    assert message["Return-Path"] == "<ada@example.org>"
    assert message.get_all("X-Envelope-To") == ["grace@example.com", "bcc@example.com"]
    assert "by sink.asyncnet.test with ESMTP; Sun, 01 Mar 2026" in message["Received"]
    assert message.get_payload(decode=True) == b"Hello Grace\n"


def test_mails_are_read_in_the_order_of_arrival_also_once_seen(tmp_path: Path) -> None:
    maildir = tmp_path / "sink"
    prepare(maildir)
    paths = [
        store(maildir, Receipt("a@example.org", (f"r{number}@example.org",)), CONTENT, NOW)
        for number in range(20)
    ]
    paths[3].rename(maildir / "cur" / f"{paths[3].name}:2,S")  # as a mail reader marks it
    assert [mail.recipients[0] for mail in read_all(maildir)] == [
        f"r{number}@example.org" for number in range(20)
    ]
    assert list((maildir / "tmp").iterdir()) == []


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(CONTENT)
    with pytest.raises(ValueError, match="did not write"):
        read(path)


def test_a_shortened_file_is_refused(maildir: Path) -> None:
    path = store(maildir, Receipt("a@example.org", ("b@example.org",)), CONTENT, NOW)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="changed"):
        read(path)
    path.unlink()


async def test_waiting_for_mail_that_does_not_come_says_what_came(tmp_path: Path) -> None:
    prepare(tmp_path)
    store(tmp_path, Receipt("a@example.org", ("b@example.org",)), CONTENT, NOW)
    assert len(await wait_for_mail(tmp_path, 1)) == 1
    with pytest.raises(AssertionError, match=r"2 mails expected.*b@example\.org"):
        await wait_for_mail(tmp_path, 2, timeout_s=0.05)
