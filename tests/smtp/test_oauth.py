"""Logging in by token: the messages of the standards, and refusals in two steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.oauth import OAuthBearer, XOAuth2

TOKEN = "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="


def bearer() -> OAuthBearer:
    return OAuthBearer("user@example.com", TOKEN, "server.example.com", 587)


def xoauth2() -> XOAuth2:
    return XOAuth2("someuser@example.com", TOKEN)


def test_oauthbearer_speaks_as_its_rfc() -> None:
    """RFC 7628 section 4.1, with the port of the submission service."""
    assert bearer().initial_response() == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=587\x01"
        b"auth=Bearer " + TOKEN.encode() + b"\x01\x01"
    )


def test_xoauth2_speaks_as_google_wrote_it() -> None:
    assert xoauth2().initial_response() == (
        b"user=someuser@example.com\x01auth=Bearer " + TOKEN.encode() + b"\x01\x01"
    )


def test_a_user_name_with_a_comma_stays_one() -> None:
    way = OAuthBearer("a=b,c", TOKEN, "mx.example.test", 465)
    assert way.initial_response().startswith(b"n,a=a=3Db=2Cc,\x01")


@pytest.mark.parametrize(
    ("challenge", "reason"),
    [
        (b'{"status":"invalid_token","scope":"mail"}', "invalid_token"),
        (b'{"status":"401","schemes":"bearer","scope":"https://mail.example/"}', "401"),
        (b'{"status":400}', "400"),
        (b'{"status":"bad %s"}' % TOKEN.encode(), "bad ********"),
        (b'{"status":"a\\u001bb"}', ""),
        (b'{"status":"' + b"x" * 1000 + b'"}', ""),
        (b'{"status":{}}', ""),
        (b'["status"]', ""),
        (b"[" * 3000, ""),
        (b"\xff", ""),
        (b"no JSON", ""),
    ],
)
def test_a_refusal_is_acknowledged_and_its_status_kept(challenge: bytes, reason: str) -> None:
    for way, dummy in ((bearer(), b"\x01"), (xoauth2(), b"")):
        way.initial_response()
        assert way.respond(challenge) == dummy
        assert way.reason == reason
        with pytest.raises(SaslError, match="another question"):
            way.respond(challenge)


def test_a_long_token_is_sent_when_it_is_asked_for_and_once() -> None:
    way = xoauth2()
    assert way.respond(b"") == way.initial_response()
    assert way.respond(b"") == b""


@pytest.mark.parametrize(("user", "token"), [("a\x01b", TOKEN), ("a", "to\x01ken")])
def test_nothing_breaks_out_of_its_field(user: str, token: str) -> None:
    with pytest.raises(SaslError):
        XOAuth2(user, token).initial_response()


@given(st.lists(st.binary(), max_size=4))
def test_whatever_a_server_says_it_is_an_answer_or_a_sasl_error(challenges: list[bytes]) -> None:
    for way in (bearer(), xoauth2()):
        try:
            for challenge in challenges:
                way.respond(challenge)
        except SaslError:
            continue
