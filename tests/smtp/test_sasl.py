"""Mechanisms for passwords: the steps of a login, and which is tried first."""

import pytest

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.sasl import CramMd5, Login, Plain, password_mechanisms, token_mechanisms


def test_plain_says_all_at_once_or_when_asked() -> None:
    way = Plain("anna", "wörd")
    assert way.initial_response() == b"\0anna\0w\xc3\xb6rd"
    assert way.respond(b"") == way.initial_response()


@pytest.mark.parametrize(("user", "password"), [("an\0na", "word"), ("anna", "wo\0rd")])
def test_plain_has_no_place_for_nul(user: str, password: str) -> None:
    with pytest.raises(SaslError):
        Plain(user, password).initial_response()


@pytest.mark.parametrize("prompt", [b"Username:", b"User Name\0", b"", b"\xff{}"])
def test_login_answers_twice_whatever_is_asked(prompt: bytes) -> None:
    way = Login("anna", "word")
    assert way.initial_response() is None
    assert way.respond(prompt) == b"anna"
    assert not way.revealed
    assert way.respond(prompt) == b"word"
    assert way.revealed
    with pytest.raises(SaslError):
        way.respond(prompt)


def test_cram_md5_digests_as_in_its_rfc() -> None:
    """RFC 2195 section 2."""
    way = CramMd5("tim", "tanstaaftanstaaf")
    assert way.initial_response() is None
    response = way.respond(b"<1896.697170952@postoffice.reston.mci.net>")
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"
    with pytest.raises(SaslError):
        way.respond(b"<1897.697170953@postoffice.reston.mci.net>")


def test_cram_md5_digests_no_empty_challenge() -> None:
    with pytest.raises(SaslError, match="no challenge"):
        CramMd5("tim", "tanstaaftanstaaf").respond(b"")


ALL = ["SCRAM-SHA-256", "PLAIN", "LOGIN"]


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ALL),
        (["login"], ["LOGIN"]),
        (["LOGIN", "PLAIN"], ["PLAIN", "LOGIN"]),
        (["CRAM-MD5"], ["CRAM-MD5"]),
        (["PLAIN", "CRAM-MD5", "SCRAM-SHA-256"], ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN"]),
        (["XOAUTH2"], []),
        ([], []),
    ],
)
def test_the_best_that_is_allowed_comes_first(allowed: list[str] | None, names: list[str]) -> None:
    ways = password_mechanisms("anna", "word", allowed, nonce="n0nce")
    assert [way.name for way in ways] == names


@pytest.mark.parametrize(
    ("allowed", "names"),
    [(None, ["OAUTHBEARER", "XOAUTH2"]), (["xoauth2"], ["XOAUTH2"]), (["PLAIN"], [])],
)
def test_a_token_is_no_password(allowed: list[str] | None, names: list[str]) -> None:
    ways = token_mechanisms("anna", "t0ken", allowed, host="mx.example.test", port=587)
    assert [way.name for way in ways] == names


def test_a_secret_is_in_no_repr() -> None:
    ways = [
        *password_mechanisms("anna", "word", [*ALL, "CRAM-MD5"], nonce="n0nce"),
        *token_mechanisms("anna", "word", host="mx.example.test", port=587),
    ]
    assert len(ways) == 6
    for way in ways:
        way.initial_response()
        assert "word" not in repr(way)
