"""SASLprep against the examples of its RFC, and what it does to what it does not know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.smtp.saslprep import saslprep, saslprep_or_as_is


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013 section 3
        pytest.param("I\u00adX", "IX", id="soft hyphen mapped to nothing"),
        pytest.param("user", "user", id="nothing to do"),
        pytest.param("USER", "USER", id="capitals stay"),
        pytest.param("\u00aa", "a", id="NFKC"),
        pytest.param("\u2168", "IX", id="NFKC, a Roman numeral"),
        pytest.param("\u0007", None, id="a control character"),
        pytest.param("\u0627\u0031", None, id="right-to-left that does not end so"),
        # and its rules
        pytest.param("a\u00a0b", "a b", id="a hard space is a space"),
        pytest.param("e\u0301", "é", id="an accent of its own"),
        pytest.param("\u0627\u0628", "\u0627\u0628", id="right-to-left throughout"),
        pytest.param("\u0627a\u0628", None, id="left-to-right in between"),
        pytest.param("\U0001f511", None, id="unknown to Unicode 3.2"),
        pytest.param("\ue000", None, id="private use"),
        pytest.param("", "", id="empty"),
    ],
)
def test_preparing(text: str, prepared: str | None) -> None:
    assert saslprep(text) == prepared
    assert saslprep_or_as_is(text) == (text if prepared is None else prepared)


@given(st.text())
def test_what_is_prepared_stays_as_it_is(text: str) -> None:
    prepared = saslprep(text)
    if prepared is not None:
        assert saslprep(prepared) in (prepared, None)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_printable_ascii_is_itself(text: str) -> None:
    assert saslprep(text) == text
