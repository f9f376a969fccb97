"""What is watched of a talk never holds a secret, however a server repeats it."""

import asyncio
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.delivery.exchange import Exchange, ExchangeFailed, Login, Target
from asyncnet.delivery.trace import Mask, Narrator, TraceEvent
from asyncnet.mail.envelope import Envelope
from asyncnet.mail.letter import Octets
from asyncnet.smtp.command import Auth, AuthResponse, Bdat, Data, grouped
from asyncnet.smtp.reply import Reply
from tests.support.smtp_server import CAPABILITIES, Retort, Say, Script, ScriptedServer

SECRET = "made-up word é 4711"
TOKEN = "ya29." + "made_up-token" * 12
USER = "anna@example.org"


def b64(text: str) -> str:
    return b64encode(text.encode()).decode()


FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in capitals": str.upper,
    "in base64": b64,
    "in base64, in small letters": lambda secret: b64(secret).lower(),
    "in base64 behind the user": lambda secret: b64(f"\0{USER}\0{secret}"),
    "in base64 with another beginning": lambda secret: b64(f"ab{secret}"),
    "in base64 for URLs": lambda secret: urlsafe_b64encode(f"?{secret}".encode()).decode(),
    "in base64, cut off": lambda secret: b64(f"\0{USER}\0{secret}")[:-9],
    "cut off": lambda secret: secret[: 2 * len(secret) // 3],
    "in hexadecimal": lambda secret: secret.encode().hex(),
    "in a URL": lambda secret: quote(secret, safe=""),
    "twice": lambda secret: secret + secret,
}


@pytest.mark.parametrize("secret", [SECRET, TOKEN], ids=["password", "token"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_struck_out(form: str, secret: str) -> None:
    shown = FORMS[form](secret)
    text = Mask([secret]).strike(f"500 5.5.2 unknown: '{shown}' (see the manual)")
    assert "********" in text
    assert text.startswith("500 5.5.2 unknown: '")
    assert text.endswith("(see the manual)")
    for form_of_all in FORMS.values():
        assert form_of_all(secret)[-12:].lower() not in text.lower()


@given(st.text(min_size=6, max_size=40), st.binary(max_size=9), st.binary(max_size=9))
def test_whatever_stands_around_it_in_base64(secret: str, before: bytes, behind: bytes) -> None:
    octets = secret.encode()
    encoded = b64encode(before + octets + behind).decode()
    first, last = (8 * len(before) + 5) // 6, 8 * (len(before) + len(octets)) // 6
    assert encoded[first:last] not in Mask([secret]).strike(f"500 {encoded}")


@pytest.mark.parametrize(
    "text",
    ["250 2.1.0 sender ok", "535 5.7.8 bad password", "550 made up", "", "İıſ 250 \N{KELVIN SIGN}"],
)
def test_an_innocent_text_stays_as_it_is(text: str) -> None:
    assert Mask([SECRET, TOKEN]).strike(text) == text


def test_octets_that_are_no_text_are_a_secret_too() -> None:
    assert Mask(["made up\udcff"]).strike("500 made up\udcff") == "500 ********"


def test_a_syllable_is_no_secret() -> None:
    assert Mask(["ok"]).strike("250 ok, okay") == "250 ok, okay"


def told() -> tuple[Narrator, list[str]]:
    events: list[str] = []
    return Narrator(lambda event: events.append(f"{event.direction} {event.text}")), events


def test_what_a_login_by_proofs_needs_to_be_guessed_at_is_not_shown() -> None:
    """Who has salt, count and a proof tries passwords at home until one fits."""
    narrator, events = told()
    challenge = b64("r=abcdefgh,s=c2FsdHNhbHQ=,i=4096")
    narrator.said([Auth("SCRAM-SHA-256", b"n,,n=user,r=abcd")])
    narrator.heard(Reply(334, (challenge,)), "RFC 4954 section 4")
    proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    narrator.said([AuthResponse(f"c=biws,r=abcdefgh,p={proof}".encode())])
    narrator.heard(Reply(334, (b64("v=6rriTRBi23WpRR/wtup+mMhUZUn"),)), "RFC 4954 section 4")
    narrator.said([AuthResponse(b"")])
    narrator.heard(Reply(500, (f"what is {proof[:20]}?",)), "RFC 4954 section 4")
    assert events == [
        "> AUTH SCRAM-SHA-256 ********",
        "< 334 ********",
        "> ********",
        "< 334 ********",
        "> ********",
        "< 500 what is ********?",
    ]


def test_content_is_told_by_its_size_and_the_rule_it_goes_by() -> None:
    events: list[TraceEvent] = []
    narrator = Narrator(events.append)
    for command in (Data(), Bdat(12)):
        narrator.said_lines(grouped(command))
        narrator.content(12)
    content = [event for event in events if "content" in event.text]
    assert [event.text for event in content] == ["[12 octets of content]"] * 2
    assert [event.rule for event in content] == ["RFC 5321 section 4.1.1.4", "RFC 3030 section 2"]


def test_a_digest_is_not_shown() -> None:
    narrator, events = told()
    digest = "b913a602c7eda7a495b4e6e7334d3890"
    narrator.said([Auth("CRAM-MD5")])
    narrator.heard(Reply(334, ("PDE4OTY+",)), "")
    narrator.said([AuthResponse(f"{USER} {digest}".encode())])
    narrator.heard(Reply(535, (f"{digest} is wrong for {USER}",)), "")
    assert events[1] == "< 334 PDE4OTY+"
    assert events[-1] == f"< 535 ******** is wrong for {USER}"


MECHANISMS = {
    "PLAIN": Login(USER, SECRET),
    "LOGIN": Login(USER, SECRET),
    "XOAUTH2": Login(USER, TOKEN, bearer=True),
    "OAUTHBEARER": Login(USER, TOKEN, bearer=True),
}


@pytest.mark.parametrize("mechanism", MECHANISMS)
@pytest.mark.parametrize("loud", [str, str.upper, lambda line: line[: 2 * len(line) // 3]])
async def test_a_server_that_repeats_the_login_line(
    mechanism: str, loud: Callable[[str], str]
) -> None:
    """Some say what they did not understand; some in capitals, some cut it off."""
    login = MECHANISMS[mechanism]
    events: list[TraceEvent] = []
    repeats = Retort(lambda line: f"500 5.5.2 what is {loud(line)}?\r\n".encode())
    script: Script = {"AUTH": repeats, "response": Say(b"334 \r\n")}
    capabilities = (*CAPABILITIES, f"AUTH {mechanism}")
    async with ScriptedServer(script, capabilities=capabilities) as server:
        with pytest.raises(ExchangeFailed) as caught:
            await Exchange.connect(Target("127.0.0.1", server.port, "none", login), events.append)
    text = "\n".join(event.text for event in events)
    encoded = [line.split(" ")[-1] for line in server.heard.lines if not line.startswith("EHLO")]
    for secret in (login.password, b64(login.password), *(it for it in encoded if len(it) > 9)):
        half = secret[: len(secret) // 2].lower()
        assert half not in text.lower()
    assert login.password not in str(caught.value)
    assert "********" in text


async def test_a_server_that_tells_the_password_long_after_the_login() -> None:
    events: list[TraceEvent] = []
    spilt = Say(f"250 {USER} knows {SECRET}\r\n".encode())
    capabilities = (*CAPABILITIES, "AUTH PLAIN")
    async with ScriptedServer({"MAIL": spilt}, capabilities=capabilities) as server:
        target = Target("127.0.0.1", server.port, "none", Login(USER, SECRET))
        exchange = await Exchange.connect(target, events.append)
        await exchange.transact(Envelope(USER, ("b@example.org",)), Octets(b"Subject: x\r\n\r\n"))
        await exchange.close()
        await asyncio.wait_for(server.ended.wait(), 5)
    lines = [event.text for event in events]
    assert f"250 {USER} knows ********" in lines
    assert SECRET not in "\n".join(lines)
