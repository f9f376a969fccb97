"""Logging in: the SASL mechanisms as steps, challenge in, response out (RFC 4422).  No I/O.

Another mechanism is another class here and another name in the order of preference.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from asyncnet.smtp.errors import SaslError

MAX_CHALLENGES = 4  # SCRAM needs two; a server that asks on and on is answered with "*"


class Mechanism(Protocol):
    """One login.  It is used once: the steps count."""

    @property
    def name(self) -> str: ...

    def initial_response(self) -> bytes | None:
        """What goes with the AUTH command itself; None: the server has the first word."""
        ...

    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge.  Raises SaslError."""
        ...


@dataclass(slots=True)
class Plain:
    """User name and password in one response (RFC 4616)."""

    user: str
    password: str = field(repr=False)
    name: str = field(default="PLAIN", init=False)

    def initial_response(self) -> bytes | None:
        if "\0" in self.user or "\0" in self.password:
            raise SaslError("NUL in the user name or password")
        return f"\0{self.user}\0{self.password}".encode()

    def respond(self, challenge: bytes) -> bytes:
        # The challenge is empty where our initial response did not fit on its line, or the
        # server ignores initial responses; what else it may say changes nothing.
        response = self.initial_response()
        assert response is not None
        return response


@dataclass(slots=True)
class Login:
    """User name, then password, each when asked (draft-murchison-sasl-login).

    Never standardised: the prompts differ ("Username:", "User Name", "Login", other
    languages), so they are not read, only counted.  No initial response, since not every
    server takes one; those are just the old servers that have nothing but LOGIN.
    """

    user: str
    password: str = field(repr=False)
    name: str = field(default="LOGIN", init=False)
    _asked: int = field(default=0, init=False)

    def initial_response(self) -> bytes | None:
        return None

    def respond(self, challenge: bytes) -> bytes:
        self._asked += 1
        if self._asked > 2:
            raise SaslError("a third question after user name and password")
        return (self.user if self._asked == 1 else self.password).encode()


def mechanisms(
    user: str, password: str, allowed: Iterable[str] | None = None
) -> tuple[Mechanism, ...]:
    """The ways to log in, the best one first; only those allowed, where that is given."""
    names = None if allowed is None else {name.upper() for name in allowed}
    known: tuple[Mechanism, ...] = (Plain(user, password), Login(user, password))
    return tuple(way for way in known if names is None or way.name in names)
