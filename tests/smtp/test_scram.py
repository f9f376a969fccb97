"""SCRAM-SHA-256 by the example of its RFC, against a judge, and against servers that cheat."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.scram import MAX_ITERATIONS, MIN_ITERATIONS, ScramSha256
from tests.support.scram_judge import ScramJudge

# RFC 7677 section 3
NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = f"r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".encode()
CLIENT_FINAL = (
    f"c=biws,r={NONCE}%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
).encode()
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def pencil() -> ScramSha256:
    return ScramSha256("user", "pencil", NONCE)


def half_way() -> ScramSha256:
    """Our proof is given, the server's is due."""
    way = pencil()
    way.respond(SERVER_FIRST)
    return way


def test_the_example_of_the_rfc() -> None:
    way = pencil()
    assert way.initial_response() == b"n,,n=user,r=" + NONCE.encode()
    assert not way.revealed
    assert way.respond(SERVER_FIRST) == CLIENT_FINAL
    assert way.revealed
    assert not way.proven
    assert way.respond(SERVER_FINAL) == b""
    assert way.proven


def test_a_server_that_takes_no_initial_response_asks_for_it() -> None:
    way = pencil()
    assert way.respond(b"") == way.initial_response()
    assert way.respond(SERVER_FIRST) == CLIENT_FINAL


NONCES = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=","))


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"])),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
    NONCES.filter(bool),
    NONCES.filter(bool),
    st.binary(min_size=1),
)
@example("a=b,c", "pencil", "n", "=", b"\0")
def test_both_sides_agree_exactly_when_the_password_is_the_same(
    user: str, password: str, ours: str, theirs: str, salt: bytes
) -> None:
    for known in (password, password + "x"):
        judge = ScramJudge(known, nonce=theirs, salt=salt)
        way = ScramSha256(user, password, ours)
        proof = judge.final(way.respond(judge.first(way.initial_response())))
        assert (proof is not None) is (known == password)
        if proof is not None:
            assert way.respond(proof) == b""
            assert way.proven


def test_the_user_name_keeps_its_commas() -> None:
    judge = ScramJudge("pencil")
    judge.first(ScramSha256("a=2Cb,c", "pencil", "n").initial_response())
    assert judge.user == "a=2Cb,c"


@pytest.mark.parametrize("typed", ["p\u00e9ncil", "pe\u0301ncil", "p\u00e9n\u00adcil"])
def test_a_password_is_the_same_however_it_is_typed(typed: str) -> None:
    judge = ScramJudge("p\u00e9ncil")
    way = ScramSha256("anna", typed, "n")
    assert judge.final(way.respond(judge.first(way.initial_response()))) is not None


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"r=another,s=c2FsdA==,i=4096", "nonce"),
        (f"r={NONCE},s=c2FsdA==,i=4096".encode(), "nonce"),
        (f"r={NONCE} x,s=c2FsdA==,i=4096".encode(), "nonce"),
        (f"r={NONCE}x,s=,i=4096".encode(), "salt"),
        (f"r={NONCE}x,s=c2Fsd,i=4096".encode(), "base64"),
        (f"r={NONCE}x,s=c2FsdA==,i={MIN_ITERATIONS - 1}".encode(), "4095 iterations"),
        (f"r={NONCE}x,s=c2FsdA==,i={MAX_ITERATIONS + 1}".encode(), "600001 iterations"),
        (f"r={NONCE}x,s=c2FsdA==,i=999999999".encode(), "iterations"),
        (f"r={NONCE}x,s=c2FsdA==,i=04096".encode(), "not SCRAM's"),
        (f"r={NONCE}x,s=c2FsdA==,i=٤٠٩٦".encode(), "not SCRAM's"),
        (f"m=ext,r={NONCE}x,s=c2FsdA==,i=4096".encode(), "not SCRAM's"),
        (b"User Name", "not SCRAM's"),
        (b"\xff\xfe", "no text"),
    ],
)
def test_a_first_message_that_cheats_is_told_nothing(message: bytes, told: str) -> None:
    way = pencil()
    way.initial_response()
    with pytest.raises(SaslError, match=told):
        way.respond(message)
    assert not way.revealed


@pytest.mark.parametrize(
    "message",
    [
        b"v=AAAA",
        b"v=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95H4=",
        SERVER_FINAL[:-4],
        b"x" + SERVER_FINAL,
        SERVER_FIRST,
        b"",
        b"\xff",
    ],
)
def test_a_wrong_proof_ends_the_login(message: bytes) -> None:
    way = half_way()
    with pytest.raises(SaslError):
        way.respond(message)
    assert not way.proven


def test_an_error_in_place_of_a_proof_is_kept_and_proves_nothing() -> None:
    way = half_way()
    assert way.respond(b"e=invalid-proof") == b""
    assert way.reason == "invalid-proof"
    assert not way.proven


def test_nothing_is_answered_after_the_proof() -> None:
    way = half_way()
    way.respond(SERVER_FINAL)
    with pytest.raises(SaslError):
        way.respond(SERVER_FINAL)


@given(st.lists(st.binary(), max_size=4))
def test_whatever_a_server_says_it_is_an_answer_or_a_sasl_error(challenges: list[bytes]) -> None:
    way = half_way()
    for challenge in challenges:
        try:
            way.respond(challenge)
        except SaslError:
            break
    assert not way.proven


@pytest.mark.parametrize("nonce", ["", "a,b", "a b", "é"])
def test_a_nonce_that_cannot_be_sent_is_refused(nonce: str) -> None:
    with pytest.raises(SaslError, match="nonce"):
        ScramSha256("user", "pencil", nonce).initial_response()
