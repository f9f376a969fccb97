"""The reader of certificates, judged by the cryptography library, and against damage."""

import ipaddress
from base64 import b64encode
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from asyncnet.delivery.certificate import MalformedCertificate, read_certificate

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
BORN, DEAD = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2051, 6, 7, tzinfo=UTC)


def made(key: Key, *extensions: x509.ExtensionType, subject: str = "mx.example.test") -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Beispiel & Söhne"),
                    *([x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []),
                ]
            )
        )
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "An Authority")]))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(BORN)
        .not_valid_after(DEAD)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=True)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


@cache
def keys() -> dict[str, Key]:
    return {
        "EC 256": ec.generate_private_key(ec.SECP256R1()),
        "EC 384": ec.generate_private_key(ec.SECP384R1()),
        "RSA 1024": rsa.generate_private_key(65537, 1024),
        "RSA 2048": rsa.generate_private_key(65537, 2048),
        "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    }


@pytest.mark.parametrize("name", ["EC 256", "EC 384", "RSA 1024", "RSA 2048", "Ed25519"])
def test_a_certificate_is_read_as_it_was_made(name: str) -> None:
    key = keys()[name]
    alternatives = x509.SubjectAlternativeName(
        [
            x509.DNSName("mx.example.test"),
            x509.RFC822Name("anna@example.test"),
            x509.DNSName("*.example.test"),
            x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        ]
    )
    found = read_certificate(made(key, alternatives))
    octets = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert found.pin_sha256 == b64encode(sha256(octets).digest()).decode()
    assert found.key == name
    assert (found.subject, found.organization) == ("mx.example.test", "Beispiel & Söhne")
    assert found.issuer == "An Authority"
    assert found.names == ("mx.example.test", "*.example.test", "192.0.2.1", "2001:db8::1")
    assert (found.not_before, found.not_after) == (BORN, DEAD)
    assert found.for_servers


def test_without_extensions_there_are_no_names() -> None:
    found = read_certificate(made(keys()["EC 256"], subject=""))
    assert (found.names, found.common_name, found.subject) == ((), "", "Beispiel & Söhne")


@pytest.mark.parametrize(
    ("uses", "for_servers"),
    [
        ([ExtendedKeyUsageOID.SERVER_AUTH], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH], True),
        ([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE], True),
        ([ExtendedKeyUsageOID.CLIENT_AUTH], False),
    ],
)
def test_what_it_is_for_is_read(uses: list[x509.ObjectIdentifier], for_servers: bool) -> None:
    der = made(keys()["EC 256"], x509.ExtendedKeyUsage(uses))
    assert read_certificate(der).for_servers is for_servers


def test_control_characters_do_not_reach_a_terminal() -> None:
    found = read_certificate(made(keys()["EC 256"], subject="mx\x1b[2J"))
    assert found.common_name == "mx�[2J"


def test_a_certificate_that_is_cut_anywhere_is_told() -> None:
    der = made(keys()["EC 256"])
    for cut in range(len(der)):
        with pytest.raises(MalformedCertificate):
            read_certificate(der[:cut])


@cache
def good() -> bytes:
    return made(keys()["EC 256"], x509.SubjectAlternativeName([x509.DNSName("a.test")]))


@given(st.data())
def test_a_damaged_one_is_read_or_told(data: st.DataObject) -> None:
    der = bytearray(good())
    for _ in range(data.draw(st.integers(1, 5))):
        der[data.draw(st.integers(0, len(der) - 1))] = data.draw(st.integers(0, 255))
    try:
        read_certificate(bytes(der))
    except MalformedCertificate:
        pass


@given(st.binary())
def test_octets_that_are_none_are_told(octets: bytes) -> None:
    with pytest.raises(MalformedCertificate):
        read_certificate(octets)
