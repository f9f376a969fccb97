"""The lines that are written a shorter way: the same octets as the long way, the same refusals."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.smtp.command import Bdat, Command, Mail, Rcpt, bdat_line, encode, mail_line, rcpt_line
from asyncnet.smtp.errors import UnsafeArgument

# Good beginnings and what an attacker would have follow them.
PATHS = st.lists(
    st.sampled_from(["a@b.example", "a", "@", "b.example", "\r\n", "\n", "\0", "> ", "<", '"', "é"])
    | st.text(max_size=3)
).map("".join)
WORDS = st.lists(st.sampled_from(["SIZE=1", " ", "\r\nRSET", "\n", "\0", "é"])).map("".join)


def long_way(command: Command, *, utf8: bool) -> bytes | None:
    try:
        return encode(command, utf8=utf8)
    except UnsafeArgument:
        return None


@given(path=PATHS, utf8=st.booleans())
@example("a@b.example\r\nRSET", False)
@example("a@b.example> SIZE=0", False)
def test_a_recipient_is_written_alike(path: str, utf8: bool) -> None:
    expected = long_way(Rcpt(path), utf8=utf8)
    if expected is None:
        with pytest.raises(UnsafeArgument):
            rcpt_line(path, utf8=utf8)
    else:
        assert rcpt_line(path, utf8=utf8) == expected


@given(path=PATHS, words=WORDS, utf8=st.booleans())
@example("a@b.example", "SIZE=1\r\nRSET", False)
@example("a@b.example", "SIZE=" + "1" * 2000, False)
def test_a_sender_is_written_alike(path: str, words: str, utf8: bool) -> None:
    expected = long_way(Mail(path, (words,) if words else ()), utf8=utf8)
    if expected is None:
        with pytest.raises(UnsafeArgument):
            mail_line(path, words, utf8=utf8)
    else:
        assert mail_line(path, words, utf8=utf8) == expected


def test_a_chunk_is_written_alike() -> None:
    assert bdat_line(0) == encode(Bdat(0))
    assert bdat_line(35_882_577) == encode(Bdat(35_882_577))
