"""Accounts ready for use: the settings and the provider's preset put together, secrets on demand.

A secret is read when a connection is made and kept nowhere: a file or credential changed
meanwhile counts at the next login, and no secret lies in memory while mail waits.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from asyncnet.config import AccountSettings, SecretSource
from asyncnet.delivery.exchange import Login, Target
from asyncnet.mail.envelope import SUBMISSION_PORT, Server, TlsMode, port_by_tls, tls_by_port
from asyncnet.providers.presets import Catalogue, Preset, ProviderError
from asyncnet.providers.rules import RuleBook

DEFAULT_CONNECTIONS = 2  # polite towards a server that we know nothing of
COMMAND_TIMEOUT_S = 30.0  # a password program may ask a vault; a person at a prompt it may not
MAX_SECRET_OCTETS = 64 * 1024  # more is a wrong file


class AccountError(Exception):
    """The account cannot be used as it is set; str() says why and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where and how one account's mail goes out.  None: no limit."""

    name: str
    host: str
    port: int
    tls: TlsMode
    book: RuleBook = field(repr=False)
    user: str | None = None
    secret: SecretSource | None = field(default=None, repr=False)
    mechanisms: tuple[str, ...] | None = None
    plaintext_auth: bool = False
    charset: str = "latin-1"
    connections: int = DEFAULT_CONNECTIONS
    messages_per_connection: int | None = None
    recipients: int | None = None
    interval_s: float = 0.0
    connection_s: float | None = None
    no_rset: bool = False
    ca_file: Path | None = None
    verify: bool = True
    ehlo: str | None = None

    async def target(self, environment: Mapping[str, str] = os.environ) -> Target:
        """What Exchange.connect() needs, the password read just now.  Raises AccountError."""
        login = None
        if self.user is not None and self.secret is not None:
            password = await read_secret(self.secret, environment)
            login = Login(self.user, password, self.mechanisms, self.plaintext_auth)
        return Target(
            host=self.host,
            port=self.port,
            tls=self.tls,
            login=login,
            ca_file=None if self.ca_file is None else str(self.ca_file),
            verify=self.verify,
            ehlo=self.ehlo,
            charset=self.charset,
            rset=not self.no_rset,
        )


def resolve(name: str, settings: AccountSettings, catalogue: Catalogue) -> Account:
    """An account from its section and the preset that it names, or that its host belongs to.

    What the section says wins.  Raises AccountError where the preset is unknown or has no
    host of its own and the section none either.
    """
    preset = _preset(name, settings, catalogue)
    host = settings.host or (preset.host if preset else None)
    if host is None:
        raise AccountError(
            f"[account.{name}] the preset {settings.preset!r} has a host for each region; "
            'give one, host = "…"'
        )
    port, tls = _port_and_tls(settings, preset)
    limits = preset or Preset("")
    return Account(
        name=name,
        host=host,
        port=port,
        tls=tls,
        book=catalogue.rule_book(preset),
        user=settings.user,
        secret=settings.secret,
        mechanisms=settings.auth,
        plaintext_auth=settings.plaintext_auth,
        charset=limits.charset,
        connections=settings.connections or limits.connections or DEFAULT_CONNECTIONS,
        messages_per_connection=settings.messages_per_connection or limits.messages_per_connection,
        recipients=limits.recipients,
        interval_s=limits.interval_s,
        connection_s=limits.connection_s,
        no_rset=limits.no_rset,
        ca_file=settings.ca_file,
        verify=settings.verify,
        ehlo=settings.ehlo,
    )


def for_server(name: str, server: Server, catalogue: Catalogue) -> Account:
    """A server that a job names itself: never a login, and TLS always verified."""
    book = catalogue.rule_book(None)
    return Account(name, server.host, server.port, server.tls, book)


def _preset(name: str, settings: AccountSettings, catalogue: Catalogue) -> Preset | None:
    if settings.preset is None:
        return catalogue.by_host(settings.host or "")
    try:
        return catalogue.by_name(settings.preset)
    except ProviderError as error:
        raise AccountError(f"[account.{name}] {error}") from error


def _port_and_tls(settings: AccountSettings, preset: Preset | None) -> tuple[int, TlsMode]:
    """The port by the TLS mode where only that is written, and the other way round."""
    ports = preset.ports if preset else {}
    if settings.port is not None:
        port = settings.port
    elif settings.tls is not None and (preset is None or ports[preset.port] != settings.tls):
        port = port_by_tls(settings.tls)
    else:
        port = preset.port if preset else SUBMISSION_PORT
    return port, settings.tls or ports.get(port) or tls_by_port(port)


async def read_secret(source: SecretSource, environment: Mapping[str, str] = os.environ) -> str:
    """The password from where the settings say it is; one line end at its end is dropped.

    Raises AccountError, which names the place and never the content.  Cancelling ends a
    command that still runs.
    """
    if source.value is not None:
        return _one_line(source.value.get_secret_value(), "secret value")
    if source.env is not None:
        if source.env not in environment:
            raise AccountError(f"the environment variable {source.env} is not set")
        return _one_line(environment[source.env], f"the environment variable {source.env}")
    if source.command is not None:
        return await _from_command(source.command)
    path = source.file if source.file is not None else _credential(source, environment)
    text = await asyncio.to_thread(_from_file, path)
    return _one_line(text, f"the file {path}")


def _credential(source: SecretSource, environment: Mapping[str, str]) -> Path:
    """systemd's LoadCredential= puts files into a folder that only the service can read."""
    name = source.credential or ""
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise AccountError(
            f"the credential {name!r} is not there: systemd sets $CREDENTIALS_DIRECTORY only "
            "for a service with LoadCredential="
        )
    if Path(name).name != name:
        raise AccountError(f"the credential {name!r} is no plain name")
    return Path(folder) / name


def _from_file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_SECRET_OCTETS + 1)
    except OSError as error:
        raise AccountError(f"the file {path} cannot be read: {error.strerror}") from error
    return _decoded(octets, f"the file {path}")


async def _from_command(command: tuple[str, ...]) -> str:
    # Only the program is named in errors: its arguments, and what it prints, may be secrets.
    program = command[0] if command else ""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except (OSError, TypeError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "the command is empty or invalid"
        raise AccountError(f"the command {program!r} cannot be started: {reason}") from None
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            octets, _ = await process.communicate()
    except TimeoutError:
        raise AccountError(
            f"the command {program!r} gave no password within {COMMAND_TIMEOUT_S:g} s"
        ) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise AccountError(f"the command {program!r} ended with exit code {process.returncode}")
    return _one_line(_decoded(octets, f"the command {program!r}"), f"the command {program!r}")


def _decoded(octets: bytes, where: str) -> str:
    if len(octets) > MAX_SECRET_OCTETS:
        raise AccountError(f"{where} is too long for a password")
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        # Without the cause: its text shows octets of the secret.
        raise AccountError(f"{where} is no UTF-8 text") from None


def _one_line(text: str, where: str) -> str:
    secret = text.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise AccountError(f"{where} is empty")
    if any(character in secret for character in "\r\n\0"):
        raise AccountError(f"{where} holds more than one line; a password is one")
    return secret
