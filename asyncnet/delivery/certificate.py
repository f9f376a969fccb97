"""What a certificate says of itself, read from its DER (X.509, RFC 5280 section 4.1).

To be shown, and for pins.  Whom to trust is decided by OpenSSL alone: Python's ssl tells
nothing of a certificate that was not verified, and has no word for the public key.  No I/O.
"""

import hashlib
import ipaddress
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

_SEQUENCE = 0x30
_UTC_TIME, _BMP_STRING = 0x17, 0x1E
_VERSION, _EXTENSIONS = 0xA0, 0xA3  # context tags of the certificate
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87  # of GeneralName

_COMMON_NAME, _ORGANIZATION = b"\x55\x04\x03", b"\x55\x04\x0a"
_ALTERNATIVE_NAMES, _EXTENDED_KEY_USAGE = b"\x55\x1d\x11", b"\x55\x1d\x25"
_ANY_USE = b"\x55\x1d\x25\x00"
_SERVER_AUTH = b"\x2b\x06\x01\x05\x05\x07\x03\x01"
_RSA = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"
_KEYS = {
    b"\x2a\x86\x48\xce\x3d\x02\x01": "EC",
    b"\x2b\x65\x70": "Ed25519",
    b"\x2b\x65\x71": "Ed448",
}


class MalformedCertificate(ValueError):
    """Octets that are no certificate, or one of a kind that nobody issues."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate.  pin_sha256 is its public key's as RFC 7469 section 2.4 writes it.

    names are the subjectAltName's host names and IP addresses.  key is "RSA 2048", "EC 256".
    for_servers is False where its extended key usage leaves servers out.
    """

    common_name: str
    organization: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key: str
    for_servers: bool
    pin_sha256: str

    @property
    def subject(self) -> str:
        """Whom it is made out to, in one word."""
        return self.common_name or (self.names[0] if self.names else self.organization)


@dataclass(frozen=True, slots=True)
class _Element:
    """A DER element: its tag, what is in it, and the whole of it."""

    tag: int
    content: bytes
    whole: bytes


def read_certificate(der: bytes) -> Certificate:
    """Raises MalformedCertificate, nothing else."""
    try:
        return _read(der)
    except (ValueError, IndexError, StopIteration) as error:
        raise MalformedCertificate("the server's certificate cannot be read") from error


def _read(der: bytes) -> Certificate:
    fields = list(_inner(_first(_first(der).content).content))
    if fields[0].tag == _VERSION:
        del fields[0]
    _, _, issuer, validity, subject, key, *others = fields
    not_before, not_after = (_time(it) for it in _inner(validity.content))
    extensions = _extensions(others)
    purposes = [it.content for it in _members(extensions.get(_EXTENDED_KEY_USAGE))]
    own, issuing = _attributes(subject), _attributes(issuer)
    return Certificate(
        common_name=own.get(_COMMON_NAME, ""),
        organization=own.get(_ORGANIZATION, ""),
        issuer=issuing.get(_COMMON_NAME) or issuing.get(_ORGANIZATION, ""),
        names=tuple(_names(extensions.get(_ALTERNATIVE_NAMES))),
        not_before=not_before,
        not_after=not_after,
        key=_key(key),
        for_servers=not purposes or bool({_SERVER_AUTH, _ANY_USE} & set(purposes)),
        pin_sha256=b64encode(hashlib.sha256(key.whole).digest()).decode(),
    )


def _inner(octets: bytes) -> Iterator[_Element]:
    """The elements one after the other.  Raises ValueError or IndexError."""
    at = 0
    while at < len(octets):
        tag, length, begin = octets[at], octets[at + 1], at + 2
        if length & 0x80:
            more = length & 0x7F
            if not 1 <= more <= 4:
                raise ValueError("a length of no certificate")
            length = int.from_bytes(octets[begin : begin + more], "big")
            begin += more
        end = begin + length
        if end > len(octets):
            raise ValueError("cut off")
        yield _Element(tag, octets[begin:end], octets[at:end])
        at = end


def _first(octets: bytes) -> _Element:
    element = next(_inner(octets))
    if element.tag != _SEQUENCE:
        raise ValueError("no sequence")
    return element


def _members(sequence: bytes | None) -> list[_Element]:
    return [] if sequence is None else list(_inner(_first(sequence).content))


def _attributes(name: _Element) -> dict[bytes, str]:
    """The attributes of a distinguished name by the octets of their OID; the last one counts."""
    found = {}
    for together in _inner(name.content):
        for attribute in _inner(together.content):
            kind, value = _inner(attribute.content)
            found[kind.content] = _text(value)
    return found


def _text(value: _Element) -> str:
    if value.tag == _BMP_STRING:
        text = value.content.decode("utf-16-be", "replace")
    else:
        text = value.content.decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() else "�" for sign in text)


def _time(value: _Element) -> datetime:
    digits = value.content.decode("ascii")
    if value.tag == _UTC_TIME:  # section 4.1.2.5.1: 1950 to 2049
        digits = ("19" if digits[:2] >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _extensions(others: list[_Element]) -> dict[bytes, bytes]:
    """The values of the extensions by the octets of their OID."""
    found = {}
    for wrapping in (it for it in others if it.tag == _EXTENSIONS):
        for extension in _inner(_first(wrapping.content).content):
            kind, *_, value = _inner(extension.content)  # "critical" may stand between
            found[kind.content] = value.content
    return found


def _names(alternatives: bytes | None) -> Iterator[str]:
    for name in _members(alternatives):
        if name.tag == _DNS_NAME:
            yield _text(name)
        elif name.tag == _IP_ADDRESS:
            yield str(ipaddress.ip_address(name.content))


def _key(info: _Element) -> str:
    algorithm, bits = _inner(info.content)
    kind = next(_inner(algorithm.content)).content
    if kind == _RSA:
        modulus = next(_inner(_first(bits.content[1:]).content))
        return f"RSA {int.from_bytes(modulus.content, 'big').bit_length()}"
    name = _KEYS.get(kind, "of another kind")
    # An uncompressed point: 4, and two numbers as long as the curve is wide.
    return f"EC {(len(bits.content) - 2) // 2 * 8}" if name == "EC" else name
