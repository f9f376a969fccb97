"""Accounts ready for use: the settings and the provider's preset put together, secrets on demand.

A password is read when a connection is made and kept nowhere: no password lies in memory while
mail waits.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from asyncnet.config.sections import AccountSettings, OAuth2Settings, SecretSource
from asyncnet.delivery.credential import CredentialError, read_secret
from asyncnet.delivery.tokens import Grant, ReadyTokens, RefreshedTokens, Tokens
from asyncnet.mail.envelope import SUBMISSION_PORT, Server, TlsMode, port_by_tls, tls_by_port
from asyncnet.providers.presets import Catalogue, Preset, ProviderError
from asyncnet.providers.rules import RuleBook

if TYPE_CHECKING:
    from asyncnet.delivery.exchange import Login, Target

DEFAULT_CONNECTIONS = 2  # polite towards a server that we know nothing of


class AccountError(Exception):
    """The account cannot be used as it is set; str() says why and never holds a secret."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where and how one account's mail goes out.  None: no limit.

    octets and from_is_login are what is known of the provider: see Preset.
    """

    name: str
    host: str
    port: int
    tls: TlsMode
    book: RuleBook = field(repr=False)
    user: str | None = None
    secret: SecretSource | None = field(default=None, repr=False)
    tokens: Tokens | None = field(default=None, repr=False, compare=False)
    mechanisms: tuple[str, ...] | None = None
    plaintext_auth: bool = False
    charset: str = "latin-1"
    connections: int = DEFAULT_CONNECTIONS
    messages_per_connection: int | None = None
    recipients: int | None = None
    octets: int | None = None
    from_is_login: bool = False
    interval_s: float = 0.0
    burst: int = 1  # so many messages may begin within interval_s
    connection_s: float | None = None
    no_rset: bool = False
    ca_file: Path | None = None
    verify: bool = True
    ehlo: str | None = None
    pins: tuple[str, ...] = ()
    address: str | None = None
    window: int = 1

    async def target(self, environment: Mapping[str, str] = os.environ) -> "Target":
        """What Exchange.connect() needs, the password or token had just now.

        Raises AccountError, as connect() then may when it renews a token.
        """
        from asyncnet.delivery.exchange import (
            Target,  # heavy, and no check of the settings needs it
        )

        try:
            login = await self._login(environment)
        except CredentialError as error:
            raise AccountError(str(error)) from error
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
            address=self.address,
            pins=self.pins,
            window=self.window,
            usual_octets=self.octets,
        )

    async def _login(self, environment: Mapping[str, str]) -> "Login | None":
        from asyncnet.delivery.exchange import Login  # heavy, too

        tokens = self.tokens
        if self.user is None:
            return None
        if tokens is None:
            if self.secret is None:
                return None
            password = await read_secret(self.secret, environment)
            return Login(self.user, password, self.mechanisms, self.plaintext_auth)

        async def renew(refused: str) -> str | None:
            try:
                return await tokens.renew(refused, environment)
            except CredentialError as error:
                raise AccountError(str(error)) from error

        return Login(
            self.user,
            await tokens.token(environment),
            self.mechanisms,
            self.plaintext_auth,
            bearer=True,
            renew=renew,
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
        tokens=_tokens(name, settings.oauth2, preset),
        mechanisms=settings.auth,
        plaintext_auth=settings.plaintext_auth,
        charset=limits.charset,
        connections=settings.connections or limits.connections or DEFAULT_CONNECTIONS,
        messages_per_connection=settings.messages_per_connection or limits.messages_per_connection,
        recipients=limits.recipients,
        octets=limits.octets,
        from_is_login=limits.from_is_login,
        interval_s=settings.rate.seconds if settings.rate else limits.interval_s,
        burst=settings.rate.messages if settings.rate else 1,
        connection_s=limits.connection_s,
        no_rset=limits.no_rset,
        ca_file=settings.ca_file,
        verify=settings.verify,
        ehlo=settings.ehlo,
        pins=settings.pin_sha256,
        address=settings.address,
        window=settings.window,
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


def _tokens(name: str, oauth2: OAuth2Settings | None, preset: Preset | None) -> Tokens | None:
    if oauth2 is None:
        return None
    if oauth2.token is not None:
        return ReadyTokens(oauth2.token)
    token_url = oauth2.token_url or (preset.token_url if preset else None)
    if token_url is None:
        raise AccountError(f'[account.{name}] oauth2 needs a token_url, "https://…"')
    assert oauth2.client_id is not None
    assert oauth2.refresh_token is not None
    grant = Grant(
        token_url=token_url,
        client_id=oauth2.client_id,
        refresh_token=oauth2.refresh_token,
        client_secret=oauth2.client_secret,
        scope=oauth2.scope or (preset.scope if preset else None),
        ca_file=oauth2.ca_file,
    )
    return RefreshedTokens(grant)


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
