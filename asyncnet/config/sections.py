"""The sections of the settings, frozen.  A room is handed its own and never the whole.  No I/O."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from asyncnet.config.values import (
    Duration,
    Endpoint,
    HostName,
    HttpsUrl,
    IpAddress,
    Listen,
    Pins,
    QueueUrl,
    RateText,
    Size,
    Texts,
)

PASSWORD_MECHANISMS = ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5")
TOKEN_MECHANISMS = ("OAUTHBEARER", "XOAUTH2")
AuthName = Literal["SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5", "OAUTHBEARER", "XOAUTH2"]


class Section(BaseModel):
    """A part of the settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(Section):
    """The three pages."""

    listen: Listen = (Endpoint("127.0.0.1", 8080), Endpoint("::1", 8080))
    head_timeout: Duration = 10.0
    max_head: Size = 16_384
    max_connections: int = Field(10_000, ge=1)
    access_log: bool = False


class OpsSettings(Section):
    """The operators' listener: metrics, health and the queue page; off without listen.

    hosts are the names by which it may be asked for, besides addresses, localhost and this
    machine's own name.
    """

    listen: Listen = ()
    hosts: Texts = ()


class SpoolSettings(Section):
    """The watched folder."""

    dir: Path = Path("spool")
    attachment_roots: tuple[Path, ...] = ()
    allow_server: bool = False
    settle: Duration = 2.0
    grace: Duration = 30.0
    scan: Duration = 2.0
    keep_sent: Duration | None = None  # None: for ever
    keep_failed: Duration | None = None
    min_free: Size = 50_000_000  # on the spool's disk; nothing new is taken below
    max_message: Size = 200_000_000


class QueueSettings(Section):
    """The store and the retry schedule."""

    url: QueueUrl | None = Field(None, repr=False)
    retry: tuple[Duration, ...] = Field(
        (0.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 7200.0, 14400.0), min_length=1
    )
    lifetime: Duration = 172_800.0
    jitter: float = Field(0.2, ge=0.0, le=0.9)
    on_doubt: Literal["retry", "hold", "fail"] = "retry"
    dedup_window: Duration = 604_800.0

    @property
    def server(self) -> str | None:
        """The URL of the PostgreSQL database; None where a file holds the queue."""
        return None if self.url is None or self.url.startswith("sqlite:") else self.url


class SecretSource(Section):
    """Where a password comes from; exactly one of the keys."""

    env: str | None = None
    file: Path | None = None
    command: tuple[str, ...] | None = None
    credential: str | None = None  # systemd's LoadCredential, a file in $CREDENTIALS_DIRECTORY
    value: SecretStr | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "SecretSource":
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of env, file, command, credential, value")
        return self


class OAuth2Settings(Section):
    """Where an access token comes from: ready-made, or by a refresh token (RFC 6749 section 6).

    token_url and scope: the preset's where it has them.  ca_file is for the token server.
    """

    token: SecretSource | None = None
    token_url: HttpsUrl | None = None
    client_id: str | None = None
    client_secret: SecretSource | None = None
    refresh_token: SecretSource | None = None
    scope: str | None = None
    ca_file: Path | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "OAuth2Settings":
        if self.token is not None:
            others = sorted(self.model_fields_set - {"token"})
            if others:
                raise ValueError(f"token stands alone; take out {', '.join(others)}")
        elif self.client_id is None or self.refresh_token is None:
            raise ValueError("give token, or client_id and refresh_token")
        return self


class AccountSettings(Section):
    """One account at a provider's submission server."""

    preset: str | None = None
    host: HostName | None = None
    port: int | None = Field(None, ge=1, le=65535)
    tls: Literal["implicit", "starttls", "none"] | None = None  # None: by the port
    user: str | None = None
    secret: SecretSource | None = None
    oauth2: OAuth2Settings | None = None
    senders: Texts = ()
    default: bool = False
    auth: tuple[AuthName, ...] | None = None  # None: the best that the server offers
    plaintext_auth: bool = False
    connections: int | None = Field(None, ge=1, le=100)
    messages_per_connection: int | None = Field(None, ge=1)
    rate: RateText | None = None
    window: int = Field(1, ge=1, le=32)  # messages under way at a time over one connection
    ca_file: Path | None = None
    verify: bool = True
    pin_sha256: Pins = ()  # one of these must be the server's public key, besides all else
    address: IpAddress | None = None  # host still is the name
    ehlo: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> "AccountSettings":
        if self.preset is None and self.host is None:
            raise ValueError('give a preset ("qq", "126", "gmail", …) or a host')
        if self.secret is not None and self.oauth2 is not None:
            raise ValueError("secret and oauth2 exclude each other; give one of them")
        credential = "secret" if self.oauth2 is None else "oauth2"
        if (self.user is None) != (self.secret is None and self.oauth2 is None):
            raise ValueError(
                f"user and {credential} go together; give both, or neither for no login"
            )
        if self.auth is not None and self.user is not None:
            usable = PASSWORD_MECHANISMS if self.oauth2 is None else TOKEN_MECHANISMS
            if not set(self.auth) & set(usable):
                raise ValueError(f"auth has none for {credential}: {', '.join(usable)}")
        if self.pin_sha256 and self.tls == "none":
            raise ValueError('pin_sha256 needs TLS; take out tls = "none", or the pins')
        return self

    def secret_sources(self) -> Iterator[tuple[tuple[str, ...], SecretSource]]:
        """Every source of a secret, with its keys."""
        if self.secret is not None:
            yield ("secret",), self.secret
        if self.oauth2 is not None:
            for key in ("token", "client_secret", "refresh_token"):
                source = getattr(self.oauth2, key)
                if source is not None:
                    yield ("oauth2", key), source


class SinkSettings(Section):
    """The local test sink; off without listen."""

    listen: Listen = ()
    maildir: Path = Path("spool/sink")


class LogSettings(Section):
    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Section):
    """All sections.  Only the supervisor and the command line see this one."""

    http: HttpSettings = HttpSettings()
    ops: OpsSettings = OpsSettings()
    spool: SpoolSettings = SpoolSettings()
    queue: QueueSettings = QueueSettings()
    account: dict[str, AccountSettings] = {}
    sink: SinkSettings = SinkSettings()
    log: LogSettings = LogSettings()

    @property
    def database(self) -> Path:
        """The SQLite file: as configured, else beside the spool's folders.

        Where queue.server holds the queue, there is none.
        """
        if self.queue.url is None or self.queue.server is not None:
            return self.spool.dir / "queue.db"
        return Path(self.queue.url.removeprefix("sqlite:"))


def choose_account(
    accounts: Mapping[str, AccountSettings], name: str | None, sender: str
) -> str | None:
    """The account that carries a job: by name, else by its sender, the default or the first.

    None where name is unknown or no account is configured at all.  senders are globs,
    compared with the address in any capitals.
    """
    if name is not None:
        return name if name in accounts else None
    address = sender.lower()
    for key, account in accounts.items():
        if any(fnmatchcase(address, pattern.lower()) for pattern in account.senders):
            return key
    defaults = (key for key, account in accounts.items() if account.default)
    return next(defaults, next(iter(accounts), None))
