"""What servers do wrong, and what our client must make of it: the table.

A row is a misdeed, the ways of sending that meet it, and the verdict on each recipient in the
words of the result file: "deferred 421 mail reconnect" is status, code ("-": no reply), phase and
class.  Behind a "|" stands how the account is left, where that is not "ok".  A message has two
recipients, b and c; of several messages each has one.  The runner, which also holds what is true
of every row, is test_faults.
"""

import json
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.support.certificates import Certificates
from tests.support.faults import PLAIN, SECRET, Fault
from tests.support.scram_judge import ScramJudge
from tests.support.smtp_server import (
    CAPABILITIES,
    Cut,
    Drip,
    Forget,
    HangUp,
    Later,
    Reset,
    Retort,
    Say,
    Script,
    Silence,
    Slow,
    StopReading,
)

SERIAL = ("SIZE 50000000", "8BITMIME")
OFFERS = {"serial": SERIAL, "joined": CAPABILITIES, "chunked": (*CAPABILITIES, "CHUNKING")}
ALL = ("serial", "joined", "chunked")
BY_DATA = ("serial", "joined")
GROUPS = ("joined", "chunked")


def in_tls(
    script: Script, verdicts: str, *, offered: tuple[str, ...] = ("AUTH PLAIN LOGIN",), **more: Any
) -> Fault:
    """A row with a login under STARTTLS."""
    more = {"login": "password", "shown": Certificates.good, "tls": "starttls", **more}
    return Fault(script, verdicts, offer=(*CAPABILITIES, *offered), **more)


def certificate(shown: Callable[[Certificates], ssl.SSLContext], text: str, **more: Any) -> Fault:
    """A row whose server shows a certificate that proves nothing."""
    verdict = "deferred - tls tls|down"
    more = {"tls": "starttls", "never": ("AUTH", "MAIL"), **more}
    return Fault({}, verdict, shown=shown, login="password", text=text, **more)


OK = Say(b"250 ok\r\n")
ARABIC, FULLWIDTH = "٢٥٠ ok\r\n".encode(), "２５０ ok\r\n".encode()
GBK = "550 邮箱不存在\r\n".encode("gb18030")

GREETING: dict[str, Fault] = {
    "hangs up at once": Fault({"greeting": HangUp()}, "deferred - greeting network|down"),
    "resets at once": Fault({"greeting": Reset()}, "deferred - greeting network|down"),
    "says nothing": Fault(
        {"greeting": Silence()}, "deferred - greeting network|down", late="greeting_s"
    ),
    "drips its greeting octet by octet": Fault(
        {"greeting": Drip()}, "deferred - greeting network|down", late="greeting_s"
    ),
    "drips its greeting line by line": Fault(
        {"greeting": Drip(b"220-hi\r\n", 0.02)},
        "deferred - greeting network|down",
        late="greeting_s",
    ),
    "greets in 300 lines": Fault(
        {"greeting": Say(b"220-hi\r\n" * 300)}, "deferred - greeting protocol|down"
    ),
    "greets in one line of 9,000 octets": Fault(
        {"greeting": Say(b"220 " + b"x" * 9000)}, "deferred - greeting protocol|down"
    ),
    "greets with a megabyte": Fault(
        {"greeting": Say((b"220-" + b"x" * 2000 + b"\r\n") * 500)},
        "deferred - greeting protocol|down",
    ),
    "greets with half a line": Fault(
        {"greeting": HangUp(b"220 mx")}, "deferred - greeting network|down"
    ),
    "greets with half a reply": Fault(
        {"greeting": HangUp(b"220-mx\r\n")}, "deferred - greeting network|down"
    ),
    "greets with 554": Fault(
        {"greeting": HangUp(b"554 no\r\n")}, "deferred 554 greeting network|down"
    ),
    "greets with 421": Fault(
        {"greeting": HangUp(b"421 busy\r\n")}, "deferred 421 greeting transient|down"
    ),
    "greets with 250": Fault(
        {"greeting": HangUp(b"250 hello\r\n")}, "deferred 250 greeting protocol|down"
    ),
    "greets with 120": Fault(
        {"greeting": Say(b"120 soon\r\n")}, "deferred - greeting protocol|down"
    ),
    "greets with 999": Fault({"greeting": Say(b"999 hi\r\n")}, "deferred - greeting protocol|down"),
    "greets with Arabic digits": Fault(
        {"greeting": Say(ARABIC)}, "deferred - greeting protocol|down"
    ),
    "greets with fullwidth digits": Fault(
        {"greeting": Say(FULLWIDTH)}, "deferred - greeting protocol|down"
    ),
    "greets with NUL": Fault({"greeting": Say(b"\0\0\r\n")}, "deferred - greeting protocol|down"),
    "is a web server": Fault(
        {"greeting": HangUp(b"HTTP/1.1 400 Bad Request\r\n\r\n")},
        "deferred - greeting protocol|down",
    ),
    "speaks TLS at once": Fault(
        {"greeting": Say(b"\x15\x03\x01\x00\x02\x02\n")}, "deferred - greeting protocol|down"
    ),
    "greets twice": Fault(
        {"greeting": Say(b"220 one\r\n220 two\r\n")}, "deferred 220 ehlo protocol|down"
    ),
}

EHLO: dict[str, Fault] = {
    "hangs up at EHLO": Fault({"EHLO": HangUp()}, "deferred - ehlo network|down"),
    "resets at EHLO": Fault({"EHLO": Reset()}, "deferred - ehlo network|down"),
    "says nothing to EHLO": Fault(
        {"EHLO": Silence()}, "deferred - ehlo network|down", late="ehlo_s"
    ),
    "drips its offers": Fault(
        {"EHLO": Drip(b"250-X\r\n", 0.02)}, "deferred - ehlo network|down", late="ehlo_s"
    ),
    "421 to EHLO": Fault(
        {"EHLO": HangUp(b"421 4.3.2 bye\r\n")}, "deferred 421 ehlo transient|down"
    ),
    "451 to EHLO": Fault({"EHLO": Say(b"451 later\r\n")}, "deferred 451 ehlo transient|down"),
    "334 to EHLO": Fault({"EHLO": Say(b"334 \r\n")}, "deferred 334 ehlo protocol|down"),
    "changes its code within EHLO": Fault(
        {"EHLO": Say(b"250-mx\r\n220 SIZE\r\n")}, "deferred - ehlo protocol|down"
    ),
    "offers 1,000 things": Fault(
        {"EHLO": Say(b"250-mx\r\n" + b"250-X\r\n" * 1000 + b"250 Y\r\n")},
        "deferred - ehlo protocol|down",
    ),
    "refuses EHLO and HELO": Fault(
        {"EHLO": Say(b"502 no\r\n"), "HELO": Say(b"550 no\r\n")}, "deferred 550 ehlo network|down"
    ),
    "knows HELO alone": Fault({"EHLO": Say(b"500 what?\r\n")}, "accepted 250 dot"),
    "knows HELO alone, and a login is asked for": Fault(
        {"EHLO": Say(b"500 what?\r\n")},
        "deferred - tls tls|down",
        tls="starttls",
        login="password",
        never=("AUTH", "MAIL"),
    ),
    "offers the same twice, and nonsense": Fault(
        {},
        "accepted 250 dot",
        offer=("SIZE 1", "SIZE 50000000", "", "-", "=", "PIPELINING X Y", "\0\x7f", "PIPELINING"),
    ),
    "offers SIZE 0": Fault({}, "accepted 250 dot", offer=("SIZE 0",)),
    "offers a huge SIZE": Fault({}, "accepted 250 dot", offer=("SIZE 99999999999999999999",)),
    "offers a SIZE beyond numbers": Fault({}, "accepted 250 dot", offer=("SIZE " + "9" * 3000,)),
    "offers a negative SIZE": Fault({}, "accepted 250 dot", offer=("SIZE -1",)),
    "offers SIZE in words": Fault({}, "accepted 250 dot", offer=("SIZE unlimited",)),
    "offers SIZE in Arabic digits": Fault({}, "accepted 250 dot", offer=("SIZE ١",)),
    "offers a tiny SIZE": Fault({}, "rejected - mail size", offer=("SIZE 10",), never=("MAIL",)),
    "limits recipients to one": Fault(
        {},
        ("accepted 250 dot", "deferred 452 rcpt transient"),
        ALL,
        server={"also": ("LIMITS RCPTMAX=1",)},
    ),
    "limits recipients to none": Fault(
        {}, "accepted 250 dot", ALL, server={"also": ("LIMITS RCPTMAX=0 MAILMAX=x",)}
    ),
    "speaks unasked behind EHLO": Fault(
        {"EHLO": [Say(b"250-mx\r\n250 SIZE\r\n250 psst\r\n")]}, "deferred - mail reconnect|down",
        talks=2,
    ),
}  # fmt: skip

TLS: dict[str, Fault] = {
    "strips STARTTLS": Fault(
        {},
        "deferred - tls tls|down",
        tls="starttls",
        login="password",
        offer=(*CAPABILITIES, "AUTH PLAIN"),
        never=("AUTH", "MAIL"),
    ),
    "refuses STARTTLS": in_tls(
        {"STARTTLS": Say(b"454 4.7.0 no\r\n")}, "deferred 454 tls tls|down", never=("AUTH",)
    ),
    "refuses STARTTLS for good": in_tls(
        {"STARTTLS": Say(b"502 no\r\n")}, "deferred 502 tls tls|down", never=("AUTH",)
    ),
    "250 to STARTTLS": in_tls(
        {"STARTTLS": Say(b"250 ok\r\n")}, "deferred 250 tls protocol|down", never=("AUTH",)
    ),
    "421 to STARTTLS": in_tls(
        {"STARTTLS": HangUp(b"421 4.3.2 bye\r\n")},
        "deferred 421 tls tls|down",
        never=("AUTH",),
    ),
    "says nothing to STARTTLS": in_tls(
        {"STARTTLS": Silence()}, "deferred - tls network|down", late="tls_s"
    ),
    "injects a reply behind the 220": in_tls(
        {"STARTTLS": Say(b"220 go\r\n250-mx\r\n250 AUTH PLAIN\r\n")},
        "deferred - tls tls|down",
        text="before TLS",
    ),
    "injects half a line behind the 220": in_tls(
        {"STARTTLS": Say(b"220 go\r\n250-m")}, "deferred - tls tls|down", text="before TLS"
    ),
    "injects one octet behind the 220": in_tls(
        {"STARTTLS": Say(b"220 go\r\n2")}, "deferred - tls tls|down", text="before TLS"
    ),
    "injects a line end behind the 220": in_tls(
        {"STARTTLS": Say(b"220 go\r\n\r\n")}, "deferred - tls tls|down"
    ),
    "injects a reply a moment after the 220": in_tls(
        {"STARTTLS": Later(b"220 go\r\n", b"250-mx\r\n250 AUTH PLAIN\r\n")},
        "deferred - tls tls|down",
    ),
    "injects half a line a moment after the 220": in_tls(
        {"STARTTLS": Later(b"220 go\r\n", b"250")}, "deferred - tls tls|down", late="tls_s"
    ),
    "injects a reply before the 220": in_tls(
        {"STARTTLS": Say(b"250 AUTH PLAIN\r\n220 go\r\n")}, "deferred 250 tls protocol|down"
    ),
    "hangs up in place of the handshake": in_tls(
        {"STARTTLS": HangUp(b"220 go\r\n")}, "deferred - tls tls|down"
    ),
    "resets in place of the handshake": in_tls(
        {"STARTTLS": Reset()}, "deferred - tls network|down"
    ),
    "stops reading in place of the handshake": in_tls(
        {"STARTTLS": StopReading(b"220 go\r\n")}, "deferred - tls tls|down", late="tls_s"
    ),
    "speaks in the clear on the TLS port": Fault({}, "deferred - tls tls|down", tls="implicit"),
    "says nothing on the TLS port": Fault(
        {"greeting": Silence()}, "deferred - tls tls|down", tls="implicit", late="tls_s"
    ),
    "offers AUTH in the clear alone": in_tls(
        {},
        "deferred - auth auth|held",
        server={"capabilities_in_tls": CAPABILITIES},
        never=("AUTH", "MAIL"),
    ),
    "offers another SIZE under TLS": in_tls(
        {}, "rejected - mail size", server={"capabilities_in_tls": ("AUTH PLAIN", "SIZE 10")}
    ),
    "offers no SIZE any more under TLS": in_tls(
        {}, "accepted 250 dot", server={"capabilities_in_tls": ("AUTH PLAIN",)}
    ),
    "offers no PIPELINING any more under TLS": in_tls(
        {},
        "accepted 250 dot",
        server={"capabilities_in_tls": ("AUTH PLAIN", "CHUNKING", "SIZE")},
        never=("BDAT",),
    ),
    "offers no CHUNKING any more under TLS": in_tls(
        {},
        "accepted 250 dot",
        offered=("AUTH PLAIN", "CHUNKING"),
        server={"capabilities_in_tls": (*CAPABILITIES, "AUTH PLAIN")},
        never=("BDAT",),
    ),
    "offers CHUNKING under TLS alone": in_tls(
        {},
        "accepted 250 dot",
        server={"capabilities_in_tls": (*CAPABILITIES, "CHUNKING", "AUTH PLAIN")},
        never=("DATA",),
    ),
    "knows HELO alone under TLS": in_tls(
        {"EHLO": [None, Say(b"502 no more\r\n")]}, "deferred - auth auth|held", never=("AUTH",)
    ),
    "ends TLS without close_notify between dot and reply": in_tls(
        {"content": Cut()}, "in_doubt - dot"
    ),
    "ends TLS without close_notify behind the last reply": in_tls(
        {"content": Cut(b"250 2.0.0 queued\r\n")}, "accepted 250 dot"
    ),
    "ends TLS without close_notify at MAIL": in_tls(
        {"MAIL": Cut()}, "deferred - mail reconnect|down", talks=2
    ),
    "ends TLS without close_notify at QUIT": in_tls({"QUIT": Cut(b"221 b")}, "accepted 250 dot"),
}

CERTIFICATES = {
    "shows an expired certificate": certificate(Certificates.expired, "expired"),
    "shows one that is not valid yet": certificate(Certificates.not_yet_valid, "not valid yet"),
    "shows another's certificate": certificate(Certificates.wrong_name, "other names"),
    "has its name in CN only": certificate(Certificates.common_name_only, "other names"),
    "shows a certificate of its own making": certificate(Certificates.self_signed, "self-signed"),
    "shows one of an unknown authority": certificate(Certificates.unknown_authority, "authority"),
    "shows one for clients alone": certificate(Certificates.for_clients_only, "not made for"),
    "shows a key of 1024 bits": certificate(Certificates.weak_key, "too weak"),
    "shows an expired one on the TLS port": certificate(
        Certificates.expired, "expired", tls="implicit", server={"implicit": True}, talks=0
    ),
    "is asked by its address, which is not in its certificate": certificate(
        Certificates.wrong_name, "other addresses", host="127.0.0.1"
    ),
}


def asked(judge_password: str, then: str) -> Script:
    """A SCRAM server that knows another password, or none: its second word is "then"."""

    def first(line: str) -> bytes:
        challenge = ScramJudge(judge_password).first(b64decode(line.split(" ")[2]))
        return b"334 " + b64encode(challenge) + b"\r\n"

    return {"AUTH": Retort(first), "other": [Say(then.encode()), Say(b"501 cancelled\r\n")]}


def challenge(text: str) -> bytes:
    return b"334 " + b64encode(text.encode()) + b"\r\n"


SCRAM: dict[str, Any] = {"offered": ("AUTH SCRAM-SHA-256",)}
XOAUTH2: dict[str, Any] = {"offered": ("AUTH XOAUTH2",), "login": "token"}
JSON = challenge(json.dumps({"status": "401", "schemes": "bearer"}))

LOGIN = {
    "offers AUTH where no TLS is asked for": Fault(
        {},
        "deferred - auth auth|held",
        login="password",
        offer=(*CAPABILITIES, "AUTH PLAIN LOGIN SCRAM-SHA-256"),
        never=("AUTH", "MAIL"),
    ),
    "refuses the login": in_tls(
        {"AUTH": Say(b"535 5.7.8 no\r\n")}, "deferred 535 auth auth|held", never=("MAIL",)
    ),
    "refuses the login for now": in_tls(
        {"AUTH": Say(b"454 4.7.0 later\r\n")}, "deferred 454 auth transient|down"
    ),
    "hangs up at AUTH": in_tls({"AUTH": HangUp()}, "deferred - auth network|down"),
    "421 to AUTH": in_tls(
        {"AUTH": HangUp(b"421 4.7.0 too many\r\n")}, "deferred 421 auth transient|down"
    ),
    "resets at AUTH": in_tls({"AUTH": Reset()}, "deferred - auth network|down"),
    "says nothing to the password": in_tls(
        {"AUTH": Say(challenge("Password:")), "other": Silence()},
        "deferred - auth network|down",
        late="auth_s",
        offered=("AUTH LOGIN",),
    ),
    "hangs up at the password": in_tls(
        {"AUTH": Say(challenge("Password:")), "other": HangUp()},
        "deferred - auth network|down",
        offered=("AUTH LOGIN",),
    ),
    "says nothing to AUTH": in_tls(
        {"AUTH": Silence()}, "deferred - auth network|down", late="auth_s"
    ),
    "354 to AUTH": in_tls({"AUTH": Say(b"354 go\r\n")}, "deferred 354 auth protocol|down"),
    "repeats our secret": in_tls(
        {"AUTH": Say(f"500 AUTH PLAIN {PLAIN} {SECRET}\r\n".encode())},
        "deferred 500 auth auth|held",
    ),
    "babbles our secret": in_tls(
        {"AUTH": Say(f"{SECRET}?\r\n".encode())}, "deferred - auth protocol|down"
    ),
    "repeats our secret in a line that is none": in_tls(
        {"AUTH": Say(f"535-{PLAIN}\r\n334 {PLAIN}\r\n".encode())}, "deferred - auth protocol|down"
    ),
    "asks on and on": in_tls(
        {"AUTH": Say(b"334 \r\n"), "other": Say(b"334 \r\n")}, "deferred - auth auth|held"
    ),
    "asks in words that are no base64": in_tls(
        {"AUTH": [Say(b"334 who are you?\r\n")], "other": Say(b"535 no\r\n")},
        "deferred 535 auth auth|held",
    ),
    "welcomes us before we said who we are": in_tls(
        {"AUTH": Say(b"235 come in\r\n")}, "accepted 250 dot", offered=("AUTH LOGIN",)
    ),
    "welcomes us before the second step": in_tls(
        {"AUTH": Say(b"334 \r\n"), "response": Say(b"235 come in\r\n")},
        "accepted 250 dot",
        offered=("AUTH LOGIN",),
    ),
    "offers AUTH in the old spelling": in_tls({}, "accepted 250 dot", offered=("AUTH=PLAIN",)),
    "offers a login that we do not know": in_tls(
        {}, "deferred - auth auth|held", offered=("AUTH GSSAPI NTLM",), never=("AUTH",)
    ),
    "welcomes SCRAM without proof": in_tls(
        {"AUTH": Say(b"235 come in\r\n")}, "deferred - auth auth|held", never=("MAIL",), **SCRAM
    ),
    "welcomes SCRAM before its own proof": in_tls(
        asked(SECRET, "235 come in\r\n"), "deferred - auth auth|held", never=("MAIL",), **SCRAM
    ),
    "proves to know another password": in_tls(
        asked("another", challenge("v=" + b64encode(b"x" * 32).decode()).decode()),
        "deferred - auth auth|held",
        text="does not know the password",
        **SCRAM,
    ),
    "continues a nonce that is not ours": in_tls(
        {"AUTH": Say(challenge("r=evil,s=c2FsdA==,i=4096")), "other": Say(b"501 ok\r\n")},
        "deferred - auth auth|held",
        text="nonce",
        **SCRAM,
    ),
    "wants 1 iteration": in_tls(
        {
            "AUTH": Retort(
                lambda line: challenge(
                    f"r={b64decode(line.split(' ')[2]).decode().split('r=')[1]}x,s=c2FsdA==,i=1"
                )
            ),
            "other": Say(b"501 ok\r\n"),
        },
        "deferred - auth auth|held",
        text="iterations",
        **SCRAM,
    ),
    "explains a bad token in JSON": in_tls(
        {"AUTH": Say(JSON), "other": Say(b"535 5.7.8 bad token\r\n")},
        "deferred 535 auth auth|held",
        **XOAUTH2,
    ),
    "explains a bad token for ever": in_tls(
        {"AUTH": Say(JSON), "other": Say(JSON)}, "deferred - auth auth|held", **XOAUTH2
    ),
    "explains a bad token in no JSON": in_tls(
        {"AUTH": Say(challenge("[" * 5000)[:3000] + b"\r\n"), "other": Say(b"535 no\r\n")},
        "deferred 535 auth auth|held",
        **XOAUTH2,
    ),
    "530 to MAIL, where no login was asked for": Fault(
        {"MAIL": Say(b"530 5.7.0 authenticate first\r\n"), "RCPT": Say(b"503 no\r\n")},
        "deferred 530 mail auth|held",
    ),
}

NO_THEN_YES = (Say(b"550 5.1.1 no\r\n"), None)
REFUSED_THEN_TAKEN = ("rejected 550 rcpt recipient", "accepted 250 dot")
ENVELOPE = {
    "hangs up at MAIL": Fault(
        {"MAIL": HangUp()}, "deferred - mail reconnect|down", BY_DATA, talks=2
    ),
    "resets at MAIL": Fault({"MAIL": Reset()}, "deferred - mail reconnect|down", BY_DATA, talks=2),
    "hangs up at MAIL once": Fault(
        {"MAIL": [HangUp(), None]}, "accepted 250 dot", BY_DATA, talks=2
    ),
    "says nothing to MAIL": Fault(
        {"MAIL": Silence()}, "deferred - mail reconnect|down", BY_DATA, late="mail_s", talks=2
    ),
    "421 to MAIL": Fault(
        {"MAIL": HangUp(b"421 4.3.2 bye\r\n")}, "deferred 421 mail reconnect|down", ALL, talks=2
    ),
    "refuses the sender": Fault(
        {"MAIL": Say(b"553 5.1.8 not you\r\n"), "DATA": Say(b"503 no\r\n")},
        "rejected 553 mail sender",
        ALL,
    ),
    "refuses the sender, and yet wants content": Fault(
        {"MAIL": Say(b"553 5.1.8 not you\r\n"), "DATA": Say(b"354 go\r\n")},
        "rejected 553 mail sender",
        BY_DATA,
    ),
    "354 to MAIL": Fault(
        {"MAIL": Say(b"354 what\r\n")}, "deferred 354 mail protocol|down", BY_DATA, talks=2
    ),
    "garbage to MAIL": Fault(
        {"MAIL": Say(b"ok\r\n")}, "deferred - mail reconnect|down", BY_DATA, talks=2
    ),
    "Arabic digits to MAIL": Fault(
        {"MAIL": Say(ARABIC)}, "deferred - mail reconnect|down", BY_DATA, talks=2
    ),
    "hangs up within its reply to MAIL": Fault(
        {"MAIL": HangUp(b"250-o")}, "deferred - mail reconnect|down", BY_DATA, talks=2
    ),
    "answers MAIL twice, one by one": Fault(
        {"MAIL": Say(b"250 ok\r\n250 ok\r\n")},
        "deferred 250 data protocol",
        ("serial",),
        talks=2,
    ),
    "refuses one recipient": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None]},
        ("rejected 550 rcpt recipient", "accepted 250 dot"),
        ALL,
    ),
    "refuses one recipient in Chinese": Fault(
        {"RCPT": [Say(GBK), None]},
        ("rejected 550 rcpt recipient", "accepted 250 dot"),
        ALL,
        charset="gb18030",
        text="邮箱不存在",
    ),
    "refuses one recipient with NUL, ESC and 8-bit": Fault(
        {"RCPT": [Say(b"550 \0\x1b[31m\xff no\r\n"), None]},
        ("rejected 550 rcpt recipient", "accepted 250 dot"),
        ALL,
    ),
    "refuses all recipients": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), Say(b"450 4.2.0 later\r\n")]},
        ("rejected 550 rcpt recipient", "deferred 450 rcpt transient"),
        ALL,
    ),
    "refuses all recipients, and yet wants content": Fault(
        {"RCPT": Say(b"550 5.1.1 no\r\n"), "DATA": Say(b"354 go\r\n")},
        "rejected 550 rcpt recipient",
        ("joined",),
    ),
    "421 to the second recipient": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), HangUp(b"421 4.3.2 bye\r\n")]},
        ("rejected 550 rcpt recipient", "deferred 421 rcpt reconnect"),
        ALL,
    ),
    "hangs up at the second recipient": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), HangUp()]},
        ("rejected 550 rcpt recipient", "deferred - rcpt reconnect"),
        BY_DATA,
    ),
    "resets at RCPT": Fault({"RCPT": Reset()}, "deferred - rcpt reconnect", ("serial",), talks=2),
    "says nothing to RCPT": Fault(
        {"RCPT": Silence()}, "deferred - rcpt reconnect", ("serial",), late="rcpt_s", talks=2
    ),
    "drips its reply to RCPT line by line": Fault(
        {"RCPT": Drip(b"250-x\r\n", 0.02)},
        "deferred - rcpt reconnect",
        ("serial",),
        late="rcpt_s",
        talks=2,
    ),
    "354 to RCPT": Fault(
        {"RCPT": Say(b"354 what\r\n")}, "deferred 354 rcpt protocol", BY_DATA, talks=2
    ),
    "refuses all recipients, and answers RSET with junk": Fault(
        {"RCPT": Say(b"550 5.1.1 no\r\n"), "RSET": Say(b"\xff\xfe\0junk\r\n")},
        "rejected 550 rcpt recipient",
        BY_DATA,
    ),
    "refuses one message, and RSET": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None], "RSET": Say(b"502 no\r\n")},
        ("rejected 550 rcpt recipient", "accepted 250 dot", "accepted 250 dot"),
        ALL,
        messages=3,
        talks=2,
    ),
    "refuses one message, and 421 to RSET": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None], "RSET": HangUp(b"421 bye\r\n")},
        ("rejected 550 rcpt recipient", "accepted 250 dot", "accepted 250 dot"),
        ALL,
        messages=3,
        talks=2,
    ),
    "refuses one message, and 354 to RSET": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None], "RSET": Say(b"354 no\r\n")},
        ("rejected 550 rcpt recipient", "accepted 250 dot", "accepted 250 dot"),
        ALL,
        messages=3,
        talks=2,
    ),
    "refuses one message, and says nothing to RSET": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None], "RSET": Silence()},
        ("rejected 550 rcpt recipient", "accepted 250 dot", "accepted 250 dot"),
        ALL,
        messages=3,
        talks=2,
        late="rset_s",
    ),
    # By BDAT the next message goes along with an RSET that was taken before: its content is
    # there, whatever is answered now.
    "refuses a second chunk, and then RSET": Fault(
        {"RCPT": [*NO_THEN_YES, *NO_THEN_YES], "RSET": [None, Say(b"502 no\r\n")]},
        (*REFUSED_THEN_TAKEN, *REFUSED_THEN_TAKEN, "accepted 250 dot"),
        ("chunked",),
        messages=5,
    ),
    "refuses a second chunk, and then 354 to RSET": Fault(
        {"RCPT": [*NO_THEN_YES, *NO_THEN_YES], "RSET": [None, Say(b"354 no\r\n")]},
        (*REFUSED_THEN_TAKEN, REFUSED_THEN_TAKEN[0], "in_doubt - dot", "accepted 250 dot"),
        ("chunked",),
        messages=5,
        talks=2,
    ),
    "refuses a second chunk, and then says nothing to RSET": Fault(
        {"RCPT": [*NO_THEN_YES, *NO_THEN_YES], "RSET": [None, Silence()]},
        (*REFUSED_THEN_TAKEN, REFUSED_THEN_TAKEN[0], "in_doubt - dot", "accepted 250 dot"),
        ("chunked",),
        messages=5,
        talks=2,
        late="rset_s",
    ),
    "refuses one message, and is never told RSET": Fault(
        {"RCPT": [Say(b"550 5.1.1 no\r\n"), None]},
        ("rejected 550 rcpt recipient", "accepted 250 dot", "accepted 250 dot"),
        ALL,
        messages=3,
        talks=2,
        rset=False,
        never=("RSET",),
    ),
}

DATA = {
    "421 to DATA": Fault(
        {"DATA": HangUp(b"421 4.3.2 bye\r\n")}, "deferred 421 data reconnect", BY_DATA, talks=2
    ),
    "451 to DATA": Fault(
        {"DATA": Say(b"451 4.3.0 later\r\n")}, "deferred 451 data transient", BY_DATA
    ),
    "250 to DATA": Fault({"DATA": OK}, "deferred 250 data protocol", BY_DATA, talks=2),
    "250 in place of 354, and 354 behind it": Fault(
        {"DATA": Say(b"250 ok\r\n354 go\r\n")}, "deferred 250 data protocol", BY_DATA, talks=2
    ),
    "354 twice": Fault(
        {"DATA": Say(b"354 go\r\n354 go\r\n")}, "deferred - data reconnect", BY_DATA, talks=2
    ),
    "354, and a refusal behind it": Fault(
        {"DATA": Say(b"354 go\r\n552 5.3.4 too large\r\n")}, "rejected 552 data size", BY_DATA
    ),
    "hangs up at DATA": Fault({"DATA": HangUp()}, "deferred - data reconnect", BY_DATA, talks=2),
    "resets at DATA": Fault({"DATA": Reset()}, "deferred - data reconnect", ("serial",), talks=2),
    "says nothing to DATA": Fault(
        {"DATA": Silence()}, "deferred - data reconnect", ("serial",), late="data_s", talks=2
    ),
    "hangs up behind the 354": Fault(
        {"DATA": HangUp(b"354 go\r\n")},
        "deferred - data reconnect",
        ("serial",),
        talks=2,
        large=True,
    ),
}

LARGE = {
    "hangs up within the content": Fault({"begun": HangUp()}, "deferred - data reconnect"),
    "resets within the content": Fault({"begun": Reset()}, "deferred - data reconnect"),
    "refuses within the content": Fault(
        {"begun": [Say(b"552 5.3.4 too large\r\n"), Silence()]}, "rejected 552 data size"
    ),
    "refuses within the content, and hangs up": Fault(
        {"begun": HangUp(b"552 5.3.4 too large\r\n")}, "rejected 552 data size"
    ),
    "421 within the content": Fault(
        {"begun": HangUp(b"421 4.3.2 bye\r\n")}, "deferred 421 data reconnect"
    ),
    "accepts within the content": Fault({"begun": [OK, None]}, "accepted 250 dot", talks=2),
    "babbles within the content": Fault(
        {"begun": [Say(b"\0\xff\r\n"), None]}, "accepted 250 dot", talks=2
    ),
    "floods us within the content": Fault(
        {"begun": [Say(b"250-x\r\n" * 40_000), None]}, "accepted 250 dot", talks=2
    ),
    "stops reading within the content": Fault(
        {"begun": StopReading()},
        "deferred - data reconnect",
        late="block_s",
        server={"receive_octets": 4096},
    ),
}

DOT = {
    "hangs up between dot and reply": Fault({"content": HangUp()}, "in_doubt - dot", BY_DATA),
    "resets between dot and reply": Fault({"content": Reset()}, "in_doubt - dot", BY_DATA),
    "says nothing to the dot": Fault(
        {"content": Silence()}, "in_doubt - dot", BY_DATA, late="dot_s"
    ),
    "hangs up within the last reply": Fault(
        {"content": HangUp(b"250-one\r\n250 qu")}, "in_doubt - dot", BY_DATA
    ),
    "resets within the last reply's code": Fault(
        {"content": Cut(b"25")}, "in_doubt - dot", BY_DATA
    ),
    "says the last reply without line end": Fault(
        {"content": HangUp(b"250 queued")}, "in_doubt - dot", BY_DATA
    ),
    "drips its last reply octet by octet": Fault(
        {"content": Drip(b"2", 0.01)}, "in_doubt - dot", BY_DATA, late="dot_s"
    ),
    "drips its last reply line by line": Fault(
        {"content": Drip(b"250-working\r\n", 0.02)}, "in_doubt - dot", BY_DATA, late="dot_s"
    ),
    "garbage to the dot": Fault({"content": Say(b"\0\xff\r\n")}, "in_doubt - dot", BY_DATA),
    "Arabic digits to the dot": Fault({"content": Say(ARABIC)}, "in_doubt - dot", BY_DATA),
    "fullwidth digits to the dot": Fault({"content": Say(FULLWIDTH)}, "in_doubt - dot", BY_DATA),
    "150 to the dot": Fault({"content": Say(b"150 ok\r\n")}, "in_doubt - dot", BY_DATA),
    "999 to the dot": Fault({"content": Say(b"999 ok\r\n")}, "in_doubt - dot", BY_DATA),
    "354 to the dot": Fault({"content": Say(b"354 more\r\n")}, "in_doubt - dot", BY_DATA),
    "changes its code in the last reply": Fault(
        {"content": Say(b"250-yes\r\n550 no\r\n")}, "in_doubt - dot", BY_DATA
    ),
    "refuses the content": Fault(
        {"content": Say(b"554 5.7.1 no\r\n")}, "rejected 554 dot content", BY_DATA
    ),
    "defers the content": Fault(
        {"content": Say(b"451 4.3.0 later\r\n")}, "deferred 451 dot transient", BY_DATA
    ),
    "421 to the dot": Fault(
        {"content": HangUp(b"421 bye\r\n")}, "deferred 421 dot transient", BY_DATA
    ),
    "250 in Chinese to the dot": Fault(
        {"content": Say("250 邮件已收\r\n".encode("gb18030"))}, "accepted 250 dot", BY_DATA
    ),
    "hangs up behind its last reply": Fault(
        {"content": HangUp(b"250 ok\r\n")}, "accepted 250 dot", BY_DATA
    ),
    "junk behind its last reply": Fault(
        {"content": Say(b"250 ok\r\n\xff\xfejunk\r\n")}, "accepted 250 dot", BY_DATA
    ),
    "takes it back at once": Fault(
        {"content": Say(b"250 ok\r\n550 no, after all\r\n")}, "accepted 250 dot", BY_DATA
    ),
    "junk behind QUIT": Fault({"QUIT": HangUp(b"\xff\xfe\0junk")}, "accepted 250 dot", ALL),
    "says nothing to QUIT": Fault({"QUIT": Silence()}, "accepted 250 dot", ALL),
    "stops reading before a small content": Fault(
        {"DATA": StopReading(b"354 go\r\n")}, "in_doubt - dot", ("serial",), late="dot_s"
    ),
    "421 to the first of three, and stays": Fault(
        {"content": [Say(b"421 4.3.2 bye\r\n"), None]},
        ("deferred 421 dot transient", "accepted 250 dot", "accepted 250 dot"),
        BY_DATA,
        messages=3,
        talks=2,
    ),
    "hangs up between the first of three and its reply": Fault(
        {"content": [HangUp(), None]},
        ("in_doubt - dot", "accepted 250 dot", "accepted 250 dot"),
        BY_DATA,
        messages=3,
        talks=2,
    ),
    "refuses the first of three": Fault(
        {"content": [Say(b"554 5.7.1 no\r\n"), None]},
        ("rejected 554 dot content", "accepted 250 dot", "accepted 250 dot"),
        BY_DATA,
        messages=3,
    ),
}

CHUNKS = {
    "hangs up at MAIL, the content there": Fault({"MAIL": HangUp()}, "in_doubt - dot"),
    "resets at BDAT": Fault({"BDAT": Reset()}, "in_doubt - dot"),
    "says nothing to BDAT": Fault({"BDAT": Silence()}, "in_doubt - dot", late="dot_s"),
    "hangs up within its reply to BDAT": Fault({"BDAT": HangUp(b"250 2.0")}, "in_doubt - dot"),
    "refuses a chunk": Fault({"BDAT": Say(b"554 5.7.1 no\r\n")}, "rejected 554 dot content"),
    "defers a chunk": Fault({"BDAT": Say(b"452 4.3.1 full\r\n")}, "deferred 452 dot transient"),
    "421 to a chunk": Fault({"BDAT": HangUp(b"421 bye\r\n")}, "deferred 421 dot transient"),
    "354 to a chunk": Fault({"BDAT": Say(b"354 more\r\n")}, "in_doubt - dot"),
    "garbage to a chunk": Fault({"BDAT": Say(b"\xff\xfejunk\r\n")}, "in_doubt - dot"),
    "takes a chunk that nobody was to get": Fault(
        {"RCPT": Say(b"550 5.1.1 no\r\n"), "BDAT": OK}, "rejected 550 rcpt recipient"
    ),
    "speaks unasked behind a chunk's answer": Fault(
        {"BDAT": [Say(b"250 ok\r\n250 psst\r\n"), Say(b"554 no\r\n")]},
        ("accepted 250 dot", "rejected 554 dot content", "rejected 554 dot content"),
        messages=3,
        talks=2,
    ),
    "says 421 behind a chunk's answer": Fault(
        {"BDAT": [HangUp(b"250 ok\r\n421 enough\r\n"), None]},
        "accepted 250 dot",
        messages=3,
        talks=2,
    ),
    "offers CHUNKING and does not know BDAT": Fault(
        {}, "accepted 250 dot", talks=2, server={"unknown": ("BDAT",)}
    ),
    "says 503 to every chunk": Fault(
        {"BDAT": Say(b"503 5.5.1 bad sequence\r\n")}, "accepted 250 dot", talks=2
    ),
    "stops reading before a chunk": Fault(
        {"EHLO": StopReading(b"250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n")},
        "in_doubt - dot",
        late="mail_s",
    ),
}

MIDDLE_OF_THREE = ("accepted 250 dot", "in_doubt - dot", "in_doubt - dot")
WINDOW = {
    "refuses the second": Fault(
        {"BDAT": [None, Say(b"554 5.7.1 no\r\n"), None]},
        ("accepted 250 dot", "rejected 554 dot content", "accepted 250 dot"),
    ),
    "defers the second": Fault(
        {"BDAT": [None, Say(b"452 4.3.1 full\r\n"), None]},
        ("accepted 250 dot", "deferred 452 dot transient", "accepted 250 dot"),
    ),
    "refuses the second's only recipient": Fault(
        {"RCPT": [None, Say(b"550 5.1.1 no\r\n"), None]},
        ("accepted 250 dot", "rejected 550 rcpt recipient", "accepted 250 dot"),
    ),
    "is confused by a refused chunk": Fault(
        {"RCPT": [None, Say(b"550 5.1.1 no\r\n"), None]},
        ("accepted 250 dot", "rejected 550 rcpt recipient", "accepted 250 dot"),
        server={"confused": True},
    ),
    "hangs up at the second": Fault({"BDAT": [None, HangUp()]}, MIDDLE_OF_THREE),
    "resets at the second": Fault({"BDAT": [None, Reset()]}, MIDDLE_OF_THREE),
    "says nothing to the second": Fault({"BDAT": [None, Silence()]}, MIDDLE_OF_THREE, late="dot_s"),
    "stops reading at the second": Fault(
        {"BDAT": [None, StopReading()]}, MIDDLE_OF_THREE, late="dot_s"
    ),
    "garbage to the second": Fault({"BDAT": [None, Say(b"ok\r\n")]}, MIDDLE_OF_THREE),
    "421 to the second": Fault(
        {"BDAT": [None, HangUp(b"421 4.3.2 bye\r\n")]},
        ("accepted 250 dot", "deferred 421 dot transient", "in_doubt - dot"),
    ),
    "503 for the rest": Fault(
        {
            "BDAT": [None, Say(b"554 5.7.1 no\r\n"), Say(b"503 5.5.1 no\r\n"), None],
        },
        ("accepted 250 dot", "rejected 554 dot content", "accepted 250 dot"),
        talks=2,
    ),
    "forgets what stands behind a chunk": Fault(
        {"BDAT": Forget()},
        (*["accepted 250 dot"] * 2, "in_doubt - dot", *["accepted 250 dot"] * 3),
        late="rset_s",
        talks=2,
        messages=6,
    ),
    "is slower at MAIL than RSET may be": Fault(
        {"RSET": Slow(), "MAIL": [None, None, Slow(0.3), None]},
        "accepted 250 dot",
        late="rset_s",
    ),
    "refuses RSET": Fault({"RSET": Say(b"502 5.5.1 no RSET\r\n")}, ("accepted 250 dot",) * 3),
}

PIPELINING = {
    "answers only the first of a group": Fault(
        {"MAIL": [Forget(), None]}, "accepted 250 dot", ("joined",), late="rcpt_s", talks=2
    ),
    "answers only the first of a group, the content there": Fault(
        {"MAIL": [Forget(), None]}, "in_doubt - dot", ("chunked",), late="rcpt_s"
    ),
    "drops the end of a group": Fault(
        {"RCPT": [None, Forget(), None]}, "accepted 250 dot", ("joined",), late="data_s", talks=2
    ),
    "hangs up in a group": Fault(
        {"RCPT": [HangUp(), None]}, "accepted 250 dot", ("joined",), talks=2
    ),
    "forgets what stands behind a content": Fault(
        {"content": Forget()}, "accepted 250 dot", messages=3, late="mail_s", talks=2
    ),
    "503 within a group": Fault(
        {"RCPT": [Say(b"503 5.5.1 one at a time\r\n")] * 2 + [None]},
        "accepted 250 dot",
        ("joined",),
        talks=2,
    ),
    "answers in one blob": Fault({}, "accepted 250 dot", ALL, server={"hoards": True}),
    "answers octet by octet": Fault({}, "accepted 250 dot", ALL, server={"morsel_octets": 1}),
    "answers in pieces of 7": Fault({}, "accepted 250 dot", ALL, server={"morsel_octets": 7}),
    "answers late": Fault({"RCPT": Slow(), "DATA": Slow()}, "accepted 250 dot", ALL),
    "answers in several lines of odd codes": Fault(
        {"RCPT": Say(b"250-one\r\n251-two\r\n250 three\r\n")},
        "deferred - rcpt reconnect",
        BY_DATA,
        talks=2,
    ),
    "251 and 252 to recipients": Fault(
        {"RCPT": [Say(b"251 elsewhere\r\n"), Say(b"252 perhaps\r\n")]}, "accepted 250 dot", ALL
    ),
}


def _each(rows: dict[str, Fault], **changes: Any) -> dict[str, Fault]:
    return {name: replace(row, **changes) for name, row in rows.items()}


TABLE: dict[str, Fault] = {
    **GREETING,
    **EHLO,
    **TLS,
    **CERTIFICATES,
    **LOGIN,
    **ENVELOPE,
    **DATA,
    **_each(LARGE, large=True, plans=ALL),
    **DOT,
    **_each(CHUNKS, plans=("chunked",)),
    **{
        f"in a window {name}": replace(
            row, plans=("chunked",), window=4, messages=max(3, row.messages)
        )
        for name, row in WINDOW.items()
    },
    **PIPELINING,
}
