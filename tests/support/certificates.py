"""A throw-away certificate authority and the servers it vouches for, rightly or wrongly."""

import ssl
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

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

    def authority_der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self._authority.cert_pem.bytes().decode())

    def good(self) -> ssl.SSLContext:
        """Proves NAME, localhost and 127.0.0.1."""
        return _server(self._authority.issue_cert(NAME, "localhost", "127.0.0.1"))

    def wrong_name(self) -> ssl.SSLContext:
        return _server(self._authority.issue_cert("elsewhere.example.test"))

    def common_name_only(self) -> ssl.SSLContext:
        """The name stands where nobody may look for it any more (RFC 9525)."""
        return self._odd(ec.generate_private_key(ec.SECP256R1()), alternative=False)

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

    def ending_in(self, days: int) -> ssl.SSLContext:
        end = datetime.now(UTC) + timedelta(days=days)
        return _server(self._authority.issue_cert(NAME, "127.0.0.1", not_after=end))

    def unknown_authority(self) -> ssl.SSLContext:
        return _server(trustme.CA().issue_cert(NAME, "127.0.0.1"))

    def self_signed(self) -> ssl.SSLContext:
        """An authority's own certificate as the server's: nobody stands behind it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority = trustme.CA()
        with authority.private_key_pem.tempfile() as key, authority.cert_pem.tempfile() as proof:
            context.load_cert_chain(proof, key)
        return context

    def for_clients_only(self) -> ssl.SSLContext:
        """Its extended key usage has clientAuth and not serverAuth."""
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        return self._odd(ec.generate_private_key(ec.SECP256R1()), usage)

    def weak_key(self) -> ssl.SSLContext:
        """1024 bits of RSA."""
        return self._odd(rsa.generate_private_key(65537, 1024))

    def not_yet_valid(self) -> ssl.SSLContext:
        now = datetime.now(UTC)
        return _server(
            self._authority.issue_cert(NAME, "127.0.0.1", not_before=now + timedelta(days=1))
        )

    def _odd(
        self,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
        usage: x509.ExtendedKeyUsage | None = None,
        *,
        alternative: bool = True,
    ) -> ssl.SSLContext:
        """What trustme does not make: vouched for by our authority all the same.

        alternative: NAME is its subjectAltName, too.
        """
        issuer = x509.load_pem_x509_certificate(self._authority.cert_pem.bytes())
        pem = self._authority.private_key_pem.bytes()
        issuing = serialization.load_pem_private_key(pem, None)
        assert isinstance(issuing, ec.EllipticCurvePrivateKey)
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)]))
            .issuer_name(issuer.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuing.public_key()), False
            )
        )
        if alternative:
            names = x509.SubjectAlternativeName([x509.DNSName(NAME)])
            builder = builder.add_extension(names, critical=False)
        if usage is not None:
            builder = builder.add_extension(usage, critical=False)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # the client is to refuse it, not we
        certificate = builder.sign(issuing, hashes.SHA256()).public_bytes(_PEM)
        secret = key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        with trustme.Blob(secret + certificate).tempfile() as path:
            context.load_cert_chain(path)
        return context


_PEM = serialization.Encoding.PEM


def _server(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@cache
def certificates() -> Certificates:
    return Certificates()
