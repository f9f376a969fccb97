"""Logging in by an access token: OAUTHBEARER (RFC 7628) and XOAUTH2.  No I/O.

A refusal comes in two steps: the challenge holds JSON that says why, and only our answer to
that brings the reply that ends the login.
"""

import json
from abc import abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.mechanism import Mechanism
from asyncnet.smtp.reply import MASK

_SEPARATOR = "\x01"  # RFC 7628 section 3.1: kvsep
_MAX_STATUS = 100  # characters; "invalid_token" and "401" are what is seen


@dataclass(slots=True)
class _Bearer(Mechanism):
    """What both have in common; dummy is what a refusal's JSON is answered with."""

    dummy: ClassVar[bytes]

    _refused: bool = field(default=False, init=False)
    _asked: bool = field(default=False, init=False)

    @abstractmethod
    def _message(self) -> str: ...

    def initial_response(self) -> bytes:
        if _SEPARATOR in self.user or _SEPARATOR in self.secret:
            raise SaslError("a control character in the user name or token")
        self.revealed = True
        return self._message().encode()

    def respond(self, challenge: bytes) -> bytes:
        if self._refused:
            raise SaslError("another question after the token was refused")
        if not challenge.strip() and not self._asked:
            # A token of 2 kB does not fit on the AUTH line and is asked for.
            self._asked = True
            return self.initial_response()
        self._refused = True
        self.reason = _status(challenge).replace(self.secret, MASK)
        return self.dummy


@dataclass(slots=True)
class OAuthBearer(_Bearer):
    """RFC 7628; host and port are the server as we know it (section 3.1)."""

    name: ClassVar[str] = "OAUTHBEARER"
    dummy: ClassVar[bytes] = b"\x01"  # section 3.2.3

    host: str
    port: int

    def _message(self) -> str:
        user = self.user.replace("=", "=3D").replace(",", "=2C")  # RFC 5801 section 4
        return (
            f"n,a={user},{_SEPARATOR}host={self.host}{_SEPARATOR}port={self.port}"
            f"{_SEPARATOR}auth=Bearer {self.secret}{_SEPARATOR}{_SEPARATOR}"
        )


@dataclass(slots=True)
class XOAuth2(_Bearer):
    """What Google made before the standard, and Microsoft has alone."""

    name: ClassVar[str] = "XOAUTH2"
    dummy: ClassVar[bytes] = b""

    def _message(self) -> str:
        return f"user={self.user}{_SEPARATOR}auth=Bearer {self.secret}{_SEPARATOR}{_SEPARATOR}"


def _status(challenge: bytes) -> str:
    """The status that a refusal's JSON names; "" where it is none, or names none."""
    try:
        told = json.loads(challenge)
    except (ValueError, RecursionError):
        return ""
    status = told.get("status") if isinstance(told, dict) else None
    if not isinstance(status, str | int):
        return ""
    text = str(status)
    return text if len(text) <= _MAX_STATUS and text.isprintable() else ""
