"""One way to log in, challenge in, response out (RFC 4422 section 3).  No I/O."""

from abc import ABC, abstractmethod
from base64 import b64encode
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(slots=True)
class Mechanism(ABC):
    """One login.  It is used once: the steps count.

    secret is the password or token.  revealed tells whether anything that was made of it was
    asked for: until then the server cannot have found it wrong.  reason is what the server
    told of a refusal beside its reply.
    """

    name: ClassVar[str]

    user: str
    secret: str = field(repr=False)
    revealed: bool = field(default=False, init=False)
    reason: str = field(default="", init=False)

    @abstractmethod
    def initial_response(self) -> bytes | None:
        """What goes with the AUTH command itself; None: the server has the first word.

        Raises SaslError.
        """

    @abstractmethod
    def respond(self, challenge: bytes) -> bytes:
        """The answer to a challenge.  Raises SaslError."""

    @property
    def proven(self) -> bool:
        """Whether the server, saying that we are in, may be believed."""
        return True

    def shown(self) -> tuple[str, ...]:
        """The forms of the secret that cross the line: none of them may be shown.

        None at all where only proofs of it are sent.
        """
        return (self.secret, b64encode(self.secret.encode()).decode())
