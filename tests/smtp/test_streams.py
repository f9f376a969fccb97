"""Streams of replies, good and bad, in every chopping: the same answers, or the same error.

However a server's octets arrive, nothing that the client learns may depend on it.
"""

from collections.abc import Sequence

from hypothesis import example, given, settings
from hypothesis import strategies as st

from asyncnet.smtp.command import (
    Bdat,
    Command,
    Data,
    Dot,
    Ehlo,
    Mail,
    Rcpt,
    Rset,
    StartTls,
)
from asyncnet.smtp.errors import BrokenPeer, IllegalCommand
from asyncnet.smtp.reply import MAX_LINES, ReplyReader, SingleLines
from asyncnet.smtp.session import Session, State

CODES = st.sampled_from(
    [b"250", b"220", b"354", b"550", b"421", b"451", b"503", b"150", b"999", b"25", b"2500",
     "٢٥٠".encode(), "２５０".encode(), b"", b"-50"]
)  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from(
        [b"", b"ok", b"2.1.0 ok", b"5.1.1 no", "邮箱".encode("gb18030"), b"\0\xff\x1b"]
    ),
    st.binary(max_size=30),
    st.just(b"x" * 130),  # more than the quick way takes
)
LINES = st.builds(
    lambda code, mark, text, end: code + mark + text + end,
    CODES,
    st.sampled_from([b" ", b" ", b"-", b"", b"_"]),
    TEXTS,
    st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r", b""]),
)
GOOD = st.sampled_from(
    [b"250 ok\r\n", b"250-one\r\n250 two\r\n", b"354 go\r\n", b"550 5.1.1 no\r\n", b"220 hi\r\n",
     b"250 " + b"long " * 40 + b"\r\n", "250 Grüße\r\n".encode(), b"250 ok\n", b"250\r\n"]
)  # fmt: skip
STREAMS = st.lists(st.one_of(GOOD, GOOD, GOOD, LINES), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 2000), max_size=12)


def chop(octets: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({min(cut, len(octets)) for cut in cuts})
    starts, ends = [0, *places], [*places, len(octets)]
    return [octets[start:end] for start, end in zip(starts, ends, strict=True)]


def read(pieces: Sequence[bytes]) -> list[object]:
    """What the reader makes of them: replies with their octets, and the kind of error."""
    reader, found = ReplyReader("gb18030"), list[object]()
    try:
        for piece in pieces:
            reader.receive_data(piece)
            while (reply := reader.next_reply()) is not None:
                found.append((reply, reply.raw))
    except BrokenPeer as error:
        return [*found, type(error)]
    return [*found, reader.pending]


@given(STREAMS, CUTS)
@example(b"250 " + b"x" * 5000, [3000, 4090])
@example(b"250-x\r\n" * (MAX_LINES + 2), [500, 1000])
def test_a_reader_hears_the_same_in_every_chopping(octets: bytes, cuts: list[int]) -> None:
    whole = read([octets])
    assert read(chop(octets, cuts)) == whole
    assert read([octets[at : at + 1] for at in range(len(octets))]) == whole


@given(STREAMS, CUTS, st.lists(st.sampled_from([250, 354, 550]), min_size=1))
def test_taking_many_replies_at_once_changes_nothing(
    octets: bytes, cuts: list[int], codes: list[int]
) -> None:
    """last_if_all() beside next_reply(): the same replies, of which it gives the last."""
    *expected, end = read([octets])
    pattern = SingleLines(codes)
    reader, taken = ReplyReader("gb18030"), 0
    stopped_by: type[BrokenPeer] | None = None
    try:
        for piece in chop(octets, cuts):
            reader.receive_data(piece)
            while (last := reader.last_if_all(pattern)) is not None:
                told = octets_of(expected[taken : taken + len(codes)])
                assert [raw[:4] for raw in told] == [b"%d " % code for code in codes]
                taken += len(codes)
                assert expected[taken - 1] == (last, last.raw)
            while (reply := reader.next_reply()) is not None:
                assert expected[taken] == (reply, reply.raw)
                taken += 1
    except BrokenPeer as error:
        stopped_by = type(error)
    assert (stopped_by or reader.pending) == end
    assert taken == len(expected)


def octets_of(replies: list[object]) -> list[bytes]:
    return [it[1] for it in replies if isinstance(it, tuple)]


MAIL, RCPT = Mail("a@example.org"), Rcpt("b@example.org")
GROUPS: dict[str, tuple[Command, ...]] = {
    "DATA": (MAIL, RCPT, RCPT, Data()),
    "BDAT": (MAIL, RCPT, Bdat(5)),
    "a window": (MAIL, RCPT, Bdat(5), Rset(), MAIL, RCPT, Bdat(5)),
    "one": (Ehlo("me.example.test"),),
    "TLS": (StartTls(),),
}
OPENING = b"220 hi\r\n250-mx\r\n250 PIPELINING\r\n"


def talk(group: tuple[Command, ...], pieces: Sequence[bytes], *, quick: bool) -> list[object]:
    """What a session makes of a server's words to a group, and how it stands then."""
    session, found = Session(), list[object]()
    for part, say in zip(OPENING.split(b"hi\r\n"), ([Ehlo("me.example.test")], []), strict=True):
        session.receive_data(part + b"hi\r\n" if say else part)
        assert session.next_answer() is not None
        session.send(say)
    session.send(group)
    try:
        for piece in pieces:
            session.receive_data(piece)
            if quick and len(found) == 0 and session.due is type(group[0]):
                last = session.last_if_hoped()
                if last is not None:  # the others are taken, and not told
                    found += [None] * (len(group) - 1) + [(type(group[-1]), last)]
            while session.due is not None and (answer := session.next_answer()) is not None:
                found.append(tuple(answer))
                if session.state is State.OVER:
                    return [*found, session.state]
        if session.due is None and session.pending:
            session.next_answer()
    except BrokenPeer as error:
        return [*found, type(error), session.state]
    return [*found, session.state, session.due]


@given(st.sampled_from(sorted(GROUPS)), STREAMS, CUTS, st.booleans())
@settings(max_examples=300)
def test_a_session_hears_the_same_in_every_chopping(
    name: str, octets: bytes, cuts: list[int], quick: bool
) -> None:
    if name == "TLS":
        quick = False
    group = GROUPS[name]
    whole = talk(group, [octets], quick=False)
    answers = [it for it in whole if isinstance(it, tuple)]
    assert [kind for kind, _ in answers] == [type(command) for command in group][: len(answers)]
    if name == "TLS":
        # A piece that ends behind the 220 is TLS's business from there on.
        return
    heard = talk(group, chop(octets, cuts), quick=quick)
    assert len(heard) == len(whole)
    assert all(it is None or it == told for it, told in zip(heard, whole, strict=True))
    assert talk(group, [octets[at : at + 1] for at in range(len(octets))], quick=quick) == whole


@given(st.binary(min_size=1, max_size=40))
def test_whatever_stands_behind_the_220_ends_the_talk(injected: bytes) -> None:
    assert talk(GROUPS["TLS"], [b"220 go\r\n" + injected], quick=False)[-1] is State.OVER


@given(st.lists(st.sampled_from([MAIL, RCPT, Data(), Dot(), Bdat(5), Rset()]), max_size=8))
def test_nothing_illegal_is_ever_due(commands: list[Command]) -> None:
    """What send() refuses leaves the session as it was."""
    session = Session()
    session.receive_data(b"220 hi\r\n")
    session.next_answer()
    session.send([Ehlo("me.example.test")])
    session.receive_data(b"250-mx\r\n250 PIPELINING\r\n")
    session.next_answer()
    for command in commands:
        before = session.due, session.state
        try:
            session.send([command])
        except IllegalCommand:
            assert (session.due, session.state) == before
