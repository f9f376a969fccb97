"""The settings: TOML in, frozen sections out.

Everything is validated here, once.  A room is handed its own section and never the whole.
Durations are seconds (float), sizes octets (int); in the file both are written with units,
"90s" or "200MB".  A mistake is told with file, line and key, and all mistakes at once.
"""

import binascii
import difflib
import ipaddress
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

ENVIRONMENT_PREFIX = "ASYNCNET_"
CONFIG_VARIABLE = "ASYNCNET_CONFIG"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_RATE = re.compile(r"([1-9][0-9]{0,5})\s*/\s*(s|min|h|d)", re.ASCII)
_RATE_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_HTTPS = re.compile(r"https://[!-~]+")
_SIZE = re.compile(r"(\d+)\s*([kMGT]?)(i?)B", re.IGNORECASE)


class ConfigError(Exception):
    """The settings cannot be used.  problems holds one line for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def parse_duration(value: object) -> object:
    """Turn "1h30m" into 5400.0 seconds.  Numbers are refused: a bare 30 says no unit."""
    if not isinstance(value, str):
        raise ValueError('a duration is a text with a unit, such as "90s", "20m" or "2d"')
    parts = _DURATION.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        raise ValueError(f'{value!r} is no duration; write it as "90s", "20m" or "2d"')
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def parse_size(value: object) -> object:
    """Turn "25MB" into 25,000,000 octets and "25MiB" into 26,214,400."""
    if not isinstance(value, str):
        raise ValueError('a size is a text with a unit, such as "64kB" or "25MB"')
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(f'{value!r} is no size; write it as "64kB", "25MB" or "1GiB"')
    number, scale, binary = match.groups()
    return int(number) * (1024 if binary else 1000) ** " kmgt".index(scale.lower() or " ")


def size_in_words(octets: int) -> str:
    """A size as a person says it: "1.5 MB", "74 GB", "900 GB"."""
    number, unit = (octets / 1e9, "GB") if octets >= 1e9 else (octets / 1e6, "MB")
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most so many messages within so many seconds."""

    messages: int
    seconds: float


def parse_rate(value: object) -> object:
    """Read "30/min" (or /s, /h, /d) as Rate(30, 60.0)."""
    if isinstance(value, Rate):
        return value
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f'{value!r} is no rate; write it as "30/min", "2/s", "500/h" or "2000/d"')
    return Rate(int(match[1]), _RATE_UNITS_S[match[2]])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host (name or IP address, without brackets) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(value: object, default_port: int | None = None) -> Endpoint:
    """Read "127.0.0.1:8080", "[::1]:8080" or "localhost:8080".

    The port may be left out where default_port is given.  Raises ValueError.
    """
    if isinstance(value, Endpoint):
        return value
    if not isinstance(value, str):
        raise ValueError('an address is a text such as "127.0.0.1:8080" or "[::1]:8080"')
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.%\w]+)\](?::([0-9]{1,5}))?", value)
    plain = re.fullmatch(r"([^\s:\[\]/@]+)(?::([0-9]{1,5}))?", value)
    match = bracketed or plain
    if match is None:
        raise ValueError(f'{value!r} is no address; write "127.0.0.1:8080" or "[::1]:8080"')
    if match[2] is None and default_port is None:
        raise ValueError(f'{value!r} has no port; write "{value}:8080", say')
    port = int(match[2]) if match[2] is not None else default_port
    assert port is not None
    if not 0 <= port <= 65535:
        raise ValueError(f"port {port} is outside 0 to 65535")
    return Endpoint(match[1], port)


def _endpoints(value: object) -> object:
    """One address or a list of them; an empty text or list means none."""
    if value in ("", [], ()):
        return ()
    values = value if isinstance(value, list | tuple) else [value]
    return tuple(parse_endpoint(item) for item in values)


def _texts(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _pin(value: str) -> str:
    """A pin as RFC 7469 section 2.4 writes it: the base64 of a SHA-256."""
    try:
        digest = binascii.a2b_base64(value.encode("ascii"), strict_mode=True)
    except ValueError:
        digest = b""
    if len(digest) != 32:
        raise ValueError(f"{value!r} is no pin: the base64 of a SHA-256 has 44 characters")
    return value


def _host(value: str) -> str:
    bare = _unbracketed(value)
    if ":" in bare and not _is_ip_address(bare):
        raise ValueError(f"{value!r} is no host; a port is written as port = 587")
    if not bare or not bare.isprintable() or " " in bare:
        raise ValueError(f"{value!r} is no host")
    return bare


def _unbracketed(value: str) -> str:
    return value[1:-1] if value.startswith("[") and value.endswith("]") else value


def _is_ip_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _ip_address(value: str) -> str:
    address = _unbracketed(value)
    if not _is_ip_address(address):
        raise ValueError(f"{value!r} is no IP address; a name is written as host")
    return address


def _queue_url(value: str) -> str:
    """Not shown in any error: there may be a password in it."""
    if re.match(r"sqlite:.", value):
        return value
    try:
        parts = urlsplit(value)
        good = parts.scheme in ("postgresql", "postgres") and value.isprintable()
    except ValueError:
        good = False
    if not good:
        raise ValueError('a queue is written as "sqlite:FILE" or "postgresql://HOST/DATABASE"')
    return value


def _https(value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.hostname and (parts.port or 443) and parts.username is None
    except ValueError:
        good = False
    if not good or not _HTTPS.fullmatch(value):
        # Not shown: somebody may have written a password into it.
        raise ValueError('a token server is written as "https://host/path", without user name')
    return value


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Listen = Annotated[tuple[Endpoint, ...], BeforeValidator(_endpoints)]
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
Pins = Annotated[tuple[Annotated[str, AfterValidator(_pin)], ...], BeforeValidator(_texts)]

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

    url: Annotated[str, AfterValidator(_queue_url)] | None = Field(None, repr=False)
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
    token_url: Annotated[str, AfterValidator(_https)] | None = None
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
    host: Annotated[str, AfterValidator(_host)] | None = None
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
    rate: Annotated[Rate, BeforeValidator(parse_rate)] | None = None
    window: int = Field(1, ge=1, le=32)  # messages under way at a time over one connection
    ca_file: Path | None = None
    verify: bool = True
    pin_sha256: Pins = ()  # one of these must be the server's public key, besides all else
    address: Annotated[str, AfterValidator(_ip_address)] | None = None  # host still is the name
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


def find_config(explicit: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file to read, or None for the built-in defaults.

    --config and $ASYNCNET_CONFIG name one and are believed even when it is missing (the
    reading then fails and says so); the usual places are only looked at.
    """
    if explicit is not None:
        return explicit
    if environment.get(CONFIG_VARIABLE):
        return Path(environment[CONFIG_VARIABLE])
    user_folder = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    usual = [
        Path("config/asyncnet.toml"),
        Path(user_folder) / "asyncnet/asyncnet.toml",
        Path("/etc/asyncnet/asyncnet.toml"),
    ]
    return next((path for path in usual if path.is_file()), None)


def load(explicit: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read, override and validate the settings.  Raises ConfigError, nothing else."""
    path = find_config(explicit, environment)
    text = "" if path is None else _read(path)
    where = "built-in defaults" if path is None else str(path)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{where}: {error}"]) from error
    overridden = _override(raw, environment)
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems = [
            _describe(problem, where, text, overridden)
            for problem in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError(problems) from None  # the cause would print the input, secrets included
    _check_values(settings, path, where, text)
    return settings


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([f"{path}: is not UTF-8 (octet {error.start})"]) from error


def _check_values(settings: Settings, path: Path | None, where: str, text: str) -> None:
    """A password written into the file is only accepted from a file nobody else can read."""
    if path is None or sys.platform == "win32" or not path.stat().st_mode & 0o077:
        return
    problems = [
        f"{where}, line {_line_of(('account', name, *keys), text)}: "
        f"[account.{name}] {'.'.join(keys)}: "
        f"the file can be read by others; chmod 600 {where}, or use env, file or command"
        for name, account in settings.account.items()
        for keys, source in account.secret_sources()
        if source.value is not None
    ]
    if settings.queue.server is not None and _has_password(settings.queue.server):
        problems.append(
            f"{where}, line {_line_of(('queue', 'url'), text)}: [queue] url: the file can be read "
            f"by others; chmod 600 {where}, or leave the password to $PGPASSWORD or ~/.pgpass"
        )
    if problems:
        raise ConfigError(problems)


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password=" in parts.query
    except ValueError:
        return True


def _override(raw: dict[str, Any], environment: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Put ASYNCNET_SECTION__KEY=value into raw; the value is TOML where it reads as such."""
    taken: dict[tuple[str, ...], str] = {}
    for name in sorted(environment):
        if not name.startswith(ENVIRONMENT_PREFIX) or "__" not in name:
            continue
        keys = tuple(name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__"))
        try:
            value = tomllib.loads(f"value = {environment[name]}")["value"]
        except tomllib.TOMLDecodeError:
            value = environment[name]
        table = raw
        for key in keys[:-1]:
            table = table.setdefault(key, {})
            if not isinstance(table, dict):
                raise ConfigError([f"environment variable {name}: {key} is no section"])
        table[keys[-1]] = value
        taken[keys] = name
    return taken


def _describe(
    problem: Mapping[str, Any], where: str, text: str, overridden: Mapping[tuple[str, ...], str]
) -> str:
    """One line for one mistake: place, key, what is wrong, what would be right."""
    location = tuple(problem["loc"])
    names = tuple(str(part) for part in location if isinstance(part, str))
    if names in overridden:
        place = f"environment variable {overridden[names]}"
    else:
        line = _line_of(names, text)
        place = f"{where}, line {line}" if line else where
    if problem["type"] == "extra_forbidden":
        known = list(_known_keys(location[:-1]))
        near = difflib.get_close_matches(names[-1], known, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
        return f"{place}: {_spell(location)}: unknown key; {advice}"
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {_spell(location)}: {message}"


def _spell(location: tuple[object, ...]) -> str:
    """("account", "work", "port") as "[account.work] port"."""
    parts = [str(part) for part in location]
    depth = 2 if parts[0] == "account" and len(parts) > 1 else 1
    return f"[{'.'.join(parts[:depth])}] {'.'.join(parts[depth:])}".strip()


def _known_keys(path: tuple[object, ...]) -> Iterator[str]:
    """The keys of the section at path, following the models."""
    model: Any = Settings
    for part in path:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[str(part)].annotation
        elif get_origin(model) is dict:
            model = get_args(model)[1]
        if get_origin(model) in (Union, UnionType):
            model = next(kind for kind in get_args(model) if kind is not type(None))
    if isinstance(model, type) and issubclass(model, BaseModel):
        yield from model.model_fields


def _line_of(names: tuple[str, ...], text: str) -> int | None:
    """The line of a key, found by its spelling, since tomllib keeps no positions."""
    section: tuple[str, ...] = ()
    best: tuple[int, int] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        key = re.match(r"\s*([\w.\"'-]+)\s*=", line)
        if header:
            section = tuple(part.strip(" \"'") for part in header[1].split("."))
            found = section
        elif key:
            found = (*section, *(part.strip(" \"'") for part in key[1].split(".")))
        else:
            continue
        if names[: len(found)] == found and (best is None or len(found) > best[0]):
            best = (len(found), number)
    return best[1] if best else None
