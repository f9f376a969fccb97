"""A throw-away certificate authority and the servers it vouches for, rightly or wrongly."""

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme

NAME = "mx.example.test"


class Certificates:
    """Everything that a server may show, made once for a test run and kept in memory."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def write_authority(self, folder: Path) -> str:
        """The file for ca_file: the one authority that the client is to believe."""
        path = folder / "authority.pem"
        path.write_bytes(self._authority.cert_pem.bytes())
        return str(path)

    def good(self) -> ssl.SSLContext:
        """Proves NAME, localhost and 127.0.0.1."""
        return _server(self._authority.issue_cert(NAME, "localhost", "127.0.0.1"))

    def wrong_name(self) -> ssl.SSLContext:
        return _server(self._authority.issue_cert("elsewhere.example.test"))

    def common_name_only(self) -> ssl.SSLContext:
        """The name stands where nobody may look for it any more (RFC 9525)."""
        return _server(self._authority.issue_cert(common_name=NAME))

    def expired(self) -> ssl.SSLContext:
        now = datetime.now(UTC)
        return _server(
            self._authority.issue_cert(
                NAME,
                "127.0.0.1",
                not_before=now - timedelta(days=9),
                not_after=now - timedelta(days=1),
            )
        )

    def unknown_authority(self) -> ssl.SSLContext:
        return _server(trustme.CA().issue_cert(NAME, "127.0.0.1"))

    def self_signed(self) -> ssl.SSLContext:
        """An authority's own certificate as the server's: nobody stands behind it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = trustme.CA()
        with authority.private_key_pem.tempfile() as key, authority.cert_pem.tempfile() as proof:
            context.load_cert_chain(proof, key)
        return context


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@cache
def certificates() -> Certificates:
    return Certificates()
