"""Mechanisms: the steps of a login."""

import pytest

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.sasl import Login, Plain, mechanisms


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
    assert [way.respond(prompt), way.respond(prompt)] == [b"anna", b"word"]
    with pytest.raises(SaslError):
        way.respond(prompt)


@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        (None, ["PLAIN", "LOGIN"]),
        (["login"], ["LOGIN"]),
        (["LOGIN", "PLAIN"], ["PLAIN", "LOGIN"]),
        (["XOAUTH2"], []),
        ([], []),
    ],
)
def test_the_best_that_is_allowed_comes_first(allowed: list[str] | None, names: list[str]) -> None:
    assert [way.name for way in mechanisms("anna", "word", allowed)] == names


def test_a_password_is_in_no_repr() -> None:
    assert "word" not in repr(mechanisms("anna", "word"))
