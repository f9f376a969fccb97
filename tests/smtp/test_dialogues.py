"""Whole dialogues in two columns, ours on the left, the server's on the right.

The opening and the transactions are played by the pure session alone.  "<TLS>" on the left is
the handshake, "<content>" the message; {PLACES} are long octets, spelled below.
"""

from base64 import b64encode

import pytest

from asyncnet.mail.envelope import Envelope, TlsMode
from asyncnet.mail.verdict import Phase
from asyncnet.smtp.capability import Capabilities
from asyncnet.smtp.command import Command, Dot, Ehlo, Greeting, Group
from asyncnet.smtp.errors import InjectedOctets
from asyncnet.smtp.opening import Opening, OpeningFailed
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.sasl import password_mechanisms, token_mechanisms
from asyncnet.smtp.scram import ScramSha256
from asyncnet.smtp.session import Answer, Session, State
from asyncnet.smtp.transaction import Plan, RecipientReply, Transaction, best_plan
from tests.support.scram_judge import ScramJudge

PLAIN = b64encode(b"\0anna\0sesame").decode()
ANNA, WORD = b64encode(b"anna").decode(), b64encode(b"sesame").decode()


def scram_words() -> dict[str, str]:
    """A SCRAM login, each half spoken by its own end; the judge's half is RFC 5802's."""
    ours, theirs = ScramSha256("anna", "sesame", "n0nce"), ScramJudge("sesame")
    hello = ours.initial_response()
    question = theirs.first(hello)
    proof = ours.respond(question)
    counter_proof = theirs.final(proof)
    assert counter_proof is not None, "the judge does not take our proof"
    said = {"HELLO": hello, "QUESTION": question, "PROOF": proof, "COUNTER": counter_proof}
    return {f"{{{name}}}": b64encode(octets).decode() for name, octets in said.items()}


BEARER = b"n,a=anna,\1host=mx.example.test\1port=587\1auth=Bearer sesame\1\1"
PLACES = {
    "{PLAIN}": PLAIN,
    "{ANNA}": ANNA,
    "{WORD}": WORD,
    "{XOAUTH2}": b64encode(b"user=anna\1auth=Bearer sesame\1\1").decode(),
    "{BEARER}": b64encode(BEARER).decode(),
    "{JSON}": b64encode(b'{"status":"401"}').decode(),
    "{KVSEP}": b64encode(b"\1").decode(),
    **scram_words(),
}


class Script:
    """A dialogue being played: what we say must stand next on the left."""

    def __init__(self, text: str) -> None:
        self.session = Session()
        self._cells: list[tuple[str, str]] = []  # (side, text)
        for name, value in PLACES.items():
            text = text.replace(name, value)
        for row in text.strip("\n").splitlines():
            left, _, right = row.partition("|")
            self._cells += [
                (side, cell.strip())
                for side, cell in (("we", left), ("they", right))
                if cell.strip()
            ]

    def we_say(self, octets: bytes) -> None:
        for line in octets.decode().splitlines():
            line = line or "<empty>"
            assert self._cells.pop(0) == ("we", line)

    def they_say(self) -> Reply:
        """The next reply; all that stands on the right in one go arrives at once."""
        while (answer := self.session.next_answer()) is None:
            assert self._cells, "the server has no more to say"
            while self._cells and self._cells[0][0] == "they":
                self.session.receive_data(f"{self._cells.pop(0)[1]}\r\n".encode())
        return answer.reply

    def end(self) -> None:
        assert self._cells == []


def open_talk(
    text: str,
    tls: TlsMode = "none",
    login: bool = False,
    allowed: list[str] | None = None,
    clear: bool = False,
    token: bool = False,
) -> Session:
    """Play the opening to its end; raises what it raises, when all was said."""
    script = Script(text)
    session = script.session
    ways = password_mechanisms("anna", "sesame", allowed, nonce="n0nce") if login else None
    if token:
        ways = token_mechanisms("anna", "sesame", allowed, host="mx.example.test", port=587)
    steps = Opening("me.example.test", tls, ways, clear).steps(session)
    reply: Reply | None = None
    try:
        while True:
            step = steps.send(reply)
            if not isinstance(step, Command):
                script.we_say(b"<TLS>")
                session.secure()
                reply = None
                continue
            if not isinstance(step, Greeting):
                script.we_say(session.send([step]))
            reply = script.they_say()
    except StopIteration:
        return session
    finally:
        script.end()


GOOD = {
    "plain": (
        """
                              | 220 mx.example.test ESMTP
        EHLO me.example.test  | 250-mx.example.test
                              | 250 PIPELINING
        """,
        {},
    ),
    "a server of 1982": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 500 what?
        HELO me.example.test  | 250 mx.example.test
        """,
        {},
    ),
    "STARTTLS, and all over again": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250-PIPELINING
                              | 250 STARTTLS
        STARTTLS              | 220 go
        <TLS>                 |
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN LOGIN
        AUTH PLAIN {PLAIN}    | 235 welcome
        """,
        {"tls": "starttls", "login": True},
    ),
    "implicit TLS": (
        """
        <TLS>                 |
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN
        AUTH PLAIN {PLAIN}    | 235 welcome
        """,
        {"tls": "implicit", "login": True},
    ),
    "LOGIN, prompts in any words": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH=LOGIN
        AUTH LOGIN            | 334 your name, please?
        {ANNA}                | 334
        {WORD}                | 235 welcome
        """,
        {"login": True, "clear": True},
    ),
    "LOGIN where only LOGIN is allowed": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN LOGIN
        AUTH LOGIN            | 334 VXNlcm5hbWU6
        {ANNA}                | 334 UGFzc3dvcmQ6
        {WORD}                | 235 welcome
        """,
        {"login": True, "clear": True, "allowed": ["LOGIN"]},
    ),
    "PLAIN unknown after all": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN LOGIN
        AUTH PLAIN {PLAIN}    | 504 not here
        AUTH LOGIN            | 334 VXNlcm5hbWU6
        {ANNA}                | 334 UGFzc3dvcmQ6
        {WORD}                | 235 welcome
        """,
        {"login": True, "clear": True},
    ),
    "a server that overlooks the initial response": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN
        AUTH PLAIN {PLAIN}    | 334
        {PLAIN}               | 235 welcome
        """,
        {"login": True, "clear": True},
    ),
    "SCRAM before PLAIN, and both ends prove it": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH PLAIN SCRAM-SHA-256
        AUTH SCRAM-SHA-256 {HELLO}  | 334 {QUESTION}
        {PROOF}                     | 334 {COUNTER}
        <empty>                     | 235 welcome
        """,
        {"login": True, "clear": True},
    ),
    "SCRAM unknown for this user, PLAIN instead": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {HELLO}  | 535 5.7.8 no keys of this user
        AUTH PLAIN {PLAIN}          | 235 welcome
        """,
        {"login": True, "clear": True},
    ),
    "XOAUTH2": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH PLAIN XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}      | 235 welcome
        """,
        {"token": True, "clear": True},
    ),
    "OAUTHBEARER before XOAUTH2": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH XOAUTH2 OAUTHBEARER
        AUTH OAUTHBEARER {BEARER}   | 235 welcome
        """,
        {"token": True, "clear": True},
    ),
    "EHLO refused where HELO does": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 554 not that
        HELO me.example.test  | 250-mx.example.test
                              | 250 PIPELINING
        """,
        {},
    ),
    "capabilities that change under TLS": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250-PIPELINING
                              | 250-CHUNKING
                              | 250-SIZE 10
                              | 250-AUTH LOGIN
                              | 250 STARTTLS
        STARTTLS              | 220 go
        <TLS>                 |
        EHLO me.example.test  | 250-mx.example.test
                              | 250-SIZE 20
                              | 250 AUTH PLAIN
        AUTH PLAIN {PLAIN}    | 235 welcome
        """,
        {"tls": "starttls", "login": True},
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_an_opening_comes_to_its_end(name: str) -> None:
    text, how = GOOD[name]
    session = open_talk(text, **how)  # type: ignore[arg-type]
    assert session.at_rest
    assert session.secured is ("<TLS>" in text)
    if name == "capabilities that change under TLS":
        assert best_plan(session.capabilities) is Plan.SERIAL
        assert session.capabilities.size_limit_octets == 20
    if "HELO" in text:
        assert session.capabilities == Capabilities()


BAD = {
    "nobody home": (
        "| 554 no SMTP service here",
        {},
        (Phase.GREETING, 554, None),
    ),
    "too busy": ("| 421 come back later", {}, (Phase.GREETING, 421, None)),
    "a greeting that is none": ("| 250 hello", {}, (Phase.GREETING, 250, "protocol")),
    "neither EHLO nor HELO": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 550 not you
        HELO me.example.test  | 550 nor so
        """,
        {},
        (Phase.EHLO, 550, None),
    ),
    "EHLO in a bad moment": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 451 not now
        """,
        {},
        (Phase.EHLO, 451, None),
    ),
    "STARTTLS stripped": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN
        """,
        {"tls": "starttls", "login": True},
        (Phase.TLS, None, "tls"),
    ),
    "HELO alone, and TLS asked for": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 502 no
        HELO me.example.test  | 250 mx.example.test
        """,
        {"tls": "starttls"},
        (Phase.TLS, None, "tls"),
    ),
    "STARTTLS refused": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 STARTTLS
        STARTTLS              | 454 no certificate today
        """,
        {"tls": "starttls", "login": True},
        (Phase.TLS, 454, "tls"),
    ),
    "STARTTLS answered by something else": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 STARTTLS
        STARTTLS              | 250 ok
        """,
        {"tls": "starttls", "login": True},
        (Phase.TLS, 250, "protocol"),
    ),
    "a password in the clear": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN
        """,
        {"login": True},
        (Phase.AUTH, None, "auth"),
    ),
    "no AUTH": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250 mx.example.test
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, None, "auth"),
    ),
    "AUTH offered before TLS, and not after": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250-AUTH PLAIN
                              | 250 STARTTLS
        STARTTLS              | 220 go
        <TLS>                 |
        EHLO me.example.test  | 250 mx.example.test
        """,
        {"tls": "starttls", "login": True},
        (Phase.AUTH, None, "auth"),
    ),
    "a mechanism that is not allowed": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN
        """,
        {"login": True, "clear": True, "allowed": ["LOGIN"]},
        (Phase.AUTH, None, "auth"),
    ),
    "a wrong password, said once and not again": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN LOGIN
        AUTH PLAIN {PLAIN}    | 535 5.7.8 no
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, 535, None),
    ),
    "LOGIN that asks on": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH LOGIN
        AUTH LOGIN            | 334
        {ANNA}                | 334
        {WORD}                | 334
        *                     | 502 QQ says so
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, None, "auth"),
    ),
    "PLAIN that asks on and on": (
        """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH PLAIN
        AUTH PLAIN {PLAIN}    | 334
        {PLAIN}               | 334
        {PLAIN}               | 334
        {PLAIN}               | 334
        {PLAIN}               | 334
        *                     | 501 cancelled
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, None, "auth"),
    ),
    "SCRAM believed without proof": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {HELLO}  | 235 come in
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, None, "auth"),
    ),
    "SCRAM with half of the proofs": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {HELLO}  | 334 {QUESTION}
        {PROOF}                     | 235 come in
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, None, "auth"),
    ),
    "SCRAM refused after our proof: the password is not handed out": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {HELLO}  | 334 {QUESTION}
        {PROOF}                     | 535 5.7.8 no
        """,
        {"login": True, "clear": True},
        (Phase.AUTH, 535, None),
    ),
    "XOAUTH2 refused in two steps": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}      | 334 {JSON}
        <empty>                     | 535 5.7.8 bad token
        """,
        {"token": True, "clear": True},
        (Phase.AUTH, 535, None),
    ),
    "OAUTHBEARER refused in two steps": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH OAUTHBEARER
        AUTH OAUTHBEARER {BEARER}   | 334 {JSON}
        {KVSEP}                     | 535 5.7.8 bad token
        """,
        {"token": True, "clear": True},
        (Phase.AUTH, 535, None),
    ),
    "XOAUTH2 that is asked on and on": (
        """
                                    | 220 mx.example.test
        EHLO me.example.test        | 250-mx.example.test
                                    | 250 AUTH XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}      | 334 {JSON}
        <empty>                     | 334 {JSON}
        *                           | 501 cancelled
        """,
        {"token": True, "clear": True},
        (Phase.AUTH, None, "auth"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_opening_that_fails_says_where_and_why(name: str) -> None:
    text, how, expected = BAD[name]
    with pytest.raises(OpeningFailed) as caught:
        open_talk(text, **how)  # type: ignore[arg-type]
    failed = caught.value
    assert (failed.phase, failed.reply and failed.reply.code, failed.cause) == expected
    assert not any(secret in str(failed) for secret in ("sesame", PLAIN, WORD))


def test_replies_injected_before_tls_end_the_talk() -> None:
    with pytest.raises(InjectedOctets):
        open_talk(
            """
                                  | 220 mx.example.test
            EHLO me.example.test  | 250-mx.example.test
                                  | 250 STARTTLS
            STARTTLS              | 220 go
                                  | 250-mx.example.test
                                  | 250 AUTH PLAIN
            """,
            tls="starttls",
            login=True,
        )


def test_a_long_password_waits_until_it_is_asked_for() -> None:
    """RFC 4954 section 4: no initial response that would make the line too long."""
    session = Session()
    ways = password_mechanisms("anna", "w" * 400, nonce="n0nce")
    steps = Opening("me.example.test", "none", ways, True).steps(session)
    said = []
    reply: Reply | None = None
    answers = ["220 hi", "250-mx\r\n250 AUTH PLAIN", "334 ", "235 welcome"]
    try:
        for answer in answers:
            step = steps.send(reply)
            assert isinstance(step, Command)
            said.append(str(step))
            if not isinstance(step, Greeting):
                session.send([step])
            session.receive_data(f"{answer}\r\n".encode())
            found = session.next_answer()
            assert found is not None
            reply = found.reply
        steps.send(reply)
    except StopIteration:
        pass
    assert said == ["", "EHLO me.example.test", "AUTH PLAIN", "********"]
    assert session.state is State.READY


HELLO = """
                              | 220 mx.example.test
        EHLO me.example.test  | 250-mx.example.test
                              | 250 {offer}
"""


CONTENT_OCTETS = 9  # of "<content>"


def hand_over(text: str, *recipients: str) -> list[RecipientReply | None]:
    """Play an opening and one transaction, as a client without a wire."""
    script = Script(text)
    session = script.session
    script.they_say()
    script.we_say(session.send(next_step(session)))
    script.they_say()
    talk = Transaction(Envelope("a@example.org", recipients), CONTENT_OCTETS, Capabilities())
    together = "PIPELINING" in session.capabilities
    for group in [talk.envelope()] if together else talk.one_by_one():
        if talk.hopeless:
            break
        session.owe(group[0])
        script.we_say(group[1])
        for _ in group[0]:
            due = session.due
            assert due is not None
            reply = script.they_say()
            talk.receive(Answer(due, reply))
    if talk.content_wanted:
        script.we_say((b"" if talk.hopeless else b"<content>\r\n") + session.send([Dot()]))
        talk.settle(RecipientReply(Phase.DOT, script.they_say()))
    script.end()
    return talk.replies


def next_step(session: Session) -> list[Command]:
    steps = Opening("me.example.test", "none").steps(session)
    next(steps)
    step = steps.send(Reply(220, ("",)))
    assert isinstance(step, Command)
    return [step]


TRANSACTIONS = {
    "one write, one round trip, then the content": (
        """
        MAIL FROM:<a@example.org>     |
        RCPT TO:<b@example.org>       |
        RCPT TO:<c@example.org>       |
        DATA                          | 250 sender ok
                                      | 550 5.1.1 nobody
                                      | 250 recipient ok
                                      | 354 go
        <content>                     |
        .                             | 250 queued
        """,
        "PIPELINING",
        [(Phase.RCPT, 550), (Phase.DOT, 250)],
    ),
    "354 although nobody was accepted: a lone dot": (
        """
        MAIL FROM:<a@example.org>     |
        RCPT TO:<b@example.org>       |
        RCPT TO:<c@example.org>       |
        DATA                          | 250 sender ok
                                      | 550 5.1.1 nobody
                                      | 450 not now
                                      | 354 go
        .                             | 250 queued an empty message
        """,
        "PIPELINING",
        [(Phase.RCPT, 550), (Phase.RCPT, 450)],
    ),
    "one by one": (
        """
        MAIL FROM:<a@example.org>     | 250 sender ok
        RCPT TO:<b@example.org>       | 250 recipient ok
        RCPT TO:<c@example.org>       | 452 4.5.3 too many
        DATA                          | 354 go
        <content>                     |
        .                             | 554 5.6.0 not this
        """,
        "SIZE",
        [(Phase.DOT, 554), (Phase.RCPT, 452)],
    ),
    "one by one, and no DATA for nobody": (
        """
        MAIL FROM:<a@example.org>     | 250 sender ok
        RCPT TO:<b@example.org>       | 550 nobody
        RCPT TO:<c@example.org>       | 551 nobody either
        """,
        "SIZE",
        [(Phase.RCPT, 550), (Phase.RCPT, 551)],
    ),
    "one by one, and no RCPT for no sender": (
        """
        MAIL FROM:<a@example.org>     | 553 not yours
        """,
        "SIZE",
        [(Phase.MAIL, 553), (Phase.MAIL, 553)],
    ),
}


@pytest.mark.parametrize("name", TRANSACTIONS)
def test_a_transaction_gives_a_verdict_to_each(name: str) -> None:
    text, offer, expected = TRANSACTIONS[name]
    outcomes = hand_over(HELLO.format(offer=offer) + text, "b@example.org", "c@example.org")
    assert [(it.phase, it.reply.code) for it in outcomes if it and it.reply] == expected


# --- Several messages: what goes in one write stands in one go on the left -----------------------


def hand_over_all(
    text: str,
    offer: str,
    messages: int,
    *recipients: str,
    window: bool = False,
) -> list[list[RecipientReply | None]]:
    """Play an opening and several messages by the best plan, all of a window in one write."""
    *others, last = offer.split(", ")
    more = [f"| 250-{keyword}" for keyword in others]
    hello = ["| 220 mx.example.test", "EHLO me.example.test | 250-mx.example.test", *more]
    script = Script("\n".join([*hello, f"| 250 {last}", text.strip("\n")]))
    session = script.session
    script.they_say()
    script.we_say(session.send([Ehlo("me.example.test")]))
    script.they_say()
    known = session.capabilities
    talks = [
        Transaction(Envelope(f"a{number}@example.org", recipients), CONTENT_OCTETS, known)
        for number in range(messages)
    ]
    if best_plan(known) is Plan.CHUNKED:
        _by_chunks(script, talks, window)
    else:
        _by_data(script, talks)
    script.end()
    return [talk.replies for talk in talks]


def _hear(script: Script, talk: Transaction, kinds: tuple[type[Command], ...]) -> None:
    for kind in kinds:
        assert script.session.due is kind
        talk.receive(Answer(kind, script.they_say()))


def _said(session: Session, group: Group) -> bytes:
    session.owe(group[0])
    return group[1]


def _by_data(script: Script, talks: list[Transaction]) -> None:
    session = script.session
    group = talks[0].envelope()
    script.we_say(_said(session, group))
    for talk, following in zip(talks, [*talks[1:], None], strict=True):
        _hear(script, talk, talk.envelope()[0])
        written = b"<content>\r\n" + session.send([Dot()])
        if following is not None:
            group = following.envelope()
            written += _said(session, group)
        script.we_say(written)
        talk.settle(RecipientReply(Phase.DOT, script.they_say()))


def _by_chunks(script: Script, talks: list[Transaction], window: bool) -> None:
    session = script.session
    groups = [talk.chunked(CONTENT_OCTETS, afresh=window) for talk in talks]
    written = [_said(session, it) + b"<content>\r\n" for it in groups[: None if window else 1]]
    script.we_say(b"".join(written))
    for number, (talk, group) in enumerate(zip(talks, groups, strict=True)):
        if number and not window:
            script.we_say(_said(session, group) + b"<content>\r\n")
        _hear(script, talk, group[0])


DIALOGUES = {
    "joined: the next envelope goes along with the content": (
        """
        MAIL FROM:<a0@example.org>     |
        RCPT TO:<b@example.org>        |
        DATA                           | 250 sender ok
                                       | 250 recipient ok
                                       | 354 go
        <content>                      |
        .                              |
        MAIL FROM:<a1@example.org>     |
        RCPT TO:<b@example.org>        |
        DATA                           | 250 queued
                                       | 250 sender ok
                                       | 250 recipient ok
                                       | 354 go
        <content>                      |
        .                              | 554 5.6.0 not this
        """,
        "PIPELINING",
        2,
        False,
        [[(Phase.DOT, 250)], [(Phase.DOT, 554)]],
    ),
    "BDAT: all in one write": (
        """
        MAIL FROM:<a0@example.org>     |
        RCPT TO:<b@example.org>        |
        BDAT 9 LAST                    |
        <content>                      | 250 sender ok
                                       | 250 recipient ok
                                       | 250 queued
        MAIL FROM:<a1@example.org>     |
        RCPT TO:<b@example.org>        |
        BDAT 9 LAST                    |
        <content>                      | 250 sender ok
                                       | 250 recipient ok
                                       | 452 4.3.1 disk full
        """,
        "PIPELINING, CHUNKING",
        2,
        False,
        [[(Phase.DOT, 250)], [(Phase.DOT, 452)]],
    ),
    "BDAT that is unknown after all": (
        """
        MAIL FROM:<a0@example.org>     |
        RCPT TO:<b@example.org>        |
        BDAT 9 LAST                    |
        <content>                      | 250 sender ok
                                       | 250 recipient ok
                                       | 500 what?
        """,
        "PIPELINING, CHUNKING",
        1,
        False,
        [[(Phase.DATA, 500)]],
    ),
    "a window: RSET between, and one refusal is nobody else's": (
        """
        RSET                           |
        MAIL FROM:<a0@example.org>     |
        RCPT TO:<b@example.org>        |
        BDAT 9 LAST                    |
        <content>                      |
        RSET                           |
        MAIL FROM:<a1@example.org>     |
        RCPT TO:<b@example.org>        |
        BDAT 9 LAST                    |
        <content>                      |
        RSET                           |
        MAIL FROM:<a2@example.org>     |
        RCPT TO:<b@example.org>        |
        BDAT 9 LAST                    |
        <content>                      | 250 flushed
                                       | 250 sender ok
                                       | 550 5.1.1 nobody
                                       | 503 5.5.1 nobody to take it
                                       | 250 flushed
                                       | 250 sender ok
                                       | 250 recipient ok
                                       | 250 queued
                                       | 250 flushed
                                       | 553 5.1.8 not you
                                       | 503 5.5.1 MAIL first
                                       | 503 5.5.1 MAIL first
        """,
        "PIPELINING, CHUNKING",
        3,
        True,
        [[(Phase.RCPT, 550)], [(Phase.DOT, 250)], [(Phase.MAIL, 553)]],
    ),
}


@pytest.mark.parametrize("name", DIALOGUES)
def test_several_messages_each_get_their_own_answers(name: str) -> None:
    text, offer, messages, window, expected = DIALOGUES[name]
    found = hand_over_all(text, offer, messages, "b@example.org", window=window)
    seen = [[(it.phase, it.reply.code) for it in replies if it and it.reply] for replies in found]
    assert seen == expected


def test_a_message_is_split_at_the_servers_recipient_limit() -> None:
    """RFC 9422: the rest gets the code that the server itself would say, and goes next."""
    first, second = "b@example.com", "c@example.com"
    (replies,) = hand_over_all(
        """
        MAIL FROM:<a0@example.org>     |
        RCPT TO:<b@example.com>        |
        DATA                           | 250 sender ok
                                       | 250 recipient ok
                                       | 354 go
        <content>                      |
        .                              | 250 queued
        """,
        "PIPELINING, LIMITS RCPTMAX=1",
        1,
        first,
        second,
    )
    seen = [(it.phase, it.reply.code) for it in replies if it and it.reply]
    assert seen == [(Phase.DOT, 250), (Phase.RCPT, 452)]
