"""Getting to a server for a check-up: its addresses, and a measured handshake with each."""

import asyncio
from collections.abc import Sequence

from asyncnet.delivery.checkup.finding_out import (
    Known,
    name_trouble,
    port_trouble,
    reachable_elsewhere,
)
from asyncnet.delivery.checkup.stages import Cause, Finding, Ledger, Trouble
from asyncnet.delivery.errors import ConnectFailed, LookupFailed, WireError
from asyncnet.delivery.exchange import Target
from asyncnet.delivery.handshake import Handshake, in_turns, look_up
from asyncnet.delivery.trace import Narrator
from asyncnet.delivery.wire import Deadlines, Wire

MAX_ADDRESSES = 8  # shaken hands with


async def resolve(
    target: Target, ledger: Ledger, known: Known, deadlines: Deadlines
) -> Sequence[str]:
    """The stage "dns": the addresses to try, the system's first choice first.  Raises Stopped."""
    if target.address is not None:
        ledger.skip("dns", f"not asked: address = {target.address} is in the settings")
        return [target.address]
    ledger.begin("dns")
    try:
        places = await look_up(target.host, target.port, deadlines.lookup_s)
    except LookupFailed as error:
        ledger.stop(name_trouble(error, target.host, known))
    addresses = [str(address[0]) for _, address in in_turns(places)]
    if addresses == [target.host]:
        ledger.end("an IP address: no name server is asked")
    else:
        ledger.end(f"{target.host} is {', '.join(addresses)}")
    return addresses[:MAX_ADDRESSES]


async def reach(
    addresses: Sequence[str],
    target: Target,
    ledger: Ledger,
    known: Known,
    narrator: Narrator,
    deadlines: Deadlines,
) -> Wire:
    """The stage "tcp": hands are shaken with each, and the first is kept.  Raises Stopped.

    A delivery would end the race at the first; here the others are to be known, too.
    """
    ledger.begin("tcp")
    tries = [Reach(address, target.port) for address in addresses]
    await asyncio.gather(*(it.run(deadlines, narrator) for it in tries))
    wires = [it.wire for it in tries if it.wire is not None]
    for other in wires[1:]:
        other.abort()
    lines = tuple(map(str, tries)) if len(tries) > 1 else ()
    if not wires:
        elsewhere = await reachable_elsewhere(target, addresses[0], known)
        error = tries[0].error or ConnectFailed("")
        ledger.stop(port_trouble(error, target, elsewhere), *lines)
    first = wires[0]
    told = next(str(it) for it in tries if it.wire is first)
    dead = [it.address for it in tries if it.wire is None]
    advice = (
        f"{', '.join(dead)} cannot be reached; mail goes by the others, each connection a quarter"
        f' of a second later: look at the route to it, or write address = "{first.peer[0]}"'
    )
    warning = Trouble(Cause.ADDRESS_DEAD, told, advice, Finding.WARNING) if dead else None
    ledger.end(told, *lines, trouble=warning)
    return first


class Reach:
    """One address: wire is there once it was reached, else error."""

    def __init__(self, address: str, port: int) -> None:
        self.address = address
        self.wire: Wire | None = None
        self.error: WireError | None = None
        self._port = port
        self._made: Handshake | None = None

    async def run(self, deadlines: Deadlines, narrator: Narrator) -> None:
        def note(text: str, rule: str) -> None:
            self._made = text if isinstance(text, Handshake) else self._made
            narrator.note(text, rule)

        try:
            self.wire = await Wire.connect(self.address, self._port, deadlines, note)
        except WireError as error:
            self.error = error

    def __str__(self) -> str:
        if self._made is None:
            return f"{self.address}: {self.error}"
        rtt_s = self._made.rtt_s
        kernel = "" if rtt_s is None else f", round trip {rtt_s * 1000:.3f} ms by the kernel"
        return f"{self._made.peer}: connected in {self._made.took_s * 1000:.3f} ms{kernel}"
