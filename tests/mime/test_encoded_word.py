"""Encoded words, judged by the standard library's decoder."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mime.encoded_word import MAX_WORD_OCTETS, encoded_words
from asyncnet.mime.errors import UnsafeText
from tests.mime.reading import decoded

ANY = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
LETTERS = st.text(st.sampled_from('abc äé =?_,"你🎉🏽\u200d'), min_size=1, max_size=300)
WORD = re.compile(r"=\?utf-8\?[qb]\?[A-Za-z0-9!*+/=_-]+\?=")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("é", ["=?utf-8?b?w6k=?="]),
        ("Größe aus der Schweiz", ["=?utf-8?q?Gr=C3=B6=C3=9Fe_aus_der_Schweiz?="]),
        ("a_b=c?", ["=?utf-8?b?YV9iPWM/?="]),
        ("你好", ["=?utf-8?b?5L2g5aW9?="]),
        (" ", ["=?utf-8?q?_?="]),
    ],
)
def test_the_shorter_form_is_taken(text: str, words: list[str]) -> None:
    assert encoded_words(text) == words


@given(st.one_of(ANY, LETTERS), st.integers(-100, 75), st.integers(24, 75))
def test_every_word_stands_by_itself(text: str, first_room: int, room: int) -> None:
    words = encoded_words(text, first_room, room)
    assert all(WORD.fullmatch(word) for word in words)
    assert all(len(word) <= room for word in words)
    if first_room >= 24:
        assert len(words[0]) <= first_room
    # Each word alone is whole characters, and together they are the text.
    assert "".join(decoded(word) for word in words) == text
    assert decoded(" ".join(words)) == text


def test_long_texts_fill_their_words() -> None:
    for text in ("a é" * 500, "你好世界" * 500):
        words = encoded_words(text)
        assert all(MAX_WORD_OCTETS - 12 <= len(word) for word in words[:-1])


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UnsafeText, match=r"U\+DC80"):
        encoded_words("\udc80")
