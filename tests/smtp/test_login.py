"""Logins as whole dialogues, ours on the left, the server's on the right.

What stands in <…> crosses the line in base64; (empty) is an empty line.  The SCRAM messages are
those of RFC 7677 section 3.
"""

import re
from base64 import b64encode
from collections.abc import Sequence

import pytest

from asyncnet.mail.verdict import Phase
from asyncnet.smtp.command import Command
from asyncnet.smtp.mechanism import Mechanism
from asyncnet.smtp.opening import Opening, OpeningFailed
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.sasl import password_mechanisms, token_mechanisms
from asyncnet.smtp.session import Session

NONCE = "rOprNGfwEbeRWgbNEkqO"
PLACES = {
    "{C1}": f"<n,,n=user,r={NONCE}>",
    "{S1}": f"<r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096>",
    "{C2}": (
        f"<c=biws,r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=>"
    ),
    "{S2}": "<v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=>",
    "{BEARER}": r"<n,a=user,\1host=mx.example.test\1port=587\1auth=Bearer t0ken\1\1>",
    "{XOAUTH2}": r"<user=user\1auth=Bearer t0ken\1\1>",
    "{PLAIN}": r"<\0user\0pencil>",
}
HELLO = """
                              | 220 mx.example.test ESMTP
        EHLO me.example.test  | 250-mx.example.test
                              | 250 AUTH {}
"""


def passwords(*allowed: str) -> tuple[Mechanism, ...]:
    return password_mechanisms("user", "pencil", allowed or None, nonce=NONCE)


def tokens(*allowed: str) -> tuple[Mechanism, ...]:
    return token_mechanisms("user", "t0ken", allowed or None, host="mx.example.test", port=587)


def written(cell: str) -> str:
    """A cell as its line."""
    for name, text in PLACES.items():
        cell = cell.replace(name, text)

    def encoded(match: re.Match[str]) -> str:
        return b64encode(match[1].replace(r"\0", "\0").replace(r"\1", "\1").encode()).decode()

    return "" if cell == "(empty)" else re.sub("<(.*)>", encoded, cell)


def cells(text: str) -> list[tuple[str, str]]:
    found = []
    for row in text.strip("\n").splitlines():
        left, _, right = row.partition("|")
        found += [
            (side, written(cell.strip()))
            for side, cell in (("we", left), ("they", right))
            if cell.strip()
        ]
    return found


def log_in(text: str, ways: Sequence[Mechanism]) -> list[str]:
    """Play it to its end; what a trace would have shown of us."""
    offer, _, dialogue = text.strip().partition("\n")
    play = cells(HELLO.format(offer.removeprefix("offers ")) + dialogue)
    session, reply, shown = Session(), None, []
    steps = Opening("me.example.test", "none", tuple(ways), clear_login=True).steps(session)
    try:
        while True:
            step = steps.send(reply)
            assert isinstance(step, Command)
            shown.append(str(step))
            if session.due is None:
                assert ("we", session.send([step]).decode().removesuffix("\r\n")) == play.pop(0)
            reply = heard(session, play)
    except StopIteration:
        return shown
    finally:
        assert play == []


def heard(session: Session, play: list[tuple[str, str]]) -> Reply:
    while (answer := session.next_answer()) is None:
        side, line = play.pop(0)
        assert side == "they"
        session.receive_data(f"{line}\r\n".encode())
    return answer.reply


GOOD = {
    "SCRAM before all others": (
        """offers LOGIN PLAIN SCRAM-SHA-256
        AUTH SCRAM-SHA-256 {C1}        | 334 {S1}
        {C2}                           | 334 {S2}
        (empty)                        | 235 2.7.0 welcome
        """,
        passwords,
        (),
    ),
    "SCRAM by a server that overlooks the initial response": (
        """offers SCRAM-SHA-256
        AUTH SCRAM-SHA-256 {C1}        | 334
        {C1}                           | 334 {S1}
        {C2}                           | 334 {S2}
        (empty)                        | 235 2.7.0 welcome
        """,
        passwords,
        (),
    ),
    "SCRAM offered and unknown": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 504 5.5.4 not supported
        AUTH PLAIN {PLAIN}             | 235 2.7.0 welcome
        """,
        passwords,
        (),
    ),
    "a server that has no SCRAM keys of this user": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 535 5.7.8 authentication failed
        AUTH PLAIN {PLAIN}             | 235 2.7.0 welcome
        """,
        passwords,
        (),
    ),
    "CRAM-MD5 without its plug-in": (
        """offers CRAM-MD5 PLAIN
        AUTH CRAM-MD5                  | 535 5.7.8 no mechanism available
        AUTH PLAIN {PLAIN}             | 235 2.7.0 welcome
        """,
        passwords,
        ("CRAM-MD5", "PLAIN"),
    ),
    "CRAM-MD5 because it was asked for": (
        """offers CRAM-MD5 LOGIN
        AUTH CRAM-MD5                  | 334 <<1896.697170952@postoffice.example.test>>
        <user 639343b7fa479f057a9975a06da0ed43> | 235 2.7.0 welcome
        """,
        passwords,
        ("CRAM-MD5",),
    ),
    "the standard for tokens first": (
        """offers LOGIN PLAIN XOAUTH2 OAUTHBEARER
        AUTH OAUTHBEARER {BEARER}      | 235 2.7.0 welcome
        """,
        tokens,
        (),
    ),
    "XOAUTH2 alone": (
        """offers LOGIN XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}         | 235 2.7.0 welcome
        """,
        tokens,
        (),
    ),
    "XOAUTH2 in two steps": (
        """offers XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}         | 334
        {XOAUTH2}                      | 235 2.7.0 welcome
        """,
        tokens,
        (),
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_login_succeeds_and_shows_no_secret(name: str) -> None:
    text, ways, allowed = GOOD[name]
    shown = "\n".join(log_in(text, ways(*allowed)))
    assert not {"pencil", "t0ken", *map(written, PLACES)} & set(re.split(r"\s", shown))


BAD = {
    "a yes without a proof": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 334 {S1}
        {C2}                           | 235 2.7.0 welcome, whoever you are
        """,
        passwords,
        (None, "did not prove that it knows the password"),
    ),
    "a yes to the first message": (
        """offers SCRAM-SHA-256
        AUTH SCRAM-SHA-256 {C1}        | 235 2.7.0 welcome
        """,
        passwords,
        (None, "did not prove that it knows the password"),
    ),
    "a wrong proof": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 334 {S1}
        {C2}                           | 334 <v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95H4=>
        *                              | 501 cancelled
        """,
        passwords,
        (None, "the server's proof is wrong"),
    ),
    "too few iterations, and no password in the clear instead": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 334 <r=rOprNGfwEbeRWgbNEkqOx,s=c2FsdA==,i=1>
        *                              | 501 cancelled
        """,
        passwords,
        (None, "1 iterations"),
    ),
    "a wrong password, found out by the proof": (
        """offers SCRAM-SHA-256 PLAIN LOGIN
        AUTH SCRAM-SHA-256 {C1}        | 334 {S1}
        {C2}                           | 535 5.7.8 no
        """,
        passwords,
        (535, "refuses the login"),
    ),
    "the same, told in SCRAM's own way first": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 334 {S1}
        {C2}                           | 334 <e=invalid-proof>
        (empty)                        | 535 5.7.8 no
        """,
        passwords,
        (535, r"refuses the login \(invalid-proof\)"),
    ),
    "a trouble that passes is no reason to try another way": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 454 4.7.0 not now
        """,
        passwords,
        (454, "refuses the login"),
    ),
    "nor is a rule of the provider": (
        """offers SCRAM-SHA-256 PLAIN
        AUTH SCRAM-SHA-256 {C1}        | 534 5.7.9 use an application password
        """,
        passwords,
        (534, "application password"),
    ),
    "all of them offered and unknown": (
        """offers PLAIN LOGIN
        AUTH PLAIN {PLAIN}             | 504 5.5.4 not supported
        AUTH LOGIN                     | 504 5.5.4 not supported
        """,
        passwords,
        (504, "not supported"),
    ),
    "CRAM-MD5 is not used by itself": (
        """offers CRAM-MD5
        """,
        passwords,
        (None, "offers CRAM-MD5, we would use SCRAM-SHA-256, PLAIN, LOGIN"),
    ),
    "a stale token, told in two steps": (
        """offers OAUTHBEARER XOAUTH2
        AUTH OAUTHBEARER {BEARER}      | 334 <{"status":"invalid_token","scope":"mail"}>
        <\\1>                          | 535 5.7.8 no
        """,
        tokens,
        (535, r"refuses the login \(invalid_token\)"),
    ),
    "the same to XOAUTH2": (
        """offers XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}         | 334 <{"status":"400","schemes":"Bearer"}>
        (empty)                        | 535 5.7.8 no
        """,
        tokens,
        (535, r"refuses the login \(400\)"),
    ),
    "questions without end": (
        """offers PLAIN
        AUTH PLAIN {PLAIN}             | 334
        {PLAIN}                        | 334
        {PLAIN}                        | 334
        {PLAIN}                        | 334
        {PLAIN}                        | 334
        *                              | 501 cancelled
        """,
        passwords,
        (None, "questions without end"),
    ),
    "our own words in the answer to PLAIN": (
        """offers PLAIN
        AUTH PLAIN {PLAIN}             | 535 5.7.8 {PLAIN} is bad, and so is pencil
        """,
        passwords,
        (535, r"\*{8} is bad, and so is \*{8}"),
    ),
    "our token in the last answer": (
        """offers XOAUTH2
        AUTH XOAUTH2 {XOAUTH2}         | 334 <{"status":"400"}>
        (empty)                        | 535 5.7.8 t0ken <t0ken> is stale
        """,
        tokens,
        (535, r"\*{8} \*{8} is stale"),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_login_that_fails_says_why_and_shows_no_secret(name: str) -> None:
    text, ways, (code, told) = BAD[name]
    with pytest.raises(OpeningFailed, match=told) as caught:
        log_in(text, ways())
    failed = caught.value
    assert failed.phase is Phase.AUTH
    assert (failed.reply and failed.reply.code) == code
    assert failed.cause == (None if code else "auth")
    kept = f"{failed} {failed.reply and failed.reply.raw!r}"
    secrets = {"pencil", "t0ken", *map(written, ("{PLAIN}", "{XOAUTH2}", "<t0ken>", "<pencil>"))}
    assert not any(secret in kept for secret in secrets)
