"""What an answer to EHLO offers."""

import pytest

from asyncnet.smtp.capability import parse_capabilities
from asyncnet.smtp.reply import Reply


def offered(*lines: str) -> Reply:
    return Reply(250, ("mx.example.test greets SIZE 1", *lines))


def test_keywords_are_read_without_regard_to_case_and_the_greeting_is_none() -> None:
    capabilities = parse_capabilities(offered("pipelining", "Size 100", "8BITMIME", ""))
    assert dict(capabilities.keywords) == {"PIPELINING": "", "SIZE": "100", "8BITMIME": ""}
    assert "PIPELINING" in capabilities
    assert "CHUNKING" not in capabilities


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("SIZE 35882577", 35882577),
        ("SIZE", None),
        ("SIZE 0", None),
        ("SIZE ٣", None),
        ("SIZE -1", None),
        ("SIZE " + "9" * 21, None),
        ("8BITMIME", None),
    ],
)
def test_the_limit_of_size(line: str, limit: int | None) -> None:
    assert parse_capabilities(offered(line)).size_limit_octets == limit


@pytest.mark.parametrize(
    ("lines", "mechanisms"),
    [
        (["AUTH PLAIN LOGIN"], ("PLAIN", "LOGIN")),
        (["AUTH=LOGIN PLAIN"], ("LOGIN", "PLAIN")),
        (["AUTH login", "AUTH=LOGIN PLAIN"], ("LOGIN", "PLAIN")),
        (["AUTH"], ()),
        ([], ()),
    ],
)
def test_mechanisms_also_in_the_old_spelling(lines: list[str], mechanisms: tuple[str, ...]) -> None:
    assert parse_capabilities(offered(*lines)).mechanisms == mechanisms


@pytest.mark.parametrize(
    ("line", "limit"),
    [
        ("LIMITS RCPTMAX=100", 100),
        ("LIMITS MAILMAX=5 rcptmax=20", 20),
        ("LIMITS RCPTMAX=0", None),
        ("LIMITS RCPTMAX=x", None),
        ("LIMITS", None),
    ],
)
def test_the_limit_of_recipients(line: str, limit: int | None) -> None:
    found = parse_capabilities(offered(line))
    assert (found.recipient_limit, found.limits_recipients) == (limit, limit is not None)


def test_the_limit_of_domains() -> None:
    found = parse_capabilities(offered("LIMITS RcptDomainMax=1"))
    assert (found.domain_limit, found.recipient_limit, found.limits_recipients) == (1, None, True)


def test_the_limit_of_messages() -> None:
    assert parse_capabilities(offered("LIMITS RCPTMAX=20 mailmax=5 MAILMAX=7")).message_limit == 5
    assert parse_capabilities(offered("LIMITS MAILMAX=0")).message_limit is None
