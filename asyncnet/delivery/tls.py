"""TLS: the rules for it, what was agreed, pins, and refusals in plain words.

TLS 1.2 and up (RFC 8996), names by subjectAltName alone (RFC 9525), the library's own idea of
what is too weak.  Pins are those of RFC 7469, and of the server's own key only.
"""

import os
import ssl
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from asyncnet.delivery.certificate import Certificate, MalformedCertificate, read_certificate
from asyncnet.delivery.errors import TlsFailed, reason

MAX_ISSUERS = 10  # shown of a chain

# By OpenSSL's X509_V_ERR numbers (x509_vfy.h); its own words are for who knows X.509.
_REFUSALS = {
    9: "it is not valid yet (is this machine's clock right?)",
    10: "it has expired",
    18: "it is self-signed: no authority stands behind it",
    19: "the authority at the end of its chain is not trusted here",
    20: "its authority is not known here, or the server leaves out the certificate in between",
    21: "its authority is not known here, or the server leaves out the certificate in between",
    26: "it is not made for servers (its extended key usage leaves them out)",
    62: "it is made out to other names (its subjectAltName counts, a common name alone does not)",
    64: "it is made out to other addresses (its subjectAltName counts)",
    66: "its key is too weak",
    67: "the key of an authority in its chain is too weak",
    68: "an authority in its chain signed with a digest that is too weak",
}


@dataclass(frozen=True, slots=True)
class TlsFacts:
    """What was agreed, and with whom; certificate None: it cannot be read.

    issuers is the chain above the certificate, as the server sent it.  verified tells whether
    chain and name were.
    """

    version: str
    cipher: str
    verified: bool
    certificate: Certificate | None
    issuers: tuple[Certificate, ...] = ()

    def __str__(self) -> str:
        shown = self.certificate
        if shown is None:
            return "a certificate that cannot be read"
        names = ", ".join(shown.names) or "no alternative name"
        chain = "".join(f", by {issuer.issuer}" for issuer in self.issuers)
        return (
            f"the certificate is {shown.subject!r} ({names}), {shown.key}, by {shown.issuer}"
            f"{chain}, valid until {shown.not_after:%Y-%m-%d}"
        )


@lru_cache(maxsize=32)
def _context(ca_file: str | None, verify: bool, _changed_ns: int) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 8996
    context.hostname_checks_common_name = False  # subjectAltName only (RFC 9525 section 6.3)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def tls_context(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """The rules for TLS; ca_file None: the system's authorities.  Raises TlsFailed.

    Kept, since loading all authorities takes milliseconds; a changed ca_file is read anew.
    """
    try:
        return _context(ca_file, verify, os.stat(ca_file).st_mtime_ns if ca_file else 0)
    except (OSError, ssl.SSLError) as error:
        raise TlsFailed(f"ca_file {ca_file} cannot be used: {reason(error)}") from error


def tls_facts(connection: ssl.SSLObject) -> TlsFacts:
    """The facts of a handshake that is done."""
    cipher = connection.cipher()
    der = connection.getpeercert(binary_form=True)
    return TlsFacts(
        version=connection.version() or "TLS",
        cipher=cipher[0] if cipher else "",
        verified=connection.context.verify_mode is ssl.CERT_REQUIRED,
        certificate=None if der is None else _readable(der),
        issuers=_issuers(connection),
    )


def check_pins(facts: TlsFacts, pins: Collection[str]) -> None:
    """Raises TlsFailed where pins are given and the server's public key is none of them.

    The server's own certificate alone counts: what else it sends in its chain it need not own,
    and without verify nobody looks whether the chain holds together.
    """
    if not pins:
        return
    shown = facts.certificate
    if shown is None or shown.pin_sha256 not in pins:
        pin = "none that can be read" if shown is None else shown.pin_sha256
        raise TlsFailed(f"the server's public key is none of pin_sha256: it is {pin}")


def tls_reason(error: BaseException, server_name: str, seconds: float) -> str:
    """Why a handshake failed, in plain words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = _REFUSALS.get(error.verify_code, error.verify_message)
        return f"the certificate does not prove {server_name!r}: {why}"
    if isinstance(error, ssl.SSLError):
        if error.reason == "WRONG_VERSION_NUMBER":
            return "the server does not answer with TLS on this port (STARTTLS or none, perhaps)"
        if error.reason in ("UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"):
            return "the server speaks only TLS older than 1.2"
        return f"the TLS handshake failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, TimeoutError):
        return f"no TLS handshake within {seconds:g} s"
    why = reason(error)
    return f"the connection ended in the TLS handshake{f': {why}' if why else ''}"


def _readable(der: bytes) -> Certificate | None:
    try:
        return read_certificate(der)
    except MalformedCertificate:
        return None


def _issuers(connection: ssl.SSLObject) -> tuple[Certificate, ...]:
    """The chain above the server's certificate; () where this Python does not give it."""
    if hasattr(connection, "get_unverified_chain"):  # Python 3.13
        chain = connection.get_unverified_chain()
    else:
        # Before 3.13 the same door has no handle outside.  Nothing but what is shown needs it.
        inner: Any = getattr(connection, "_sslobj", None)
        found = inner.get_unverified_chain() if hasattr(inner, "get_unverified_chain") else ()
        chain = [ssl.PEM_cert_to_DER_cert(it.public_bytes()) for it in found or ()]
    readable = (_readable(der) for der in chain[1 : 1 + MAX_ISSUERS])
    return tuple(issuer for issuer in readable if issuer is not None)
