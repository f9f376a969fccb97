"""Replies as providers really give them, and what each means."""

import pytest

from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.delivery.judgement import MAX_TEXT, Action, Judgement, judge, judge_failure
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Scope
from asyncnet.providers.builtin import catalogue
from asyncnet.providers.rules import RuleBook
from asyncnet.smtp.reply import Reply
from asyncnet.smtp.transaction import RecipientReply

ACCOUNT, MESSAGE = Scope.ACCOUNT, Scope.MESSAGE
RECIPIENT, CONNECTION = Scope.RECIPIENT, Scope.CONNECTION
REJECTED, DEFERRED = RecipientStatus.REJECTED, RecipientStatus.DEFERRED
BEFORE_MAIL = {"greeting", "ehlo", "tls", "auth"}


def book(preset: str | None) -> RuleBook:
    return catalogue().rule_book(catalogue().by_name(preset) if preset else None)


def judged(preset: str | None, phase: str, line: str, attempts: int = 0) -> Judgement:
    """Judge a reply such as "550-5.1.1 No\\n550 5.1.1 such user" in a phase."""
    lines = line.split("\n")
    reply = Reply(int(lines[0][:3]), tuple(one[4:] for one in lines))
    if phase in BEFORE_MAIL:
        return judge_failure(ExchangeFailed(Phase(phase), "", reply=reply), book(preset))
    return judge(RecipientReply(Phase(phase), reply), book(preset), attempts)


TABLE = [
    # Gmail
    ("gmail", "dot", "421 4.7.0 Try again later", Kind.TRANSIENT, MESSAGE, DEFERRED),
    ("gmail", "rcpt", "421 4.4.5 Server busy", Kind.TRANSIENT, MESSAGE, DEFERRED),
    ("gmail", "greeting", "421 4.3.0 Temporary system problem", Kind.TRANSIENT, ACCOUNT, DEFERRED),
    ("gmail", "dot", "421 4.7.28 unusual rate of mail", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("gmail", "dot", "421 4.7.26 no SPF nor DKIM", Kind.SENDER, MESSAGE, REJECTED),
    ("gmail", "dot", "421 4.7.32 From not aligned", Kind.SENDER, MESSAGE, REJECTED),
    ("gmail", "rcpt", "450 4.2.1 receiving mail too quickly", Kind.TRANSIENT, RECIPIENT, DEFERRED),
    (
        "gmail",
        "mail",
        "450 4.2.1 Peak SMTP relay limit exceeded for customer",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
    ),
    ("gmail", "rcpt", "452 4.5.3 too many recipients", Kind.TRANSIENT, RECIPIENT, DEFERRED),
    ("m365", "rcpt", "452 4.5.3 Too many recipients", Kind.TRANSIENT, RECIPIENT, DEFERRED),
    ("gmail", "auth", "454 4.7.0 Too many login attempts", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("gmail", "auth", "534 5.7.9 App-specific password", Kind.AUTH, ACCOUNT, DEFERRED),
    ("gmail", "auth", "535 5.7.8 not accepted", Kind.AUTH, ACCOUNT, DEFERRED),
    ("gmail", "dot", "550 5.4.5 Daily user sending limit", Kind.QUOTA, ACCOUNT, DEFERRED),
    ("gmail", "mail", "550 5.7.1 Daily SMTP relay limit", Kind.QUOTA, ACCOUNT, DEFERRED),
    ("gmail", "dot", "552 5.7.0 security issue", Kind.CONTENT, MESSAGE, REJECTED),
    ("gmail", "rcpt", "552 5.2.2 over quota", Kind.RECIPIENT, RECIPIENT, REJECTED),
    ("gmail", "rcpt", "452 4.2.2 over quota", Kind.RECIPIENT, RECIPIENT, DEFERRED),
    ("gmail", "dot", "552 5.2.3 exceeded size limits", Kind.SIZE, MESSAGE, REJECTED),
    # SES
    (
        "ses",
        "dot",
        "454 Throttling failure: Maximum sending rate exceeded.",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
    ),
    (
        "ses",
        "dot",
        "454 Throttling failure: Daily message quota exceeded.",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
    ),
    # Microsoft
    ("m365", "auth", "432 4.3.2 Concurrent connections", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("m365", "auth", "535 5.7.139 SmtpClientAuthentication", Kind.AUTH, ACCOUNT, DEFERRED),
    ("m365", "auth", "550 5.7.30 Basic authentication", Kind.AUTH, ACCOUNT, DEFERRED),
    ("m365", "mail", "530 5.7.57 Client not authenticated", Kind.AUTH, ACCOUNT, DEFERRED),
    ("m365", "auth", "501 5.5.124 Invalid token", Kind.AUTH, ACCOUNT, DEFERRED),
    ("outlook", "auth", "535 5.7.139 basic auth disabled", Kind.AUTH, ACCOUNT, DEFERRED),
    ("m365", "dot", "554 5.2.0 SubmissionQuotaExceeded", Kind.QUOTA, ACCOUNT, DEFERRED),
    ("m365", "dot", "554 5.2.2 mailbox submission quota", Kind.QUOTA, ACCOUNT, DEFERRED),
    ("outlook", "dot", "554 5.2.121 hourly limit", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("outlook", "dot", "554 5.2.122 hourly limit", Kind.THROTTLE, ACCOUNT, DEFERRED),
    # QQ
    ("qq", "auth", "535 Please enter your authorization code", Kind.AUTH, ACCOUNT, DEFERRED),
    ("qq", "auth", "535 Error: 请使用授权码登录", Kind.AUTH, ACCOUNT, DEFERRED),
    ("qq", "auth", "535 login frequency limited", Kind.AUTH, ACCOUNT, DEFERRED),
    ("foxmail", "auth", "535 登录频率限制，系统繁忙", Kind.AUTH, ACCOUNT, DEFERRED),
    ("exmail", "auth", "535 system busy", Kind.AUTH, ACCOUNT, DEFERRED),
    (
        "qq",
        "mail",
        "501 mail from address must be same as authorization user",
        Kind.SENDER,
        MESSAGE,
        REJECTED,
    ),
    ("qq", "mail", "550 Sender frequency limited", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("qq", "mail", "550 Ip frequency limited", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("qq", "greeting", "550 Connection frequency limited", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("qq", "greeting", "550 Connection denied", Kind.THROTTLE, ACCOUNT, DEFERRED),
    (
        "qq",
        "rcpt",
        "550 Mailbox unavailable or access denied",
        Kind.RECIPIENT,
        RECIPIENT,
        DEFERRED,
    ),
    ("qq", "rcpt", "550 Mailbox not found", Kind.RECIPIENT, RECIPIENT, REJECTED),
    ("qq", "dot", "550 Mail is rejected by recipients", Kind.RECIPIENT, RECIPIENT, REJECTED),
    ("qq", "dot", "550 Mail content denied", Kind.CONTENT, MESSAGE, REJECTED),
    # NetEase
    ("126", "auth", "451 too much fail authentication", Kind.AUTH, ACCOUNT, DEFERRED),
    ("163", "mail", "553 Mail from must equal authorized user", Kind.SENDER, MESSAGE, REJECTED),
    ("163", "greeting", "421 HL:ICC 126 smtp1", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("163", "mail", "421 HL:IFC 126 smtp1", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("163", "mail", "421 HL:REP 126 smtp1", Kind.SENDER, MESSAGE, REJECTED),
    ("126", "mail", "450 MI:DMC 126 smtp1", Kind.RECONNECT, CONNECTION, DEFERRED),
    ("126", "mail", "451 MI:DMC 126 smtp1", Kind.RECONNECT, CONNECTION, DEFERRED),
    ("126", "rcpt", "450 RP:DRC 126 smtp1", Kind.RECONNECT, CONNECTION, DEFERRED),
    ("126", "mail", "451 MI:SFQ 126 smtp1", Kind.THROTTLE, ACCOUNT, DEFERRED),
    ("126", "rcpt", "451 RP:QRC 126 smtp1", Kind.QUOTA, ACCOUNT, DEFERRED),
    ("163", "dot", "451 DT:SPM 163 smtp1", Kind.CONTENT, MESSAGE, DEFERRED),
    ("163", "mail", "550 MI:STC 163 smtp1", Kind.QUOTA, ACCOUNT, DEFERRED),
    ("163", "dot", "554 DT:SPM 163 smtp1", Kind.CONTENT, MESSAGE, REJECTED),
    # Apple, Yahoo, and everybody
    (
        "icloud",
        "mail",
        "550 You have exceeded your daily sending limit",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
    ),
    ("icloud", "rcpt", "552 5.2.2 mailbox full", Kind.RECIPIENT, RECIPIENT, REJECTED),
    (
        "yahoo",
        "mail",
        "421 Too many messages on this connection",
        Kind.RECONNECT,
        CONNECTION,
        DEFERRED,
    ),
    (None, "dot", "421 too many messages on this connection", Kind.RECONNECT, CONNECTION, DEFERRED),
    (None, "mail", "552 5.3.4 too big", Kind.SIZE, MESSAGE, REJECTED),
    (None, "dot", "552 message too large", Kind.SIZE, MESSAGE, REJECTED),
    (
        None,
        "dot",
        "552 Message size exceeds fixed maximum message size",
        Kind.SIZE,
        MESSAGE,
        REJECTED,
    ),
    (None, "mail", "552 no", Kind.SIZE, MESSAGE, REJECTED),
    (None, "rcpt", "450 4.7.1 Greylisted, see you", Kind.GREYLIST, RECIPIENT, DEFERRED),
    (None, "dot", "451 gray listing in action", Kind.GREYLIST, MESSAGE, DEFERRED),
    # Those that no rule knows
    (None, "mail", "530 5.7.0 Authentication required", Kind.AUTH, ACCOUNT, DEFERRED),
    (None, "mail", "530 5.7.0 Must issue a STARTTLS command first", Kind.TLS, ACCOUNT, DEFERRED),
    (None, "auth", "535 5.7.8 no", Kind.AUTH, ACCOUNT, DEFERRED),
    (None, "auth", "454 4.7.0 Temporary authentication failure", Kind.TRANSIENT, ACCOUNT, DEFERRED),
    (None, "tls", "454 TLS not available", Kind.TLS, ACCOUNT, DEFERRED),
    (None, "greeting", "554 No SMTP service here", Kind.NETWORK, ACCOUNT, DEFERRED),
    (None, "greeting", "421 Too busy", Kind.TRANSIENT, ACCOUNT, DEFERRED),
    (None, "mail", "421 Shutting down", Kind.RECONNECT, CONNECTION, DEFERRED),
    (None, "dot", "421 Shutting down", Kind.TRANSIENT, MESSAGE, DEFERRED),
    (None, "mail", "503 Bad sequence", Kind.PROTOCOL, CONNECTION, DEFERRED),
    (None, "data", "250 What?", Kind.PROTOCOL, CONNECTION, DEFERRED),
    (None, "mail", "451 Later", Kind.TRANSIENT, MESSAGE, DEFERRED),
    (None, "mail", "550 Not you", Kind.SENDER, MESSAGE, REJECTED),
    (None, "rcpt", "450 Mailbox busy", Kind.TRANSIENT, RECIPIENT, DEFERRED),
    (None, "rcpt", "550 5.1.1 No such user", Kind.RECIPIENT, RECIPIENT, REJECTED),
    (None, "rcpt", "550 5.1.8 Bad sender's domain", Kind.SENDER, RECIPIENT, REJECTED),
    (None, "data", "451 Later", Kind.TRANSIENT, MESSAGE, DEFERRED),
    (None, "dot", "451 4.3.0 Later", Kind.TRANSIENT, MESSAGE, DEFERRED),
    (None, "dot", "554 5.7.1 Spam", Kind.CONTENT, MESSAGE, REJECTED),
    (None, "dot", "554 5.6.0 Malformed", Kind.CONTENT, MESSAGE, REJECTED),
    # The enhanced code wins
    (None, "rcpt", "450 5.1.1 No such user", Kind.RECIPIENT, RECIPIENT, REJECTED),
    (None, "rcpt", "550 4.2.0 Later", Kind.TRANSIENT, RECIPIENT, DEFERRED),
]


@pytest.mark.parametrize(
    ("preset", "phase", "line", "kind", "scope", "status"),
    TABLE,
    ids=[f"{preset or 'any'} {phase} {line}" for preset, phase, line, *_ in TABLE],
)
def test_a_reply_is_classed(
    preset: str | None, phase: str, line: str, kind: Kind, scope: Scope, status: RecipientStatus
) -> None:
    judgement = judged(preset, phase, line)
    assert (judgement.kind, judgement.scope, judgement.verdict.status) == (kind, scope, status)


@pytest.mark.parametrize(
    ("preset", "phase", "line", "action"),
    [
        ("gmail", "rcpt", "452 4.5.3 too many recipients", Action.NEXT_TRANSACTION),
        ("m365", "auth", "432 4.3.2 Concurrent connections", Action.FEWER_CONNECTIONS),
        ("163", "greeting", "421 HL:ICC", Action.FEWER_CONNECTIONS),
        ("126", "mail", "451 MI:DMC", Action.RECONNECT),
        ("qq", "auth", "535 no", Action.HOLD_ACCOUNT),
        ("gmail", "rcpt", "450 4.2.1 too fast", Action.BACK_OFF),
        (None, "rcpt", "550 no", Action.DONE),
    ],
)
def test_what_is_done_follows(preset: str | None, phase: str, line: str, action: Action) -> None:
    assert judged(preset, phase, line).action is action


@pytest.mark.parametrize(
    ("preset", "line", "delay_s", "delay_max_s"),
    [
        ("126", "451 MI:SFQ", 900.0, None),
        ("outlook", "554 5.2.121 x", 3600.0, None),
        ("163", "451 DT:SPM", 120.0, None),
        ("ses", "454 Throttling failure: Maximum sending rate", 5.0, 600.0),
        (None, "451 Later", None, None),
    ],
)
def test_rules_tell_how_long_to_wait(
    preset: str | None, line: str, delay_s: float | None, delay_max_s: float | None
) -> None:
    judgement = judged(preset, "dot", line)
    assert (judgement.delay_s, judgement.delay_max_s) == (delay_s, delay_max_s)


@pytest.mark.parametrize(
    ("preset", "phase", "line", "tries"),
    [
        ("qq", "rcpt", "550 Mailbox unavailable or access denied", 3),
        ("163", "dot", "451 DT:SPM", 2),
    ],
)
def test_an_ambiguous_refusal_fails_at_last(preset: str, phase: str, line: str, tries: int) -> None:
    statuses = [judged(preset, phase, line, n).verdict.status for n in range(tries)]
    assert statuses == [DEFERRED] * (tries - 1) + [REJECTED]


@pytest.mark.parametrize(
    ("preset", "phase", "line", "words"),
    [
        ("qq", "auth", "535 Please enter your authorization code", "authorization code from the m"),
        ("qq", "auth", "535 请使用授权码登录", "not the password"),
        ("qq", "auth", "535 系统繁忙", "may heal by itself"),
        ("qq", "mail", "501 mail from must equal authorized user", "equal the account's user"),
        ("126", "auth", "535 Error: authentication failed", "authorization code"),
        ("gmail", "auth", "535 5.7.8 not accepted", "app password"),
        ("m365", "auth", "535 5.7.139 disabled", "switched off for the tenant"),
        ("m365", "auth", "550 5.7.30 Basic", "OAuth2"),
        ("m365", "mail", "530 5.7.57 Client", "not logged in"),
        ("m365", "auth", "501 5.5.124 token", "token"),
        ("yahoo", "auth", "535 5.7.0 no", "app password"),
        (None, "auth", "535 no", "user and secret"),
        (None, "rcpt", "550 5.1.1 no", "spelling"),
        (None, "mail", "552 5.3.4 no", "link instead"),
        ("gmail", "dot", "421 4.7.26 no SPF", "DNS record"),
    ],
)
def test_a_hint_says_what_to_do(preset: str | None, phase: str, line: str, words: str) -> None:
    assert words in (judged(preset, phase, line).verdict.hint or "")


@pytest.mark.parametrize(
    ("cause", "phase", "kind"),
    [
        ("dns", Phase.DNS, Kind.DNS),
        ("network", Phase.CONNECT, Kind.NETWORK),
        ("tls", Phase.TLS, Kind.TLS),
        ("auth", Phase.AUTH, Kind.AUTH),
        (None, Phase.CONNECT, Kind.NETWORK),
    ],
)
def test_a_talk_that_never_began_is_the_accounts_trouble(
    cause: str | None, phase: Phase, kind: Kind
) -> None:
    failed = ExchangeFailed(phase, "it broke", cause=cause)  # type: ignore[arg-type]
    judgement = judge_failure(failed, book(None))
    assert (judgement.kind, judgement.scope) == (kind, ACCOUNT)
    assert judgement.verdict.status is DEFERRED
    assert judgement.verdict.text == "it broke"
    assert judgement.verdict.hint


def test_a_server_that_speaks_no_smtp_is_asked_once_more() -> None:
    failed = ExchangeFailed(Phase.GREETING, "not a reply", cause="protocol")
    judgement = judge_failure(failed, book(None))
    assert (judgement.kind, judgement.action) == (Kind.PROTOCOL, Action.RECONNECT)


def test_nothing_said_before_mail_ever_fails_a_message() -> None:
    for name, preset in catalogue().presets.items():
        for rule in catalogue().rule_book(preset).rules:
            code = min(rule.codes, default=550)
            enhanced = f"{rule.enhanced[0]} " if rule.enhanced else ""
            for phase in BEFORE_MAIL:
                judgement = judged(name, phase, f"{code} {enhanced}HL:REP HL:ICC DT:SPM")
                assert judgement.verdict.status is DEFERRED
                assert judgement.scope in (ACCOUNT, CONNECTION)


def test_a_2yz_after_the_dot_is_accepted() -> None:
    reply = Reply(250, ("2.0.0 OK: queued as 4F2",))
    verdict = judge(RecipientReply(Phase.DOT, reply), book(None), 0).verdict
    assert verdict.status is RecipientStatus.ACCEPTED
    assert (verdict.code, verdict.enhanced, verdict.text) == (250, "2.0.0", "OK: queued as 4F2")
    assert verdict.kind is verdict.hint is None


def test_a_dot_without_an_answer_is_in_doubt() -> None:
    answer = RecipientReply(Phase.DOT, None, "the connection was lost", in_doubt=True)
    judgement = judge(answer, book(None), 0)
    assert judgement.verdict.status is RecipientStatus.IN_DOUBT
    assert judgement.action is Action.DONE
    assert "may have been delivered" in (judgement.verdict.hint or "")


def test_a_lost_connection_wants_a_new_one() -> None:
    answer = RecipientReply(Phase.DATA, None, "the connection was lost")
    judgement = judge(answer, book(None), 0)
    assert (judgement.action, judgement.verdict.status) == (Action.RECONNECT, DEFERRED)


@pytest.mark.parametrize(
    ("phase", "detail", "kind"),
    [
        (Phase.MAIL, "message of 9 octets exceeds the limit of 8", Kind.SIZE),
        (Phase.MAIL, "an address needs SMTPUTF8", Kind.CONTENT),
        (Phase.MAIL, "cannot be sent: a line too long", Kind.SENDER),
        (Phase.RCPT, "cannot be sent: a line too long", Kind.RECIPIENT),
    ],
)
def test_what_we_would_not_send_is_refused_in_our_own_words(
    phase: Phase, detail: str, kind: Kind
) -> None:
    answer = RecipientReply(phase, None, detail, kind=kind)
    judgement = judge(answer, book(None), 0)
    assert (judgement.verdict.status, judgement.kind) == (REJECTED, kind)
    assert (judgement.verdict.text, judgement.verdict.code) == (detail, None)


def test_lines_are_joined_and_their_enhanced_codes_taken_out() -> None:
    verdict = judged(None, "rcpt", "550-5.1.1 No such\n550-5.1.1 user\n550 5.1.1 here").verdict
    assert (verdict.enhanced, verdict.text) == ("5.1.1", "No such user here")


def test_a_number_that_is_no_enhanced_code_stays_text() -> None:
    verdict = judged(None, "rcpt", "550 2.0.0 is our version, 5.1.1 not").verdict
    assert (verdict.enhanced, verdict.text) == (None, "2.0.0 is our version, 5.1.1 not")


def test_an_endless_text_is_cut() -> None:
    assert len(judged(None, "rcpt", "550 " + "x" * 60_000).verdict.text) == MAX_TEXT
