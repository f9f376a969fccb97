"""What a reply means for a recipient, its message and its account, and what is done next.

RFC 5321 section 4.2.1 (the first digit), RFC 3463 (enhanced status codes, which win where both
are there), and above both the provider's own rules.  No I/O.
"""

from enum import Enum
from typing import NamedTuple

from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Scope, Verdict
from asyncnet.providers.rules import ReplyRule, RuleBook
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.transaction import RecipientReply

MAX_TEXT = 1000  # characters of a reply that are kept: results and logs are for reading

BEFORE_MAIL = frozenset(
    {Phase.DNS, Phase.CONNECT, Phase.GREETING, Phase.EHLO, Phase.TLS, Phase.AUTH}
)
_ACCOUNT_KINDS = frozenset({Kind.THROTTLE, Kind.QUOTA, Kind.AUTH, Kind.TLS, Kind.NETWORK, Kind.DNS})
# RFC 4954 section 6: whatever enhanced code stands behind these, the login is what they refuse.
_LOGIN_CODES = frozenset({530, 534, 535, 538})
_CONNECTION_KINDS = frozenset({Kind.RECONNECT, Kind.PROTOCOL})
# Of these a second try never says anything else.
_FINAL_KINDS = frozenset({Kind.CONTENT, Kind.SIZE, Kind.SENDER})

_HINTS = {
    Kind.AUTH: "the server refused the login: look at the account's user and secret",
    Kind.CONTENT: "the server refuses this message itself; its words tell why",
    Kind.DNS: "the server's name is not found: look at host and at this machine's name service",
    Kind.NETWORK: "the server cannot be reached or turns us away: look at host, port and firewall",
    Kind.PROTOCOL: "the server does not keep to SMTP: look whether host, port and tls are right",
    Kind.QUOTA: "the account's quota is used up; its mail waits and goes on by itself",
    Kind.RECIPIENT: "the server does not take mail for this address: look at its spelling",
    Kind.SENDER: "the server does not take mail from this sender: use the address that logs in",
    Kind.SIZE: "the message is too large for this server: send a link instead of the attachment",
    Kind.THROTTLE: "the server asks us to slow down; the mail goes on by itself",
    Kind.TLS: "no safe connection: look at host, port, tls and ca_file, and at the certificate",
}
DOUBT_HINT = (
    "the connection ended after the whole message was sent and before its answer: it may have "
    "been delivered"
)


class Action(Enum):
    """What the agent does with the message, the connection or the account."""

    DONE = "done"  # nothing: the verdict is final, or in doubt and the store's to decide
    BACK_OFF = "back off"  # this message waits for its next attempt
    NEXT_TRANSACTION = "next transaction"  # the server took others; this one goes at once
    ITS_TURN = "its turn"  # it was not named yet: the next transaction is for it
    RECONNECT = "reconnect"  # a new connection now; waiting does not help
    HOLD_ACCOUNT = "hold account"  # no mail of the account until a time; no attempt is burnt
    FEWER_CONNECTIONS = "fewer connections"  # the same, and one connection less from then on


class Judgement(NamedTuple):
    """A verdict, whom it concerns and what follows.  Delays as in ReplyRule."""

    verdict: Verdict
    scope: Scope
    action: Action
    delay_s: float | None = None
    delay_max_s: float | None = None

    @property
    def kind(self) -> Kind | None:
        return self.verdict.kind


def judge(answer: RecipientReply, book: RuleBook, attempts: int) -> Judgement:
    """Judge what a transaction said of one recipient.

    attempts counts those before this one.
    """
    if answer.in_doubt:
        verdict = Verdict(
            RecipientStatus.IN_DOUBT, phase=Phase.DOT, text=answer.detail, hint=DOUBT_HINT
        )
        return Judgement(verdict, Scope.MESSAGE, Action.DONE)
    if answer.reply is None:
        ours = answer.kind is not None  # we would not send it; else the connection was lost
        kind = answer.kind or Kind.RECONNECT
        return _unanswered(answer.phase, kind, answer.detail, book, final=ours)
    judgement = judge_reply(answer.phase, answer.reply, book, attempts)
    return judgement if answer.named else judgement._replace(action=Action.ITS_TURN)


def judge_failure(failed: ExchangeFailed, book: RuleBook) -> Judgement:
    """Judge a talk that never came to a transaction: never a recipient's or message's fault."""
    if failed.reply is not None:
        return judge_reply(failed.phase, failed.reply, book)
    return _unanswered(failed.phase, Kind(failed.cause or "network"), str(failed), book)


def judge_reply(phase: Phase, reply: Reply, book: RuleBook, attempts: int = 0) -> Judgement:
    """Judge a server's words in a phase; attempts as in judge()."""
    enhanced, text = reply.divided()
    text = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
    if phase is Phase.DOT and reply.positive:
        verdict = Verdict(RecipientStatus.ACCEPTED, reply.code, enhanced, phase, None, text)
        return Judgement(verdict, Scope.RECIPIENT, Action.DONE)
    # The first digit of the enhanced code wins: "450 5.1.1" will not heal.
    permanent = (enhanced or str(reply.code))[0] == "5"
    rule = book.find(phase, reply.code, enhanced, text)
    kind = rule.kind if rule else _kind_by_code(phase, reply.code, enhanced, permanent)
    scope = _scope(kind, phase, rule)
    final = scope in (Scope.RECIPIENT, Scope.MESSAGE) and _final(kind, rule, permanent, attempts)
    verdict = Verdict(
        status=RecipientStatus.REJECTED if final else RecipientStatus.DEFERRED,
        code=reply.code,
        enhanced=enhanced,
        phase=phase,
        kind=kind,
        text=text,
        hint=_hint(kind, book, rule),
    )
    action = _action(scope, rule, final)
    if rule is None:
        return Judgement(verdict, scope, action)
    return Judgement(verdict, scope, action, rule.delay_s, rule.delay_max_s)


def _unanswered(
    phase: Phase, kind: Kind, text: str, book: RuleBook, *, final: bool = False
) -> Judgement:
    scope = _scope(kind, phase, None)
    status = RecipientStatus.REJECTED if final else RecipientStatus.DEFERRED
    hint = None if final else _hint(kind, book, None)  # our own words say it all
    verdict = Verdict(status, phase=phase, kind=kind, text=text[:MAX_TEXT], hint=hint)
    return Judgement(verdict, scope, _action(scope, None, final))


def _kind_by_code(phase: Phase, code: int, enhanced: str | None, permanent: bool) -> Kind:
    """The class of a reply that no rule knows."""
    if code < 400:
        return Kind.PROTOCOL  # a success where none fits
    if phase in BEFORE_MAIL:
        return _kind_before_mail(phase, code, permanent)
    if code == 421:
        # After the dot the message itself may be why: a new connection would not help at once.
        return Kind.TRANSIENT if phase is Phase.DOT else Kind.RECONNECT
    if code in _LOGIN_CODES:
        return Kind.AUTH
    if code in (500, 502, 503) and phase is not Phase.DOT:
        return Kind.PROTOCOL  # one of us lost count; on a new connection both begin afresh
    if not permanent:
        return Kind.TRANSIENT
    return _kind_of_refusal(phase, code, enhanced or "")


def _kind_before_mail(phase: Phase, code: int, permanent: bool) -> Kind:
    if phase is Phase.TLS:
        return Kind.TLS
    if phase is Phase.AUTH and (permanent or code in _LOGIN_CODES):
        return Kind.AUTH
    return Kind.NETWORK if permanent else Kind.TRANSIENT


def _kind_of_refusal(phase: Phase, code: int, enhanced: str) -> Kind:
    """RFC 3463 section 3 where there is an enhanced code, else where the refusal came."""
    if enhanced in ("5.1.7", "5.1.8"):
        return Kind.SENDER
    if enhanced in ("5.2.3", "5.3.4"):
        return Kind.SIZE
    if enhanced.startswith(("5.1.", "5.2.")):
        return Kind.RECIPIENT
    if enhanced.startswith("5.6."):
        return Kind.CONTENT
    if phase is Phase.MAIL:
        return Kind.SIZE if code == 552 else Kind.SENDER  # RFC 1870 section 6.1
    return Kind.RECIPIENT if phase is Phase.RCPT else Kind.CONTENT


def _scope(kind: Kind, phase: Phase, rule: ReplyRule | None) -> Scope:
    # Before MAIL the server has seen no message: whatever it says, none is at fault.
    if phase not in BEFORE_MAIL and rule is not None and rule.scope is not None:
        return rule.scope
    if kind in _CONNECTION_KINDS:
        return Scope.CONNECTION
    if kind in _ACCOUNT_KINDS or phase in BEFORE_MAIL:
        return Scope.ACCOUNT
    if kind is Kind.RECIPIENT or phase is Phase.RCPT:
        return Scope.RECIPIENT
    return Scope.MESSAGE


def _final(kind: Kind, rule: ReplyRule | None, permanent: bool, attempts: int) -> bool:
    if rule is not None and rule.tries is not None and attempts + 1 >= rule.tries:
        return True
    if rule is not None and rule.final is not None:
        return rule.final
    if kind in (Kind.GREYLIST, Kind.TRANSIENT):
        return False
    return permanent or kind in _FINAL_KINDS


def _action(scope: Scope, rule: ReplyRule | None, final: bool) -> Action:
    if rule is not None and rule.action == "next_transaction" and not final:
        return Action.NEXT_TRANSACTION
    if rule is not None and rule.action == "fewer_connections":
        return Action.FEWER_CONNECTIONS
    if scope is Scope.ACCOUNT:
        return Action.HOLD_ACCOUNT
    if scope is Scope.CONNECTION:
        return Action.RECONNECT
    return Action.DONE if final else Action.BACK_OFF


def _hint(kind: Kind, book: RuleBook, rule: ReplyRule | None) -> str | None:
    hint = rule.hint if rule is not None else None
    if hint is None and kind is Kind.AUTH:
        hint = book.credential
    hint = hint or _HINTS.get(kind)
    if hint is not None and kind is Kind.QUOTA and book.limits is not None:
        return f"{hint} (known limits: {book.limits})"
    return hint
