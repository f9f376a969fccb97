"""Every reply that the providers are known for, in the spellings and octets in which it comes."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from asyncnet.delivery.exchange import ExchangeFailed
from asyncnet.delivery.judgement import BEFORE_MAIL, Action, Judgement, judge, judge_failure
from asyncnet.delivery.schedule import LOGIN_PROBES_S, QUOTA_PROBES_S, probe_delay_s
from asyncnet.mail.verdict import Kind, Phase, RecipientStatus, Scope
from asyncnet.providers.builtin import catalogue
from asyncnet.smtp.reply import Reply, ReplyReader
from asyncnet.smtp.transaction import RecipientReply

ACCOUNT, MESSAGE = Scope.ACCOUNT, Scope.MESSAGE
RECIPIENT, CONNECTION = Scope.RECIPIENT, Scope.CONNECTION
REJECTED, DEFERRED = RecipientStatus.REJECTED, RecipientStatus.DEFERRED
GBK = "gb18030"


class Row(NamedTuple):
    """A line of the providers' table: who says it where, what it means, and how it is said."""

    presets: str
    phases: str
    kind: Kind
    scope: Scope
    status: RecipientStatus
    spellings: tuple[str | bytes, ...]
    action: Action | None = None


def gbk(text: str) -> bytes:
    return text.encode(GBK)


ROWS = [
    # Gmail and Workspace
    Row(
        "gmail",
        "mail rcpt data dot",
        Kind.TRANSIENT,
        MESSAGE,
        DEFERRED,
        (
            "421 4.7.0 Try again later, closing connection.",
            "421-4.7.0 Temporary System Problem.\n421 4.7.0 Try again later.",
            "421 4.4.5 Server busy, try again later.",
            "421 4.3.0 Temporary System Problem.  Try again later.",
        ),
        Action.BACK_OFF,
    ),
    Row(
        "gmail",
        "mail rcpt dot",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail.",
            "421-4.7.28 Our system has detected an unusual rate\n421 4.7.28 of mail",
        ),
    ),
    Row(
        "gmail",
        "dot",
        Kind.SENDER,
        MESSAGE,
        REJECTED,
        (
            "421 4.7.26 This mail is unauthenticated: neither SPF nor DKIM passed.",
            "421-4.7.32 Your email has been rate limited\n421 4.7.32 because From is not aligned",
        ),
        Action.DONE,
    ),
    Row(
        "gmail",
        "rcpt dot",
        Kind.TRANSIENT,
        RECIPIENT,
        DEFERRED,
        (
            "450 4.2.1 The user you are trying to contact is receiving email too quickly.",
            "450-4.2.1 The user you are trying to contact is receiving mail at a rate that\n"
            "450 4.2.1 prevents additional messages from being delivered.",
        ),
        Action.BACK_OFF,
    ),
    Row(
        "gmail",
        "mail rcpt dot",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "450 4.2.1 Peak SMTP relay limit exceeded for customer. This is a temporary error.",
            "450-4.2.1 PEAK smtp\n450 4.2.1 relay limit exceeded for customer",
        ),
    ),
    Row(
        "gmail m365 yahoo",
        "rcpt",
        Kind.TRANSIENT,
        RECIPIENT,
        DEFERRED,
        (
            "452 4.5.3 Your message has too many recipients.",
            "452-4.5.3 Your message has\n452 4.5.3 more than 100 recipients",
            "452 4.5.3",
        ),
        Action.NEXT_TRANSACTION,
    ),
    Row(
        "gmail",
        "auth",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        ("454 4.7.0 Too many login attempts, please try again later.",),
        Action.FEWER_CONNECTIONS,
    ),
    Row(
        "gmail",
        "auth",
        Kind.AUTH,
        ACCOUNT,
        DEFERRED,
        (
            "534-5.7.9 Application-specific password required.\n534 5.7.9 Learn more",
            "535-5.7.8 Username and Password not accepted.\n535 5.7.8 Learn more",
            "535 5.7.8 Username and Password not accepted",
        ),
        Action.HOLD_ACCOUNT,
    ),
    Row(
        "gmail",
        "mail rcpt dot",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
        (
            "550 5.4.5 Daily user sending limit exceeded.",
            "550-5.4.5 Daily user sending quota exceeded. For more information on Gmail\n"
            "550 5.4.5 sending limits go to the help page",
            "550 5.7.1 Daily SMTP relay limit exceeded for customer.",
            "550-5.7.1 Daily SMTP relay sending\n550 5.7.1 limit exceeded for this customer.",
        ),
        Action.HOLD_ACCOUNT,
    ),
    Row(
        "gmail",
        "dot",
        Kind.CONTENT,
        MESSAGE,
        REJECTED,
        (
            "552-5.7.0 This message was blocked because its content presents a potential\n"
            "552-5.7.0 security issue. Please visit\n552 5.7.0 the help page",
            "552 5.7.0 Illegal attachment",
        ),
    ),
    # Amazon SES
    Row(
        "ses",
        "mail rcpt dot",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "454 Throttling failure: Maximum sending rate exceeded.",
            "454 throttling failure: maximum sending rate exceeded",
        ),
    ),
    Row(
        "ses",
        "mail rcpt dot",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
        ("454 Throttling failure: Daily message quota exceeded.",),
    ),
    # Microsoft 365 and Outlook.com
    Row(
        "m365 outlook",
        "auth mail",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "432 4.3.2 Concurrent connections limit exceeded. Visit the help page",
            "432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded",
        ),
        Action.FEWER_CONNECTIONS,
    ),
    Row(
        "m365 outlook",
        "auth mail",
        Kind.AUTH,
        ACCOUNT,
        DEFERRED,
        (
            "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for "
            "the Tenant.",
            "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
            "550 5.7.30 Basic authentication is not supported for Client Submission.",
            "530 5.7.57 Client not authenticated to send mail.",
            "530 5.7.57 SMTP; Client was not authenticated to send anonymous mail during MAIL FROM",
            "501 5.5.124 Invalid token",
        ),
        Action.HOLD_ACCOUNT,
    ),
    Row(
        "m365 outlook",
        "mail dot",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
        (
            "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed",
            "554 5.2.2 mailbox full; the sender's submission quota was exceeded.",
            "554 5.2.2 The message can't be submitted: the sender's SUBMISSION QUOTA is used up",
        ),
    ),
    Row(
        "m365 outlook",
        "mail rcpt dot",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "554 5.2.121 RecipientLimitExceeded; the hourly limit is reached",
            "554 5.2.122 message recipients exceed the limit per hour",
        ),
    ),
    # XOAUTH2 servers: the JSON of the challenge is answered, then comes this
    Row(
        "gmail m365 outlook yahoo",
        "auth",
        Kind.AUTH,
        ACCOUNT,
        DEFERRED,
        ("535 5.7.3 Authentication unsuccessful", "535-5.7.8 Bad credentials\n535 5.7.8 token"),
    ),
    # QQ, Foxmail, Exmail
    Row(
        "qq foxmail exmail",
        "auth",
        Kind.AUTH,
        ACCOUNT,
        DEFERRED,
        (
            "535 Login Fail. Please enter your authorization code to login. More information",
            "535 Login fail. Account is abnormal, service is not open, password is incorrect, "
            "login frequency limited, or system is busy.",
            "535 Error: 请使用授权码登录。详情请看",
            gbk("535 Error: 请使用授权码登录。详情请看"),
            gbk("535 登录失败，登录频率限制"),
            gbk("535-系统繁忙\n535 请稍后再试"),
            "535 system busy",
            "535",
        ),
        Action.HOLD_ACCOUNT,
    ),
    Row(
        "qq foxmail exmail",
        "mail dot",
        Kind.SENDER,
        MESSAGE,
        REJECTED,
        (
            "501 mail from address must be same as authorization user",
            "501 Mail from must equal authorized user",
            "501 MAIL FROM must equal authorised user.",
            gbk("501 发件人必须与登录帐号一致"),
        ),
    ),
    Row(
        "qq foxmail exmail",
        "mail rcpt dot",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "550 Sender frequency limited",
            "550 Ip frequency limited. http://service.mail.qq.com/cgi-bin/help",
            "550 Connection frequency limited",
            "550 Connection denied",
            "550 connection DENIED.",
            gbk("550 发信频率受限"),
            "550 发送过于频繁",
        ),
        Action.HOLD_ACCOUNT,
    ),
    Row(
        "qq exmail",
        "rcpt dot",
        Kind.RECIPIENT,
        RECIPIENT,
        DEFERRED,
        (
            "550 Mailbox unavailable or access denied",
            "550-Mailbox unavailable\n550 or access denied: 10001@qq.com",
        ),
        Action.BACK_OFF,
    ),
    Row(
        "qq exmail",
        "rcpt dot",
        Kind.RECIPIENT,
        RECIPIENT,
        REJECTED,
        (
            "550 Mailbox not found. http://service.mail.qq.com/cgi-bin/help",
            "550 Mail is rejected by recipients",
            "550 mail is REJECTED by recipient [x@qq.com]",
            gbk("550 邮箱不存在，详细内容请看"),
        ),
    ),
    Row(
        "qq exmail",
        "dot",
        Kind.CONTENT,
        MESSAGE,
        REJECTED,
        ("550 Mail content denied. http://service.mail.qq.com", gbk("550 邮件内容被拒绝")),
    ),
    # NetEase
    Row(
        "163 126",
        "auth",
        Kind.AUTH,
        ACCOUNT,
        DEFERRED,
        (
            "451 too much fail authentication, please try again later",
            "451 ERR.LOGIN.TOO MUCH FAIL AUTHENTICATION",
        ),
    ),
    Row(
        "163 126",
        "mail dot",
        Kind.SENDER,
        MESSAGE,
        REJECTED,
        ("553 Mail from must equal authorized user", gbk("553 发件人与登录用户不一致")),
    ),
    Row(
        "163 126",
        "mail rcpt",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        (
            "421 HL:ICC 163 smtp10,MsCowAB3 http://mail.163.com/help/help_spam_16.htm",
            "421 hl:icc too many connections",
        ),
        Action.FEWER_CONNECTIONS,
    ),
    Row(
        "163 126",
        "mail rcpt dot",
        Kind.THROTTLE,
        ACCOUNT,
        DEFERRED,
        ("421 HL:IFC 126 smtp1,D8mowA", "451 MI:SFQ 163 smtp12 http://mail.163.com/help"),
        Action.HOLD_ACCOUNT,
    ),
    Row(
        "163 126",
        "mail rcpt dot",
        Kind.SENDER,
        MESSAGE,
        REJECTED,
        ("421 HL:REP 163 smtp5,DsCowAB",),
    ),
    Row(
        "163 126",
        "mail rcpt",
        Kind.RECONNECT,
        CONNECTION,
        DEFERRED,
        ("450 MI:DMC 126 smtp3", "451 MI:DMC 126 smtp3", "450 RP:DRC 163 smtp8"),
        Action.RECONNECT,
    ),
    Row(
        "163 126",
        "mail rcpt dot",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
        ("451 RP:QRC 163 smtp9", "550 MI:STC 126 smtp2"),
    ),
    Row(
        "163 126",
        "dot",
        Kind.CONTENT,
        MESSAGE,
        DEFERRED,
        ("451 DT:SPM 163 smtp11", "451-DT:SPM\n451 126 smtp1"),
        Action.BACK_OFF,
    ),
    Row(
        "163 126",
        "dot",
        Kind.CONTENT,
        MESSAGE,
        REJECTED,
        ("554 DT:SPM 163 smtp11,D8mowA", "554 dt:spm"),
    ),
    # Apple, Yahoo, and what everybody says
    Row(
        "icloud",
        "mail rcpt dot",
        Kind.QUOTA,
        ACCOUNT,
        DEFERRED,
        (
            "550 5.7.0 Blocked: you have exceeded your daily sending limit",
            "550 You have Exceeded Your Daily Sending Limit.",
        ),
    ),
    Row(
        "gmail qq 126 m365 icloud yahoo ses any",
        "mail dot",
        Kind.SIZE,
        MESSAGE,
        REJECTED,
        (
            "552 5.2.3 Your message exceeded the server's size limits.",
            "552 5.3.4 Message size exceeds fixed maximum message size",
            "554 5.3.4 too big",
            "552 message too large",
            "552 Requested mail action aborted: message size exceeds the limit",
            "552 Mail size too large",
        ),
    ),
    Row(
        "gmail icloud yahoo any",
        "rcpt dot",
        Kind.RECIPIENT,
        RECIPIENT,
        REJECTED,
        (
            "552 5.2.2 The email account that you tried to reach is over quota.",
            "552-5.2.2 The recipient's inbox is out of storage\n552 5.2.2 space",
            "552 5.2.2 Mailbox size limit exceeded",
            "550 5.2.2 user is over quota",
            "552 Mailbox is full",
            "552 Quota exceeded",
        ),
    ),
    Row(
        "gmail icloud yahoo any",
        "rcpt dot",
        Kind.RECIPIENT,
        RECIPIENT,
        DEFERRED,
        ("452 4.2.2 The email account is over quota.", "452 mailbox full", "450 4.2.2 over quota"),
    ),
    Row(
        "yahoo icloud any",
        "mail rcpt dot",
        Kind.RECONNECT,
        CONNECTION,
        DEFERRED,
        (
            "421 Too many messages on this connection",
            "421 4.7.0 too many emails in this session; closing",
            "421 Max messages per connection reached",
        ),
        Action.RECONNECT,
    ),
]


def spelled() -> Iterator[object]:
    for row in ROWS:
        for preset in row.presets.split():
            for phase in row.phases.split():
                for number, spelling in enumerate(row.spellings):
                    octets = spelling if isinstance(spelling, bytes) else spelling.encode()
                    name = f"{preset} {phase} {octets[:24]!r} {number}"
                    yield pytest.param(row, preset, Phase(phase), octets, id=name)


def judged(preset: str, phase: Phase, octets: bytes, attempts: int = 0) -> Judgement:
    """Judge the server's octets as the wire gives them; line ends are put in."""
    known = None if preset == "any" else catalogue().by_name(preset)
    reader = ReplyReader(known.charset if known else "latin-1")
    reader.receive_data(octets.replace(b"\n", b"\r\n") + b"\r\n")
    reply = reader.next_reply()
    assert isinstance(reply, Reply)
    book = catalogue().rule_book(known)
    if phase in BEFORE_MAIL:
        return judge_failure(ExchangeFailed(phase, "", reply=reply), book)
    return judge(RecipientReply(phase, reply), book, attempts)


@pytest.mark.parametrize(("row", "preset", "phase", "octets"), list(spelled()))
def test_a_reply_is_classed_as_its_provider_means_it(
    row: Row, preset: str, phase: Phase, octets: bytes
) -> None:
    judgement = judged(preset, phase, octets)
    assert (judgement.kind, judgement.scope, judgement.verdict.status) == (
        row.kind,
        row.scope,
        row.status,
    )
    assert row.action in (None, judgement.action)
    assert judgement.verdict.code == int(octets[:3])


@pytest.mark.parametrize(
    ("preset", "phase", "octets"),
    [
        ("qq", "greeting", b"550 Connection frequency limited"),
        ("qq", "ehlo", b"550 Ip frequency limited"),
        ("163", "greeting", b"421 HL:IFC 163"),
        ("gmail", "greeting", b"421 4.7.28 unusual rate"),
    ],
)
def test_throttling_before_mail_is_throttling(preset: str, phase: str, octets: bytes) -> None:
    judgement = judged(preset, Phase(phase), octets)
    assert (judgement.kind, judgement.scope) == (Kind.THROTTLE, ACCOUNT)


@pytest.mark.parametrize(
    ("preset", "phase", "octets", "waits_s"),
    [
        ("qq", "auth", "535 system busy", LOGIN_PROBES_S),
        ("gmail", "auth", "535 5.7.8 no", LOGIN_PROBES_S),
        ("126", "auth", "451 too much fail authentication", LOGIN_PROBES_S),
        ("gmail", "dot", "550 5.4.5 daily", QUOTA_PROBES_S),
        ("outlook", "dot", "554 5.2.121 hourly", (3600.0, 3600.0)),
        ("163", "mail", "451 MI:SFQ", (900.0, 900.0)),
        ("ses", "dot", "454 Throttling failure: Maximum sending rate", (5.0, 10.0, 20.0, 40.0)),
        ("qq", "mail", "550 Sender frequency limited", (300.0, 600.0, 1200.0, 2400.0, 3600.0)),
    ],
)
def test_the_account_waits_as_long_as_the_provider_asks(
    preset: str, phase: str, octets: str, waits_s: tuple[float, ...]
) -> None:
    judgement = judged(preset, Phase(phase), octets.encode())
    assert judgement.scope is ACCOUNT
    assert tuple(probe_delay_s(judgement, n + 1) for n in range(len(waits_s))) == waits_s


@pytest.mark.parametrize(
    ("preset", "octets", "tries", "delay_s"),
    [
        ("qq", b"550 Mailbox unavailable or access denied", 3, None),
        ("126", b"451 DT:SPM 126 smtp1", 2, 120.0),
    ],
)
def test_what_may_heal_is_tried_so_often_and_no_more(
    preset: str, octets: bytes, tries: int, delay_s: float | None
) -> None:
    judgements = [judged(preset, Phase.DOT, octets, attempts) for attempts in range(tries)]
    assert [it.verdict.status for it in judgements] == [DEFERRED] * (tries - 1) + [REJECTED]
    assert judgements[0].delay_s == delay_s


def test_gbk_is_shown_as_the_server_meant_it() -> None:
    verdict = judged("qq", Phase.AUTH, gbk("535 Error: 请使用授权码登录")).verdict
    assert verdict.text == "Error: 请使用授权码登录"


def test_a_quota_s_hint_tells_the_provider_s_limits() -> None:
    assert "500 messages a day" in (judged("gmail", Phase.DOT, b"550 5.4.5 x").verdict.hint or "")


@pytest.mark.parametrize("code", [535, 534, 538])
@pytest.mark.parametrize("enhanced", ["", "4.7.8 ", "5.7.8 ", "2.0.0 "])
def test_a_refused_login_is_never_taken_for_an_outage(code: int, enhanced: str) -> None:
    """Outages are probed every few seconds: with a bad password that would lock the account."""
    judgement = judged("any", Phase.AUTH, f"{code} {enhanced}no".encode())
    assert (judgement.kind, judgement.scope) == (Kind.AUTH, ACCOUNT)


def test_a_relay_that_wants_a_login_says_so() -> None:
    judgement = judged("any", Phase.RCPT, b"554 5.7.1 <a@example.org>: Relay access denied")
    assert (judgement.kind, judgement.verdict.status) == (Kind.RECIPIENT, REJECTED)
    assert "log in" in (judgement.verdict.hint or "")
