"""The server's half of SCRAM-SHA-256, as RFC 5802 section 3 writes it: a judge for ours."""

import hashlib
import hmac
from base64 import b64decode, b64encode


def digest(key: bytes, message: str) -> bytes:
    return hmac.new(key, message.encode(), hashlib.sha256).digest()


class ScramJudge:
    """Knows one password, or thinks it does."""

    def __init__(
        self, password: str, *, nonce: str = "judge", salt: bytes = b"salt", iterations: int = 4096
    ) -> None:
        self._nonce = nonce
        self._salt = b64encode(salt).decode()
        self._iterations = iterations
        self._salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, iterations)
        self._first = ""
        self._client_bare = ""
        self.user = ""

    def first(self, client_first: bytes) -> bytes:
        """The answer to the client's first message."""
        header, _, self._client_bare = client_first.decode().partition(",,")
        assert header == "n"
        user, nonce = self._client_bare.split(",")
        self.user = user.removeprefix("n=").replace("=2C", ",").replace("=3D", "=")
        nonce = nonce.removeprefix("r=")
        self._first = f"r={nonce}{self._nonce},s={self._salt},i={self._iterations}"
        return self._first.encode()

    def final(self, client_final: bytes) -> bytes | None:
        """Our proof, or None where the client's is wrong."""
        without_proof, _, proof = client_final.decode().rpartition(",p=")
        assert without_proof.startswith("c=biws,r=")
        message = f"{self._client_bare},{self._first},{without_proof}"
        stored = hashlib.sha256(digest(self._salted, "Client Key")).digest()
        signature = digest(stored, message)
        key = bytes(a ^ b for a, b in zip(b64decode(proof), signature, strict=True))
        if hashlib.sha256(key).digest() != stored:
            return None
        return b"v=" + b64encode(digest(digest(self._salted, "Server Key"), message))
