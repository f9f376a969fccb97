"""TLS as a server's certificate makes it succeed or fail, on either event loop."""

import asyncio
import os
import ssl
import warnings
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from asyncnet.delivery.errors import TlsFailed
from asyncnet.delivery.tls import TlsFacts, check_pins, tls_context, tls_reason
from asyncnet.delivery.wire import Deadlines, Wire
from tests.support.certificates import NAME, Certificates, certificates

NO_PIN = "A" * 43 + "="
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Runs a coroutine on either event loop."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@asynccontextmanager
async def speaking_tls(context: ssl.SSLContext) -> AsyncIterator[int]:
    """The port of a server that makes TLS and then waits for us to leave."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await writer.start_tls(context)
            await reader.read()
        except OSError:
            pass  # the client refused us: its right
        finally:
            writer.transport.abort()
            ended.set()

    ended = asyncio.Event()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await ended.wait()
        await server.wait_closed()
        await asyncio.sleep(0)  # what was aborted is closed in the next turn


async def handshake(
    shown: ssl.SSLContext, ca_file: str | None, *, name: str = NAME, verify: bool = True
) -> TlsFacts:
    async with speaking_tls(shown) as port:
        wire = await Wire.connect("127.0.0.1", port, Deadlines(), lambda *_: None)
        try:
            await wire.start_tls(tls_context(ca_file, verify=verify), name, 10)
        finally:
            wire.abort()
        assert wire.facts is not None
        return wire.facts


@pytest.fixture
def ca_file(tmp_path: Path) -> str:
    return certificates().write_authority(tmp_path)


REFUSED = {
    "another's": (Certificates.wrong_name, "made out to other names"),
    "one with the name where nobody looks": (
        Certificates.common_name_only,
        "a common name alone does not",
    ),
    "an expired one": (Certificates.expired, "it has expired"),
    "one of tomorrow": (Certificates.not_yet_valid, "not valid yet"),
    "a self-signed one": (Certificates.self_signed, "it is self-signed"),
    "one of an authority unknown here": (Certificates.unknown_authority, "authority"),
    "one that is for clients": (Certificates.for_clients_only, "not made for servers"),
    "one with a key of 1024 bits": (Certificates.weak_key, "its key is too weak"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_certificate_is_refused_in_plain_words(name: str, run: Run, ca_file: str) -> None:
    async def scenario() -> None:
        shown, told = REFUSED[name]
        with pytest.raises(TlsFailed, match=told) as caught:
            await handshake(shown(certificates()), ca_file)
        assert str(caught.value).startswith(f"the certificate does not prove '{NAME}': ")

    run(scenario())


def test_an_address_must_be_in_the_certificate_to_be_proved(run: Run, ca_file: str) -> None:
    async def scenario() -> None:
        facts = await handshake(certificates().good(), ca_file, name="127.0.0.1")
        assert facts.certificate is not None
        assert "127.0.0.1" in facts.certificate.names
        with pytest.raises(TlsFailed, match="made out to other addresses"):
            await handshake(certificates().good(), ca_file, name="127.0.0.2")

    run(scenario())


@pytest.mark.parametrize("name", [f"{NAME}.", NAME.upper(), "127.0.0.1%lo"])
def test_a_name_is_the_same_written_otherwise(name: str, run: Run, ca_file: str) -> None:
    async def scenario() -> None:
        facts = await handshake(certificates().good(), ca_file, name=name)
        assert facts.verified

    run(scenario())


def test_the_facts_of_a_handshake_are_kept(run: Run, ca_file: str) -> None:
    async def scenario() -> None:
        facts = await handshake(certificates().good(), ca_file)
        assert facts.verified
        assert facts.version == "TLSv1.3"
        assert facts.cipher.startswith("TLS_")
        shown = facts.certificate
        assert shown is not None
        assert shown.names == (NAME, "localhost", "127.0.0.1")
        assert shown.key == "EC 256"
        assert [issuer.common_name for issuer in facts.issuers] in ([], [shown.issuer])
        assert f"'{NAME}' ({NAME}, localhost, 127.0.0.1), EC 256, by " in str(facts)
        assert f"valid until {shown.not_after:%Y-%m-%d}" in str(facts)

    run(scenario())


def test_a_certificate_that_nobody_verified_is_shown_all_the_same(run: Run) -> None:
    async def scenario() -> None:
        facts = await handshake(certificates().expired(), None, verify=False)
        assert not facts.verified
        assert facts.certificate is not None
        assert facts.certificate.names == (NAME, "127.0.0.1")

    run(scenario())


def on_paper(asking: ssl.SSLContext, shown: ssl.SSLContext) -> ssl.SSLObject:
    """The client's end of a handshake without a network.  Raises ssl.SSLError."""
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = asking.wrap_bio(here, there, server_hostname=NAME)
    server = shown.wrap_bio(there, here, server_side=True)
    for _ in range(2):
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        with suppress(ssl.SSLError):
            server.do_handshake()
    return client


def pin_by_the_judge(shown: ssl.SSLContext) -> str:
    """The pin as another library computes it, of what the server shows."""
    client = on_paper(tls_context(None, verify=False), shown)
    der = client.getpeercert(binary_form=True)
    assert der is not None
    return pin_of(x509.load_der_x509_certificate(der))


def pin_of(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    octets = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b64encode(sha256(octets).digest()).decode()


@pytest.mark.parametrize("verify", [True, False])
def test_a_pin_is_the_servers_own_key(verify: bool, run: Run, ca_file: str) -> None:
    async def scenario() -> None:
        shown = certificates().good()
        pin = pin_by_the_judge(shown)
        facts = await handshake(shown, ca_file, verify=verify)
        assert facts.certificate is not None
        assert facts.certificate.pin_sha256 == pin
        check_pins(facts, (NO_PIN, pin))
        check_pins(facts, ())
        with pytest.raises(TlsFailed, match=r"none of pin_sha256: it is ") as caught:
            check_pins(facts, (NO_PIN,))
        assert pin in str(caught.value)

    run(scenario())


def test_an_authority_in_the_chain_is_no_pin(run: Run, ca_file: str) -> None:
    async def scenario() -> None:
        facts = await handshake(certificates().good(), ca_file)
        authority = x509.load_pem_x509_certificate(Path(ca_file).read_bytes())
        with pytest.raises(TlsFailed, match="pin_sha256"):
            check_pins(facts, (pin_of(authority),))

    run(scenario())


def test_a_certificate_that_cannot_be_read_has_no_pin() -> None:
    with pytest.raises(TlsFailed, match="none that can be read"):
        check_pins(TlsFacts("TLSv1.3", "", False, None), (NO_PIN,))


def test_a_changed_ca_file_is_read_anew(ca_file: str) -> None:
    first = tls_context(ca_file, verify=True)
    assert tls_context(ca_file, verify=True) is first
    os.utime(ca_file, (1, 1))
    assert tls_context(ca_file, verify=True) is not first


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used_is_told(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(TlsFailed, match=r"ca_file .*ca\.pem cannot be used"):
        tls_context(str(path), verify=True)


def test_old_versions_are_not_spoken() -> None:
    shown = certificates().good()
    shown.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is why we do not
        shown.minimum_version = ssl.TLSVersion.TLSv1
        shown.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError) as caught:
        on_paper(tls_context(None, verify=False), shown)
    assert tls_reason(caught.value, NAME, 1) == "the server speaks only TLS older than 1.2"
