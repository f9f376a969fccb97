"""The stages of a check-up, how each ended, and the causes of trouble by name."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from time import perf_counter
from typing import NoReturn

from asyncnet.delivery.trace import Mask


class Finding(StrEnum):
    """How a stage ended."""

    OK = "ok"
    WARNING = "warning"  # it works, and somebody should look at it
    FAILED = "failed"
    SKIPPED = "skipped"


class Cause(StrEnum):
    """Why a stage failed or is to be looked at, for programs; advice is for people."""

    # the settings
    SETTINGS = "settings"
    SECRET_MISSING = "secret_missing"
    SECRET_BLANK = "secret_blank"
    CA_FILE = "ca_file"
    UNUSUAL_SERVER = "unusual_server"  # not as the provider's preset has it
    SENDER_NOT_LOGIN = "sender_not_login"
    # how the account stands in the queue
    HELD = "held"
    DOWN = "down"
    # getting there
    TOKEN_REFUSED = "token_refused"
    HOST_UNKNOWN = "host_unknown"
    NAME_SERVICE = "name_service"
    WRONG_PORT = "wrong_port"
    CONNECTION_REFUSED = "connection_refused"
    CONNECTION_TIMEOUT = "connection_timeout"
    UNREACHABLE = "unreachable"
    ADDRESS_DEAD = "address_dead"  # one of several
    # who is there
    CLOSED_AT_ONCE = "closed_at_once"
    CLOSED = "connection_closed"
    SILENT = "silent"
    NOT_SMTP = "not_smtp"
    BUSY = "busy"
    TURNED_AWAY = "turned_away"
    EHLO_REFUSED = "ehlo_refused"
    PROTOCOL = "protocol"
    # TLS
    TLS_FROM_THE_START = "tls_from_the_start"
    TLS_BY_STARTTLS = "tls_by_starttls"
    TLS_NOT_OFFERED = "tls_not_offered"
    STARTTLS_REFUSED = "starttls_refused"
    TLS_TOO_OLD = "tls_too_old"
    TLS_FAILED = "tls_failed"
    INJECTED = "octets_before_tls"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_EXPIRES = "certificate_expires"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_NAME = "certificate_name"
    CERTIFICATE_SELF_SIGNED = "certificate_self_signed"
    CERTIFICATE_UNKNOWN_AUTHORITY = "certificate_unknown_authority"
    CERTIFICATE_NOT_FOR_SERVERS = "certificate_not_for_servers"
    CERTIFICATE_WEAK = "certificate_weak"
    CERTIFICATE_REFUSED = "certificate_refused"
    NOT_VERIFIED = "not_verified"
    PIN = "pin"
    # the login
    AUTH_NEEDS_TLS = "auth_needs_tls"
    AUTH_NOT_OFFERED = "auth_not_offered"
    MECHANISM_NOT_OFFERED = "mechanism_not_offered"
    PASSWORD_IN_THE_CLEAR = "password_in_the_clear"
    LOGIN_REFUSED = "login_refused"
    LOGIN_BROKEN = "login_broken"
    SMTP_AUTH_DISABLED = "smtp_auth_disabled"
    LOGIN_NEEDED = "login_needed"
    # a mail
    SIZE = "size"
    SMTPUTF8 = "smtputf8"
    SENDER_REFUSED = "sender_refused"
    RECIPIENT_REFUSED = "recipient_refused"
    RELAY_DENIED = "relay_denied"
    GREYLISTED = "greylisted"
    THROTTLED = "throttled"
    QUOTA = "quota"
    NOT_NOW = "not_now"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong: the cause, what was seen of it, and what to do."""

    cause: Cause
    told: str
    advice: str
    finding: Finding = Finding.FAILED


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the way.  took_s None: there was nothing to measure.

    told is what was seen in one line, details are more of it.  No text holds a secret.
    """

    name: str
    finding: Finding
    told: str
    took_s: float | None = None
    details: tuple[str, ...] = ()
    cause: Cause | None = None
    advice: str | None = None


class Stopped(Exception):
    """A stage failed: there is no way on.  The ledger was told."""


class Ledger:
    """The stages as they go by, each told once and without secrets."""

    def __init__(self, told: Callable[[Stage], None], secrets: Iterable[str]) -> None:
        self.name = ""  # of the stage under way
        self.mask = Mask(secrets)
        self._told = told
        self._seen: set[str] = set()
        self._begun_s = 0.0

    def begin(self, name: str) -> None:
        """Another stage begins."""
        self.name = name
        self._begun_s = perf_counter()

    def end(self, told: str, *details: str, trouble: Trouble | None = None) -> None:
        """The stage under way is over; trouble tells how, where it is not simply ok."""
        finding = trouble.finding if trouble is not None else Finding.OK
        stage = Stage(self.name, finding, told, perf_counter() - self._begun_s, details)
        if trouble is not None:
            stage = replace(stage, cause=trouble.cause, advice=trouble.advice)
        self._tell(stage)

    def stop(self, trouble: Trouble, *details: str) -> NoReturn:
        """The stage under way failed.  Raises Stopped."""
        self.end(trouble.told, *details, trouble=trouble)
        raise Stopped

    def skip(self, name: str, why: str) -> None:
        """There is no such stage this time."""
        self._tell(Stage(name, Finding.SKIPPED, why))

    def told(self, name: str) -> bool:
        """Whether the stage is over."""
        return name in self._seen

    def _tell(self, stage: Stage) -> None:
        if self.told(stage.name):  # the same way again, with another token
            return
        self._seen.add(stage.name)
        strike = self.mask.strike
        self._told(
            replace(
                stage,
                told=strike(stage.told),
                details=tuple(map(strike, stage.details)),
                advice=None if stage.advice is None else strike(stage.advice),
            )
        )
