"""What became of a recipient, and of a job: the words of the result file.  No I/O."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The stage of the talk in which a verdict fell."""

    DNS = "dns"
    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    TLS = "tls"
    AUTH = "auth"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    DOT = "dot"  # the end of the content, and the reply that decides


class Scope(StrEnum):
    """Whom a failure concerns."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    CONNECTION = "connection"
    ACCOUNT = "account"


class Kind(StrEnum):
    """The class of a failure; which scope it has and what is done stands in judgement."""

    GREYLIST = "greylist"
    TRANSIENT = "transient"
    RECONNECT = "reconnect"
    THROTTLE = "throttle"
    QUOTA = "quota"
    AUTH = "auth"
    TLS = "tls"
    NETWORK = "network"
    DNS = "dns"
    RECIPIENT = "recipient"
    CONTENT = "content"
    SIZE = "size"
    SENDER = "sender"
    PROTOCOL = "protocol"


class RecipientStatus(StrEnum):
    PENDING = "pending"  # not tried yet
    DEFERRED = "deferred"  # tried, will be tried again
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    EXPIRED = "expired"
    IN_DOUBT = "in_doubt"
    CANCELED = "canceled"

    @property
    def final(self) -> bool:
        return self not in (RecipientStatus.PENDING, RecipientStatus.DEFERRED)


class JobStatus(StrEnum):
    QUEUED = "queued"  # waits for its first attempt
    DEFERRED = "deferred"  # waits for another attempt
    HELD = "held"  # waits for a person
    SENT = "sent"
    PARTIAL = "partial"
    FAILED = "failed"
    EXPIRED = "expired"
    IN_DOUBT = "in_doubt"
    CANCELED = "canceled"
    DUPLICATE = "duplicate"
    INVALID = "invalid"

    @property
    def final(self) -> bool:
        return self not in (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.HELD)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the last attempt said of one recipient.

    code is the server's (200 to 599), None where no reply came; enhanced is RFC 3463's
    "5.1.1"; text is the server's own words or, without a reply, ours; hint is our advice.
    """

    status: RecipientStatus
    code: int | None = None
    enhanced: str | None = None
    phase: Phase | None = None
    kind: Kind | None = None  # "class" in the result; None when accepted
    text: str = ""
    hint: str | None = None


def job_status(recipients: Iterable[RecipientStatus]) -> JobStatus:
    """The status of a job all of whose recipients are final.

    All accepted: sent; some accepted: partial.  None accepted: in doubt if any is (the
    most uncertain is never hidden), else the one status they share, else failed.
    """
    statuses = set(recipients)
    if statuses == {RecipientStatus.ACCEPTED}:
        return JobStatus.SENT
    if RecipientStatus.ACCEPTED in statuses:
        return JobStatus.PARTIAL
    if RecipientStatus.IN_DOUBT in statuses:
        return JobStatus.IN_DOUBT
    if statuses == {RecipientStatus.EXPIRED}:
        return JobStatus.EXPIRED
    if statuses == {RecipientStatus.CANCELED}:
        return JobStatus.CANCELED
    return JobStatus.FAILED
