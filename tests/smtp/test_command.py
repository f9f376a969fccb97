"""Commands: what they print, and what never reaches the wire."""

from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.smtp.command import (
    MAX_PATH_COMMAND_OCTETS,
    Auth,
    AuthResponse,
    Bdat,
    Command,
    Data,
    Dot,
    Ehlo,
    Helo,
    Mail,
    Quit,
    Rcpt,
    Rset,
    StartTls,
    bdat_line,
    encode,
    mail_line,
    rcpt_line,
)
from asyncnet.smtp.errors import UnsafeArgument

PASSWORD = "made-up word"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (Ehlo("client.example.test"), b"EHLO client.example.test\r\n"),
        (Helo("[127.0.0.1]"), b"HELO [127.0.0.1]\r\n"),
        (StartTls(), b"STARTTLS\r\n"),
        (Auth("LOGIN"), b"AUTH LOGIN\r\n"),
        (Auth("PLAIN", b"\0a\0b"), b"AUTH PLAIN AGEAYg==\r\n"),
        (Auth("EXTERNAL", b""), b"AUTH EXTERNAL =\r\n"),
        (AuthResponse(b"a"), b"YQ==\r\n"),
        (AuthResponse(b""), b"\r\n"),
        (AuthResponse(None), b"*\r\n"),
        (Mail(""), b"MAIL FROM:<>\r\n"),
        (Mail("a@example.org", ("SIZE=5",)), b"MAIL FROM:<a@example.org> SIZE=5\r\n"),
        (Rcpt('"a>b c"@example.org'), b'RCPT TO:<"a>b c"@example.org>\r\n'),
        (Rcpt("postmaster"), b"RCPT TO:<postmaster>\r\n"),
        (Data(), b"DATA\r\n"),
        (Dot(), b".\r\n"),
        (Rset(), b"RSET\r\n"),
        (Quit(), b"QUIT\r\n"),
    ],
)
def test_a_command_prints_itself(command: Command, line: bytes) -> None:
    assert encode(command) == line


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(Rcpt("a@example.org\r\nRSET"), id="CRLF"),
        pytest.param(Rcpt("a@example.org\n"), id="bare LF at the end"),
        pytest.param(Rcpt("a\r@example.org"), id="bare CR"),
        pytest.param(Rcpt("a\0@example.org"), id="NUL"),
        pytest.param(Rcpt('"a\\\nb"@example.org'), id="LF, quoted"),
        pytest.param(Ehlo("me\r\nQUIT"), id="in our own name"),
        pytest.param(Mail("a@example.org", ("SIZE=1\r\nRSET",)), id="in a parameter"),
        pytest.param(Auth("PLAIN\r\nQUIT"), id="in a mechanism"),
        pytest.param(Mail("a@b> SIZE=0"), id="a parameter smuggled in"),
        pytest.param(Rcpt("a@b>\tX"), id="the same by a tab"),
        pytest.param(Rcpt("<a@b>"), id="brackets of one's own"),
        pytest.param(Rcpt(""), id="nobody"),
        pytest.param(Rcpt('"open@example.org'), id="a quote that stays open"),
        pytest.param(Rcpt("ä@example.org"), id="not ASCII without SMTPUTF8"),
        pytest.param(Rcpt("a" * MAX_PATH_COMMAND_OCTETS), id="a long path"),
        pytest.param(Ehlo("a" * 507), id="a line of 514 octets"),
        pytest.param(AuthResponse(b"a" * 12288), id="a long response"),
    ],
)
def test_what_would_break_a_line_is_refused(command: Command) -> None:
    with pytest.raises(UnsafeArgument):
        encode(command)


def test_the_longest_line_is_the_rfcs() -> None:
    assert len(encode(Ehlo("a" * 505))) == 512


def test_smtputf8_lets_other_letters_through() -> None:
    assert encode(Rcpt("дед@example.org"), utf8=True) == "RCPT TO:<дед@example.org>\r\n".encode()


@pytest.mark.parametrize(
    "command",
    [
        Auth("PLAIN", b"\0anna\0" + PASSWORD.encode()),
        AuthResponse(PASSWORD.encode()),
    ],
)
def test_a_secret_is_in_the_line_and_nowhere_else(command: Command) -> None:
    secrets = {PASSWORD, *command.secrets()}
    assert not any(secret in f"{command} {command!r}" for secret in secrets)
    assert any(secret in command.line() for secret in secrets)


@given(st.text())
def test_no_argument_makes_a_second_line(text: str) -> None:
    for command in (Ehlo(text), Mail(text), Rcpt(text), Mail("a@b", (text,)), Auth(text)):
        try:
            line = encode(command, utf8=True)
        except UnsafeArgument:
            continue
        assert line.endswith(b"\r\n")
        assert not set(line[:-2]) & {0, 10, 13}
        assert len(line) <= command.limit_octets


# --- The lines that every message needs, without a command for each -----------------------------

PATHS = st.one_of(
    st.from_regex(r"[a-z.+/=-]{1,70}@[a-z.-]{1,260}", fullmatch=True),
    st.text(max_size=12),
    st.text('ab"\\@<> \r\n\t\0é', max_size=12),
    st.just("a" * MAX_PATH_COMMAND_OCTETS),
)


def made_by(make: Callable[[], bytes]) -> bytes | str:
    try:
        return make()
    except UnsafeArgument as error:
        return str(error)


@given(PATHS, st.booleans())
@example("a@example.org", False)
@example("a@example.org\n", False)
def test_rcpt_is_the_same_by_the_short_way(path: str, utf8: bool) -> None:
    short = made_by(lambda: rcpt_line(path, utf8=utf8))
    assert short == made_by(lambda: encode(Rcpt(path), utf8=utf8))


@given(
    PATHS | st.just(""),
    st.sampled_from(["", "SIZE=5", "SIZE=5 SMTPUTF8", "X=é", "X\r\nRSET", "X" * 995, "X" * 1010]),
    st.booleans(),
)
def test_mail_is_the_same_by_the_short_way(path: str, parameters: str, utf8: bool) -> None:
    short = made_by(lambda: mail_line(path, parameters, utf8=utf8))
    words = (parameters,) if parameters else ()
    long = made_by(lambda: encode(Mail(path, words), utf8=utf8))
    assert short == long or (isinstance(short, str) and isinstance(long, str))


@given(st.integers(0, 10**12))
def test_bdat_is_the_same_by_the_short_way(octets: int) -> None:
    assert bdat_line(octets) == encode(Bdat(octets))
