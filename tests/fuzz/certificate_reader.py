"""Fuzzes the certificate reader: any octets are a certificate that can be shown, or told."""

import ssl

from asyncnet.delivery.certificate import MalformedCertificate, read_certificate
from asyncnet.delivery.tls import TlsFacts
from tests.fuzz import engine
from tests.support.certificates import Certificates


def seeds() -> list[bytes]:
    """What servers show: ours, and all of the system's authorities."""
    made = Certificates()
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    return [made.authority_der(), *system]


def read(octets: bytes) -> None:
    try:
        certificate = read_certificate(octets)
    except MalformedCertificate:
        return
    shown = str(TlsFacts("TLSv1.3", "", verified=False, certificate=certificate))
    if not shown.isprintable():
        raise ValueError("this cannot be shown to a person")


if __name__ == "__main__":
    engine.main(read, seeds())
