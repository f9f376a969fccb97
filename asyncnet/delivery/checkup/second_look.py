"""A second look at a server that did not answer as it should: what is it in truth?

Each look is a connection of its own, shorter than a login could be, and says nothing that matters:
EHLO, QUIT, never a secret.  Nothing of it is trusted, so certificates are not verified.
"""

import asyncio
from dataclasses import replace

from asyncnet.delivery.errors import WireError
from asyncnet.delivery.tls import TlsFacts, tls_context
from asyncnet.delivery.wire import Deadlines, Wire

LOOK_S = 3.0  # for each step: a server that is there answers at once, but for its greeting delay
MAX_OCTETS = 4096  # of what it says

# What every service answers in its own way: SMTP with 221 or 500, a web server with 400.
_NONSENSE = b"QUIT\r\n\r\n"


class SecondLook:
    """Looks at one port of one address.  No method raises for what is found there."""

    def __init__(self, address: str, port: int, name: str, look_s: float = LOOK_S) -> None:
        self._address = address
        self._port = port
        self._name = name
        self._look_s = look_s
        self._deadlines = replace(Deadlines(), connect_s=look_s)

    async def listens(self) -> bool:
        """Whether a connection is taken there."""
        wire = await self._connected()
        if wire is not None:
            wire.abort()
        return wire is not None

    async def in_the_clear(self) -> bytes:
        """What it says first, or to nonsense; b"" where it says nothing."""
        wire = await self._connected()
        if wire is None:
            return b""
        try:
            return await self._heard(wire) or await self._heard(wire, _NONSENSE)
        finally:
            wire.abort()

    async def starttls_offered(self) -> bool:
        """Whether it is an SMTP server that offers STARTTLS in the clear."""
        wire = await self._connected()
        if wire is None:
            return False
        try:
            greeting = await self._heard(wire)
            return greeting.startswith(b"220") and await self._offers_starttls(wire)
        finally:
            wire.abort()

    async def under_tls(self) -> bytes | None:
        """The same as in_the_clear() under TLS from the start; None: it does not speak that."""
        wire = await self._connected()
        if wire is None:
            return None
        try:
            if not await self._secured(wire):
                return None
            return await self._heard(wire) or await self._heard(wire, _NONSENSE)
        finally:
            wire.abort()

    async def certificate(self, *, starttls: bool) -> TlsFacts | None:
        """What it shows to somebody who asks for no proof; None where there is no TLS."""
        wire = await self._connected()
        if wire is None:
            return None
        try:
            if starttls:
                await self._heard(wire)
                if not await self._offers_starttls(wire):
                    return None
                if not (await self._heard(wire, b"STARTTLS\r\n")).startswith(b"220"):
                    return None
            return wire.facts if await self._secured(wire) else None
        finally:
            wire.abort()

    async def _connected(self) -> Wire | None:
        try:
            return await Wire.connect(
                self._address, self._port, self._deadlines, lambda text, rule: None
            )
        except WireError:
            return None

    async def _secured(self, wire: Wire) -> bool:
        try:
            wire.check()
            await wire.start_tls(tls_context(None, verify=False), self._name, self._look_s)
        except WireError:
            return False
        return True

    async def _offers_starttls(self, wire: Wire) -> bool:
        said = await self._heard(wire, f"EHLO {wire.local_name}\r\n".encode())
        return b"STARTTLS" in said.upper()

    async def _heard(self, wire: Wire, say: bytes = b"") -> bytes:
        """What comes until a whole line that ends a reply is here, or nothing more comes."""
        heard = b""
        try:
            wire.write(say)
            async with asyncio.timeout(self._look_s):
                while not _whole(heard) and len(heard) < MAX_OCTETS:
                    heard += await wire.read()
        except (TimeoutError, WireError):
            pass
        return heard[:MAX_OCTETS]


def _whole(heard: bytes) -> bool:
    last = heard.rstrip(b"\r\n").rpartition(b"\n")[2]
    return heard.endswith(b"\n") and last[3:4] != b"-"
