"""One message's commands, its outcomes, and content that cannot end itself."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.mail.envelope import Envelope
from asyncnet.mail.verdict import Kind, Phase
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.command import Rcpt
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.session import Answer
from asyncnet.smtp.transaction import (
    RecipientReply,
    Transaction,
    Transparency,
    mail_parameters,
    obstacle,
)

ENVELOPE = Envelope("a@example.org", ("b@example.org", "c@example.org"))


def offer(**keywords: str) -> Capabilities:
    return Capabilities({name.lstrip("_"): value for name, value in keywords.items()})


def test_a_message_over_the_limit_is_not_even_begun() -> None:
    capabilities = offer(SIZE="1000")
    assert obstacle(ENVELOPE, 1000, capabilities, secured=False) is None
    why = "message of 1001 octets exceeds the server's SIZE limit of 1000 octets"
    cannot = RecipientReply(Phase.MAIL, None, why, kind=Kind.SIZE)
    assert obstacle(ENVELOPE, 1001, capabilities, secured=False) == cannot


def test_the_provider_s_limit_counts_where_the_server_tells_none() -> None:
    def told(**offered: str) -> str:
        found = obstacle(ENVELOPE, 901, offer(**offered), secured=False, usual_octets=900)
        return "" if found is None else found.detail

    assert told() == "message of 901 octets exceeds the provider's known limit of 900 octets"
    assert told(SIZE="1000") == ""
    assert told(SIZE="0") == "", "it takes any size"


def test_smtputf8_is_asked_of_a_server_that_knows_it() -> None:
    envelope = Envelope("a@example.org", ("дед@example.org",), smtputf8=True)
    assert "SMTPUTF8" in str(obstacle(envelope, 5, offer(), secured=True))
    assert obstacle(envelope, 5, offer(SMTPUTF8=""), secured=True) is None


def test_an_8_bit_body_is_never_sent_to_a_server_that_takes_7_bits() -> None:
    envelope = Envelope("a@example.org", ("b@example.org",), body_8bit=True)
    assert "8BITMIME" in str(obstacle(envelope, 5, offer(), secured=True))
    offered = offer(_8BITMIME="")
    assert obstacle(envelope, 5, offered, secured=True) is None
    assert mail_parameters(envelope, 7, offered) == "BODY=8BITMIME"


def test_requiretls_is_never_left_out_silently() -> None:
    envelope = Envelope("a@example.org", ("b@example.org",), require_tls=True)
    assert "REQUIRETLS" in str(obstacle(envelope, 5, offer(), secured=True))
    assert "REQUIRETLS" in str(obstacle(envelope, 5, offer(REQUIRETLS=""), secured=False))
    assert obstacle(envelope, 5, offer(REQUIRETLS=""), secured=True) is None


@pytest.mark.parametrize(
    ("capabilities", "eight_bit", "parameters"),
    [
        (offer(), False, ""),
        (offer(), True, ""),
        (offer(SIZE="", _8BITMIME=""), False, "SIZE=7"),
        (offer(SIZE="9", _8BITMIME=""), True, "SIZE=7 BODY=8BITMIME"),
    ],
)
def test_mail_says_what_the_server_knows_and_the_message_needs(
    capabilities: Capabilities, eight_bit: bool, parameters: str
) -> None:
    envelope = replace(ENVELOPE, body_8bit=eight_bit)
    assert mail_parameters(envelope, 7, capabilities) == parameters
    said = Transaction(envelope, 7, capabilities).envelope()[1].decode().split("\r\n")
    assert said[0] == f"MAIL FROM:<a@example.org> {parameters}".rstrip()


def test_an_internationalised_envelope_says_so() -> None:
    envelope = Envelope("a@example.org", ("дед@example.org",), smtputf8=True, require_tls=True)
    parameters = mail_parameters(envelope, 7, offer(_8BITMIME="", SMTPUTF8=""))
    assert parameters == "BODY=8BITMIME SMTPUTF8 REQUIRETLS"


def transaction(*recipients: str, limits: str | None = None) -> Transaction:
    offered = offer() if limits is None else offer(LIMITS=limits)
    return Transaction(Envelope("a@example.org", recipients), 5, offered)


def play(talk: Transaction, *codes: int) -> list[RecipientReply | None]:
    for kind, code in zip(talk.envelope()[0], codes, strict=False):
        talk.receive(Answer(kind, Reply(code, (str(code),))))
    return talk.replies


def test_of_a_long_refusal_only_the_beginning_is_kept() -> None:
    talk = transaction("b@example.org", "c@example.org")
    lines = ("5.7.1 " + "word " * 700,) * 16
    raw = b"".join(b"550-%s\r\n" % line.encode() for line in lines)
    short = Reply(550, ("5.7.1 no",), b"550 5.7.1 no\r\n")
    for kind, reply in zip(
        talk.envelope()[0], (Reply(250, ("ok",)), Reply(550, lines, raw), short), strict=False
    ):
        talk.receive(Answer(kind, reply))
    first, second = talk.replies
    assert first is not None
    assert first.reply == Reply(550, lines[:1])
    assert first.reply.raw == b""
    assert second is not None
    assert second.reply is short


def out(phase: Phase, code: int) -> RecipientReply:
    return RecipientReply(phase, Reply(code, (str(code),)))


@pytest.mark.parametrize(
    ("codes", "outcomes", "content_wanted"),
    [
        ((250, 250, 250, 354), (None, None), True),
        ((250, 550, 251, 354), (out(Phase.RCPT, 550), None), True),
        ((250, 550, 451, 354), (out(Phase.RCPT, 550), out(Phase.RCPT, 451)), True),
        ((250, 550, 451, 554), (out(Phase.RCPT, 550), out(Phase.RCPT, 451)), False),
        ((250, 550, 250, 451), (out(Phase.RCPT, 550), out(Phase.DATA, 451)), False),
        ((553, 503, 503, 503), (out(Phase.MAIL, 553), out(Phase.MAIL, 553)), False),
        ((553, 250, 250, 354), (out(Phase.MAIL, 553), out(Phase.MAIL, 553)), True),
        ((250, 250, 421), (out(Phase.RCPT, 421), out(Phase.RCPT, 421)), False),
        ((250, 550, 421), (out(Phase.RCPT, 550), out(Phase.RCPT, 421)), False),
        ((250, 250, 250, 421), (out(Phase.DATA, 421), out(Phase.DATA, 421)), False),
        ((250, 250, 250, 250), (out(Phase.DATA, 250), out(Phase.DATA, 250)), False),
    ],
)
def test_what_replies_mean_for_each_recipient(
    codes: tuple[int, ...], outcomes: tuple[RecipientReply | None, ...], content_wanted: bool
) -> None:
    talk = transaction("b@example.org", "c@example.org")
    assert tuple(play(talk, *codes)) == outcomes
    assert talk.content_wanted is content_wanted
    assert talk.hopeless is (None not in outcomes)


def test_recipients_beyond_the_limit_are_kept_for_another_transaction() -> None:
    talk = transaction("b@example.org", "c@example.org", "d@example.org", limits="RCPTMAX=2")
    assert talk.envelope()[0].count(Rcpt) == 2
    outcomes = play(talk, 250, 550, 250, 354)
    assert outcomes[:2] == [out(Phase.RCPT, 550), None]
    assert outcomes[2] is not None
    assert outcomes[2].reply is not None
    assert (outcomes[2].reply.code, outcomes[2].reply.enhanced) == (452, "4.5.3")
    assert not outcomes[2].named


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ("RCPTDOMAINMAX=1", "ace"),
        ("RCPTDOMAINMAX=2", "abcde"),
        ("RCPTDOMAINMAX=3", "abcdef"),
        ("RCPTMAX=3 RCPTDOMAINMAX=2", "abc"),
        ("RCPTMAX=2 RCPTDOMAINMAX=1", "ac"),
        ("RCPTDOMAINMAX=x", "abcdef"),
    ],
)
def test_recipients_at_too_many_domains_are_kept_for_another_transaction(
    limits: str, named: str
) -> None:
    domains = ("example.org", "example.com", "Example.ORG", "example.com", "example.org", "x.test")
    people = [f"{name}@{domain}" for name, domain in zip("abcdef", domains, strict=True)]
    talk = transaction(*people, limits=limits)
    said = [line[9:10] for line in talk.envelope()[1].decode().split("\r\n") if "RCPT" in line]
    assert "".join(said) == named
    outcomes = play(talk, 250, *[550] * len(named), 354)
    assert all(outcome is not None for outcome in outcomes)
    told = [
        name for name, it in zip("abcdef", outcomes, strict=True) if it is not None and it.named
    ]
    assert "".join(told) == named


def test_a_recipient_that_breaks_its_line_is_answered_among_those_that_are_left() -> None:
    people = ("a\r\nRSET@example.org", "b@example.com", "c@example.org")
    talk = transaction(*people, limits="RCPTDOMAINMAX=1")
    assert talk.envelope()[0].count(Rcpt) == 1
    first, second, third = play(talk, 250, 250, 354)
    assert first is not None
    assert (first.reply, first.named) == (None, True)
    assert second is not None
    assert not second.named
    assert third is None


def test_500_to_many_recipients_is_told_apart_from_a_refusal() -> None:
    talk = transaction("b@example.org", "c@example.org")
    play(talk, 503, 503, 503, 503)
    assert talk.puzzled
    refused = transaction("b@example.org", "c@example.org")
    play(refused, 550, 503, 503, 503)
    assert not refused.puzzled, "to whom MAIL was refused nothing else can be said"


def test_a_recipient_that_breaks_its_line_spoils_nothing_for_the_others() -> None:
    talk = transaction("b@example.org\r\nRSET", "c@example.org")
    said = b"MAIL FROM:<a@example.org>\r\nRCPT TO:<c@example.org>\r\nDATA\r\n"
    assert talk.envelope()[1] == said
    first, second = play(talk, 250, 250, 354)
    assert first is not None
    assert (first.phase, first.reply) == (Phase.RCPT, None)
    assert "cannot be sent" in first.detail
    assert second is None


@given(st.lists(st.sampled_from([250, 251, 450, 550, 552]), min_size=1, max_size=20))
def test_each_recipient_gets_its_own_reply(codes: list[int]) -> None:
    talk = transaction(*(f"r{number}@example.org" for number in range(len(codes))))
    outcomes = play(talk, 250, *codes, 354)
    talk.settle(out(Phase.DOT, 250))
    assert [outcome is None for outcome in outcomes] == [code < 300 for code in codes]
    assert [outcome and outcome.reply and outcome.reply.code for outcome in talk.replies] == [
        250 if code < 300 else code for code in codes
    ]


LINES = b".a\r\n..\r\n.\r\nb.\r\nc\r\n"


def as_sent(content: bytes, cuts: list[int]) -> bytes:
    transparency = Transparency()
    blocks = [
        content[start:end] for start, end in zip([0, *cuts], [*cuts, len(content)], strict=True)
    ]
    return b"".join([*map(transparency.encode, blocks), transparency.line_end(), b".\r\n"])


@pytest.mark.parametrize("cut", range(len(LINES) + 1))
def test_transparency_survives_any_cut(cut: int) -> None:
    assert as_sent(LINES, [cut]) == b"..a\r\n...\r\n..\r\nb.\r\nc\r\n.\r\n"


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b"", b".\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b"a\r", b"a\r\r\n.\r\n"),
        (b"a\n", b"a\n\r\n.\r\n"),
        (b"a\n.\nMAIL FROM:<x>\r\n", b"a\n..\nMAIL FROM:<x>\r\n.\r\n"),
        (b"a\r.\rRSET\r\n", b"a\r..\rRSET\r\n.\r\n"),
    ],
)
def test_the_end_stands_on_its_own_line_and_nobody_smuggles_one(
    content: bytes, sent: bytes
) -> None:
    assert as_sent(content, []) == sent
    assert as_sent(content, list(range(len(content)))) == sent


@given(
    st.text(st.sampled_from("a.\r\n"), max_size=60).map(str.encode),
    st.lists(st.integers(0, 60), max_size=6),
)
def test_content_ends_where_we_end_it(content: bytes, cuts: list[int]) -> None:
    sent = as_sent(content, sorted(min(cut, len(content)) for cut in cuts))
    body = (b"\r\n" + sent)[: -len(b".\r\n")]
    for end in (b"\r\n.\r\n", b"\n.\n", b"\n.\r\n", b"\r.\r"):
        assert end not in body


@given(st.lists(st.text(st.sampled_from("a."), max_size=5), max_size=10), st.data())
def test_the_server_gets_back_what_was_written(lines: list[str], choose: st.DataObject) -> None:
    content = "".join(f"{line}\r\n" for line in lines).encode()
    cuts = sorted(choose.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    *received, end, _ = as_sent(content, cuts).split(b"\r\n")
    assert end == b"."
    undone = [line[1:] if line.startswith(b".") else line for line in received]
    assert b"".join(line + b"\r\n" for line in undone) == content
