"""Logging in by password: PLAIN, LOGIN, CRAM-MD5, and the order of preference.  No I/O.

RFC 4422 (SASL), RFC 4616, RFC 2195.  SCRAM and the mechanisms for tokens have their own files;
another mechanism is another class and another line in the order of preference.
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.mechanism import Mechanism
from asyncnet.smtp.oauth import OAuthBearer, XOAuth2
from asyncnet.smtp.scram import ScramSha256

MAX_CHALLENGES = 4  # SCRAM needs three at most; a server that asks on and on is answered "*"


@dataclass(slots=True)
class Plain(Mechanism):
    """User name and password in one response (RFC 4616)."""

    name: ClassVar[str] = "PLAIN"

    def initial_response(self) -> bytes:
        if "\0" in self.user or "\0" in self.secret:
            raise SaslError("NUL in the user name or password")
        self.revealed = True
        return f"\0{self.user}\0{self.secret}".encode()

    def respond(self, challenge: bytes) -> bytes:
        # The challenge is empty where our initial response did not fit on its line, or the
        # server ignores initial responses; what else it may say changes nothing.
        return self.initial_response()


@dataclass(slots=True)
class Login(Mechanism):
    """User name, then password, each when asked (draft-murchison-sasl-login).

    Never standardised: the prompts differ ("Username:", "User Name", "Login", other
    languages), so they are not read, only counted.  No initial response, since not every
    server takes one; those are just the old servers that have nothing but LOGIN.
    """

    name: ClassVar[str] = "LOGIN"

    _asked: int = field(default=0, init=False)

    def initial_response(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        self._asked += 1
        if self._asked > 2:
            raise SaslError("a third question after user name and password")
        if self._asked == 1:
            return self.user.encode()
        self.revealed = True
        return self.secret.encode()


@dataclass(slots=True)
class CramMd5(Mechanism):
    """A keyed digest of the server's challenge (RFC 2195).

    Only where the settings ask for it: the digest can be guessed at offline as fast as MD5
    goes, the server must keep the password readable, and it proves nothing of itself.
    """

    name: ClassVar[str] = "CRAM-MD5"

    def initial_response(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        if not challenge:
            raise SaslError("the server sent no challenge to digest")
        if self.revealed:
            raise SaslError("a second challenge")
        self.revealed = True
        digest = hmac.digest(self.secret.encode(), challenge, "md5").hex()
        return f"{self.user} {digest}".encode()

    def shown(self) -> tuple[str, ...]:
        return ()


def password_mechanisms(
    user: str, password: str, allowed: Iterable[str] | None = None, *, nonce: str
) -> tuple[Mechanism, ...]:
    """The ways to log in by password, the best one first; only those allowed, where given.

    nonce: random printable ASCII without comma, new for each login.
    """
    known: tuple[Mechanism, ...] = (
        ScramSha256(user, password, nonce),
        Plain(user, password),
        Login(user, password),
    )
    if allowed is None:
        return known
    # On request it comes before the two that hand the password out.
    return _only(allowed, (known[0], CramMd5(user, password), *known[1:]))


def token_mechanisms(
    user: str, token: str, allowed: Iterable[str] | None = None, *, host: str, port: int
) -> tuple[Mechanism, ...]:
    """The ways to log in by an access token; the standard before what it was made of."""
    known = (OAuthBearer(user, token, host, port), XOAuth2(user, token))
    return known if allowed is None else _only(allowed, known)


def _only(allowed: Iterable[str], known: Iterable[Mechanism]) -> tuple[Mechanism, ...]:
    names = {name.upper() for name in allowed}
    return tuple(way for way in known if way.name in names)
