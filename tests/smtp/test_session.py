"""The session: what may be said when, and which reply answers what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.smtp.command import (
    Auth,
    Bdat,
    Command,
    Data,
    Dot,
    Ehlo,
    Greeting,
    Helo,
    Mail,
    Quit,
    Rcpt,
    Rset,
    StartTls,
)
from asyncnet.smtp.errors import BrokenPeer, IllegalCommand, InjectedOctets, MalformedReply
from asyncnet.smtp.session import TABLE, Answer, Session, State, UnaskedReply

MAIL, RCPT, DATA = Mail("a@example.org"), Rcpt("b@example.org"), Data()
EHLO = Ehlo("client.example.test")


def hear(session: Session, *lines: str) -> list[Answer]:
    session.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    answers = []
    while (answer := session.next_answer()) is not None:
        answers.append(answer)
    return answers


def ready(*keywords: str) -> Session:
    """A session that is introduced."""
    session = Session()
    hear(session, "220 hello")
    session.send([EHLO])
    hear(session, *[f"250-{word}" for word in ("mx", *keywords)], "250 HELP")
    assert session.at_rest
    return session


def test_every_command_stands_in_the_table() -> None:
    def kinds(kind: type[Command]) -> set[type[Command]]:
        return {kind}.union(*(kinds(child) for child in kind.__subclasses__()))

    # slots=True makes each class anew, and the first draft stays a subclass until collected
    assert {kind.__name__ for kind in kinds(Command)} - {"Command"} == {
        kind.__name__ for kind in TABLE
    }


def test_the_first_reply_answers_nothing_we_said() -> None:
    session = Session()
    assert [answer.kind for answer in hear(session, "220 hello")] == [Greeting]
    assert session.state is State.GREETED


def test_a_group_goes_out_at_once_and_each_reply_finds_its_command() -> None:
    session = ready("PIPELINING")
    assert session.send([MAIL, RCPT, DATA]) == (
        b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
    )
    answers = hear(session, "250 ok", "550 no", "354 go")
    assert [(answer.kind, answer.reply.code) for answer in answers] == [
        (Mail, 250),
        (Rcpt, 550),
        (Data, 354),
    ]
    assert session.state is State.CONTENT


def test_the_next_group_may_follow_the_end_of_the_content() -> None:
    session = ready("PIPELINING")
    session.send([MAIL, RCPT, DATA])
    hear(session, "250 ok", "250 ok", "354 go")
    session.send([Dot()])
    session.send([MAIL, RCPT, DATA])
    assert len(hear(session, "250 queued", "250 ok", "250 ok", "354 go")) == 4
    assert session.state is State.CONTENT


@pytest.mark.parametrize(
    "group",
    [
        pytest.param([MAIL, RCPT, DATA, RCPT], id="nothing behind DATA"),
        pytest.param([MAIL, RCPT, DATA, Dot()], id="not even the content"),
        pytest.param([EHLO, MAIL], id="nothing behind EHLO"),
        pytest.param([StartTls(), EHLO], id="nothing behind STARTTLS, it would be in the clear"),
        pytest.param([Auth("LOGIN"), MAIL], id="nothing behind AUTH"),
        pytest.param([Quit(), MAIL], id="nothing behind QUIT"),
        pytest.param([RCPT], id="no recipient without a sender"),
        pytest.param([MAIL, MAIL], id="no transaction inside another"),
        pytest.param([Dot()], id="no dot without content"),
        pytest.param([MAIL, StartTls()], id="no TLS within a transaction"),
        pytest.param([Greeting(), MAIL], id="the greeting is not ours to say"),
    ],
)
def test_an_illegal_group_is_our_bug_and_nothing_of_it_is_due(group: list[Command]) -> None:
    session = ready("PIPELINING")
    with pytest.raises(IllegalCommand):
        session.send(group)
    assert session.at_rest


def test_without_pipelining_nothing_goes_ahead_of_a_reply() -> None:
    session = ready()
    with pytest.raises(IllegalCommand):
        session.send([MAIL, RCPT])
    session.send([MAIL])
    with pytest.raises(IllegalCommand):
        session.send([RCPT])


@pytest.mark.parametrize(
    ("replies", "state"),
    [
        (["250 ok", "250 ok", "354 go"], State.CONTENT),
        (["250 ok", "550 no", "554 no"], State.TRANSACTION),
        (["550 no", "503 no", "503 no"], State.READY),
        (["550 no", "503 no", "354 go"], State.CONTENT),
        (["250 ok", "421 bye"], State.OVER),
        (["250 ok", "250 ok", "250 ok"], State.OVER),  # "250" is no answer to DATA
        (["354 go"], State.OVER),
    ],
)
def test_where_replies_lead(replies: list[str], state: State) -> None:
    session = ready("PIPELINING")
    session.send([MAIL, RCPT, DATA])
    hear(session, *replies)
    assert session.state is state


def test_rset_undoes_and_another_transaction_may_go_with_it() -> None:
    session = ready("PIPELINING")
    session.send([MAIL, RCPT, DATA])
    hear(session, "250 ok", "550 no", "554 no")
    session.send([Rset(), MAIL, RCPT, DATA])
    hear(session, "250 ok", "250 ok", "250 ok", "354 go")
    assert session.state is State.CONTENT


def test_what_was_learned_before_tls_is_forgotten() -> None:
    session = ready("STARTTLS", "AUTH PLAIN", "PIPELINING")
    session.send([StartTls()])
    hear(session, "220 go")
    session.secure()
    assert session.secured
    assert not session.capabilities.keywords
    with pytest.raises(IllegalCommand):
        session.send([Auth("PLAIN")])
    session.send([EHLO])
    hear(session, "250-mx", "250 SIZE 5")
    assert list(session.capabilities.keywords) == ["SIZE"]


@pytest.mark.parametrize("injected", ["250 hello\r\n", "250-ha", "\r\n", "2"])
def test_octets_behind_the_220_to_starttls_end_the_talk(injected: str) -> None:
    session = ready("STARTTLS")
    session.send([StartTls()])
    session.receive_data(b"220 go\r\n" + injected.encode())
    with pytest.raises(InjectedOctets):
        session.next_answer()
    assert session.state is State.OVER


def test_octets_that_come_a_little_later_end_it_too() -> None:
    session = ready("STARTTLS")
    session.send([StartTls()])
    hear(session, "220 go")
    session.receive_data(b"250 PIPELI")
    with pytest.raises(InjectedOctets):
        session.secure()


def test_helo_forgets_what_ehlo_may_have_offered() -> None:
    session = ready("PIPELINING")
    session.send([Helo("client.example.test")])
    hear(session, "250-mx", "250 PIPELINING")
    assert not session.capabilities.keywords


def test_whoever_speaks_unasked_is_not_at_rest_and_then_out() -> None:
    session = ready()
    session.receive_data(b"421 idle for too long\r\n")
    assert not session.at_rest
    with pytest.raises(UnaskedReply) as caught:
        session.next_answer()
    assert caught.value.reply.code == 421
    assert session.state is State.OVER


def test_garbage_ends_the_talk() -> None:
    session = ready()
    session.send([MAIL])
    with pytest.raises(BrokenPeer):
        hear(session, "garbage")
    assert session.state is State.OVER


def test_our_secret_is_struck_out_of_the_servers_words() -> None:
    session = ready("AUTH PLAIN")
    line = (
        session.send([Auth("PLAIN", b"\0anna\0made-up-word", ("made-up-word",))]).decode().strip()
    )
    [answer] = hear(session, f"500 unknown command {line}; is made-up-word a verb?")
    assert answer.reply.text == "unknown command AUTH PLAIN ********; is ******** a verb?"
    assert b"made-up" not in answer.reply.raw
    assert line.split()[-1].encode() not in answer.reply.raw


def test_nor_is_it_in_an_error() -> None:
    session = ready("AUTH PLAIN")
    session.send([Auth("PLAIN", b"\0anna\0made-up-word", ("made-up-word",))])
    with pytest.raises(MalformedReply) as caught:
        hear(session, "what is made-up-word?")
    assert "made-up" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# --- The short way for a group in which all goes well ---------------------------------------

GROUPS = {
    "envelope": (MAIL, RCPT, RCPT, DATA),
    "chunk": (MAIL, RCPT, Bdat(9)),
    "afresh": (Rset(), MAIL, RCPT, Bdat(9)),
}


def stands(session: Session) -> tuple[State, State, int, int, bool]:
    return session.state, session._ahead, len(session._due), session._answered, session.pending


@given(
    group=st.sampled_from(sorted(GROUPS)),
    codes=st.lists(st.sampled_from([250, 251, 354, 421, 450, 503, 550, 220]), max_size=10),
    cut=st.integers(0, 200),
    more=st.booleans(),
)
def test_the_short_way_says_what_the_long_one_says(
    group: str, codes: list[int], cut: int, more: bool
) -> None:
    octets = b"".join(b"%d 2.0.0 Ok\r\n" % code for code in codes)[:cut]
    commands = GROUPS[group]
    short, long = ready("PIPELINING", "CHUNKING"), ready("PIPELINING", "CHUNKING")
    for session in (short, long):
        session.send(commands)
        if more and group != "envelope":
            session.send((Rset(), MAIL))
        session.receive_data(octets)
    before = stands(short)
    last = short.last_if_hoped()
    if last is None:
        assert stands(short) == before, "nothing may have been taken"
        return
    answers = [long.next_answer() for _ in commands]
    told = [answer.reply for answer in answers if answer is not None]
    assert len(told) == len(commands)
    assert all(reply.code in (250, 354) for reply in told)
    assert last == told[-1]
    assert stands(short) == stands(long)


def test_the_short_way_is_taken_where_all_goes_well() -> None:
    session = ready("PIPELINING", "CHUNKING")
    session.send(GROUPS["chunk"])
    session.receive_data(b"250 Ok\r\n250 Ok\r\n250 queued\r\n")
    last = session.last_if_hoped()
    assert last is not None
    assert last.text == "queued"
    assert session.at_rest
