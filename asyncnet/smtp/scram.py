"""SCRAM-SHA-256: both ends prove that they know the password, and neither says it.  No I/O.

RFC 5802, RFC 7677.  A server that says 235 without its own proof may be anybody, and is not
trusted: RFC 4954 has no room for the proof in the 235, so it comes as a challenge before.
"""

import binascii
import hashlib
import hmac
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import ClassVar

from asyncnet.smtp.errors import SaslError
from asyncnet.smtp.mechanism import Mechanism
from asyncnet.smtp.saslprep import saslprep_or_as_is

# RFC 7677 section 4 wants so many at least; with fewer, who listens guesses faster.
MIN_ITERATIONS = 4096
# A third of a second on a small machine, during which nobody else has a turn.  Servers have
# 4,096 to 65,536; the highest advice for stored passwords is 600,000.
MAX_ITERATIONS = 600_000

# "n": we do not bind to the TLS channel.  "y" would say that we could, and that the server
# cannot, which were not true: TLS 1.3 needs the channel's exporter (RFC 9266), and Python's
# ssl does not give it.  TLS with a verified name is what keeps others out.
_GS2_HEADER = "n,,"
_BINDING = f"c={b64encode(_GS2_HEADER.encode()).decode()}"

_NONCE = re.compile(r"[\x21-\x2b\x2d-\x7e]+")  # printable ASCII without comma
_FIRST = re.compile(r"r=([^,]*),s=([^,]*),i=([1-9][0-9]{0,8})(?:,.*)?", re.ASCII | re.DOTALL)


@dataclass(slots=True)
class ScramSha256(Mechanism):
    """nonce is ours: random, printable ASCII without comma, new for each login."""

    name: ClassVar[str] = "SCRAM-SHA-256"

    nonce: str
    _server_signature: bytes | None = field(default=None, init=False, repr=False)
    _proven: bool = field(default=False, init=False)

    def initial_response(self) -> bytes:
        return f"{_GS2_HEADER}{self._first_bare()}".encode()

    def respond(self, challenge: bytes) -> bytes:
        if self._proven:
            raise SaslError("another question after both proofs")
        if self._server_signature is not None:
            self._read_final(_text(challenge))
            return b""
        if not challenge:  # the server does not take initial responses
            return self.initial_response()
        return self._final(_text(challenge)).encode()

    @property
    def proven(self) -> bool:
        return self._proven

    def shown(self) -> tuple[str, ...]:
        return ()

    def _first_bare(self) -> str:
        if not _NONCE.fullmatch(self.nonce):
            raise SaslError("the nonce is empty or has a comma")
        user = saslprep_or_as_is(self.user).replace("=", "=3D").replace(",", "=2C")
        return f"n={user},r={self.nonce}"

    def _final(self, server_first: str) -> str:
        """Our proof; and the server's is known from now on."""
        nonce, salt, iterations = self._parse_first(server_first)
        without_proof = f"{_BINDING},r={nonce}"
        message = f"{self._first_bare()},{server_first},{without_proof}".encode()
        password = saslprep_or_as_is(self.secret).encode()
        salted = hashlib.pbkdf2_hmac("sha256", password, salt, iterations)
        client_key = _digest(salted, b"Client Key")
        signature = _digest(hashlib.sha256(client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self._server_signature = _digest(_digest(salted, b"Server Key"), message)
        self.revealed = True
        return f"{without_proof},p={b64encode(proof).decode()}"

    def _parse_first(self, message: str) -> tuple[str, bytes, int]:
        """Nonce, salt and iteration count.  An extension it insists on ("m=") is not ours."""
        match = _FIRST.fullmatch(message)
        if match is None:
            raise SaslError("the server's first message is not SCRAM's")
        nonce, salt, iterations = match[1], _octets(match[2]), int(match[3])
        if not nonce.startswith(self.nonce) or nonce == self.nonce or not _NONCE.fullmatch(nonce):
            raise SaslError("the server's nonce does not continue ours")
        if not salt:
            raise SaslError("the server's salt is empty")
        if not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise SaslError(
                f"the server wants {iterations} iterations, {MIN_ITERATIONS} to {MAX_ITERATIONS}"
                ' are taken (auth = ["PLAIN"] does without)'
            )
        return nonce, salt, iterations

    def _read_final(self, message: str) -> None:
        """The server's proof; or an error ("e="), which its reply will tell of as well."""
        kind, _, value = message.split(",")[0].partition("=")
        if kind == "e":
            self.reason = value if value.isprintable() else ""
            return
        assert self._server_signature is not None
        if kind != "v" or not hmac.compare_digest(_octets(value), self._server_signature):
            raise SaslError("the server's proof is wrong: it does not know the password")
        self._proven = True


def _digest(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _text(challenge: bytes) -> str:
    try:
        return challenge.decode("utf-8")
    except UnicodeDecodeError:
        raise SaslError("the server's message is no text") from None


def _octets(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except ValueError:  # UnicodeEncodeError too
        raise SaslError("base64 in the server's message is damaged") from None
