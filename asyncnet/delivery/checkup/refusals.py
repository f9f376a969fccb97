"""What a server's refusal is in a check-up: the cause by name, and what to do.  No I/O.

The delivery's own judgement and the provider's rules first; then what matters to whoever sets an
account up, where a delivery only waits.
"""

import re

from asyncnet.delivery.checkup.stages import Cause, Finding, Trouble
from asyncnet.delivery.judgement import judge_reply
from asyncnet.mail.verdict import Kind, Phase
from asyncnet.providers.rules import RuleBook
from asyncnet.smtp.reply import Reply

TLS_ADVICE = 'the server takes logins under TLS only: set tls = "starttls" (or "implicit" on 465)'
MECHANISM_ADVICE = "take auth out of the account, or write there what the server offers"


def of_reply(
    phase: Phase, reply: Reply, book: RuleBook, *, sender: str = "", user: str | None = None
) -> Trouble:
    """The trouble that a refusal is."""
    judgement = judge_reply(phase, reply, book)
    hint = judgement.verdict.hint or "the server's words tell why"
    name = _BY_PHASE.get(phase, _of_mail)
    cause, advice = name(reply, judgement.kind)
    if cause is Cause.SENDER_REFUSED and user is not None and sender.lower() != user.lower():
        advice = f"{hint}; the dry run was from {sender}, the login is {user}"
    greylisted = cause is Cause.GREYLISTED
    return Trouble(
        cause, str(reply), advice or hint, Finding.WARNING if greylisted else Finding.FAILED
    )


def _of_greeting(reply: Reply, kind: Kind | None) -> tuple[Cause, str]:
    if kind is Kind.THROTTLE:
        return Cause.THROTTLED, ""
    if reply.code < 500:
        return Cause.BUSY, (
            "the server is busy, or has too many connections from here: wait, then try again;"
            " connections = 1 asks for less"
        )
    return Cause.TURNED_AWAY, (
        "the server does not talk to this machine: its address is on a block list, or the server"
        " is for others; where there is a login, port 465 or 587 is the way, not 25"
    )


def _of_ehlo(reply: Reply, kind: Kind | None) -> tuple[Cause, str]:
    if kind is Kind.THROTTLE:
        return Cause.THROTTLED, ""
    return Cause.EHLO_REFUSED, (
        "the server does not take the name that we introduce ourselves by: give it one that the"
        ' DNS knows, ehlo = "host.example.org"'
    )


def _of_starttls(reply: Reply, kind: Kind | None) -> tuple[Cause, str]:
    return Cause.STARTTLS_REFUSED, (
        "the server offers STARTTLS and cannot do it now (its certificate, perhaps): try port 465"
        ' with tls = "implicit", or tell its administrator'
    )


def _of_auth(reply: Reply, kind: Kind | None) -> tuple[Cause, str]:
    enhanced, text = reply.divided()
    if enhanced == "5.7.139" or "SmtpClientAuthentication is disabled" in text:
        return Cause.SMTP_AUTH_DISABLED, (
            "SMTP AUTH is switched off for the tenant or the mailbox: an administrator switches it"
            " on (Microsoft 365: Set-CASMailbox -SmtpClientAuthenticationDisabled $false), or use"
            " oauth2 where that is allowed"
        )
    if kind in (Kind.THROTTLE, Kind.QUOTA) or (reply.code < 500 and _LIMITED.search(text)):
        return Cause.THROTTLED, (
            "the server limits logins for now: wait, do not try again and again; a running daemon"
            " does that by itself"
        )
    if reply.code == 538 or _TLS_FIRST.search(text):
        return Cause.AUTH_NEEDS_TLS, TLS_ADVICE
    if reply.code == 504:
        return Cause.MECHANISM_NOT_OFFERED, MECHANISM_ADVICE
    if reply.code == 421:
        return Cause.THROTTLED, "the server ended the talk at the login: wait, then try again"
    if reply.code < 500 and kind is not Kind.AUTH:
        return Cause.NOT_NOW, "the server cannot check logins for now: wait, then try again"
    return Cause.LOGIN_REFUSED, ""


def _of_mail(reply: Reply, kind: Kind | None) -> tuple[Cause, str]:
    if kind is Kind.RECIPIENT and _RELAY.search(reply.text):
        return Cause.RELAY_DENIED, ""
    if kind in _PASSING:
        return Cause.NOT_NOW, "the server does not take it for now: wait, then try again"
    cause = _BY_KIND.get(kind, Cause.REFUSED) if kind is not None else Cause.REFUSED
    advice = TLS_ADVICE if cause is Cause.AUTH_NEEDS_TLS else ""
    return cause, advice


_BY_PHASE = {
    Phase.GREETING: _of_greeting,
    Phase.EHLO: _of_ehlo,
    Phase.TLS: _of_starttls,
    Phase.AUTH: _of_auth,
}
_BY_KIND = {
    Kind.AUTH: Cause.LOGIN_NEEDED,
    Kind.TLS: Cause.AUTH_NEEDS_TLS,
    Kind.SENDER: Cause.SENDER_REFUSED,
    Kind.RECIPIENT: Cause.RECIPIENT_REFUSED,
    Kind.SIZE: Cause.SIZE,
    Kind.GREYLIST: Cause.GREYLISTED,
    Kind.THROTTLE: Cause.THROTTLED,
    Kind.QUOTA: Cause.QUOTA,
    Kind.PROTOCOL: Cause.PROTOCOL,
}
_PASSING = frozenset({Kind.TRANSIENT, Kind.RECONNECT})
_LIMITED = re.compile(r"too many|throttl|rate|limit|frequen|quota|频", re.IGNORECASE)
_TLS_FIRST = re.compile(r"STARTTLS|encrypt|(TLS|SSL)\b.*\b(required|first)", re.IGNORECASE)
_RELAY = re.compile(r"relay", re.IGNORECASE)
