"""Access tokens: ready-made ones, and those that a refresh token is changed for (RFC 6749).

A token is asked for when a login needs it, and kept until shortly before it expires; the
refresh token and the client's secret are read each time and kept nowhere, but for a refresh
token that the server gave in place of ours: only this process knows it.
"""

import asyncio
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote_plus, urlsplit

from asyncnet.config.sections import SecretSource
from asyncnet.delivery.credential import CredentialError, read_secret
from asyncnet.delivery.errors import WireError

if TYPE_CHECKING:
    from asyncnet.delivery.token_request import Answer

# Not used any more so long before it expires: a login takes its time, clocks differ.
MARGIN_S = 120.0
# Where the server does not tell (RFC 6749 section 5.1 only recommends it).
DEFAULT_LIFE_S = 300.0
MAX_LIFE_S = 86_400.0
MAX_SHOWN = 300  # characters of the token server's own words

_TOKEN = re.compile(r"[!-~]+")  # RFC 6749 appendix A.12, without the space

Environment = Mapping[str, str]


class Tokens(Protocol):
    """Where an account's access tokens come from.  Both raise CredentialError."""

    async def token(self, environment: Environment) -> str:
        """One to log in with."""
        ...

    async def renew(self, refused: str, environment: Environment) -> str | None:
        """Another one than the one that was refused; None: there is none other."""
        ...


@dataclass(frozen=True, slots=True)
class ReadyTokens:
    """A file or program gives them, and knows itself when they expire."""

    source: SecretSource = field(repr=False)

    async def token(self, environment: Environment) -> str:
        return _checked(await read_secret(self.source, environment))

    async def renew(self, refused: str, environment: Environment) -> str | None:
        token = await self.token(environment)
        return None if token == refused else token


@dataclass(frozen=True, slots=True)
class Grant:
    """What a refresh token is changed at and with."""

    token_url: str
    client_id: str
    refresh_token: SecretSource = field(repr=False)
    client_secret: SecretSource | None = field(default=None, repr=False)
    scope: str | None = None
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str = field(repr=False)
    until: float  # by the clock


@dataclass(frozen=True, slots=True)
class _Successor:
    """The refresh token that came in place of the configured one."""

    configured: str = field(repr=False)
    token: str = field(repr=False)


class RefreshedTokens:
    """Those of a grant.  Several logins at a time share one request."""

    def __init__(self, grant: Grant, clock: Callable[[], float] = monotonic) -> None:
        self._grant = grant
        self._clock = clock
        self._lock = asyncio.Lock()
        self._kept: _Kept | None = None
        self._successor: _Successor | None = None

    async def token(self, environment: Environment) -> str:
        async with self._lock:
            if self._kept is not None and self._clock() < self._kept.until:
                return self._kept.token
            return await self._fetch(environment)

    async def renew(self, refused: str, environment: Environment) -> str | None:
        async with self._lock:
            if self._kept is not None and self._kept.token != refused:
                return self._kept.token  # another login was refused, too, and was here before
            self._kept = None
            token = await self._fetch(environment)
            return None if token == refused else token

    async def _fetch(self, environment: Environment) -> str:
        grant = self._grant
        configured = await read_secret(grant.refresh_token, environment)
        successor = self._successor
        # Somebody may have put a new one into the file meanwhile: then that one counts.
        known = successor is not None and successor.configured == configured
        form = {
            "grant_type": "refresh_token",
            "client_id": grant.client_id,
            "refresh_token": successor.token if successor is not None and known else configured,
        }
        if grant.client_secret is not None:
            # In the body, as Google and Microsoft ask for it (RFC 6749 section 2.3.1 has both).
            form["client_secret"] = await read_secret(grant.client_secret, environment)
        if grant.scope is not None:
            form["scope"] = grant.scope
        told = _understood(await self._post(form), self._host, form)
        token, life_s = _checked(told.get("access_token")), _life_s(told.get("expires_in"))
        self._kept = _Kept(token, self._clock() + max(life_s - MARGIN_S, life_s / 2))
        if isinstance(told.get("refresh_token"), str):
            self._successor = _Successor(configured, told["refresh_token"])
        return token

    @property
    def _host(self) -> str:
        return urlsplit(self._grant.token_url).hostname or ""

    async def _post(self, form: Mapping[str, str]) -> "Answer":
        from asyncnet.delivery.token_request import MalformedAnswer, post_form  # heavy

        ca_file = None if self._grant.ca_file is None else str(self._grant.ca_file)
        try:
            return await post_form(self._grant.token_url, form, ca_file)
        except TimeoutError as error:
            raise CredentialError(
                f"the token server {self._host} did not answer in time"
            ) from error
        except (WireError, MalformedAnswer) as error:
            why = f"the token server {self._host} gave no token: {error}"
            raise CredentialError(why) from error


def _understood(answer: "Answer", host: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The object that the server answered with.  Raises CredentialError on a refusal."""
    try:
        told = json.loads(answer.body)
    except (ValueError, RecursionError):
        told = None
    if answer.status == 200 and isinstance(told, dict):
        if str(told.get("token_type", "bearer")).lower() != "bearer":
            raise CredentialError(f"the token server {host} gives tokens of another type")
        return told
    words = []
    if isinstance(told, dict):  # RFC 6749 section 5.2
        words = [told[key] for key in ("error", "error_description") if key in told]
    said = ": ".join(_shown(str(word), form) for word in words) or "without a reason"
    raise CredentialError(f"the token server {host} refuses ({answer.status}): {said}")


def _shown(text: str, form: Mapping[str, str]) -> str:
    """The server's own words, without our secrets, should it repeat them."""
    for key in ("refresh_token", "client_secret"):
        if form.get(key):
            text = text.replace(form[key], "********").replace(quote_plus(form[key]), "********")
    text = "".join(sign if sign.isprintable() else " " for sign in text)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _checked(token: object) -> str:
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise CredentialError("what was given as an access token is none")
    return token


def _life_s(told: object) -> float:
    """The seconds that a token lives; some servers write the number as text."""
    if isinstance(told, bool) or not isinstance(told, int | float | str):
        return DEFAULT_LIFE_S
    try:
        seconds = float(told)
    except ValueError:
        return DEFAULT_LIFE_S
    return min(seconds, MAX_LIFE_S) if math.isfinite(seconds) and seconds > 0 else DEFAULT_LIFE_S
